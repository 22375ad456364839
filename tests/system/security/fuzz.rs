//! Fuzzing of all input parsers with small changes of valid examples.
//!
//! Nothing panics, nothing is a 5xx, and a value that is written and read again is the same. `OMS_LONG=1` tries a hundred
//! times as much; `OMS_SEED` repeats the choices of a failure. It is proptest on the stable compiler: cargo-fuzz, which
//! also sees which branches an input reaches, needs a nightly one.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says how much it tried"
)]

use std::fmt::Debug;
use std::time::Instant;

use lambda_runtime::{Context as LambdaContext, LambdaEvent};
use orders::forms::{CreateOrderForm, UpdateOrderForm};
use products::forms::{CreateProductForm, UpdateProductForm, UpdateStockForm};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::auth::{Caller, Role, Verifier};
use shared::error::{Error, Kind};
use shared::input::query::Query;
use shared::input::validation::{Form as _, ValidationErrors};
use shared::runtime::context::{Context, DEFAULT_TIMEOUT};
use shared::runtime::lambda::Host;
use shared::runtime::run::ServiceApp;
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId, UserId};
use shared::values::money::{MAX_AMOUNT, MoneyForm};
use shared::{input::json as strict, values::text};
use tests::in_process::InProcess;
use tests::shop::order_of;
use tokio::runtime::Runtime;
use users::forms::{CreateUserForm, SignInForm, UpdateUserForm};

/// Tries `test` with many values; `weight` of them for each thousand, since some take longer.
fn fuzz<S: Strategy>(
    name: &str,
    weight: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) where
    S::Value: Debug,
{
    let long = std::env::var_os("OMS_LONG").is_some();
    let seed = std::env::var("OMS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let cases = if long { 100 * weight } else { weight };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let seed: u64 = seed;
    let bytes: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(32).collect();
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let started = Instant::now();
    if let Err(error) = runner.run(strategy, test) {
        let long = if long { "OMS_LONG=1 " } else { "" };
        panic!("{error}\nagain: {long}OMS_SEED={seed} cargo test --workspace --test system -- fuzz::{name}");
    }
    println!("{name}: {cases} cases in {:.1} s", started.elapsed().as_secs_f64());
}

/// Texts that parsers stumble over.
const TOKENS: [&str; 32] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1e400",
    "1.0",
    "1e3",
    "9223372036854775807",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "\n",
    "\t",
    "%00",
    "..",
    "$ne",
    "{\"$ne\":1}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "\"id\":1,",
    "=",
    "AAAA",
    "☕",
];

/// A change of bytes: what is done, where, how much of it, and with what.
type Change = (u8, u16, u8, u8);

fn change(bytes: &mut Vec<u8>, (kind, place, length, byte): Change, seeds: &[Vec<u8>]) {
    let at = usize::from(place) % (bytes.len() + 1);
    let end = (at + usize::from(length % 24)).min(bytes.len());
    let token = TOKENS[usize::from(byte) % TOKENS.len()];
    match kind % 8 {
        0 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
        1 if at < bytes.len() => bytes[at] = byte,
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, copy));
        }
        4 => bytes.truncate(at),
        5 => {
            // The begin of one example with the end of another.
            let other = &seeds[usize::from(byte) % seeds.len()];
            let from = usize::from(place) % (other.len() + 1);
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
        6 => drop(bytes.splice(at..end, token.bytes())),
        _ => drop(bytes.splice(at..at, token.bytes())),
    }
}

/// Examples with up to eight changes; some with none, so that what is valid stays so.
fn changed(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec(any::<Change>(), 0..8);
    (0..seeds.len(), changes).prop_map(move |(seed, changes)| {
        let mut bytes = seeds[seed].clone();
        for it in changes {
            change(&mut bytes, it, &seeds);
        }
        bytes
    })
}

fn changed_text(seeds: &[&str]) -> impl Strategy<Value = String> {
    let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    changed(seeds).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn bodies() -> Vec<Vec<u8>> {
    let place = json!({ "name": "Ada", "line1": "1 Way", "city": "Bonn", "region": null, "country": "DE" });
    let price = json!({ "amount": 500, "currency": "EUR" });
    let taxes = json!([{ "label": "VAT", "rate": "0.19", "amount": 80, "included": true }]);
    let item = json!({
        "product_id": ProductId::new().to_string(), "quantity": 1, "discounts": [{ "label": "Sale", "amount": 5 }],
        "taxes": taxes,
    });
    let shipping = json!({ "label": "Post", "amount": 500, "taxes": taxes });
    let bodies = [
        order_of(&ProductId::new().to_string(), 3),
        json!({ "status": "paid", "payment": { "reference": "pi_1", "method": "card" }, "note": null }),
        json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "1" }, "restock": false }),
        json!({ "items": [], "metadata": { "a": "b", "$set": "c" }, "shipping_address": place }),
        json!({ "items": [item], "shipping": shipping, "billing_address": place, "external_number": "A-1" }),
        json!({ "sku": "MUG-1", "name": "Mug", "price": price, "stock": 5, "attributes": { "colour": "blue" } }),
        json!({ "description": null, "status": "archived", "price": price }),
        json!({ "delta": -3, "reason": "count" }),
        json!({ "email": "ada@example.com", "password": "correct horse battery", "name": "Ada", "address": place }),
        json!({ "password": "another horse battery", "current_password": "x", "role": "staff", "phone": null }),
    ];
    bodies.iter().map(|body| body.to_string().into_bytes()).collect()
}

/// True if a body is read, or refused as the client's fault.
fn reads<T: DeserializeOwned, U>(
    bytes: &[u8],
    check: impl Fn(T) -> Result<U, Error>,
) -> Result<(), TestCaseError> {
    if let Err(error) = strict::parse::<T>(bytes).and_then(check) {
        let of_the_client =
            matches!(error.kind(), Kind::MalformedRequest | Kind::Validation | Kind::Forbidden);
        prop_assert!(of_the_client, "{error}: {}", error.causes());
    }
    Ok(())
}

#[test]
fn forms() {
    fuzz("forms", 2_000, &changed(bodies()), |bytes| {
        reads::<CreateOrderForm, _>(&bytes, CreateOrderForm::check)?;
        reads::<UpdateOrderForm, _>(&bytes, UpdateOrderForm::check)?;
        reads::<CreateProductForm, _>(&bytes, CreateProductForm::check)?;
        reads::<UpdateProductForm, _>(&bytes, UpdateProductForm::check)?;
        reads::<UpdateStockForm, _>(&bytes, UpdateStockForm::check)?;
        reads::<CreateUserForm, _>(&bytes, CreateUserForm::check)?;
        reads::<UpdateUserForm, _>(&bytes, UpdateUserForm::check)?;
        reads::<SignInForm, _>(&bytes, SignInForm::check)
    });
}

#[test]
fn json() {
    fuzz("json", 5_000, &changed(bodies()), |bytes| {
        // What is read is what everybody reads, and is read again as the same. Not everybody skips a byte order mark.
        if let Ok(value) = strict::parse::<Value>(&bytes) {
            let everybody = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
            let everybody = serde_json::from_slice::<Value>(everybody).ok();
            prop_assert_eq!(Some(&value), everybody.as_ref());
            let again = strict::parse::<Value>(value.to_string().as_bytes());
            prop_assert_eq!(again.ok(), Some(value));
        }
        Ok(())
    });
}

#[test]
fn money() {
    let seeds = [
        "{\"amount\":500,\"currency\":\"EUR\"}",
        "{\"amount\":1000000000000,\"currency\":\"JPY\"}",
        "{\"currency\":\"USD\",\"amount\":0}",
    ];
    fuzz("money", 5_000, &changed_text(&seeds), |text| {
        let Ok(form) = strict::parse::<MoneyForm>(text.as_bytes()) else { return Ok(()) };
        let mut faults = ValidationErrors::default();
        if let Some(money) = form.check(&mut faults) {
            prop_assert!(faults.is_empty() && (0..=MAX_AMOUNT).contains(&money.amount()));
            prop_assert_eq!(money.currency().code().len(), 3);
        } else {
            prop_assert!(!faults.is_empty());
        }
        Ok(())
    });
}

#[test]
fn ids() {
    let id = OrderId::new().to_string();
    let seeds =
        [id.as_str(), "order_7zzzzzzzzzzzzzzzzzzzzzzzzz", "order_00000000000000000000000000", "product_"];
    fuzz("ids", 10_000, &changed_text(&seeds), |text| {
        if let Ok(id) = text.parse::<OrderId>() {
            prop_assert_eq!(id.to_string(), text.clone());
        }
        prop_assert!(text.parse::<UserId>().is_err());
        Ok(())
    });
}

#[test]
fn texts() {
    let seeds = ["a mug", "two\nlines\tand a tab", "two\r\nlines", "Zoë ☕ 漢字", "\u{a0}", "e\u{301}"];
    fuzz("texts", 10_000, &changed_text(&seeds), |sent| {
        if let Ok(line) = text::Line::<1, 20>::parse(sent.clone()) {
            prop_assert!(line == sent && (1..=20).contains(&line.chars().count()));
            prop_assert!(!line.chars().any(char::is_control) && !line.trim().is_empty());
        }
        if let Ok(prose) = text::Prose::<40>::parse(sent.clone()) {
            // Lines may be sent with either end, and are kept with one.
            prop_assert_eq!(&prose, &sent.replace("\r\n", "\n"));
            prop_assert!(!prose.contains('\r') && !prose.contains('\0'));
        }
        Ok(())
    });
}

#[test]
fn queries() {
    let seeds = ["status=active&limit=5", "cursor=AbC_-1&q=a%20b+c", "limit=1&limit=2", "a=%ff%00&b"];
    fuzz("queries", 10_000, &changed_text(&seeds), |text| {
        if let Err(error) = Query::parse(Some(&text), &["status", "limit", "cursor", "q", "a"]) {
            prop_assert_eq!(error.kind(), Kind::InvalidQuery);
        }
        Ok(())
    });
}

fn context() -> Context {
    Context::new(Caller::Anonymous, Clock::system().now().after(DEFAULT_TIMEOUT))
}

#[test]
fn tokens() {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let shop = runtime.block_on(InProcess::open());
    let verifier = Verifier::new(shop.backend.users.service.clone(), Clock::system());
    let good: Vec<String> = [shop.admin(), runtime.block_on(shop.customer())]
        .iter()
        .map(|person| format!("Bearer {}", person.token.clone().unwrap_or_default()))
        .collect();
    let seeds: Vec<Vec<u8>> = good.iter().map(|token| token.clone().into_bytes()).collect();
    fuzz("tokens", 2_000, &changed(seeds), |bytes| {
        let is_good = good.iter().any(|good| {
            bytes.len() == good.len()
                && bytes[7..] == good.as_bytes()[7..]
                && bytes[..7].eq_ignore_ascii_case(b"Bearer ")
        });
        match runtime.block_on(verifier.caller(Some(&bytes), &context())) {
            Ok(Caller::User { role: Role::Admin | Role::Customer, .. }) => prop_assert!(is_good),
            Ok(other) => prop_assert!(false, "{other}"),
            Err(error) => prop_assert!(!is_good && error.kind() == Kind::Unauthenticated, "{error}"),
        }
        Ok(())
    });
}

#[test]
fn cursors() {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let shop = runtime.block_on(InProcess::open());
    let admin = shop.admin();
    let cursors: Vec<Vec<u8>> = runtime.block_on(async {
        shop.product(1).await;
        shop.product(1).await;
        let page = admin.get("/products?limit=1").await.expect(200);
        let users = admin.get("/users?limit=1").await;
        [page.text("next_cursor"), users["next_cursor"].as_str().unwrap_or("AQ").to_owned()]
            .map(String::into_bytes)
            .to_vec()
    });
    let good = cursors[0].clone();
    fuzz("cursors", 300, &changed(cursors), |bytes| {
        let query: String = form_urlencoded::byte_serialize(&bytes).collect();
        let answer = runtime.block_on(admin.get(&format!("/products?limit=1&cursor={query}")));
        // Its last letter may carry bits that are nothing: then it is read, or it is not.
        let expected = if bytes == good { 200 } else { 400 };
        prop_assert_eq!(answer.status.as_u16(), expected, "{}", answer.body);
        Ok(())
    });
}

/// True if a message that was read reads the same after it is written.
fn round_trip<M: Message + Default + PartialEq + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(message) = M::decode(bytes) {
        prop_assert_eq!(M::decode(&message.encode_to_vec()[..]).ok(), Some(message));
    }
    Ok(())
}

fn messages() -> Vec<Vec<u8>> {
    use proto::{common, orders, products, users};
    let address = || common::v1::Address {
        name: Some("Ada".into()),
        line1: "1 Way".into(),
        city: "Bonn".into(),
        country: "DE".into(),
        ..Default::default()
    };
    let tax = orders::v1::NewTax {
        label: Some("VAT".into()),
        rate: Some("0.19".into()),
        amount: Some(190),
        included: Some(true),
    };
    let line = orders::v1::NewOrderItem {
        product_id: Some(ProductId::new().to_string()),
        quantity: Some(3),
        discounts: vec![orders::v1::NewDiscount { label: Some("Sale".into()), amount: Some(5) }],
        taxes: vec![tax.clone()],
    };
    let shipping =
        orders::v1::NewShipping { label: Some("Post".into()), amount: Some(490), taxes: vec![tax] };
    vec![
        orders::v1::CreateOrderRequest {
            items: vec![line.clone(), line],
            shipping_address: Some(address()),
            billing_address: Some(address()),
            shipping: Some(shipping),
            external_number: Some("EXT-1".into()),
            note: Some("ring".into()),
            metadata: [("a".to_owned(), "b".to_owned())].into(),
            ..Default::default()
        }
        .encode_to_vec(),
        products::v1::CreateProductRequest {
            sku: Some("MUG".into()),
            name: Some("Mug".into()),
            ..Default::default()
        }
        .encode_to_vec(),
        users::v1::CreateUserRequest {
            email: Some("ada@example.com".into()),
            address: Some(address()),
            ..Default::default()
        }
        .encode_to_vec(),
    ]
}

#[test]
fn protobuf() {
    use proto::{common, orders, products, users};
    fuzz("protobuf", 5_000, &changed(messages()), |bytes| {
        round_trip::<orders::v1::CreateOrderRequest>(&bytes)?;
        round_trip::<orders::v1::UpdateOrderRequest>(&bytes)?;
        round_trip::<orders::v1::Order>(&bytes)?;
        round_trip::<products::v1::CreateProductRequest>(&bytes)?;
        round_trip::<products::v1::HoldStockRequest>(&bytes)?;
        round_trip::<products::v1::Product>(&bytes)?;
        round_trip::<users::v1::CreateUserRequest>(&bytes)?;
        round_trip::<users::v1::User>(&bytes)?;
        round_trip::<common::v1::Problem>(&bytes)
    });
}

#[test]
fn envelopes() {
    use base64::Engine as _;
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let shop = runtime.block_on(InProcess::open());
    let bearer = format!("Bearer {}", shop.admin().token.clone().unwrap_or_default());
    let (caller, token) = (["oms-caller", "system"], ["authorization", bearer.as_str()]);
    let envelope = |path: &str, message: &[u8], caller: &[&str; 2]| {
        let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
        let body = base64::engine::general_purpose::STANDARD.encode([&[0], &length[..], message].concat());
        let headers = [&["content-type", "application/grpc"], &["te", "trailers"], caller];
        json!({ "grpc": { "path": path, "headers": headers, "body": body } }).to_string().into_bytes()
    };
    let mut seeds = Vec::new();
    for message in messages() {
        for method in ["CreateProduct", "HoldStock", "ListHolds", "GetProduct"] {
            let path = format!("/oms.products.v1.ProductService/{method}");
            seeds.extend([envelope(&path, &message, &caller), envelope(&path, &message, &token)]);
        }
    }
    fuzz("envelopes", 500, &changed(seeds), |bytes| {
        let answer = runtime.block_on(shop.backend.products.rpc.handle(&bytes));
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(answer["grpc"]["status"].is_u64(), "{answer}");
        // A garbled envelope is an internal error, since only functions write them; a panic would be one too.
        let said = answer.to_string();
        prop_assert!(!said.contains("the function failed"), "{said}");
        Ok(())
    });
}

#[test]
fn events() {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let shop = runtime.block_on(InProcess::open());
    let token = format!("Bearer {}", shop.admin().token.clone().unwrap_or_default());
    let event = |method: &str, path: &str, query: &str, body: &str| {
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
            "headers": { "content-type": "application/json", "authorization": token, "host": "api.example.com" },
            "requestContext": { "accountId": "1", "apiId": "api", "domainName": "api.example.com", "requestId": "r",
                "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
                "routeKey": "$default", "stage": "$default", "timeEpoch": 1_795_375_353_007_i64 },
            "body": body, "isBase64Encoded": false,
        });
        event.to_string().into_bytes()
    };
    let id = runtime.block_on(shop.product(1));
    let seeds = vec![
        event("GET", "/products", "limit=5&status=active", ""),
        event("GET", &format!("/products/{id}"), "", ""),
        event(
            "POST",
            "/products",
            "",
            "{\"sku\":\"M\",\"name\":\"Mug\",\"price\":{\"amount\":1,\"currency\":\"EUR\"}}",
        ),
        event("PUT", &format!("/products/{id}/stock"), "", "{\"delta\":1}"),
    ];
    let app = shop.backend.products.clone();
    let build = move || {
        let function = ServiceApp::new(app.router.clone()).with_rpc(app.rpc.clone());
        std::future::ready(Ok(function))
    };
    let host = Host::new(build, Clock::system());
    fuzz("events", 500, &changed(seeds), |bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Lambda itself takes nothing but JSON.
        let Ok(payload) = RawValue::from_string(text) else { return Ok(()) };
        let event = LambdaEvent { payload, context: LambdaContext::default() };
        // An error is one where Lambda delivers what is no event; nobody outside can.
        if let Ok(answer) = runtime.block_on(host.answer(event)) {
            let answer: Value =
                serde_json::from_str(answer.get()).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let status = answer["statusCode"].as_u64().unwrap_or(0);
            prop_assert!(answer["grpc"].is_object() || (200..500).contains(&status), "{answer}");
        }
        Ok(())
    });
}
