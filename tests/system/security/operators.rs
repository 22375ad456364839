//! What is an operator, a path, a command or a query to a database, in every place where a client can say something:
//! every field of every body, map keys, parameters, path segments, headers, and every string of every call. It is
//! refused, or kept as the text that it is, and never does anything.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and one that has tried much says how much"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt as _;
use http::Method;
use mongodb::bson::{Document, doc};
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};
use serde_json::{Value, json};
use shared::rpc::server::RpcServer;
use shared::values::clock::Clock;
use shared::values::ids::{ItemId, PaymentId, ReturnId};
use tests::declared;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tests::shop::{new_email, new_sku, steps_to};

/// Values that are no text: a form has none of them where it has text.
fn structures() -> Vec<Value> {
    vec![
        json!({ "$ne": null }),
        json!({ "$gt": "" }),
        json!({ "$regex": ".*" }),
        json!({ "$where": "sleep(5000)" }),
        json!({ "$in": ["active", "draft"] }),
        json!({ "$expr": { "$function": { "body": "while(1);", "args": [], "lang": "js" } } }),
        json!([{ "$ne": 1 }]),
        json!({ "$oid": "507f1f77bcf86cd799439011" }),
        json!({ "$numberLong": "1" }),
    ]
}

/// Texts that would do something if they were taken for more than text.
const TEXTS: [&str; 18] = [
    "{\"$ne\": null}",
    "{$gt:''}",
    "$where",
    "$ne",
    "$$ROOT",
    "$name",
    "a.b.$[]",
    ".*",
    "^(a+)+$",
    "' || 1==1 //",
    "'; return true; var x='",
    "'; DROP TABLE users; --",
    "true, $where: 'sleep(5000)'",
    "../../etc/passwd",
    "${jndi:ldap://evil.example/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "%00%0d%0aset-cookie:a=b",
];

/// A body with every field of its form, and what may not stand together in one in several. `route` is where it goes.
struct Body {
    route: &'static str,
    bodies: Vec<Value>,
}

/// Of every route with a body one. The IDs are those of what is there.
fn bodies(product: &str, user: &str) -> Vec<Body> {
    let map = json!({ "k": "v" });
    let price = json!({ "amount": 5, "currency": "EUR" });
    let place = json!({ "name": "Ada", "company": "Engines", "phone": "+49 228 2", "line1": "1 Way", "line2": "b", "city": "Bonn", "region": "NW", "postal_code": "53111",
        "country": "DE" });
    // Amounts that fit any price.
    let taxes = json!([{ "label": "VAT", "rate": "0", "amount": 0, "included": true }]);
    let discounts = json!([{ "label": "Sale", "amount": 0 }]);
    let items = json!([{ "product_id": product, "quantity": 1, "discounts": discounts, "taxes": taxes }]);
    let shipping = json!({ "label": "Express", "amount": 490, "taxes": taxes });
    let soon = Clock::system().now().after(Duration::from_secs(3_600));
    // The item of the order that each of them is sent to takes its place.
    let item = ItemId::new().to_string();
    let units = json!([{ "id": item, "quantity": 1 }]);
    let tracking = json!({ "carrier": "DHL", "number": "1", "url": "https://parcels.example/1" });
    let body = |route, bodies| Body { route, bodies };
    vec![
        body(
            "POST /users",
            vec![json!({ "email": new_email(), "password": PASSWORD,
            "name": "Ada", "phone": "+49 228 1", "address": place, "role": "customer" })],
        ),
        body(
            "PUT /users/{id}",
            vec![json!({ "email": new_email(), "name": "Ada",
            "phone": "+49 228 1", "address": place, "role": "customer", "status": "active", "password": PASSWORD,
            "current_password": PASSWORD })],
        ),
        body("POST /auth", vec![json!({ "email": "nobody@example.com", "password": PASSWORD })]),
        body("POST /auth/refresh", vec![json!({ "refresh_token": "none" })]),
        body(
            "POST /products",
            vec![json!({ "sku": new_sku(), "name": "Mug",
            "description": "round", "price": price, "stock": 5, "attributes": map, "status": "active",
            "max_per_order": 5 })],
        ),
        body(
            "PUT /products/{id}",
            vec![json!({ "sku": new_sku(), "name": "Mug",
            "description": "round", "price": price, "attributes": map, "status": "active", "max_per_order": 5 })],
        ),
        body(
            "PUT /products/{id}/stock",
            vec![json!({ "delta": 1, "reason": "count" }), json!({ "on_hand": 1_000, "reason": "count" })],
        ),
        body(
            "POST /orders",
            vec![json!({ "items": items, "shipping_address": place, "billing_address": place,
            "shipping": shipping, "external_number": new_sku(), "note": "ring", "internal_note": "call",
            "user_id": user, "metadata": map, "expires_at": soon })],
        ),
        body(
            "PUT /orders/{id}",
            vec![
                json!({
                    "items": items, "shipping_address": place, "billing_address": place, "shipping": shipping,
                    "note": "ring", "internal_note": "call", "metadata": map, "expires_at": soon,
                }),
                json!({ "status": "paid", "reason": "x", "payment": { "reference": "r", "method": "card" } }),
                json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "1" } }),
                json!({ "status": "returned", "restock": true }),
                json!({ "status": "refunded", "payment": { "refund_reference": "r" } }),
            ],
        ),
        body(
            "POST /orders/{id}/payments",
            vec![json!({ "amount": 1, "reference": new_sku(), "method": "card", "provider": "stripe" })],
        ),
        body(
            "POST /orders/{id}/refunds",
            vec![
                json!({ "amount": 1, "reason": "x", "reference": "r", "payment_id": PaymentId::new().to_string(),
                    "return_id": ReturnId::new().to_string() }),
                json!({ "items": [{ "id": ItemId::new().to_string(), "quantity": 1 }], "shipping": true }),
            ],
        ),
        body("PUT /orders/{id}/refunds/{id}", vec![json!({ "reference": "r" })]),
        body(
            "POST /orders/{id}/fulfillments",
            vec![json!({ "items": units, "tracking": tracking }), json!({ "tracking": tracking })],
        ),
        body(
            "PUT /orders/{id}/fulfillments/{id}",
            vec![json!({ "status": "delivered", "tracking": tracking })],
        ),
        body("POST /orders/{id}/cancellations", vec![json!({ "items": units, "reason": "x" })]),
        body(
            "POST /orders/{id}/returns",
            vec![json!({ "items": [{ "id": item, "quantity": 1, "reason": "x" }], "reason": "x" })],
        ),
        body(
            "PUT /orders/{id}/returns/{id}",
            vec![
                json!({ "status": "received", "items": [{ "id": item, "received": 1, "restocked": 1 }] }),
                json!({ "status": "rejected", "reason": "x" }),
            ],
        ),
    ]
}

/// The places of all values in a body, as JSON Pointers; those of containers too.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.push(format!("{at}/{name}"));
            places(value, &format!("{at}/{name}"), found);
        }),
        Value::Array(elements) => elements.iter().enumerate().for_each(|(index, value)| {
            found.push(format!("{at}/{index}"));
            places(value, &format!("{at}/{index}"), found);
        }),
        _ => {}
    }
}

/// All that is kept, but for times and for what the test itself has made: to see that nothing has become of it.
async fn kept(shop: &InProcess, canaries: &[Vec<u8>]) -> Vec<Document> {
    let mut all = Vec::new();
    for collection in ["users", "products", "orders"] {
        let found =
            shop.database.collection::<Document>(collection).find(doc! {}).sort(doc! { "_id": 1 }).await;
        let found: Vec<Document> = match found {
            Ok(found) => found.try_collect().await.unwrap_or_default(),
            Err(error) => panic!("{error}"),
        };
        let found = found.into_iter().map(|mut it| {
            // The admin's own changes of other users raise it.
            it.remove("authority_uses");
            it
        });
        all.extend(found.filter(|it| {
            it.get("_id").is_some_and(|id| canaries.iter().any(|canary| id.to_string().as_bytes() == canary))
        }));
    }
    all
}

/// A shop with a customer, a product and an order that nobody touches, and as many that everything is tried on.
struct Scene {
    shop: InProcess,
    admin: Person,
    product: String,
    user: Person,
    order: String,
    untouched: Vec<Document>,
    canaries: Vec<Vec<u8>>,
}

impl Scene {
    async fn open() -> Self {
        let shop = InProcess::open().await;
        let bystander = shop.customer().await;
        let apart = shop.product(5).await;
        bystander.orders(&[(&apart, 1)]).await.expect(201);
        let mut canaries = Vec::new();
        for collection in ["users", "products", "orders"] {
            let found = shop.database.collection::<Document>(collection).find(doc! {}).await;
            let found: Vec<Document> = match found {
                Ok(found) => found.try_collect().await.unwrap_or_default(),
                Err(error) => panic!("{error}"),
            };
            canaries.extend(found.iter().filter_map(|it| Some(it.get("_id")?.to_string().into_bytes())));
        }
        let untouched = kept(&shop, &canaries).await;
        assert_eq!(untouched.len(), 4, "an admin, a customer, a product and an order");
        let (user, product, admin) = (shop.customer().await, shop.product(100_000).await, shop.admin());
        let order = user.orders(&[(&product, 1)]).await.expect(201).id();
        Self { shop, admin, product, user, order, untouched, canaries }
    }

    fn path(&self, route: &str) -> (Method, String) {
        let (method, path) = route.split_once(' ').unwrap_or_default();
        let id = match path.split('/').nth(1) {
            Some("users") => &self.user.id,
            Some("products") => &self.product,
            _ => &self.order,
        };
        (Method::from_bytes(method.as_bytes()).unwrap_or_default(), path.replace("{id}", id))
    }

    /// An order that may get this status next.
    async fn order_before(&self, status: &str) -> String {
        let order = self.admin.orders(&[(&self.product, 1)]).await.expect(201).id();
        let steps = steps_to(status);
        for step in &steps[..steps.len().saturating_sub(1)] {
            self.admin.moves(&order, step).await.expect(200);
        }
        order
    }

    /// An order that the body can be sent to: with its new path, and its item in the body. `None`: any will do.
    async fn order_for(&self, route: &str, body: &mut Value, place: &str) -> Option<String> {
        // A status that an order has already changes nothing.
        if route == "PUT /orders/{id}" {
            let status = body["status"].as_str()?;
            return Some(format!("/orders/{}", self.order_before(status).await));
        }
        let (list, is_part) = match route.split_once("/orders/{id}/")?.1 {
            "fulfillments/{id}" => ("fulfillments", true),
            "returns/{id}" => ("returns", true),
            list => (list, false),
        };
        let status = match list {
            "fulfillments" => "shipped",
            "cancellations" => "placed",
            "returns" => "delivered",
            _ => return None,
        };
        let order = self.order_before(status).await;
        let path = format!("/orders/{order}/{list}");
        let seen = self.admin.get(&format!("/orders/{order}")).await;
        let item = seen["items"][0]["id"].clone();
        if place != "/items/0/id"
            && let Some(id) = body.pointer_mut("/items/0/id")
        {
            *id = item.clone();
        }
        if !is_part {
            return Some(path);
        }
        let units = json!({ "items": [{ "id": item, "quantity": 1 }] });
        let part = self.admin.post(&path, units).await.expect(201).id();
        Some(format!("{path}/{part}"))
    }

    async fn assert_nothing_became_of_it(&self) {
        assert_eq!(kept(&self.shop, &self.canaries).await, self.untouched);
    }
}

#[test]
fn every_field_of_every_body_is_among_the_bodies() {
    let bodies = bodies("p", "u");
    for route in declared::routes() {
        let Some(schema) = route.spec.request_body else { continue };
        let name = route.name();
        // Bodies of one schema are checked alike: one route for each is enough.
        let same = |it: &&Body| {
            declared::routes()
                .iter()
                .any(|other| other.name() == it.route && other.spec.request_body == Some(schema))
        };
        let Some(body) = bodies.iter().find(same) else { panic!("{name} is not among the bodies") };
        let fields = declared::fields_of(schema);
        assert!(!fields.is_empty(), "{schema} has no fields");
        for field in fields {
            assert!(body.bodies.iter().any(|it| !it[&field].is_null()), "{name}: {field} is in no body");
        }
    }
}

#[tokio::test]
async fn an_operator_in_any_field_of_any_body_is_refused_or_is_text() {
    let scene = Scene::open().await;
    let long = std::env::var_os("OMS_LONG").is_some();
    let mut tried = 0;
    for Body { route, bodies, .. } in bodies(&scene.product, &scene.user.id) {
        let (method, path) = scene.path(route);
        for body in bodies {
            let mut all = Vec::new();
            places(&body, "", &mut all);
            for place in all {
                let is_text = body.pointer(&place).is_some_and(Value::is_string);
                // Each place in turn has some of them, and in a long run all.
                let texts = TEXTS.into_iter().enumerate().map(|(number, text)| (number, Value::from(text)));
                let turn = tried % 4;
                let texts =
                    texts.filter(|(number, _)| is_text && (long || number % 4 == turn)).map(|(_, it)| it);
                for payload in structures().into_iter().chain(texts) {
                    // A password of an operator is a password, and hashing one takes longest of all.
                    if place.ends_with("/password")
                        && payload.is_string()
                        && payload != TEXTS[5]
                        && payload != TEXTS[6]
                    {
                        continue;
                    }
                    let mut body = body.clone();
                    if place != "/email" && !body["email"].is_null() {
                        body["email"] = json!(new_email());
                    }
                    if place != "/reference" && !body["reference"].is_null() {
                        body["reference"] = json!(new_sku());
                    }
                    if place != "/sku" && !body["sku"].is_null() {
                        body["sku"] = json!(new_sku());
                    }
                    if place != "/external_number" && !body["external_number"].is_null() {
                        body["external_number"] = json!(new_sku());
                    }
                    if let Some(value) = body.pointer_mut(&place) {
                        *value = payload.clone();
                    }
                    // A structure is refused whichever order it is sent to.
                    let order = match payload.is_string() {
                        true => scene.order_for(route, &mut body, &place).await,
                        false => None,
                    };
                    let path = order.unwrap_or_else(|| path.clone());
                    let answer = scene.admin.send(method.clone(), &path, Some(body)).await;
                    tried += 1;
                    let case = format!("{route} {place} {payload}: {} {}", answer.status, answer.body);
                    if answer.status.is_client_error() {
                        continue;
                    }
                    // Where keys are data, an object of texts is what is kept.
                    let is_map = place.ends_with("/attributes") || place.ends_with("/metadata");
                    let fits = if is_map { payload.is_object() } else { is_text && payload.is_string() };
                    assert!(answer.status.is_success() && fits, "{case}");
                    if let Some(shown) = answer.body.pointer(&place) {
                        assert_eq!(*shown, payload, "{case}");
                    }
                }
            }
        }
    }
    scene.assert_nothing_became_of_it().await;
    println!("{tried} bodies with an operator");
}

#[tokio::test]
async fn keys_with_dollars_and_dots_are_kept_as_they_are_where_keys_are_data_and_else_refused() {
    let scene = Scene::open().await;
    let keys = json!({ "$set": "a", "$where": "b", "a.b": "c", ".": "d", "$": "e", "__proto__": "f",
        "constructor": "g", "$[]": "h", "_id": "i", "k": "j" });
    let kept = scene.admin.put(&format!("/products/{}", scene.product), json!({ "attributes": keys })).await;
    assert_eq!(kept.expect(200)["attributes"], keys);
    let kept = scene.admin.put(&format!("/orders/{}", scene.order), json!({ "metadata": keys })).await;
    assert_eq!(kept.expect(200)["metadata"], keys);
    let shown = scene.user.get(&format!("/orders/{}", scene.order)).await.expect(200);
    assert_eq!(shown["metadata"], keys);
    for Body { route, bodies, .. } in bodies(&scene.product, &scene.user.id) {
        let (method, path) = scene.path(route);
        for key in ["$where", "$set", "stock.on_hand", "role.$", "_id", "__proto__", "password_hash"] {
            let mut body = bodies[0].clone();
            body[key] = json!(1);
            let answer = scene.admin.send(method.clone(), &path, Some(body)).await;
            assert_eq!(answer.faults_at(&[&format!("/{key}")]).status, 422, "{route} {key}");
        }
    }
    scene.assert_nothing_became_of_it().await;
}

#[tokio::test]
async fn an_operator_in_a_parameter_a_path_or_a_header_is_refused_or_is_text() {
    let scene = Scene::open().await;
    let encoded =
        |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    let routes = declared::routes();
    let of_api = || routes.iter().filter(|route| !route.is_docs);
    // Every parameter of any list, on every path.
    let names: BTreeSet<&str> = of_api().flat_map(|route| route.spec.query_names()).collect();
    assert!(names.contains("created_from") && names.contains("in_stock"), "{names:?}");
    let gets = of_api().filter(|route| route.spec.method == Method::GET);
    let lists: Vec<String> = gets.map(|route| scene.path(&route.name()).1).collect();
    for path in &lists {
        for name in &names {
            for suffix in ["[$ne]", "[]", "[$regex]", ".$ne", "[0]", "%5B%24gt%5D"] {
                let answer = scene.admin.get(&format!("{path}?{name}{suffix}=a")).await;
                // What is no list looks at no parameters.
                let is_one = answer.body["data"].is_array() || answer.body["checked"].is_object();
                assert!(!is_one, "{path} {name}{suffix}: {}", answer.body);
            }
            for text in TEXTS {
                let answer = scene.admin.get(&format!("{path}?{name}={}", encoded(text))).await;
                let is_empty = answer.body["data"].as_array().is_none_or(Vec::is_empty);
                assert!(
                    is_empty && answer.body["checked"].is_null(),
                    "{path} {name}={text}: {}",
                    answer.body
                );
            }
        }
    }
    for route in of_api().filter(|route| route.spec.path_parameter.is_some()) {
        for text in TEXTS {
            let (method, path) = (route.spec.method.clone(), route.spec.path_of(encoded(text)));
            let answer = scene.admin.send(method, &path, Some(json!({}))).await;
            assert!(
                [404, 422].contains(&answer.status.as_u16()),
                "{} {path}: {}",
                route.name(),
                answer.status
            );
        }
    }
    // A key is what a client calls a request, whatever stands in it.
    let mut made = Vec::new();
    for key in ["{\"$ne\":null}", "$where", ".*", "a.b", "$$ROOT"] {
        let body = json!({ "sku": new_sku(), "name": "Mug", "price": { "amount": 1, "currency": "EUR" } });
        for replayed in [false, true] {
            let answer = scene.admin.send_keyed(Method::POST, "/products", key, &body).await.expect(201);
            assert_eq!(answer.is_replayed(), replayed, "{key}");
            made.push(answer.id());
        }
    }
    made.dedup();
    assert_eq!(made.len(), 5);
    for name in [
        "if-match",
        "if-none-match",
        "x-request-id",
        "traceparent",
        "accept",
        "oms-caller",
        "oms-caller-function",
        "oms-caller-role",
        "oms-signature",
    ] {
        for text in TEXTS {
            let request = scene.shop.anyone().request(Method::GET, "/orders").header(name, text);
            scene.shop.anyone().answer(request).await.problem(401, "unauthenticated");
        }
    }
    scene.assert_nothing_became_of_it().await;
}

/// Writes messages of any type by their description: nothing has to be added here for a new field.
struct Messages(Vec<(String, DescriptorProto)>);

impl Messages {
    fn of(set: &FileDescriptorSet) -> Self {
        fn below(package: &str, message: &DescriptorProto, all: &mut Vec<(String, DescriptorProto)>) {
            let name = format!("{package}.{}", message.name());
            message.nested_type.iter().for_each(|nested| below(&name, nested, all));
            all.push((name, message.clone()));
        }
        let mut all = Vec::new();
        for file in &set.file {
            file.message_type
                .iter()
                .for_each(|message| below(&format!(".{}", file.package()), message, &mut all));
        }
        Self(all)
    }

    fn get(&self, name: &str) -> &DescriptorProto {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, message)) => message,
            None => panic!("no message {name}"),
        }
    }

    /// A message whose texts all are `text`, and whose numbers are 1.
    fn filled(&self, name: &str, text: &str, only: Option<i32>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in &self.get(name).field {
            if only.is_some_and(|only| only != field.number()) {
                continue;
            }
            let key = |wire: u64| u64::try_from(field.number()).unwrap_or_default() << 3 | wire;
            let value = match field.r#type() {
                Type::String | Type::Bytes => text.as_bytes().to_vec(),
                Type::Message => self.filled(field.type_name(), text, None),
                _ => {
                    // A number, and a list of them is as one here.
                    assert_ne!((field.r#type(), field.label()), (Type::Double, Label::Required));
                    varint(key(0), &mut bytes);
                    varint(1, &mut bytes);
                    continue;
                }
            };
            varint(key(2), &mut bytes);
            varint(u64::try_from(value.len()).unwrap_or_default(), &mut bytes);
            bytes.extend(value);
        }
        bytes
    }
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.extend(value.to_le_bytes().first());
}

async fn call(rpc: &RpcServer, path: &str, message: &[u8], caller: &[(&str, &str)]) -> (String, String) {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap_or_default().to_be_bytes());
    body.extend(message);
    let mut headers = vec![["content-type", "application/grpc"], ["te", "trailers"]];
    headers.extend(caller.iter().map(|(name, value)| [*name, *value]));
    let envelope = json!({ "grpc": { "path": path, "headers": headers, "body": STANDARD.encode(body) } });
    let answer = rpc.handle(envelope.to_string().as_bytes()).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let pairs =
        ["headers", "trailers"].map(|place| answer["grpc"][place].as_array().cloned().unwrap_or_default());
    let of = |name: &str| {
        let pair = pairs.iter().flatten().find(|pair| pair[0] == name);
        pair.and_then(|pair| pair[1].as_str()).unwrap_or_default().to_owned()
    };
    (of("grpc-status"), of("grpc-message"))
}

#[tokio::test]
async fn an_operator_in_any_text_of_any_call_is_refused_or_is_text() {
    let scene = Scene::open().await;
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let messages = Messages::of(&set);
    let backend = &scene.shop.backend;
    let token = format!("Bearer {}", scene.admin.token.clone().unwrap_or_default());
    let admin = [("authorization", token.as_str())];
    let mut tried = 0;
    for file in set.file.iter().filter(|file| file.package().starts_with("oms.")) {
        for service in &file.service {
            let rpc = match service.name() {
                "OrderService" => &backend.orders.rpc,
                "ProductService" => &backend.products.rpc,
                "UserService" => &backend.users.rpc,
                other => panic!("{other} is not known here"),
            };
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let fields = messages.get(method.input_type()).field.iter();
                let fields: Vec<Option<i32>> =
                    fields.map(|field| Some(field.number())).chain([None]).collect();
                for text in TEXTS {
                    for only in &fields {
                        let message = messages.filled(method.input_type(), text, *only);
                        for caller in [&admin[..], &[("oms-caller", "system")], &[]] {
                            let (status, said) = call(rpc, &path, &message, caller).await;
                            tried += 1;
                            // Not unknown (2), internal (13) or lost (15).
                            assert!(
                                !["", "2", "13", "15"].contains(&status.as_str()),
                                "{path} {only:?} {text}: {status} {said}"
                            );
                        }
                    }
                }
            }
        }
    }
    scene.assert_nothing_became_of_it().await;
    println!("{tried} calls with an operator");
}
