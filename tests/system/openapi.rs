//! The OpenAPI document tells the truth: its examples are what this file sends and receives, and parameters, fields and
//! limits are where it says. `UPDATE_EXAMPLES=1` writes the examples anew.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use local::openapi::{Examples, Exchange};
use serde_json::{Value, json};
use shared::error::Kind;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person, address};

use crate::conventions::problems::produced;

fn document() -> Value {
    serde_json::from_str(&local::openapi::text().unwrap()).unwrap()
}

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push((method, path.clone(), operation.clone()));
        }
    }
    operations
}

/// Target of a reference, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => resolved(document, document.pointer(reference.trim_start_matches('#')).unwrap()),
        None => value,
    }
}

/// Kinds of IDs that differ from run to run.
const KINDS: [&str; 9] =
    ["order", "product", "user", "item", "payment", "refund", "fulfillment", "return", "cancellation"];

/// What differs from run to run, and what stands for it: always the same.
#[derive(Default)]
struct StandIns(BTreeMap<String, String>);

impl StandIns {
    fn apply(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(elements) => elements.iter().map(|element| self.apply(element)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, member)| (name.clone(), self.member(name, member))).collect()
            }
            other => other.clone(),
        }
    }

    fn member(&mut self, name: &str, member: &Value) -> Value {
        match (name, member) {
            ("access_token", Value::String(_)) => {
                "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl".into()
            }
            ("x", Value::String(_)) => "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into(),
            ("kid", Value::String(_)) => "2bd806c97f0e00af".into(),
            ("refresh_token", Value::String(_)) => "cmVmcmVzaCB0b2tlbg".into(),
            ("next_cursor", Value::String(_)) => "Y3Vyc29y".into(),
            ("number", Value::String(number)) if number.len() == 9 && number.as_bytes()[4] == b'-' => {
                "4F7K-92QX".into()
            }
            _ => self.apply(member),
        }
    }

    /// IDs, times, and what tests make up of 32 hexadecimal digits.
    fn text(&mut self, text: &str) -> String {
        let is_time = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        if is_time {
            return "2026-11-25T09:00:00.000Z".to_owned();
        }
        if let Some((before, _)) = text.split_once("Try again in ") {
            return format!("{before}Try again in 897 s.");
        }
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let mut words = String::new();
        for piece in text.split_inclusive(|character| !is_part(character)) {
            let word = piece.trim_end_matches(|character| !is_part(character));
            words.push_str(&self.word(word));
            words.push_str(&piece[word.len()..]);
        }
        words
    }

    fn word(&mut self, word: &str) -> String {
        if word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return "0190163d8694739b8c3e0d3f1a2b4c5d".to_owned();
        }
        match word.split_once('_') {
            Some((kind, id)) if KINDS.contains(&kind) && id.len() == 26 => {
                let place = self.0.keys().filter(|known| known.starts_with(kind)).count() + 1;
                let stand_in = || format!("{kind}_01h455vb4pex5vsknk084sn{place:03}");
                self.0.entry(word.to_owned()).or_insert_with(stand_in).clone()
            }
            _ => word.to_owned(),
        }
    }
}

/// Sends, receives and writes down.
struct Recorder {
    document: Value,
    examples: Examples,
    names: StandIns,
}

impl Recorder {
    /// An example, called `name` by programs: a request that goes well.
    async fn sends(&mut self, who: &Person, id: &str, path: &str, name: &str, body: Option<Value>) -> Answer {
        let all = operations(&self.document);
        let (method, _, operation) = all.iter().find(|(_, _, it)| it["operationId"] == id).unwrap();
        let answer = who.send(method.clone(), path, body.clone()).await;
        assert!(answer.status.is_success(), "{id}: {answer:?}");
        let response = &operation["responses"][answer.status.as_str()];
        for header in response["headers"].as_object().unwrap().keys() {
            let may_be_absent = ["Idempotency-Replayed", "Link"].contains(&header.as_str());
            assert!(may_be_absent || answer.header(header).is_some(), "{id} has no {header}");
        }
        let exchange = Exchange {
            name: name.to_owned(),
            summary: name.replace('-', " "),
            request: body.map(|body| self.names.apply(&body)),
            status: answer.status.as_u16(),
            answer: Some(&answer.body).filter(|body| !body.is_null()).map(|body| self.names.apply(body)),
        };
        self.examples.exchanges.entry(id.to_owned()).or_default().push(exchange);
        answer
    }
}

/// A day in the shop. IDs have their stand-ins in the order in which they come up.
async fn a_day(shop: &InProcess, recorder: &mut Recorder) {
    let (anyone, admin) = (shop.anyone(), shop.admin());
    for (id, path, name) in [
        ("index", "/", "paths"),
        ("health", "/health", "alive"),
        ("getProblem", "/problems/version-mismatch", "version-mismatch"),
    ] {
        recorder.sends(&anyone, id, path, name, None).await;
    }

    let email = "ada@example.com";
    let ada = json!({
        "email": email, "password": PASSWORD, "name": "Ada Lovelace", "phone": "+49 228 555 0100", "address": address(),
    });
    let ada = recorder.sends(&anyone, "createUser", "/users", "sign-up", Some(ada)).await.id();
    let staff = json!({
        "email": "grace@example.com", "password": PASSWORD, "name": "Grace Hopper", "role": "staff",
    });
    recorder.sends(&admin, "createUser", "/users", "a-member-of-the-staff", Some(staff)).await;
    let credentials = json!({ "email": email, "password": PASSWORD });
    let session = recorder.sends(&anyone, "signIn", "/auth", "sign-in", Some(credentials)).await;
    let customer = anyone.with_token(session.text("access_token"));
    let spent = json!({ "refresh_token": session["refresh_token"] });
    let next = recorder.sends(&anyone, "refresh", "/auth/refresh", "a-new-pair", Some(spent)).await;
    let customer = customer.with_token(next.text("access_token"));
    let ended = json!({ "refresh_token": next["refresh_token"] });
    recorder.sends(&anyone, "signOut", "/auth/logout", "the-end", Some(ended)).await;
    // The access token has ended with the session.
    customer.get(&format!("/users/{ada}")).await.problem(401, "unauthenticated");
    let customer = anyone.signs_in(email, PASSWORD).await;
    recorder.sends(&anyone, "publicKeys", "/.well-known/jwks.json", "keys", None).await;
    let path = format!("/users/{ada}");
    recorder.sends(&customer, "getUser", &path, "oneself", None).await;
    recorder.sends(&customer, "updateUser", &path, "without-a-phone", Some(json!({ "phone": null }))).await;
    let promoted = json!({ "role": "staff", "status": "active" });
    recorder.sends(&admin, "updateUser", &path, "promoted-by-an-admin", Some(promoted)).await;
    admin.put(&path, json!({ "role": "customer" })).await.expect(200);
    recorder.sends(&admin, "listUsers", "/users?role=customer&limit=1", "customers", None).await;

    let mug = products(&admin, recorder).await;
    orders(&admin, &anyone, &mug, recorder).await;
    recorder.sends(&admin, "deleteUser", &path, "gone", None).await;
}

async fn products(admin: &Person, recorder: &mut Recorder) -> String {
    let mug = json!({
        "sku": "MUG-BLUE", "name": "Blue mug", "description": "Holds 0.3 l.\nDishwasher-safe.",
        "price": { "amount": 1299, "currency": "EUR" }, "stock": 40, "attributes": { "colour": "blue" },
    });
    let mug = recorder.sends(admin, "createProduct", "/products", "a-mug", Some(mug)).await.id();
    let path = format!("/products/{mug}");
    recorder.sends(admin, "getProduct", &path, "a-mug", None).await;
    let price = json!({ "price": { "amount": 1199, "currency": "EUR" } });
    recorder.sends(admin, "updateProduct", &path, "another-price", Some(price)).await;
    let stock = format!("{path}/stock");
    let counted = json!({ "on_hand": 38, "reason": "stocktaking" });
    recorder.sends(admin, "updateStock", &stock, "counted", Some(counted)).await;
    let broken = json!({ "delta": -3, "reason": "broken" });
    recorder.sends(admin, "updateStock", &stock, "broken", Some(broken)).await;
    recorder.sends(admin, "listStockMovements", &format!("{stock}/movements"), "ledger", None).await;
    recorder.sends(admin, "listProducts", "/products?status=active", "active-ones", None).await;
    mug
}

async fn orders(admin: &Person, anyone: &Person, mug: &str, recorder: &mut Recorder) {
    let customer = anyone.signs_in("ada@example.com", PASSWORD).await;
    let order = json!({
        "items": [{ "product_id": mug, "quantity": 2 }], "shipping_address": address(),
        "note": "Please ring twice.", "metadata": { "cart": "c-1815" },
    });
    let order = recorder.sends(&customer, "placeOrder", "/orders", "two-mugs", Some(order)).await;
    let (order, item) = (order.id(), order["items"][0]["id"].clone());
    let path = format!("/orders/{order}");
    recorder.sends(&customer, "getOrder", &path, "placed", None).await;
    let three = json!({ "items": [{ "product_id": mug, "quantity": 3 }] });
    recorder.sends(&customer, "updateOrder", &path, "three-mugs-instead", Some(three)).await;
    let paid = json!({ "status": "paid", "payment": { "reference": "pi_3PxY", "method": "card" } });
    recorder.sends(admin, "updateOrder", &path, "paid", Some(paid)).await;
    let shipped = json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "00340434" } });
    recorder.sends(admin, "updateOrder", &path, "shipped", Some(shipped)).await;
    recorder.sends(admin, "updateOrder", &path, "delivered", Some(json!({ "status": "delivered" }))).await;
    let returned = json!({ "status": "returned", "restock": true, "reason": "chipped" });
    recorder.sends(admin, "updateOrder", &path, "returned", Some(returned)).await;
    let refund = json!({ "items": [{ "id": item, "quantity": 1 }], "reason": "chipped" });
    let refunds = format!("{path}/refunds");
    recorder
        .sends(admin, "previewRefund", &format!("{refunds}/preview"), "one-mug", Some(refund.clone()))
        .await;
    let refund = recorder.sends(admin, "createRefund", &refunds, "one-mug", Some(refund)).await.id();
    let reference = json!({ "reference": "re_3PxX" });
    let of_refund = format!("{refunds}/{refund}");
    recorder.sends(admin, "updateRefund", &of_refund, "as-the-provider-names-it", Some(reference)).await;
    let again = json!({ "amount": 1500, "reference": "pi_4QyZ", "method": "card", "provider": "stripe" });
    let payments = format!("{path}/payments");
    recorder.sends(admin, "createPayment", &payments, "paid-twice", Some(again.clone())).await;
    recorder.sends(admin, "createPayment", &payments, "the-same-webhook-again", Some(again)).await;
    let refunded = json!({ "status": "refunded", "payment": { "refund_reference": "re_3PxY" } });
    recorder.sends(admin, "updateOrder", &path, "refunded", Some(refunded)).await;
    recorder.sends(&customer, "listOrders", "/orders?limit=1", "own-orders", None).await;
    let vat = |amount: i64| json!([{ "label": "VAT", "rate": "0.19", "amount": amount, "included": true }]);
    let discounts = json!([{ "label": "Four for the office", "amount": 479 }]);
    let by_phone = json!({
        "items": [{ "product_id": mug, "quantity": 4, "discounts": discounts, "taxes": vat(689) }],
        "shipping": { "label": "Standard", "amount": 490, "taxes": vat(78) },
        "shipping_address": address(),
        "billing_address": {
            "name": "Ada Lovelace", "company": "Analytical Engines Ltd", "line1": "1 Works Road", "city": "London",
            "country": "GB",
        },
        "external_number": "PHONE-2041", "internal_note": "Ordered by phone.",
    });
    recorder.sends(admin, "placeOrder", "/orders", "with-discount-taxes-and-shipping", Some(by_phone)).await;
    parts(admin, &customer, mug, recorder).await;
    recorder.sends(admin, "checkConsistency", "/orders/consistency", "all-is-well", None).await;
}

/// An order of four mugs. One is cancelled, two are shipped and one of these comes back.
async fn parts(admin: &Person, customer: &Person, mug: &str, recorder: &mut Recorder) {
    let order = customer.orders(&[(mug, 4)]).await.expect(201);
    let (order, item) = (order.id(), order["items"][0]["id"].clone());
    let path = format!("/orders/{order}");
    let units = |quantity: i64| json!([{ "id": item, "quantity": quantity }]);
    let cancelled = json!({ "items": units(1), "reason": "three are enough" });
    let cancellations = format!("{path}/cancellations");
    recorder.sends(customer, "createCancellation", &cancellations, "one-mug-less", Some(cancelled)).await;
    admin.moves(&order, "paid").await.expect(200);

    let fulfillments = format!("{path}/fulfillments");
    let tracking = |number: &str| {
        let url = format!("https://example.com/parcels/{number}");
        json!({ "carrier": "DHL", "number": number, "url": url })
    };
    let shipped = json!({ "items": units(2), "tracking": tracking("00340435") });
    let parcel =
        recorder.sends(admin, "createFulfillment", &fulfillments, "a-parcel", Some(shipped)).await.id();
    let parcel = format!("{fulfillments}/{parcel}");
    let corrected = json!({ "tracking": tracking("00340436") });
    recorder.sends(admin, "updateFulfillment", &parcel, "corrected-tracking", Some(corrected)).await;
    let delivered = json!({ "status": "delivered" });
    recorder.sends(admin, "updateFulfillment", &parcel, "delivered", Some(delivered)).await;
    let rest =
        recorder.sends(admin, "createFulfillment", &fulfillments, "what-is-left", Some(json!({}))).await;
    let mistake = json!({ "status": "cancelled" });
    let rest = format!("{fulfillments}/{}", rest.id());
    recorder.sends(admin, "updateFulfillment", &rest, "recorded-by-mistake", Some(mistake)).await;

    let returns = format!("{path}/returns");
    let chipped = json!([{ "id": item, "quantity": 1, "reason": "chipped" }]);
    let asked = json!({ "items": chipped, "reason": "One of the two is chipped." });
    let asked = recorder.sends(customer, "createReturn", &returns, "by-the-customer", Some(asked)).await.id();
    let of_asked = format!("{returns}/{asked}");
    let approved = json!({ "status": "approved" });
    recorder.sends(admin, "updateReturn", &of_asked, "approved", Some(approved)).await;
    let back = json!([{ "id": item, "received": 1, "restocked": 0 }]);
    let received = json!({ "status": "received", "items": back });
    recorder.sends(admin, "updateReturn", &of_asked, "received", Some(received)).await;
    let refund = json!({ "return_id": asked, "reason": "chipped" });
    recorder.sends(admin, "createRefund", &format!("{path}/refunds"), "of-a-return", Some(refund)).await;
    let by_staff = json!({ "items": units(1) });
    let by_staff = recorder.sends(admin, "createReturn", &returns, "by-staff", Some(by_staff)).await.id();
    let kept = json!({ "status": "cancelled", "reason": "the customer keeps it" });
    recorder.sends(admin, "updateReturn", &format!("{returns}/{by_staff}"), "cancelled", Some(kept)).await;
    let asked = json!({ "items": units(1), "reason": "The colour is another." });
    let asked = customer.post(&returns, asked).await.expect(201).id();
    let rejected = json!({ "status": "rejected", "reason": "used" });
    recorder.sends(admin, "updateReturn", &format!("{returns}/{asked}"), "rejected", Some(rejected)).await;
}

#[tokio::test]
async fn every_example_of_the_document_is_what_is_sent_and_received() {
    let shop = InProcess::open().await;
    let mut recorder =
        Recorder { document: document(), examples: Examples::default(), names: StandIns::default() };
    a_day(&shop, &mut recorder).await;
    let elsewhere = InProcess::open().await;
    for kind in Kind::ALL {
        let problem = produced(&elsewhere, kind).await.problem(kind.status().as_u16(), kind.slug());
        let problem = StandIns::default().apply(&problem.body);
        recorder.examples.problems.insert(kind.slug().to_owned(), problem);
    }
    let (path, _) = local::openapi::files();
    let received = serde_json::to_value(&recorder.examples).unwrap();
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::write(&path, format!("{received:#}\n")).unwrap();
        return;
    }
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (part, examples) in received.as_object().unwrap() {
        for (name, example) in examples.as_object().unwrap() {
            assert_eq!(
                &committed[part][name], example,
                "{name}: if it is meant, run this test with UPDATE_EXAMPLES=1"
            );
        }
        assert_eq!(committed[part].as_object().unwrap().len(), examples.as_object().unwrap().len(), "{part}");
    }
}

/// A path with IDs of things that there are not.
fn nowhere(path: &str) -> String {
    let kind = path.split('/').nth(1).unwrap_or_default().trim_end_matches('s');
    path.replace("{id}", &format!("{kind}_01h455vb4pex5vsknk084sn02q")).replace("{type}", "validation")
}

/// The names after the last `before`, separated by commas.
fn listed(detail: &str, before: &str) -> BTreeSet<String> {
    let (_, names) = detail.rsplit_once(before).unwrap_or(("", detail));
    names.trim_end_matches('.').replace(" or ", ", ").split(", ").map(str::to_owned).collect()
}

#[tokio::test]
async fn a_list_takes_the_parameters_that_the_document_names() {
    let shop = InProcess::open().await;
    let document = document();
    let mug = shop.product(1).await;
    let mut lists = 0;
    for (method, path, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let parameters =
            parameters.map(|parameter| resolved(&document, parameter)).filter(|it| it["in"] == "query");
        let named: BTreeSet<_> = parameters.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
        if named.is_empty() {
            continue;
        }
        let path = path.replace("{id}", &mug);
        let refused = shop.admin().send(method, &format!("{path}?nothing=1"), None).await;
        let refused = refused.problem(400, "invalid-query");
        assert_eq!(listed(&refused.text("detail"), "Allowed: "), named, "{path}");
        lists += 1;
    }
    assert!(lists >= 5);
}

/// A place in a body, and a body with a value there.
struct Probe<'a> {
    shop: &'a InProcess,
    document: &'a Value,
    method: Method,
    path: String,
}

impl Probe<'_> {
    /// The body with this value at the place: `items/0/quantity` is in the first of the items.
    fn body(&self, place: &[&str], value: Value) -> Value {
        let body = place.iter().rev().fold(value, |inner, name| match *name {
            "0" => json!([inner]),
            name => json!({ name: inner }),
        });
        match body {
            // Alone it is a fault, whatever it says.
            Value::Object(mut fields)
                if place == ["reason"] && self.method == Method::PUT && self.path.starts_with("/orders") =>
            {
                fields.insert("status".to_owned(), "cancelled".into());
                Value::Object(fields)
            }
            Value::Object(mut fields) if place.first() == Some(&"shipping") && self.method == Method::PUT => {
                fields.insert("items".to_owned(), json!([{}]));
                Value::Object(fields)
            }
            body => body,
        }
    }

    /// The faults there, if the body with this value has any.
    async fn faults(&self, place: &[&str], value: Value) -> Vec<String> {
        let answer =
            self.shop.admin().send(self.method.clone(), &self.path, Some(self.body(place, value))).await;
        let pointer: String = place.iter().map(|name| format!("/{name}")).collect();
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        let there = errors.iter().filter(|it| it["pointer"].as_str().unwrap().starts_with(&pointer));
        there.map(|it| it["detail"].as_str().unwrap().to_owned()).collect()
    }

    async fn takes(&self, place: &[&str], value: Value, taken: bool) {
        let faults = self.faults(place, value.clone()).await;
        let value: String = value.to_string().chars().take(60).collect();
        assert_eq!(
            faults.is_empty(),
            taken,
            "{} {}: {place:?} = {value}: {faults:?}",
            self.method,
            self.path
        );
    }

    /// Looks at all that the schema says of this place.
    async fn look(&self, place: &[&str], schema: &Value) {
        let whole = resolved(self.document, schema);
        let choices = whole["anyOf"].as_array().or(whole["oneOf"].as_array());
        let choices = choices.map_or(vec![whole], |choices| choices.iter().collect());
        let is_null = |it: &&Value| {
            it["type"] == "null" || it["type"].as_array().is_some_and(|it| it.contains(&"null".into()))
        };
        // A count's are told together: exactly one of the two.
        if !place.is_empty() && self.method == Method::PUT && !self.path.ends_with("/stock") {
            let nullable = choices.iter().any(is_null);
            self.takes(place, Value::Null, nullable).await;
        }
        let schemas: Vec<&Value> = choices.into_iter().map(|it| resolved(self.document, it)).collect();
        if schemas.iter().any(|schema| schema["additionalProperties"] == false) {
            self.look_at_object(place, &schemas).await;
        }
        if let [schema] = schemas.as_slice() {
            self.look_at_value(place, schema).await;
        }
    }

    /// The object has the fields that are named, and no others.
    async fn look_at_object(&self, place: &[&str], schemas: &[&Value]) {
        let mut fields: BTreeMap<&String, &Value> = BTreeMap::new();
        for schema in schemas {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                if field["type"] != "null" {
                    fields.insert(name, field);
                }
            }
        }
        let unknown: Vec<&str> = place.iter().copied().chain(["nothing"]).collect();
        let faults = self.faults(&unknown, json!(1)).await;
        let named: BTreeSet<String> = fields.keys().map(|name| (*name).clone()).collect();
        let allowed = faults.first().map(|detail| listed(detail, "allowed: "));
        assert_eq!(allowed, Some(named), "{} {}: {place:?}", self.method, self.path);
        for (name, field) in fields {
            let below: Vec<&str> = place.iter().copied().chain([name.as_str()]).collect();
            Box::pin(self.look(&below, field)).await;
        }
    }

    async fn look_at_value(&self, place: &[&str], schema: &Value) {
        let number = |member: &str| schema[member].as_i64();
        let letters = |count: i64| json!("a".repeat(usize::try_from(count).unwrap()));
        let is_line = schema["pattern"].as_str().is_some_and(|pattern| pattern.contains(r"\u3000"));
        let is_password = schema["format"] == "password";
        if let Some(most) = number("maximum") {
            self.takes(place, json!(most), true).await;
            self.takes(place, json!(most + 1), false).await;
        }
        if let Some(least) = number("minimum") {
            self.takes(place, json!(least), true).await;
            self.takes(place, json!(least - 1), false).await;
        }
        if let Some(most) = number("maxLength") {
            self.takes(place, letters(most + 1), false).await;
            if is_line && !is_password {
                self.takes(place, letters(most), true).await;
            }
        }
        if let Some(least) = number("minLength") {
            self.takes(place, letters(least - 1), false).await;
        }
        if is_line {
            self.takes(place, json!(" ".repeat(20)), false).await;
            self.takes(place, json!("twenty characters \u{7f}."), false).await;
        }
        if let Some(words) = schema["enum"].as_array() {
            for word in [words.first(), words.iter().rfind(|word| word.is_string())].into_iter().flatten() {
                self.takes(place, word.clone(), true).await;
            }
            self.takes(place, json!("nothing"), false).await;
        }
        if let Some(most) = number("maxProperties") {
            let entries = |count: i64| (0..count).map(|place| (format!("k{place}"), "".into())).collect();
            self.takes(place, Value::Object(entries(most)), true).await;
            self.takes(place, Value::Object(entries(most + 1)), false).await;
            let (key, value) =
                (&schema["propertyNames"]["maxLength"], &schema["additionalProperties"]["maxLength"]);
            let (key, value) = (key.as_u64().unwrap() as usize, value.as_u64().unwrap() as usize);
            self.takes(place, json!({ "k".repeat(key): "v".repeat(value) }), true).await;
            self.takes(place, json!({ "k".repeat(key + 1): "" }), false).await;
            self.takes(place, json!({ "k": "v".repeat(value + 1) }), false).await;
        }
        if schema["items"].is_object() {
            self.takes(place, json!([]), number("minItems").unwrap_or(0) == 0).await;
            let many = usize::try_from(number("maxItems").unwrap() + 1).unwrap();
            self.takes(place, vec![json!({}); many].into(), false).await;
            let first: Vec<&str> = place.iter().copied().chain(["0"]).collect();
            Box::pin(self.look(&first, &schema["items"])).await;
        }
    }
}

#[tokio::test]
async fn a_body_takes_the_fields_and_the_values_that_the_document_names() {
    let shop = InProcess::open().await;
    let document = document();
    let mut bodies = 0;
    for (method, path, operation) in operations(&document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let probe = Probe { shop: &shop, document: &document, method, path: nowhere(&path) };
        probe.look(&[], schema).await;
        bodies += 1;
    }
    assert!(bodies >= 7);
}
