//! Poison: stored documents with a value of the wrong type, out of today's range, or missing, field by field.
//!
//! A copy of a document is damaged in each way, and all copies are in the collection at once. Every list, with each sort,
//! the routes of whole documents and the consistency check are asked. None fails, and what is whole is there.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use http::Method;
use mongodb::bson::{Binary, Bson, DateTime, Document, Uuid, doc, spec::BinarySubtype};
use serde_json::{Value, json};
use shared::http::routes::ParameterValue;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::declared::routes;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person, address};
use tests::shop::order_of;

/// Steps to a value within a document: names of fields and indexes of lists.
type Path = Vec<String>;

/// Something is in every collection, of each kind what is damaged and what stays whole.
struct Fixture {
    shop: InProcess,
    ada: Person,
    /// Paths of resources that stay whole, with the path of their list.
    whole: Vec<(&'static str, String)>,
    /// A product that stays whole.
    mug: String,
}

impl Fixture {
    async fn open() -> Self {
        let shop = InProcess::open().await;
        let (ada, admin) = (shop.customer().await, shop.admin());
        let mug = shop.product(50).await;
        let pot = shop
            .product_with(json!({
                "name": "Pot", "stock": 5, "description": "Blue", "attributes": { "colour": "blue" },
            }))
            .await
            .id();
        let count = json!({ "delta": 2, "reason": "found behind the shelf" });
        admin.send_keyed(Method::PUT, &format!("/products/{pot}/stock"), "count", &count).await.expect(200);
        let kept = ada.orders(&[(&mug, 1)]).await.expect(201).id();
        let mut full = order_of(&pot, 2);
        full["note"] = json!("Ring twice");
        let damaged = ada.send_keyed(Method::POST, "/orders", "an-order", &full).await.expect(201).id();
        let metadata = json!({ "metadata": { "channel": "shop" } });
        admin.put(&format!("/orders/{damaged}"), metadata).await.expect(200);
        for step in ["paid", "shipped"] {
            admin.moves(&damaged, step).await.expect(200);
        }
        let user = json!({
            "email": "bob@example.com", "password": PASSWORD, "name": "Bob", "phone": "030 1", "address": address(),
        });
        let bob = shop.anyone().send_keyed(Method::POST, "/users", "a-sign-up", &user).await.expect(201).id();
        let path = format!("/users/{bob}");
        for role in ["admin", "customer"] {
            admin.put(&path, json!({ "role": role })).await.expect(200);
        }
        shop.anyone().signs_in("bob@example.com", PASSWORD).await;
        let whole = vec![
            ("/products", format!("/products/{mug}")),
            ("/orders", format!("/orders/{kept}")),
            ("/users", format!("/users/{}", ada.id)),
        ];
        Self { shop, ada, whole, mug }
    }

    /// A document of a collection, which is none of those that stay whole.
    async fn victim(&self, collection: &str) -> Document {
        let kept: Vec<Uuid> = self.whole.iter().map(|(_, path)| uuid_of(path)).collect();
        let admin = uuid_of(&format!("/users/{}", self.shop.admin().id));
        let filter = doc! { "_id": { "$nin": kept, "$ne": admin }, "user": { "$ne": admin } };
        let all = self.shop.database.collection::<Document>(collection);
        all.find_one(filter).sort(doc! { "_id": -1 }).await.unwrap().unwrap()
    }

    /// Inserts copies, past everything that guards them. Those that MongoDB itself can store.
    async fn insert(&self, collection: &str, copies: &[Damaged]) -> Vec<Damaged> {
        for batch in copies.chunks(100) {
            let documents: Vec<&Document> = batch.iter().map(|copy| &copy.document).collect();
            let command = doc! {
                "insert": collection, "documents": documents, "ordered": false, "bypassDocumentValidation": true,
            };
            self.shop.database.run_command(command).await.unwrap();
        }
        let all = self.shop.database.collection::<Document>(collection);
        let mut stored = Vec::new();
        for copy in copies {
            if all.find_one(doc! { "_id": copy.document.get("_id") }).await.unwrap().is_some() {
                stored.push(copy.clone());
            }
        }
        stored
    }

    async fn delete(&self, collection: &str, copies: &[Damaged]) {
        let ids: Vec<Bson> = copies.iter().filter_map(|copy| copy.document.get("_id").cloned()).collect();
        let all = self.shop.database.collection::<Document>(collection);
        all.delete_many(doc! { "_id": { "$in": ids } }).await.unwrap();
    }

    /// Asks all that there is to ask. What went wrong.
    async fn ask(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let admin = self.shop.admin();
        for (list, path) in &self.whole {
            let id = path.rsplit('/').next().unwrap();
            for query in queries(list) {
                for limit in [7, 100] {
                    match walk(&admin, &format!("{list}?limit={limit}{query}")).await {
                        Ok(seen) if seen.contains(id) => {}
                        Ok(_) => wrong.push(format!("{list}?limit={limit}{query} has lost {id}")),
                        Err(failed) => wrong.push(failed),
                    }
                }
            }
            for person in [&admin, &self.ada] {
                wrong.extend(fails(person, Method::GET, path, None, 200).await);
            }
        }
        for list in ["/orders?limit=3", "/products?limit=3", "/products?q=pot&limit=3", "/products?q=pot"] {
            wrong.extend(walk(&self.ada, list).await.err());
        }
        let (user, mug) = (&self.ada.id, &self.mug);
        for list in [
            "/users?email=bob@example.com",
            "/users?role=customer",
            &format!("/orders?user_id={user}"),
            &format!("/orders?product_id={mug}&sort=total&limit=3"),
            &format!("/products/{mug}/stock/movements?limit=1"),
            "/products?currency=EUR&sort=price&min_price=1",
            "/orders/consistency?limit=3",
            "/orders/consistency",
        ] {
            wrong.extend(walk(&admin, list).await.err());
        }
        // Requests about others, which write.
        let renamed = json!({ "name": format!("Mug {}", ProductId::new()) });
        let mug = format!("/products/{}", self.mug);
        wrong.extend(fails(&admin, Method::PUT, &mug, Some(renamed), 200).await);
        let signed_in = json!({ "email": self.ada.email, "password": PASSWORD });
        wrong.extend(fails(&self.shop.anyone(), Method::POST, "/auth", Some(signed_in), 200).await);
        let too_many = order_of(&self.mug, 1_000);
        wrong.extend(fails(&self.ada, Method::POST, "/orders", Some(too_many), 409).await);
        if self.shop.backend.users.service.keys(None).await.is_err() {
            wrong.push("the signing keys cannot be read".to_owned());
        }
        wrong
    }
}

fn uuid_of(path: &str) -> Uuid {
    let id = path.rsplit('/').next().unwrap();
    let bits = (id.parse().map(|id: OrderId| id.uuid()))
        .or_else(|_| id.parse().map(|id: ProductId| id.uuid()))
        .or_else(|_| id.parse().map(|id: UserId| id.uuid()));
    Uuid::from_bytes(bits.unwrap().into_bytes())
}

/// Queries with each value of the parameters of a list that has a few words to choose from.
fn queries(list: &str) -> Vec<String> {
    let spec = routes().into_iter().find(|route| route.name() == format!("GET {list}")).unwrap().spec;
    let mut queries = vec![String::new()];
    for parameter in spec.query {
        if let ParameterValue::Sort(sorts) = parameter.value {
            queries.extend(sorts().into_iter().map(|sort| format!("&{}={sort}", parameter.name)));
        }
    }
    queries
}

/// Walks over a list to its end. The IDs that it has, or what went wrong.
async fn walk(person: &Person, list: &str) -> Result<BTreeSet<String>, String> {
    let mut seen = BTreeSet::new();
    let mut path = list.to_owned();
    for _ in 0..1_000 {
        let answer = person.outcome(person.request(Method::GET, &path)).await?;
        if answer.status != 200 {
            return Err(format!("{path} {}: {}", answer.status, answer.body));
        }
        for element in answer.body["data"].as_array().into_iter().flatten() {
            if let Some(id) = element["id"].as_str()
                && !seen.insert(id.to_owned())
            {
                return Err(format!("{path} has {id} twice"));
            }
        }
        let Some(cursor) = answer.body["next_cursor"].as_str() else { return Ok(seen) };
        let mark = if list.contains('?') { '&' } else { '?' };
        path = format!("{list}{mark}cursor={cursor}");
    }
    Err(format!("{list} does not end"))
}

/// A request that is not answered with this status.
async fn fails(
    person: &Person,
    method: Method,
    path: &str,
    body: Option<Value>,
    expected: u16,
) -> Option<String> {
    let mut request = person.request(method, path);
    if let Some(body) = body {
        request = request.header(http::header::CONTENT_TYPE, "application/json").body(body.to_string());
    }
    match person.outcome(request).await {
        Ok(answer) if answer.status == expected || (answer.status == 404 && path.starts_with("/users")) => {
            None
        }
        Ok(answer) => Some(format!("{} {}: {}", answer.request, answer.status, answer.body)),
        Err(lost) => Some(lost),
    }
}

/// Paths of all values within a document.
fn paths(value: &Bson, at: &Path, found: &mut Vec<Path>) {
    let inner: Vec<(String, &Bson)> = match value {
        Bson::Document(document) => document.iter().map(|(name, value)| (name.clone(), value)).collect(),
        // One element is like the others.
        Bson::Array(list) => list.iter().take(1).map(|value| ("0".to_owned(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in inner {
        let mut path = at.clone();
        path.push(name);
        found.push(path.clone());
        paths(value, &path, found);
    }
}

fn at<'a>(value: &'a mut Bson, path: &[String]) -> &'a mut Bson {
    path.iter().fold(value, |value, step| match value {
        Bson::Document(document) => document.get_mut(step).unwrap(),
        Bson::Array(list) => &mut list[step.parse::<usize>().unwrap()],
        other => panic!("{other} has nothing within"),
    })
}

/// Values of another type, and of the same type but out of today's range.
fn poisons(value: &Bson) -> (Vec<Bson>, Vec<Bson>) {
    let text = |text: &str| Bson::String(text.to_owned());
    let wrong = vec![
        Bson::Null,
        Bson::Boolean(true),
        text("lost"),
        Bson::Int64(7),
        Bson::Double(7.5),
        Bson::Array(Vec::new()),
        Bson::Array(vec![value.clone(), Bson::Int64(7)]),
        Bson::Document(doc! { "lost": 1 }),
        Bson::DateTime(DateTime::from_millis(7)),
        Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 5] }),
    ];
    let strange = match value {
        Bson::String(_) => vec![text(""), text(" "), text("\0\u{200b}"), text(&"x".repeat(60))],
        Bson::Int32(_) | Bson::Int64(_) => {
            [i64::MIN, -1, 0, i64::MAX].map(Bson::Int64).into_iter().chain([Bson::Int32(7)]).collect()
        }
        Bson::DateTime(_) => vec![Bson::DateTime(DateTime::MIN), Bson::DateTime(DateTime::MAX)],
        _ => Vec::new(),
    };
    let same = |poison: &Bson| poison.element_type() == value.element_type();
    (wrong.into_iter().filter(|poison| !same(poison)).collect(), strange)
}

/// A damaged copy of a document.
#[derive(Clone)]
struct Damaged {
    /// The field, and what it has.
    described: String,
    document: Document,
    /// True if the value has the right type.
    is_strange_alone: bool,
}

/// Fields that are unique in a collection: each copy has its own.
fn make_unique(document: &mut Document, number: i64) {
    let text = format!("copy {number}");
    let id = match document.get("_id") {
        Some(Bson::Binary(id)) if id.bytes.len() == 16 => Bson::from(Uuid::new()),
        Some(Bson::Binary(_)) => {
            let bytes = number.to_be_bytes().repeat(4);
            Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
        }
        _ => Bson::ObjectId(mongodb::bson::oid::ObjectId::new()),
    };
    document.insert("_id", id);
    for field in ["sku", "email_key"] {
        if document.contains_key(field) {
            document.insert(field, &text);
        }
    }
    match document.get("number") {
        Some(Bson::String(_)) => drop(document.insert("number", &text)),
        Some(_) => drop(document.insert("number", 1_000 + number)),
        None => {}
    }
    if let Some(Bson::Document(placed)) = document.get_mut("placed_under") {
        placed.insert("key", text);
    }
}

/// Copies of a document with another value at each path, and without any.
fn damaged(document: &Document) -> Vec<Damaged> {
    let mut found = Vec::new();
    paths(&Bson::Document(document.clone()), &Vec::new(), &mut found);
    found.retain(|path| path != &["_id"]);
    let (mut copies, mut number) = (Vec::new(), 0);
    let mut copy = |described: String, is_strange_alone: bool, damage: &dyn Fn(&mut Bson)| {
        number += 1;
        let mut document = document.clone();
        make_unique(&mut document, number);
        let mut whole = Bson::Document(document);
        damage(&mut whole);
        let Bson::Document(document) = whole else { panic!("{whole}") };
        copies.push(Damaged { described, document, is_strange_alone });
    };
    for path in &found {
        let name = path.join(".");
        let (wrong, strange) = poisons(at(&mut Bson::Document(document.clone()), path));
        for (poison, is_strange) in
            wrong.into_iter().map(|it| (it, false)).chain(strange.into_iter().map(|it| (it, true)))
        {
            copy(format!("{name}: {poison:.40}"), is_strange, &|whole| *at(whole, path) = poison.clone());
        }
        let (last, outer) = path.split_last().unwrap();
        copy(format!("{name}: missing"), false, &|whole| {
            if let Bson::Document(outer) = at(whole, outer) {
                outer.remove(last);
            }
        });
    }
    copies
}

/// Damages copies of a document in every way. `list` is the path of its resources, if it is one. `opaque` are fields
/// whose values a build must know to read the document.
async fn poison(collection: &str, list: &str, opaque: &[&str]) {
    let fixture = Fixture::open().await;
    let victim = fixture.victim(collection).await;
    assert_eq!(fixture.ask().await, Vec::<String>::new());
    let copies = fixture.insert(collection, &damaged(&victim)).await;
    assert!(copies.len() >= 20, "{}", copies.len());
    let mut wrong = fixture.ask().await;
    if !wrong.is_empty() {
        // Finds out which of them it is.
        fixture.delete(collection, &copies).await;
        for copy in &copies {
            fixture.insert(collection, std::slice::from_ref(copy)).await;
            let found = fixture.ask().await.into_iter().take(1);
            wrong.extend(found.map(|it| format!("{} → {it}", copy.described)));
            fixture.delete(collection, std::slice::from_ref(copy)).await;
        }
        fixture.insert(collection, &copies).await;
    }
    // Asked for by its own ID, each has an answer. What has the right type is shown as it is.
    let admin = fixture.shop.admin();
    for copy in copies.iter().filter(|_| !list.is_empty()) {
        let Some(Bson::Binary(id)) = copy.document.get("_id") else { continue };
        let id = uuid::Uuid::from_bytes(id.to_uuid().unwrap().bytes());
        let path = match list {
            "/orders" => format!("{list}/{}", OrderId::from_uuid(id)),
            "/products" => format!("{list}/{}", ProductId::from_uuid(id)),
            _ => format!("{list}/{}", UserId::from_uuid(id)),
        };
        let answer = admin.outcome(admin.request(Method::GET, &path)).await.unwrap();
        let must_be_shown =
            copy.is_strange_alone && !opaque.iter().any(|field| copy.described.starts_with(field));
        let good = match answer.status.as_u16() {
            200 => true,
            500 => !must_be_shown && answer["request_id"].as_str() == answer.header("x-request-id"),
            _ => false,
        };
        if !good {
            wrong.push(format!("{} → {}: {}", copy.described, answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "{collection}: {} of {}: {wrong:#?}", wrong.len(), copies.len());
}

#[tokio::test]
async fn a_damaged_order_fails_nothing_but_itself() {
    poison("orders", "/orders", &["tasks.0.kind"]).await;
}

#[tokio::test]
async fn a_damaged_product_fails_nothing_but_itself() {
    poison("products", "/products", &[]).await;
}

#[tokio::test]
async fn a_damaged_user_fails_nothing_but_itself() {
    poison("users", "/users", &["role"]).await;
}

#[tokio::test]
async fn a_damaged_movement_session_or_key_fails_nothing_else() {
    for collection in ["stock_movements", "user_sessions", "user_keys", "product_keys"] {
        poison(collection, "", &[]).await;
    }
}

#[tokio::test]
async fn a_damaged_guard_of_admins_lets_them_change() {
    let fixture = Fixture::open().await;
    let (admin, guard) = (fixture.shop.admin(), fixture.victim("user_guards").await);
    let other = fixture.shop.person("admin").await;
    for poison in poisons(&Bson::Int64(1)).0.into_iter().chain(poisons(&Bson::Int64(1)).1) {
        let command = doc! {
            "update": "user_guards",
            "updates": [{ "q": { "_id": guard.get("_id") }, "u": { "$set": { "changes": poison.clone() } } }],
            "bypassDocumentValidation": true,
        };
        fixture.shop.database.run_command(command).await.unwrap();
        for role in ["staff", "admin"] {
            let path = format!("/users/{}", other.id);
            let answer =
                admin.outcome(admin.request(Method::PUT, &path).json(&json!({ "role": role }))).await;
            assert_eq!(answer.unwrap().status, 200, "{poison}");
        }
    }
}
