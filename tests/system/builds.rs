//! Two builds of the functions over one database, before, during and after the schema step of the later one.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::join_all;
use http::Method;
use local::backend::{self, Schemas};
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use serde_json::{Value, json};
use shared::mongo::{self, ANY_WRITER, Schema};
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId};
use tests::answer::Answer;
use tests::declared::{Route, routes};
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person, address, to};
use tests::shop::{new_email, new_sku, order_of};

use crate::stored::rules::change;
use crate::support::instance::Instance;

/// Schemas of a build that is so many versions later than this one.
fn later_by(versions: i32, lowest_writer: impl Fn(i32) -> i32) -> Schemas {
    let later = |schema: Schema| {
        let version = schema.version + versions;
        Schema { version, lowest_writer: lowest_writer(version), ..schema }
    };
    let Schemas { users, products, orders } = Schemas::default();
    Schemas { users: later(users), products: later(products), orders: later(orders) }
}

/// Schemas of the next build, which refuses the writes of this one.
fn fencing() -> Schemas {
    later_by(1, |version| version)
}

/// Schemas of the next build, beside which this one may write.
fn compatible() -> Schemas {
    later_by(1, |_| ANY_WRITER)
}

fn each(schemas: Schemas) -> [Schema; 3] {
    [schemas.users, schemas.products, schemas.orders]
}

/// All documents but those of the schema step, by collection.
async fn documents(shop: &InProcess) -> BTreeMap<String, Vec<Document>> {
    let mut all = BTreeMap::new();
    for name in shop.database.list_collection_names().await.unwrap() {
        if name != "schema" && !name.starts_with("system.") {
            let documents = shop.database.collection::<Document>(&name);
            let found = documents.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
            all.insert(name, found.try_collect().await.unwrap());
        }
    }
    all
}

/// Documents that the build of these schemas or a later one has not written. Movements are never changed.
async fn unsigned(shop: &InProcess, schemas: Schemas) -> Vec<(String, Document)> {
    let lowest = |name: &str| match name {
        name if name.starts_with("user") => schemas.users.version,
        name if name.starts_with("product") || name.starts_with("stock") => schemas.products.version,
        _ => schemas.orders.version,
    };
    let all = documents(shop).await.into_iter().filter(|(name, _)| name != "stock_movements");
    all.flat_map(|(name, documents)| documents.into_iter().map(move |document| (name.clone(), document)))
        .filter(|(name, document)| !document.get_i32("writer").is_ok_and(|writer| writer >= lowest(name)))
        .collect()
}

async fn send(person: &Person, method: Method, path: &str, body: Value) -> Answer {
    let request = person.request(method, path).header(http::header::CONTENT_TYPE, "application/json");
    person.outcome(request.body(body.to_string())).await.unwrap()
}

/// A request that writes: the name of its route, its sender, path and body, and the status that it should have.
struct Write {
    route: &'static str,
    person: Person,
    path: String,
    body: Value,
    expected: u16,
}

impl Write {
    fn method(&self) -> Method {
        self.route.split(' ').next().unwrap().parse().unwrap()
    }

    async fn send(&self, to: &Instance) -> Answer {
        send(&to.seen_by(&self.person), self.method(), &self.path, self.body.clone()).await
    }
}

/// Requests of every route that writes, each about something of its own.
async fn writes(shop: &InProcess) -> Vec<Write> {
    let admin = shop.admin();
    let (ada, bob, carol, dave) =
        tokio::join!(shop.customer(), shop.customer(), shop.customer(), shop.customer());
    let signed_in = |person: &Person| json!({ "email": person.email, "password": PASSWORD });
    let session = async |person: &Person| {
        let session = shop.anyone().post("/auth", signed_in(person)).await.expect(200);
        json!({ "refresh_token": session.text("refresh_token") })
    };
    let (mug, pot) = (shop.product(50).await, shop.product(50).await);
    let mut writes = Vec::new();
    let mut write = |route, person: &Person, path: &str, body, expected| {
        writes.push(Write { route, person: person.clone(), path: path.to_owned(), body, expected });
    };
    let anyone = shop.anyone();
    let user = |fields: Value| {
        let mut user = json!({ "email": new_email(), "password": PASSWORD, "name": "Eve" });
        user.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        user
    };
    write("POST /auth", &anyone, "/auth", signed_in(&ada), 200);
    write("POST /auth", &anyone, "/auth", json!({ "email": ada.email, "password": "wrong password" }), 401);
    write("POST /auth/refresh", &anyone, "/auth/refresh", session(&ada).await, 200);
    write("POST /auth/logout", &anyone, "/auth/logout", session(&ada).await, 204);
    write("POST /users", &anyone, "/users", user(json!({})), 201);
    write("POST /users", &admin, "/users", user(json!({ "role": "staff" })), 201);
    let own = |person: &Person| format!("/users/{}", person.id);
    write("PUT /users/{id}", &bob, &own(&bob), json!({ "name": "Bob" }), 200);
    write("PUT /users/{id}", &admin, &own(&carol), json!({ "role": "staff" }), 200);
    write("DELETE /users/{id}", &dave, &own(&dave), json!({}), 204);
    let product = json!({ "sku": new_sku(), "name": "Cup", "price": { "amount": 1, "currency": "EUR" } });
    write("POST /products", &admin, "/products", product, 201);
    write("PUT /products/{id}", &admin, &format!("/products/{mug}"), json!({ "name": "Beaker" }), 200);
    let stock = format!("/products/{mug}/stock");
    write("PUT /products/{id}/stock", &admin, &stock, json!({ "delta": 3 }), 200);
    write("POST /orders", &ada, "/orders", order_of(&mug, 1), 201);
    let two = [&mug, &pot].map(|product| json!({ "product_id": product, "quantity": 1 }));
    let order = json!({ "items": two, "shipping_address": address() });
    write("POST /orders", &ada, "/orders", order, 201);
    let changes = [
        ("placed", json!({ "note": "Knock" })),
        ("placed", json!({ "items": [{ "product_id": mug, "quantity": 2 }] })),
        ("placed", to("paid")),
        ("placed", to("cancelled")),
        ("paid", to("shipped")),
        ("shipped", to("delivered")),
        ("delivered", json!({ "status": "returned", "restock": true })),
        ("returned", to("refunded")),
    ];
    for (status, body) in changes {
        let (_, order) = shop.order_in(status).await;
        write("PUT /orders/{id}", &admin, &format!("/orders/{order}"), body, 200);
    }
    let (_, order) = shop.order_in("paid").await;
    let refunds = format!("/orders/{order}/refunds");
    let refund = admin.post(&refunds, json!({ "amount": 1 })).await.expect(201).id();
    let payment = json!({ "amount": 1, "reference": new_sku() });
    write("POST /orders/{id}/payments", &admin, &format!("/orders/{order}/payments"), payment, 201);
    write("POST /orders/{id}/refunds", &admin, &refunds, json!({ "amount": 1 }), 201);
    let reference = json!({ "reference": "re_1" });
    write("PUT /orders/{id}/refunds/{id}", &admin, &format!("{refunds}/{refund}"), reference, 200);
    let (_, order) = shop.order_in("paid").await;
    let path = format!("/orders/{order}/fulfillments");
    let parcel = json!({ "tracking": { "carrier": "DHL", "number": "0034" } });
    write("POST /orders/{id}/fulfillments", &admin, &path, parcel, 201);
    let (_, order) = shop.order_in("shipped").await;
    let parcel = admin.get(&format!("/orders/{order}")).await.expect(200)["fulfillments"][0]["id"].clone();
    let path = format!("/orders/{order}/fulfillments/{}", parcel.as_str().unwrap());
    write("PUT /orders/{id}/fulfillments/{id}", &admin, &path, json!({ "status": "cancelled" }), 200);
    for (person, order) in [shop.order_in("placed").await, (admin.clone(), shop.order_in("paid").await.1)] {
        let path = format!("/orders/{order}/cancellations");
        write("POST /orders/{id}/cancellations", &person, &path, json!({}), 201);
    }
    for status in ["delivered", "shipped"] {
        let (owner, order) = shop.order_in(status).await;
        let items = admin.get(&format!("/orders/{order}")).await.expect(200)["items"].clone();
        let (path, item) = (format!("/orders/{order}/returns"), &items[0]["id"]);
        let unit = json!({ "items": [{ "id": item, "quantity": 1 }] });
        if status == "delivered" {
            write("POST /orders/{id}/returns", &owner, &path, unit, 201);
            continue;
        }
        let back = admin.post(&path, unit).await.expect(201).id();
        let items = json!([{ "id": item, "received": 1, "restocked": 1 }]);
        let received = json!({ "status": "received", "items": items });
        write("PUT /orders/{id}/returns/{id}", &admin, &format!("{path}/{back}"), received, 200);
    }
    let tried: BTreeSet<String> = writes.iter().map(|write| write.route.to_owned()).collect();
    let writes_nothing =
        |route: &Route| route.spec.method == Method::GET || route.spec.path.ends_with("/preview");
    let declared = routes().into_iter().filter(|route| !route.is_docs && !writes_nothing(route));
    let declared: BTreeSet<String> = declared.map(|route| route.name()).collect();
    assert_eq!(tried, declared);
    writes
}

async fn assert_consistent(instance: &Instance) {
    let checked = instance.backend.check_consistency(None).await.unwrap();
    assert_eq!(checked.violations, [], "{checked:?}");
}

#[tokio::test]
async fn the_writes_of_a_build_that_is_too_old_change_nothing() {
    let shop = InProcess::open().await;
    let old = Instance::of(&shop, Clock::system()).await;
    let new = Instance::of_build(&shop, Clock::system(), fencing()).await;
    let writes = writes(&shop).await;
    backend::ensure_schemas(&shop.database, fencing()).await.unwrap();
    assert_eq!(unsigned(&shop, fencing()).await, []);

    let before = documents(&shop).await;
    for write in &writes {
        let answer = write.send(&old).await;
        let answer = answer.problem(503, "unavailable");
        assert_eq!(documents(&shop).await, before, "{answer:?}");
    }
    let reconciled = old.backend.reconcile().await.unwrap_err();
    assert_eq!(reconciled.kind(), shared::error::Kind::Unavailable);
    assert_eq!(documents(&shop).await, before);
    // It can still read what the later build has not changed.
    for path in ["/products", "/orders", "/users"] {
        old.seen_by(&shop.admin()).get(path).await.expect(200);
    }

    for write in &writes {
        write.send(&new).await.expect(write.expected);
    }
    assert_eq!(unsigned(&shop, fencing()).await, []);
    new.backend.reconcile().await.unwrap();
    assert_consistent(&new).await;
}

#[tokio::test]
async fn builds_beside_which_no_fence_was_raised_go_on() {
    let shop = InProcess::open().await;
    let old = Instance::of(&shop, Clock::system()).await;
    let new = Instance::of_build(&shop, Clock::system(), compatible()).await;
    // One half of all requests goes through each, before the step and after it.
    for (first, second) in [(&old, &new), (&new, &old)] {
        for (place, write) in writes(&shop).await.iter().enumerate() {
            let instance = if place % 2 == 0 { first } else { second };
            write.send(instance).await.expect(write.expected);
        }
        backend::ensure_schemas(&shop.database, compatible()).await.unwrap();
    }
    for instance in [&old, &new] {
        instance.backend.reconcile().await.unwrap();
        assert_consistent(instance).await;
    }
    // The later build is rolled back: the earlier one is ready, and its step undoes nothing.
    for schema in each(Schemas::default()) {
        schema.check(&shop.database).await.unwrap();
    }
    backend::ensure_schema(&shop.database).await.unwrap();
    for schema in each(compatible()) {
        schema.check(&shop.database).await.unwrap();
    }
}

#[tokio::test]
async fn only_a_build_that_fits_the_schema_is_ready() {
    let shop = InProcess::open().await;
    let (old, new, next) =
        (each(Schemas::default()), each(fencing()), each(later_by(2, |version| version - 1)));
    let is_ready = async |schemas: [Schema; 3]| {
        let checks = join_all(schemas.iter().map(|schema| schema.check(&shop.database))).await;
        let ready = checks.iter().filter(|check| check.is_ok()).count();
        assert!(ready == 0 || ready == 3, "{checks:?}");
        ready == 3
    };
    assert_eq!((is_ready(old).await, is_ready(new).await), (true, false));
    // A step that has begun fences the earlier build out, and has not yet let the later one in.
    for schema in new {
        schema.record_begin(&shop.database).await.unwrap();
    }
    assert_eq!((is_ready(old).await, is_ready(new).await), (false, false));
    let causes = old[0].check(&shop.database).await.unwrap_err();
    assert!(causes.causes().contains("this build of users is too old"), "{}", causes.causes());
    backend::ensure_schemas(&shop.database, fencing()).await.unwrap();
    assert_eq!((is_ready(old).await, is_ready(new).await), (false, true));
    // The one after it knows the documents of this one already.
    backend::ensure_schemas(&shop.database, later_by(2, |version| version - 1)).await.unwrap();
    assert_eq!((is_ready(old).await, is_ready(new).await, is_ready(next).await), (false, true, true));
    // The step of a build that is too old changes nothing.
    let before = documents(&shop).await;
    backend::ensure_schema(&shop.database).await.unwrap_err();
    assert_eq!(documents(&shop).await, before);
    assert_eq!((is_ready(old).await, is_ready(new).await, is_ready(next).await), (false, true, true));
}

#[tokio::test]
async fn a_build_that_keeps_holds_in_arrays_cannot_write() {
    let shop = InProcess::open().await;
    let mug = shop.product(9).await;
    let old = Schema { version: 7, lowest_writer: ANY_WRITER, ..Schemas::default().products };
    let causes = old.check(&shop.database).await.unwrap_err();
    assert!(causes.causes().contains("this build of products is too old"), "{}", causes.causes());
    let id = mongo::uuid(mug.parse::<ProductId>().unwrap());
    for collection in ["products", "stock"] {
        let documents = shop.database.collection::<Document>(collection);
        // As that build holds stock.
        let held = doc! {
            "$push": { "holds": { "o": mongo::uuid(OrderId::new()), "q": 1_i64, "r": 1_i64 } },
            "$inc": { "reserved": 1_i64 },
            "$set": { "writer": 7 },
        };
        let refused = documents.update_one(doc! { "_id": id }, held).await.unwrap_err();
        assert_eq!(shared::error::Error::from(refused).kind(), shared::error::Kind::Unavailable);
    }
    assert_eq!(shop.stock(&mug).await, (9, 0, 9));
}

/// Orders, changes and cancels until it is stopped. Orders with 201, and the number of requests with 503.
async fn keep_ordering(person: Person, mug: &str, stop: Arc<AtomicBool>) -> (Vec<String>, u32) {
    let (mut placed, mut refused) = (Vec::new(), 0);
    for round in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let answer = send(&person, Method::POST, "/orders", order_of(mug, 1)).await;
        let status = answer.status.as_u16();
        assert!([201, 503].contains(&status), "{answer:?}");
        refused += u32::from(status == 503);
        if status != 201 {
            continue;
        }
        let order = answer.id();
        let body = match round % 3 {
            0 => json!({ "note": format!("Ring {round} times") }),
            1 => json!({ "items": [{ "product_id": mug, "quantity": 2 }] }),
            _ => to("cancelled"),
        };
        let answer = send(&person, Method::PUT, &format!("/orders/{order}"), body).await;
        assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
        refused += u32::from(answer.status == 503);
        placed.push(order);
    }
    (placed, refused)
}

#[tokio::test]
async fn a_shop_that_goes_on_during_a_step_loses_nothing() {
    let shop = InProcess::open().await;
    let old = Instance::of(&shop, Clock::system()).await;
    let mugs = [shop.product(1_000).await, shop.product(1_000).await];
    let stop = Arc::new(AtomicBool::new(false));
    let people = join_all((0..4).map(|_| shop.customer())).await;
    let customers = people.iter().zip(mugs.iter().cycle());
    let customers = customers.map(|(person, mug)| keep_ordering(old.seen_by(person), mug, stop.clone()));
    let customers = join_all(customers);
    let step = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // It is ended at ever later moments, and run again.
        let mut time = Duration::from_millis(5);
        loop {
            let step = backend::ensure_schemas(&shop.database, fencing());
            if let Ok(done) = tokio::time::timeout(time, step).await {
                done.unwrap();
                break;
            }
            time = time * 4 / 3;
        }
        assert_eq!(unsigned(&shop, fencing()).await, []);
        let after = documents(&shop).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(documents(&shop).await, after);
        stop.store(true, Ordering::SeqCst);
    };
    let (done, ()) = tokio::join!(customers, step);
    let placed: Vec<String> = done.iter().flat_map(|(placed, _)| placed.clone()).collect();
    assert!(!placed.is_empty() && done.iter().all(|(_, refused)| *refused > 0), "{done:?}");

    let new = Instance::of_build(&shop, Clock::system(), fencing()).await;
    let admin = new.seen_by(&shop.admin());
    for order in &placed {
        let found = admin.get(&format!("/orders/{order}")).await.expect(200);
        // Each can go on where it stands, and what was left of it is done.
        if found["status"] == "placed" {
            admin.moves(order, "cancelled").await.expect(200);
        } else {
            admin.put(&format!("/orders/{order}"), json!({ "status": found["status"] })).await.expect(200);
        }
    }
    assert_consistent(&new).await;
}

/// A product whose name is longer than today's rules allow.
async fn overlong(shop: &InProcess) -> (String, mongodb::bson::Uuid) {
    let mug = shop.product(9).await;
    let id = mongo::uuid(mug.parse::<ProductId>().unwrap());
    change(shop, "products", id, doc! { "$set": { "name": "long ".repeat(200) } }).await;
    (mug, id)
}

#[tokio::test]
async fn a_document_that_violates_other_rules_is_fenced_too() {
    let shop = InProcess::open().await;
    let old = Instance::of(&shop, Clock::system()).await;
    let (mug, id) = overlong(&shop).await;
    let products = shop.database.collection::<Document>("products");
    let is_exempt = async || {
        let found = products.find_one(doc! { "_id": id }).await.unwrap().unwrap();
        found.get_bool("exempt").unwrap_or(false)
    };
    let ada = shop.customer().await;
    old.seen_by(&ada).orders(&[(&mug, 1)]).await.expect(201);
    backend::ensure_schemas(&shop.database, fencing()).await.unwrap();
    assert!(is_exempt().await);
    let answer = send(&old.seen_by(&ada), Method::POST, "/orders", order_of(&mug, 1)).await;
    answer.problem(503, "unavailable");
    let path = format!("/products/{mug}");
    let price = json!({ "price": { "amount": 7, "currency": "EUR" } });
    send(&old.seen_by(&shop.admin()), Method::PUT, &path, price.clone()).await.problem(503, "unavailable");

    // The build that may write can do so whatever is wrong with it, and put it right.
    let new = Instance::of_build(&shop, Clock::system(), fencing()).await;
    new.seen_by(&ada).orders(&[(&mug, 1)]).await.expect(201);
    new.seen_by(&shop.admin()).put(&path, price).await.expect(200);
    new.seen_by(&shop.admin()).put(&path, json!({ "name": "Mug" })).await.expect(200);
    assert_eq!(shop.stock(&mug).await, (9, 2, 7));
    let next = later_by(2, |version| version - 1);
    backend::ensure_schemas(&shop.database, next).await.unwrap();
    assert!(!is_exempt().await);
}

#[tokio::test]
async fn a_violation_by_a_build_that_may_write_is_no_fence() {
    let shop = InProcess::open().await;
    backend::ensure_schemas(&shop.database, fencing()).await.unwrap();
    let mug = shop_with_new_build(&shop).await;
    let products = shop.database.collection::<Document>("products");
    let id = mongo::uuid(mug.parse::<ProductId>().unwrap());
    let refuse = async |set: Document| {
        let refused = products.update_one(doc! { "_id": id }, doc! { "$set": set }).await.unwrap_err();
        assert!(matches!(refused.kind.as_ref(), ErrorKind::Write(_)), "{refused}");
        shared::error::Error::from(refused)
    };
    let fault = refuse(doc! { "version": 0_i64 }).await;
    assert_eq!(fault.kind(), shared::error::Kind::Internal);
    let fence = refuse(doc! { "writer": 1 }).await;
    assert_eq!(fence.kind(), shared::error::Kind::Unavailable);
    // The rule about the writer counts first: a build that is too old need not know the others.
    let both = refuse(doc! { "writer": 1, "version": 0_i64 }).await;
    assert_eq!(both.kind(), shared::error::Kind::Unavailable);
    let other = doc! { "_id": mongo::uuid(OrderId::new()), "writer": Bson::Null };
    let missing = products.insert_one(other).await.unwrap_err();
    assert_eq!(shared::error::Error::from(missing).kind(), shared::error::Kind::Unavailable);
}

/// A product that the next build has made.
async fn shop_with_new_build(shop: &InProcess) -> String {
    let new = Instance::of_build(shop, Clock::system(), fencing()).await;
    let product = json!({ "sku": new_sku(), "name": "Cup", "price": { "amount": 1, "currency": "EUR" } });
    new.seen_by(&shop.admin()).post("/products", product).await.expect(201).id()
}
