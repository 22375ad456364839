//! Fields of a later build: whatever this build writes, they stay where they are.
//!
//! A field that this build does not know is put into every document of every collection, at the top, in its parts
//! and in the elements of its lists. Then one request or one job runs, and they must be there still.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeSet;

use futures::TryStreamExt as _;
use http::Method;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};
use tests::declared::routes;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person, address, to};
use tests::shop::{new_email, new_sku, order_of};

use crate::support::aging::{Aging, HOUR, MINUTE};
use crate::support::branch::Line;

/// Name of the field.
const LATER: &str = "later";

/// Names by which elements of a list are told apart. One of them is in each element that is no value of its own.
const KEYS: [&str; 8] = ["product_id", "o", "p", "revision", "network", "attempt", "token", "id"];

/// Documents as they were when the field was put into them.
struct Planted<'a> {
    database: &'a Database,
    documents: Vec<(String, Document)>,
}

impl<'a> Planted<'a> {
    async fn everywhere(database: &'a Database) -> Self {
        let mut planted = Self { database, documents: Vec::new() };
        for (collection, mut document) in all(database).await {
            plant(&mut document);
            let documents = database.collection::<Document>(&collection);
            let this = doc! { "_id": document.get("_id") };
            documents.replace_one(this, &document).bypass_document_validation(true).await.unwrap();
            planted.documents.push((collection, document));
        }
        planted
    }

    /// Places from which the field has gone, and the collections of documents that were changed.
    async fn lost(&self) -> (Vec<String>, BTreeSet<String>) {
        let now = all(self.database).await;
        let (mut lost, mut changed) = (Vec::new(), BTreeSet::new());
        for (collection, before) in &self.documents {
            let same = |(name, document): &&(String, Document)| {
                name == collection && document.get("_id") == before.get("_id")
            };
            // What is deleted has lost nothing.
            let Some((_, after)) = now.iter().find(same) else { continue };
            if before != after {
                changed.insert(collection.clone());
            }
            compare(collection, before, after, &mut lost);
        }
        (lost, changed)
    }
}

async fn all(database: &Database) -> Vec<(String, Document)> {
    let mut all = Vec::new();
    for name in database.list_collection_names().await.unwrap() {
        if name != "schema" && !name.starts_with("system.") {
            let found = database.collection::<Document>(&name).find(doc! {}).await.unwrap();
            let found: Vec<Document> = found.try_collect().await.unwrap();
            all.extend(found.into_iter().map(|document| (name.clone(), document)));
        }
    }
    all
}

fn plant(document: &mut Document) {
    for (_, value) in document.iter_mut() {
        match value {
            Bson::Document(part) => plant(part),
            Bson::Array(list) => {
                for element in list {
                    if let Bson::Document(element) = element
                        && key_of(element).is_some()
                    {
                        plant(element);
                    }
                }
            }
            _ => {}
        }
    }
    document.insert(LATER, doc! { "of": "a later build" });
}

fn key_of(element: &Document) -> Option<&Bson> {
    KEYS.iter().find_map(|key| element.get(key))
}

fn compare(path: &str, before: &Document, after: &Document, lost: &mut Vec<String>) {
    if before.contains_key(LATER) && !after.contains_key(LATER) {
        lost.push(path.to_owned());
    }
    for (name, value) in before {
        let path = format!("{path}.{name}");
        match (value, after.get(name)) {
            (Bson::Document(before), Some(Bson::Document(after))) => compare(&path, before, after, lost),
            (Bson::Array(before), Some(Bson::Array(after))) => {
                let elements = |list: &'_ [Bson]| -> Vec<Document> {
                    list.iter().filter_map(Bson::as_document).cloned().collect()
                };
                let after = elements(after);
                for element in elements(before) {
                    let Some(key) = key_of(&element) else { continue };
                    // What was taken out has lost nothing.
                    if let Some(after) = after.iter().find(|after| key_of(after) == Some(key)) {
                        compare(&path, &element, after, lost);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Runs requests and jobs, each after the field was put everywhere, and collects what it was lost from.
struct Trial<'a> {
    shop: &'a InProcess,
    lost: Vec<String>,
    changed: BTreeSet<String>,
    tried: BTreeSet<String>,
}

impl Trial<'_> {
    async fn run<T>(&mut self, what: &str, act: impl Future<Output = T>) -> T {
        let planted = Planted::everywhere(&self.shop.database).await;
        let done = act.await;
        let (lost, changed) = planted.lost().await;
        self.lost.extend(lost.into_iter().map(|place| format!("{what}: {place}")));
        self.changed.extend(changed);
        done
    }

    /// Sends a request to a route, which must be answered with this status.
    async fn send(&mut self, person: &Person, route: &str, path: &str, body: Value, status: u16) -> Value {
        let method: Method = route.split(' ').next().unwrap().parse().unwrap();
        self.tried.insert(route.to_owned());
        let what = format!("{method} {path} {body}");
        self.run(&what, person.send(method, path, Some(body))).await.expect(status).body
    }
}

/// Makes and changes every part of an order of these items, at least two of each.
async fn parts(trial: &mut Trial<'_>, ada: &Person, admin: &Person, items: &[Value]) {
    let order = json!({ "items": items, "shipping_address": address() });
    let order = trial.send(ada, "POST /orders", "/orders", order, 201).await;
    let path = format!("/orders/{}", order["id"].as_str().unwrap());
    let unit = |place: usize| json!({ "items": [{ "id": order["items"][place]["id"], "quantity": 1 }] });
    let cancellations = format!("{path}/cancellations");
    let cancel = "POST /orders/{id}/cancellations";
    trial.send(ada, cancel, &cancellations, unit(0), 201).await;
    trial.send(admin, "PUT /orders/{id}", &path, to("paid"), 200).await;
    let fulfillments = format!("{path}/fulfillments");
    let mut parcels = Vec::new();
    for mut parcel in [unit(0), unit(1), json!({})] {
        parcel["tracking"] =
            json!({ "carrier": "DHL", "number": "0034", "url": "https://parcels.example/34" });
        let made = trial.send(admin, "POST /orders/{id}/fulfillments", &fulfillments, parcel, 201).await;
        parcels.push(format!("{fulfillments}/{}", made["id"].as_str().unwrap()));
    }
    let corrected = json!({ "tracking": { "carrier": "UPS", "number": "1" } });
    let (delivered, cancelled) = (json!({ "status": "delivered" }), json!({ "status": "cancelled" }));
    for (parcel, change) in [(0, corrected), (0, delivered.clone()), (1, delivered), (2, cancelled.clone())] {
        trial.send(admin, "PUT /orders/{id}/fulfillments/{id}", &parcels[parcel], change, 200).await;
    }
    let returns = format!("{path}/returns");
    let mut asked = Vec::new();
    for place in [0, 1] {
        let back = trial.send(ada, "POST /orders/{id}/returns", &returns, unit(place), 201).await;
        asked.push(format!("{returns}/{}", back["id"].as_str().unwrap()));
    }
    let came_back = json!([{ "id": order["items"][0]["id"], "received": 1, "restocked": 1 }]);
    for (back, change) in [
        (0, json!({ "status": "approved" })),
        (0, json!({ "status": "received", "items": came_back })),
        (1, cancelled),
    ] {
        trial.send(admin, "PUT /orders/{id}/returns/{id}", &asked[back], change, 200).await;
    }
    let back = asked[0].rsplit('/').next().unwrap();
    let refund = json!({ "return_id": back, "reason": "worn" });
    trial.send(admin, "POST /orders/{id}/refunds", &format!("{path}/refunds"), refund, 201).await;
    trial.send(admin, cancel, &cancellations, json!({ "reason": "sold out" }), 201).await;
}

#[tokio::test]
async fn no_write_of_this_build_drops_a_field_of_a_later_one() {
    let aging = Aging::open().await;
    let shop = &aging.shop;
    let mut trial = Trial { shop, lost: Vec::new(), changed: BTreeSet::new(), tried: BTreeSet::new() };
    let (ada, admin) = (shop.customer().await, shop.admin());
    let mugs = [shop.product(50).await, shop.product(50).await, shop.product(50).await];
    let anyone = shop.anyone();

    // Users.
    let user = json!({
        "email": new_email(), "password": PASSWORD, "name": "Bob", "phone": "030 1", "address": address(),
    });
    let bob = trial.send(&anyone, "POST /users", "/users", user.clone(), 201).await;
    let path = format!("/users/{}", bob["id"].as_str().unwrap());
    let route = "PUT /users/{id}";
    for body in [
        json!({ "name": "Robert" }),
        json!({ "phone": null }),
        json!({ "address": { "line1": "2 Way", "city": "Bonn", "postal_code": "53111", "country": "DE" } }),
        json!({ "role": "admin" }),
        json!({ "role": "customer" }),
        json!({ "role": "admin" }),
        json!({ "role": "customer" }),
        json!({ "status": "disabled" }),
        json!({ "status": "active", "password": "another long password" }),
        json!({ "email": new_email() }),
    ] {
        trial.send(&admin, route, &path, body, 200).await;
    }
    let own = format!("/users/{}", ada.id);
    trial.send(&ada, route, &own, json!({ "name": "Ada" }), 200).await;
    let sign_in = |password: &str| json!({ "email": ada.email, "password": password });
    trial.send(&anyone, "POST /auth", "/auth", sign_in("wrong password"), 401).await;
    trial.send(&anyone, "POST /auth", "/auth", sign_in("wrong password"), 401).await;
    let session = trial.send(&anyone, "POST /auth", "/auth", sign_in(PASSWORD), 200).await;
    aging.ages(MINUTE).await;
    trial.send(&anyone, "POST /auth", "/auth", sign_in(PASSWORD), 200).await;
    let shown = json!({ "refresh_token": session["refresh_token"] });
    let refresh = "POST /auth/refresh";
    let next = trial.send(&anyone, refresh, "/auth/refresh", shown.clone(), 200).await;
    trial.send(&anyone, refresh, "/auth/refresh", shown, 200).await;
    let next = json!({ "refresh_token": next["refresh_token"] });
    trial.send(&anyone, "POST /auth/logout", "/auth/logout", next, 204).await;
    trial.send(&admin, "DELETE /users/{id}", &path, json!({}), 204).await;

    // Products.
    let path = format!("/products/{}", mugs[0]);
    let product =
        json!({ "sku": "A", "name": "Pot", "price": { "amount": 1, "currency": "EUR" }, "stock": 1 });
    trial.send(&admin, "POST /products", "/products", product, 201).await;
    for body in [
        json!({ "name": "Beaker" }),
        json!({ "price": { "amount": 700, "currency": "EUR" } }),
        json!({ "description": "Blue", "attributes": { "colour": "blue" } }),
        json!({ "status": "archived" }),
        json!({ "status": "active", "sku": "B" }),
    ] {
        trial.send(&admin, "PUT /products/{id}", &path, body, 200).await;
    }
    let stock = format!("{path}/stock");
    for body in [json!({ "delta": 2 }), json!({ "on_hand": 60 })] {
        trial.send(&admin, "PUT /products/{id}/stock", &stock, body, 200).await;
    }

    // Orders.
    let items = |quantities: &[i64]| -> Vec<Value> {
        let item = |(mug, quantity): (&String, &i64)| json!({ "product_id": mug, "quantity": quantity });
        mugs.iter().zip(quantities).filter(|(_, quantity)| **quantity > 0).map(item).collect()
    };
    let order = json!({ "items": items(&[2, 2]), "shipping_address": address() });
    let order = trial.send(&ada, "POST /orders", "/orders", order, 201).await;
    let path = format!("/orders/{}", order["id"].as_str().unwrap());
    let route = "PUT /orders/{id}";
    for body in [
        json!({ "note": "Knock" }),
        json!({ "shipping_address": { "line1": "1 Way", "city": "Köln", "postal_code": "53111", "country": "DE" } }),
        json!({ "items": items(&[3, 1]) }),
        json!({ "items": items(&[0, 1, 4]) }),
        json!({ "items": items(&[1, 1, 4]) }),
    ] {
        trial.send(&ada, route, &path, body, 200).await;
    }
    // What staff hand in: kept, replaced, and cleared.
    let tax = |amount: i64| json!([{ "label": "VAT", "rate": "0.19", "amount": amount, "included": true }]);
    let item = |quantity: i64, discount: i64, taxes: Value| {
        let discounts = json!([{ "label": "Sale", "amount": discount }]);
        json!([{ "product_id": mugs[1], "quantity": quantity, "discounts": discounts, "taxes": taxes }])
    };
    let order = json!({
        "items": item(2, 100, tax(144)), "shipping": { "label": "Post", "amount": 490, "taxes": tax(78) },
        "shipping_address": address(), "billing_address": address(), "external_number": new_sku(),
        "internal_note": "Call first",
    });
    let order = trial.send(&admin, "POST /orders", "/orders", order, 201).await;
    let with_amounts = format!("/orders/{}", order["id"].as_str().unwrap());
    let express = json!({ "label": "Express", "amount": 990, "taxes": tax(158) });
    for body in [
        json!({ "note": "Ring" }),
        json!({ "internal_note": null }),
        json!({ "billing_address": { "line1": "2 Way", "city": "Bonn", "country": "DE" } }),
        json!({ "items": item(3, 100, tax(224)) }),
        json!({ "items": item(3, 500, Value::Null), "shipping": express }),
        json!({ "billing_address": null }),
        json!({ "items": item(3, 500, Value::Null), "shipping": null }),
        to("paid"),
    ] {
        trial.send(&admin, route, &with_amounts, body, 200).await;
    }
    let returned = json!({ "status": "returned", "restock": true });
    let metadata = json!({ "metadata": { "channel": "shop" } });
    for body in [metadata, to("paid"), to("shipped"), to("delivered"), returned] {
        trial.send(&admin, route, &path, body, 200).await;
    }
    let payments = format!("{path}/payments");
    for amount in [1, 2] {
        let payment = json!({ "amount": amount, "reference": new_sku() });
        trial.send(&admin, "POST /orders/{id}/payments", &payments, payment, 201).await;
    }
    let now = admin.get(&path).await.expect(200);
    let units = json!({ "items": [{ "id": now["items"][0]["id"], "quantity": 1 }] });
    let refunds = format!("{path}/refunds");
    let refund = trial.send(&admin, "POST /orders/{id}/refunds", &refunds, units.clone(), 201).await;
    let refund = format!("{refunds}/{}", refund["id"].as_str().unwrap());
    let reference = json!({ "reference": "re_1" });
    trial.send(&admin, "PUT /orders/{id}/refunds/{id}", &refund, reference, 200).await;
    let preview = format!("{refunds}/preview");
    trial.send(&admin, "POST /orders/{id}/refunds/preview", &preview, json!({ "amount": 1 }), 200).await;
    trial.send(&admin, route, &path, to("refunded"), 200).await;
    parts(&mut trial, &ada, &admin, &items(&[3, 2])).await;
    let short = order_of(&mugs[0], 10_000);
    trial.send(&ada, "POST /orders", "/orders", short, 409).await;
    let order = trial.send(&ada, "POST /orders", "/orders", order_of(&mugs[0], 1), 201).await;
    let path = format!("/orders/{}", order["id"].as_str().unwrap());
    trial.send(&ada, route, &path, to("cancelled"), 200).await;

    let declared = routes().into_iter().filter(|route| !route.is_docs && route.spec.method != Method::GET);
    let declared: BTreeSet<String> = declared.map(|route| route.name()).collect();
    assert_eq!(trial.tried, declared);

    // Reconcile: an order to expire, tasks and a change that were left, a hold without an order, one that is set
    // aside, and later all that is old enough to be deleted.
    let branch = aging.branch().await;
    let unpaid = ada.orders(&[(&mugs[0], 1)]).await.expect(201).id();
    let left = ada.orders(&[(&mugs[1], 1)]).await.expect(201).id();
    let changing = ada.orders(&[(&mugs[2], 1)]).await.expect(201).id();
    branch.line(Line::AnswerLost);
    branch.moves(&admin, &left, "cancelled", to("cancelled")).await;
    branch.line(Line::AnswerLost);
    let answer = branch.send(&ada, Method::POST, "/orders", order_of(&mugs[0], 1)).await;
    assert_eq!(answer.0, 503);
    // As a crash after the first of its writes leaves it.
    aging.sets(&changing, doc! { "changing": true }).await;
    aging.ages(3 * MINUTE).await;
    let cut = async || {
        branch.line(Line::Away(tonic::Code::Unavailable));
        aging.reconciles_at(&branch).await
    };
    let set_aside = trial.run("Reconcile without products", cut()).await;
    assert!(set_aside.set_aside > 0, "{set_aside:?}");
    aging.ages(2 * MINUTE).await;
    trial.run("Reconcile without products, again", cut()).await;
    aging.ages(10 * MINUTE).await;
    let done = trial.run("Reconcile", aging.reconciles()).await;
    assert!(done.tasks_done > 0 && done.holds_ended > 0, "{done:?}");
    aging.ages(25 * HOUR).await;
    let done = trial.run("Reconcile a day later", aging.reconciles()).await;
    assert!(done.orders_expired > 0 && done.tombstones_pruned > 0, "{done:?}");
    aging.ages(2 * HOUR).await;
    trial.run("Reconcile, for the rest", aging.reconciles()).await;
    assert_eq!(aging.status(&unpaid).await, "cancelled");

    assert_eq!(trial.lost, [] as [String; 0]);
    // Nothing was lost since something was written.
    let written: Vec<&str> = trial.changed.iter().map(String::as_str).collect();
    let expected = [
        "orders",
        "products",
        "reconcile_progress",
        "reconcile_set_aside",
        "stock",
        "stock_holds",
        "user_attempts",
        "user_guards",
        "user_keys",
        "user_networks",
        "user_sessions",
        "users",
    ];
    assert_eq!(written, expected);
}
