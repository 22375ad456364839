//! Poison: stored documents with a value of the wrong type, out of today's range, or missing, field by field.
//!
//! A copy of a document is damaged in each way, and all copies are in the collection at once. Every list, with each sort,
//! the routes of whole documents, Reconcile and the consistency check are asked. None fails, and what is whole is there.
//! Documents that are found by their ID alone are damaged where they are, in one way after the other.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use http::Method;
use mongodb::bson::{Binary, Bson, DateTime, Document, Uuid, doc, spec::BinarySubtype};
use orders::store::{Job, OrderStore, Reason};
use products::store::ProductStore;
use serde_json::{Value, json};
use shared::http::routes::ParameterValue;
use shared::mongo;
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::declared::routes;
use tests::holds;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person, address};
use tests::shop::order_of;
use users::store::UserStore;

/// Treatment of a collection.
#[derive(Clone, Copy, Debug)]
enum Treatment {
    /// Copies are damaged: the collection has a list at this path.
    Listed(&'static str),
    /// Copies are damaged: a query may meet any of them.
    Copied,
    /// A document is damaged where it is: it is found by its ID.
    InPlace,
    /// It is read when a function starts, and then never again.
    AtStart,
    /// No request reads it: a test of the store damages it.
    InTheStore,
}

use Treatment::{AtStart, Copied, InPlace, InTheStore, Listed};

/// All collections of the functions.
const COLLECTIONS: [(&str, Treatment); 19] = [
    ("orders", Listed("/orders")),
    ("products", Listed("/products")),
    ("users", Listed("/users")),
    ("stock", Copied),
    ("stock_holds", Copied),
    ("stock_movements", Copied),
    ("user_sessions", Copied),
    ("user_keys", Copied),
    ("product_keys", Copied),
    ("reconcile_set_aside", Copied),
    ("reconcile_progress", InPlace),
    ("stock_checkpoints", InPlace),
    ("order_rates", InPlace),
    ("user_attempts", InPlace),
    ("user_addresses", InPlace),
    ("user_networks", InPlace),
    ("user_guards", InPlace),
    ("schema", AtStart),
    ("leases", InTheStore),
];

/// Older than all that the consistency check leaves out, in milliseconds.
const OLD: i64 = 600_000;

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
    /// A product whose documents are damaged.
    pot: String,
    /// Orders of that product: one with a hold, one with an entry in its journal.
    live: [String; 2],
    /// A user whose role changes.
    spare: String,
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
        let folded = ada.orders(&[(&pot, 1)]).await.expect(201).id();
        let products = ProductStore::new(&shop.database);
        products.fold_journals(None, 100).await.unwrap();
        let live = [folded, ada.orders(&[(&pot, 1)]).await.expect(201).id()];
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
        let wrong = json!({ "email": "bob@example.com", "password": "something else altogether" });
        shop.anyone().post("/auth", wrong).await.problem(401, "unauthenticated");
        fill(&shop, &pot).await;
        let whole = vec![
            ("/products", format!("/products/{mug}")),
            ("/orders", format!("/orders/{kept}")),
            ("/users", format!("/users/{}", ada.id)),
        ];
        let spare = shop.customer().await.id;
        Self { shop, ada, whole, mug, pot, live, spare }
    }

    /// A document of a collection, which is none of those that stay whole.
    async fn victim(&self, collection: &str) -> Document {
        let mut kept: Vec<Uuid> = self.whole.iter().map(|(_, path)| uuid_of(path)).collect();
        if collection == "orders" {
            kept.extend(self.live.iter().map(|id| uuid_of(id)));
        }
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
        if collection == "products" {
            self.insert_stocks(copies).await;
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

    /// Inserts a stock for each copy of a product, if it is not there.
    async fn insert_stocks(&self, copies: &[Damaged]) {
        let stocks = self.shop.database.collection::<Document>("stock");
        let stock = stocks.find_one(doc! { "_id": uuid_of(&self.pot) }).await.unwrap().unwrap();
        let of_copy = |copy: &Damaged| {
            let mut stock = stock.clone();
            stock.extend(doc! { "_id": copy.document.get("_id")?, "pending": [] });
            Some(stock)
        };
        let all: Vec<Document> = copies.iter().filter_map(of_copy).collect();
        let command = doc! {
            "insert": "stock", "documents": all, "ordered": false, "bypassDocumentValidation": true,
        };
        self.shop.database.run_command(command).await.unwrap();
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
        ] {
            wrong.extend(walk(&admin, list).await.err());
        }
        wrong.extend(self.ask_jobs().await);
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

    /// Has Reconcile run, and asks the consistency check.
    async fn ask_jobs(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(error) = self.shop.backend.reconcile().await {
            wrong.push(format!("Reconcile: {error:?}"));
        }
        for list in ["/orders/consistency?limit=3", "/orders/consistency"] {
            wrong.extend(walk(&self.shop.admin(), list).await.err());
        }
        wrong
    }

    /// Asks what reads documents of a collection by their IDs. Only the one that it belongs to may be refused.
    async fn ask_for_others(&self, collection: &str) -> Vec<String> {
        if !collection.starts_with("user_") {
            return self.ask_jobs().await;
        }
        let mut wrong = Vec::new();
        let signed_in = json!({ "email": self.ada.email, "password": PASSWORD });
        wrong.extend(fails(&self.shop.anyone(), Method::POST, "/auth", Some(signed_in), 200).await);
        for role in ["staff", "customer"] {
            let change = Some(json!({ "role": role }));
            wrong.extend(
                fails(&self.shop.admin(), Method::PUT, &format!("/users/{}", self.spare), change, 200).await,
            );
        }
        wrong
    }
}

/// Fills the collections that no request of the fixture has filled.
async fn fill(shop: &InProcess, product: &str) {
    let (orders, now) = (OrderStore::new(&shop.database), Clock::system().now());
    let later = now.after(std::time::Duration::from_secs(60));
    orders.set_aside(Job::Expiry, OrderId::new(), Reason::Refused, 1, now, later).await.unwrap();
    let position = orders::products::HoldCursor { at: now, order: Some(OrderId::new()) };
    orders.save_position("expiry", position).await.unwrap();
    let users = UserStore::new(&shop.database);
    orders.rates().add(mongo::uuid(UserId::new()), now).await.unwrap();
    users.counts().request("192.0.2.7", 60, now).await.unwrap();
    let id = mongo::uuid(product.parse::<ProductId>().unwrap());
    let checkpoints = shop.database.collection::<Document>("stock_checkpoints");
    let writer = products::store::SCHEMA.version;
    let checkpoint = doc! { "_id": id, "number": 1_i64, "sum": 5_i64, "writer": writer };
    checkpoints.insert_one(checkpoint).await.unwrap();
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
    if document.contains_key("job") {
        document.insert("order", Uuid::new());
    }
    if let Some(Bson::Document(placed)) = document.get_mut("placed_under") {
        placed.insert("key", text);
    }
}

/// IDs of other types than UUIDs.
fn foreign_ids() -> Vec<Bson> {
    vec![
        Bson::Null,
        Bson::Boolean(true),
        Bson::String("lost".to_owned()),
        Bson::Int64(7),
        Bson::Double(7.5),
        Bson::Document(doc! { "lost": 1 }),
        Bson::DateTime(DateTime::from_millis(7)),
        Bson::ObjectId(mongodb::bson::oid::ObjectId::new()),
        Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 5] }),
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: vec![7; 16] }),
    ]
}

/// Copies of a document with another value at each path, and without any.
fn damaged(document: &Document) -> Vec<Damaged> {
    let mut found = Vec::new();
    paths(&Bson::Document(document.clone()), &Vec::new(), &mut found);
    found.retain(|path| path != &["_id"]);
    let (mut copies, mut number) = (Vec::new(), 0);
    let mut copy =
        |number: &mut i64, described: String, is_strange_alone: bool, damage: &dyn Fn(&mut Bson)| {
            *number += 1;
            let mut document = document.clone();
            make_unique(&mut document, *number);
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
            copy(&mut number, format!("{name}: {poison:.40}"), is_strange, &|whole| {
                *at(whole, path) = poison.clone()
            });
        }
        let (last, outer) = path.split_last().unwrap();
        copy(&mut number, format!("{name}: missing"), false, &|whole| {
            if let Bson::Document(outer) = at(whole, outer) {
                outer.remove(last);
            }
        });
    }
    if matches!(document.get("_id"), Some(Bson::Binary(_))) {
        for id in foreign_ids() {
            number += 1;
            let mut document = document.clone();
            make_unique(&mut document, number);
            document.insert("_id", id.clone());
            copies.push(Damaged { described: format!("_id: {id:.40}"), document, is_strange_alone: false });
        }
    }
    copies
}

/// Damages copies of a document in every way. `list` is the path of its resources, if it is one.
async fn poison(collection: &str, list: &str) {
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
        let Ok(id) = id.to_uuid() else { continue };
        let id = uuid::Uuid::from_bytes(id.bytes());
        let path = match list {
            "/orders" => format!("{list}/{}", OrderId::from_uuid(id)),
            "/products" => format!("{list}/{}", ProductId::from_uuid(id)),
            _ => format!("{list}/{}", UserId::from_uuid(id)),
        };
        let answer = admin.outcome(admin.request(Method::GET, &path)).await.unwrap();
        let good = match answer.status.as_u16() {
            200 => true,
            500 => !copy.is_strange_alone && answer["request_id"].as_str() == answer.header("x-request-id"),
            _ => false,
        };
        if !good {
            wrong.push(format!("{} → {}: {}", copy.described, answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "{collection}: {} of {}: {wrong:#?}", wrong.len(), copies.len());
}

/// Damages the copies of a listed collection.
async fn poison_list(collection: &str) {
    let row = COLLECTIONS.iter().find(|(name, _)| *name == collection);
    let Some((_, Listed(list))) = row else { panic!("{collection} has no list") };
    poison(collection, list).await;
}

#[tokio::test]
async fn a_damaged_order_fails_nothing_but_itself() {
    poison_list("orders").await;
}

#[tokio::test]
async fn a_damaged_product_fails_nothing_but_itself() {
    poison_list("products").await;
}

#[tokio::test]
async fn a_damaged_user_fails_nothing_but_itself() {
    poison_list("users").await;
}

#[tokio::test]
async fn a_damaged_document_of_no_list_fails_nothing_else() {
    for (collection, _) in COLLECTIONS.iter().filter(|(_, treatment)| matches!(treatment, Copied)) {
        poison(collection, "").await;
    }
}

#[tokio::test]
async fn every_collection_of_the_functions_is_poisoned() {
    let shop = InProcess::open().await;
    let mut names = shop.database.list_collection_names().await.unwrap();
    names.sort_unstable();
    let mut poisoned: Vec<&str> = COLLECTIONS.iter().map(|(name, _)| *name).collect();
    poisoned.sort_unstable();
    assert_eq!(names, poisoned);
}

/// A few of the values that may stand at a path: one of each of these types.
fn some_poisons(value: &Bson) -> Vec<Bson> {
    let (wrong, strange) = poisons(value);
    let mut chosen: Vec<Bson> = Vec::new();
    // Of times the last, which lies ahead.
    for poison in wrong.into_iter().chain(strange).rev() {
        let is_new = chosen.iter().all(|it| it.element_type() != poison.element_type());
        let type_matters = matches!(
            poison,
            Bson::Null | Bson::String(_) | Bson::Int64(_) | Bson::Array(_) | Bson::DateTime(_)
        );
        if is_new && type_matters {
            chosen.push(poison);
        }
    }
    chosen
}

#[tokio::test]
async fn a_document_damaged_in_its_place_fails_nobody_else() {
    let fixture = Fixture::open().await;
    let mut wrong = Vec::new();
    for (collection, _) in COLLECTIONS.iter().filter(|(_, treatment)| matches!(treatment, InPlace)) {
        let all = fixture.shop.database.collection::<Document>(collection);
        let victim = fixture.victim(collection).await;
        let id = doc! { "_id": victim.get("_id") };
        let mut found = Vec::new();
        paths(&Bson::Document(victim.clone()), &Vec::new(), &mut found);
        for path in found.iter().filter(|path| **path != ["_id"]) {
            for poison in some_poisons(at(&mut Bson::Document(victim.clone()), path)) {
                let mut damaged = Bson::Document(victim.clone());
                *at(&mut damaged, path) = poison.clone();
                let Bson::Document(damaged) = damaged else { panic!("{damaged}") };
                let write = all.replace_one(id.clone(), damaged).upsert(true);
                write.bypass_document_validation(true).await.unwrap();
                let found = fixture.ask_for_others(collection).await.into_iter().take(1);
                let path = path.join(".");
                wrong.extend(found.map(|it| format!("{collection} {path}: {poison:.40} → {it}")));
            }
        }
        all.replace_one(id, victim).upsert(true).bypass_document_validation(true).await.unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Damage in place: a document with another value at one path, or without it.
fn damaged_in_place(victim: &Document) -> Vec<(String, Document)> {
    let mut found = Vec::new();
    paths(&Bson::Document(victim.clone()), &Vec::new(), &mut found);
    let mut all = Vec::new();
    for path in found.iter().filter(|path| **path != ["_id"]) {
        let name = path.join(".");
        let mut change = |described: String, damage: &dyn Fn(&mut Bson)| {
            let mut damaged = Bson::Document(victim.clone());
            damage(&mut damaged);
            let Bson::Document(damaged) = damaged else { panic!("{damaged}") };
            all.push((described, damaged));
        };
        for poison in some_poisons(at(&mut Bson::Document(victim.clone()), path)) {
            change(format!("{name}: {poison:.40}"), &|whole| *at(whole, path) = poison.clone());
        }
        let (last, outer) = path.split_last().unwrap();
        change(format!("{name}: missing"), &|whole| {
            if let Bson::Document(outer) = at(whole, outer) {
                outer.remove(last);
            }
        });
    }
    all
}

impl Fixture {
    /// Asks what reads stocks and holds of others than the damaged product and its orders.
    async fn ask_beside_pot(&self) -> Vec<String> {
        let mut wrong = self.ask_jobs().await;
        let admin = self.shop.admin();
        for (list, path) in &self.whole[..2] {
            let id = path.rsplit('/').next().unwrap();
            match walk(&admin, &format!("{list}?limit=100")).await {
                Ok(seen) if seen.contains(id) => {}
                Ok(_) => wrong.push(format!("{list} has lost {id}")),
                Err(failed) => wrong.push(failed),
            }
            wrong.extend(fails(&self.ada, Method::GET, path, None, 200).await);
        }
        let placed =
            self.ada.outcome(self.ada.request(Method::POST, "/orders").json(&order_of(&self.mug, 1)));
        match placed.await {
            Ok(answer) if answer.status == 201 => {
                let path = format!("/orders/{}", answer.id());
                let cancelled = json!({ "status": "cancelled" });
                wrong.extend(fails(&self.ada, Method::PUT, &path, Some(cancelled), 200).await);
            }
            Ok(answer) => wrong.push(format!("{} {}: {}", answer.request, answer.status, answer.body)),
            Err(lost) => wrong.push(lost),
        }
        wrong
    }

    /// Asks for the damaged product and its orders. An internal error is an answer too.
    async fn ask_for_pot(&self, order: &str) -> Vec<String> {
        let note = json!({ "items": [{ "product_id": self.pot, "quantity": 2 }] });
        let requests = [
            (Method::GET, format!("/products/{}", self.pot), None),
            (Method::PUT, format!("/products/{}/stock", self.pot), Some(json!({ "delta": 1 }))),
            (Method::POST, "/orders".to_owned(), Some(order_of(&self.pot, 1))),
            (Method::PUT, format!("/orders/{order}"), Some(note)),
        ];
        let mut wrong = Vec::new();
        for (method, path, body) in requests {
            let mut request = self.shop.admin().request(method, &path);
            if let Some(body) = body {
                request = request.json(&body);
            }
            match self.shop.admin().outcome(request).await {
                Ok(answer) if [200, 201, 409, 422, 500, 503].contains(&answer.status.as_u16()) => {}
                Ok(answer) => wrong.push(format!("{} {}: {}", answer.request, answer.status, answer.body)),
                Err(lost) => wrong.push(lost),
            }
        }
        wrong
    }

    /// Makes orders and holds so old that the consistency check looks at them.
    async fn age(&self) {
        holds::age(&self.shop.database, OLD).await;
        let orders = self.shop.database.collection::<Document>("orders");
        let earlier = doc! { "updated_at": { "$subtract": ["$updated_at", OLD] } };
        orders.update_many(doc! {}, vec![doc! { "$set": earlier }]).await.unwrap();
    }

    /// All that the consistency check reports.
    async fn reported(&self) -> Vec<String> {
        let page = self.shop.admin().get("/orders/consistency?limit=1000").await.expect(200);
        page["violations"].as_array().unwrap().iter().map(Value::to_string).collect()
    }
}

/// Damages a document of the pot where it is, in every way. `order` is one of its orders.
async fn poison_in_place(collection: &str, id: impl Fn(&Fixture) -> String, order: usize) {
    let fixture = Fixture::open().await;
    let (id, order) = (uuid_of(&id(&fixture)), fixture.live[order].clone());
    let all = fixture.shop.database.collection::<Document>(collection);
    fixture.age().await;
    let victim = all.find_one(doc! { "_id": id }).await.unwrap().unwrap();
    let pot = mongo::uuid(fixture.pot.parse::<ProductId>().unwrap());
    let stocks = fixture.shop.database.collection::<Document>("stock");
    let stock = stocks.find_one(doc! { "_id": pot }).await.unwrap().unwrap();
    let damaged = damaged_in_place(&victim);
    assert!(damaged.len() >= 20, "{}", damaged.len());
    let mut wrong = Vec::new();
    for (described, document) in damaged {
        let write = all.replace_one(doc! { "_id": id }, document);
        write.bypass_document_validation(true).await.unwrap();
        let mut found = fixture.ask_beside_pot().await;
        let reported = fixture.reported().await;
        // Values of the right type are reported where they make a sum wrong.
        let is_wrong_type =
            ["missing", "\"", "[", "null", "DateTime"].iter().any(|it| described.contains(it));
        let names = [&fixture.pot, &order];
        let is_reported = reported.iter().any(|it| names.iter().any(|name| it.contains(name.as_str())));
        if is_wrong_type && !is_reported && !is_unused(&described) {
            found.push(format!("not reported: {reported:?}"));
        }
        found.extend(fixture.ask_for_pot(&order).await);
        wrong.extend(found.into_iter().take(1).map(|it| format!("{collection} {described} → {it}")));
        for (documents, id, whole) in [(&stocks, pot, &stock), (&all, id, &victim)] {
            let write = documents.replace_one(doc! { "_id": id }, whole).upsert(true);
            write.bypass_document_validation(true).await.unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// Fields that no answer and no decision depends on, or that may be absent.
fn is_unused(described: &str) -> bool {
    let may_be_absent = [": missing", ": null"].iter().any(|it| described.contains(it));
    let is_optional =
        ["moved_at", "pending.0.s", "items.0.s"].iter().any(|it| described.starts_with(&format!("{it}:")));
    // Any time may be that of the newest movement.
    let is_any = ["moved_at: DateTime", "writer", "live"].iter().any(|it| described.starts_with(it));
    is_any || may_be_absent && is_optional
}

#[tokio::test]
async fn a_damaged_stock_fails_nothing_but_its_product() {
    poison_in_place("stock", |fixture| fixture.pot.clone(), 1).await;
}

#[tokio::test]
async fn a_damaged_hold_fails_nothing_but_its_order() {
    poison_in_place("stock_holds", |fixture| fixture.live[0].clone(), 0).await;
}

/// Documents without a position stand before, between and after others in a list, in each sort.
async fn hide(list: &str, collection: &str, fields: &[&str]) {
    let fixture = Fixture::open().await;
    let shop = &fixture.shop;
    let mut whole: BTreeSet<String> = BTreeSet::new();
    for place in 0..3 {
        let id = match list {
            "/products" => shop.product(place).await,
            "/users" => shop.customer().await.id,
            _ => fixture.ada.orders(&[(&fixture.mug, 1)]).await.expect(201).id(),
        };
        let all = shop.database.collection::<Document>(collection);
        let victim = all.find_one(doc! { "_id": uuid_of(&format!("{list}/{id}")) }).await.unwrap().unwrap();
        whole.insert(id);
        let mut copies: Vec<Damaged> = damaged(&victim);
        copies.retain(|copy| {
            let field = copy.described.split(": ").next().unwrap();
            field == "_id" && place == 1 || fields.contains(&field) && !copy.is_strange_alone
        });
        assert!(copies.len() >= 5, "{}", copies.len());
        for (number, copy) in (1_000..).zip(&mut copies) {
            let id = copy.document.get("_id").cloned();
            make_unique(&mut copy.document, 1_000 * place + number);
            if copy.described.starts_with("_id") {
                copy.document.insert("_id", id.unwrap());
            }
        }
        fixture.insert(collection, &copies).await;
    }
    let admin = shop.admin();
    let mut wrong = Vec::new();
    for query in queries(list) {
        for limit in [1, 2, 5] {
            match walk(&admin, &format!("{list}?limit={limit}{query}")).await {
                Ok(seen) if whole.is_subset(&seen) => {}
                Ok(seen) => wrong.push(format!("limit={limit}{query} lacks {:?}", whole.difference(&seen))),
                Err(failed) => wrong.push(failed),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn orders_without_a_position_hide_no_other() {
    hide("/orders", "orders", &["created_at", "total"]).await;
}

#[tokio::test]
async fn products_without_a_position_hide_no_other() {
    hide("/products", "products", &["created_at", "name_key", "price.amount"]).await;
}

#[tokio::test]
async fn users_without_a_position_hide_no_other() {
    hide("/users", "users", &["created_at"]).await;
}

#[tokio::test]
async fn movements_without_a_number_hide_no_other() {
    let fixture = Fixture::open().await;
    let admin = fixture.shop.admin();
    let stock = format!("/products/{}/stock", fixture.mug);
    let movements = fixture.shop.database.collection::<Document>("stock_movements");
    let product = mongo::uuid(fixture.mug.parse::<ProductId>().unwrap());
    for number in [1.5, 1.6, 2.5, 3.5, 9.5, 9.6] {
        let entry = doc! { "product": product, "number": number };
        movements.insert_one(entry).bypass_document_validation(true).await.unwrap();
    }
    for delta in [3, 4] {
        admin.put(&stock, json!({ "delta": delta })).await.expect(200);
    }
    let (mut deltas, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{stock}/movements?limit=1{cursor}")).await.expect(200);
        deltas.extend(page.data().iter().filter_map(|it| it["delta"].as_i64()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(deltas, [4, 3, 50]);
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
