//! Signals of the deployed programs: a line for each request, and metrics for CloudWatch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use http::Method;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use shared::mongo;
use shared::runtime::metrics::{self, DimensionValues, Metric, OTHER};
use shared::values::ids::OrderId;
use tests::lambda::Options;
use tests::on_lambda::OnLambda;
use tests::person::Person;
use tests::shop::order_of;

/// Objects among the lines, once they are as expected: lines come through a pipe.
async fn lines_until(shop: &OnLambda, is_expected: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let lines = shop.lambda.log().lines();
        let lines: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if is_expected(&lines) {
            return lines;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{lines:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lines with this message of the request with this ID.
fn lines_of<'a>(lines: &'a [Value], id: &str, message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["span"]["request_id"] == id && line["message"] == message).collect()
}

/// Sends a request with this ID, and a body if there is one. Its status and its answer.
async fn sends(person: &Person, id: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = person.request(method, path).header("x-request-id", id);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = person.outcome(request).await.unwrap();
    (answer.status.as_u16(), answer.body)
}

#[tokio::test]
async fn a_request_has_one_line_with_all_its_fields() {
    let shop = OnLambda::open().await;
    let (ada, product) = (shop.customer().await, shop.product(2).await);
    let (_, order) = sends(&ada, "place", Method::POST, "/orders", Some(order_of(&product, 1))).await;
    let order = order["id"].as_str().unwrap().to_owned();
    sends(&ada, "read", Method::GET, &format!("/orders/{order}"), None).await;
    sends(&ada, "shortage", Method::POST, "/orders", Some(order_of(&product, 9))).await;
    sends(&shop.admin(), "admin", Method::GET, "/users", None).await;
    sends(&shop.anyone(), "nobody", Method::GET, "/orders", None).await;
    sends(&shop.anyone(), "nothing", Method::GET, &format!("/nothing/{order}"), None).await;
    let expected = [
        ("place", "POST", "/orders", 201, "customer", None),
        ("read", "GET", "/orders/{id}", 200, "customer", None),
        ("shortage", "POST", "/orders", 409, "customer", Some("insufficient-stock")),
        ("admin", "GET", "/users", 200, "admin", None),
        ("nobody", "GET", "/orders", 401, "anonymous", Some("unauthenticated")),
        ("nothing", "GET", "none", 404, "anonymous", Some("not-found")),
    ];
    let lines = lines_until(&shop, |lines| {
        expected.iter().all(|(id, ..)| !lines_of(lines, id, "request").is_empty())
    });
    let lines = lines.await;
    for (id, method, route, status, role, problem) in expected {
        let found = lines_of(&lines, id, "request");
        assert_eq!(found.len(), 1, "{id}: {found:#?}");
        let line = found[0];
        assert_eq!(
            json!([
                line["method"],
                line["route"],
                line["status"],
                line["role"],
                line["problem"],
                line["level"]
            ]),
            json!([method, route, status, role, problem, "INFO"])
        );
        assert!(line["duration_ms"].as_f64().is_some_and(|millis| millis >= 0.0), "{line:#}");
        assert!(line["cold_start"].is_boolean(), "{line:#}");
        assert!(line["span"]["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{line:#}");
        assert!(line["span"]["xray_trace_id"].is_string(), "{line:#}");
    }
    let calls = lines_of(&lines, "place", "call");
    let hold = calls.iter().filter(|line| line["rpc_method"] == "/oms.products.v1.ProductService/HoldStock");
    let holds: Vec<_> = hold.collect();
    assert_eq!(holds.len(), 1, "{calls:#?}");
    let hold = holds[0];
    assert_eq!(json!([hold["code"], hold["role"]]), json!(["Ok", "system"]));
    assert!(hold["duration_ms"].is_number() && hold["cold_start"].is_boolean(), "{hold:#}");
    // Each process has had one first event.
    let functions = ["orders", "products", "users", "docs"];
    let processes: usize = functions.map(|function| shop.lambda.environments(function).len()).iter().sum();
    assert_eq!(lines.iter().filter(|line| line["cold_start"] == true).count(), processes);
    let ids = lines.iter().filter(|line| line.to_string().contains(&order));
    assert_eq!(ids.count(), 0);
}

/// Sums of counters by metric and value of its dimension, which is empty if there is none.
type Sums = BTreeMap<(String, String), u64>;

/// Metric with this name.
fn metric(name: &str) -> Metric {
    *metrics::ALL.iter().find(|metric| metric.name == name).unwrap()
}

/// Metrics in a line, with the value of their dimension.
fn metrics_in(line: &Value) -> Vec<(Metric, &str, &Value)> {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for directive in directives {
        let dimensions: Vec<&str> = directive["Dimensions"][0]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        for declared in directive["Metrics"].as_array().unwrap() {
            let metric = metric(declared["Name"].as_str().unwrap());
            assert_eq!(declared["Unit"], metric.unit.name());
            let own: Vec<&str> = metric.dimensions.unwrap().iter().map(|dimension| dimension.name).collect();
            assert_eq!(dimensions, [&["function"], own.as_slice()].concat(), "{line}");
            let text = own.first().map_or("", |name| line[*name].as_str().unwrap());
            found.push((metric, text, &line[metric.name]));
        }
    }
    found
}

fn sums_of(lines: &[Value]) -> Sums {
    let mut sums = Sums::new();
    for (metric, text, value) in lines.iter().flat_map(metrics_in) {
        if let Some(count) = value.as_u64() {
            *sums.entry((metric.name.to_owned(), text.to_owned())).or_default() += count;
        }
    }
    sums
}

/// Sums of one metric.
fn of(sums: &Sums, metric: Metric) -> BTreeMap<&str, u64> {
    let of_it = sums.iter().filter(|((name, _), _)| *name == metric.name);
    of_it.map(|((_, text), sum)| (text.as_str(), *sum)).collect()
}

/// Has a stored order be as nobody could store it.
async fn damages(shop: &OnLambda, order: &str, set: Document) {
    let orders = shop.database.collection::<Document>("orders");
    let filter = doc! { "_id": mongo::uuid(order.parse::<OrderId>().unwrap()) };
    let set = orders.update_one(filter, doc! { "$set": set }).bypass_document_validation(true);
    assert_eq!(set.await.unwrap().modified_count, 1);
}

/// Calls Reconcile as the schedule does.
async fn reconciles(shop: &OnLambda) {
    let event = include_str!("../../local/events/orders-reconcile.json");
    let url = format!("{}/2015-03-31/functions/orders/invocations", shop.lambda.endpoint);
    let answer: Value =
        reqwest::Client::new().post(&url).body(event).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["grpc"]["trailers"], json!([["grpc-status", "0"]]), "{answer}");
}

/// Limits of customers that the tests reach.
const LIMITS: [(&str, &str); 2] = [("MAX_OPEN_ORDERS", "2"), ("ORDER_RATE_PER_CUSTOMER", "10")];

async fn shop_with_limits() -> OnLambda {
    let limited = |functions: Vec<tests::lambda::Settings>| {
        let limit = |function: tests::lambda::Settings| {
            LIMITS.iter().fold(function, |function, (name, value)| function.variable(name, value))
        };
        functions.into_iter().map(limit).collect()
    };
    OnLambda::open_with(Options::default(), limited).await
}

/// Two orders of a customer, one of them cancelled; repeated requests; and an order for each reason to refuse one.
/// Returns the refusals by reason.
async fn is_refused_for_every_reason(shop: &OnLambda, product: &str) -> BTreeMap<&'static str, u64> {
    let (ada, two) = (shop.customer().await, order_of(product, 2));
    for _ in 0..2 {
        ada.send_keyed(Method::POST, "/orders", "again", &two).await.expect(201);
    }
    let order = ada.post("/orders", two.clone()).await.expect(201).id();
    ada.post("/orders", two).await.problem(409, "too-many-open-orders");
    for _ in 0..2 {
        ada.moves(&order, "cancelled").await.expect(200);
    }
    let mut forever = order_of(product, 1);
    forever["expires_at"] = Value::Null;
    ada.post("/orders", forever).await.problem(403, "forbidden");
    ada.post("/orders", json!({})).await.problem(422, "validation");
    let (eve, mut shortages) = (shop.customer().await, 0);
    while eve.orders(&[(product, 10_000)]).await.status == 409 {
        shortages += 1;
    }
    eve.orders(&[(product, 1)]).await.problem(429, "too-many-requests");
    BTreeMap::from([("open_orders", 1), ("other", 1), ("out_of_stock", shortages), ("rate", 2)])
}

#[tokio::test]
async fn orders_are_counted_once_by_what_became_of_them() {
    let shop = shop_with_limits().await;
    let product = shop.product(100).await;
    let refused = is_refused_for_every_reason(&shop, &product).await;
    shop.order_in("returned").await;
    let (_, unpaid) = shop.order_in("placed").await;
    let (_, unreadable) = shop.order_in("placed").await;
    let past = DateTime::from_millis(0);
    damages(&shop, &unpaid, doc! { "expires_at": past }).await;
    damages(&shop, &unreadable, doc! { "expires_at": past, "items": 7 }).await;
    reconciles(&shop).await;
    reconciles(&shop).await;
    shop.admin().get("/orders").await.expect(200);

    let is_whole = |lines: &[Value]| {
        let sums = sums_of(lines);
        of(&sums, metrics::RUNS).values().sum::<u64>() == 2
            && of(&sums, metrics::UNREADABLE).get("").is_some_and(|sum| *sum >= 2)
    };
    let lines = lines_until(&shop, is_whole).await;
    let sums = sums_of(&lines);
    let statuses =
        [("cancelled", 1), ("expired", 1), ("paid", 1), ("placed", 5), ("returned", 1), ("shipped", 1)];
    assert_eq!(of(&sums, metrics::ORDERS), BTreeMap::from(statuses));
    // Each run of Reconcile says how many it knows of: none.
    let counted = lines.iter().flat_map(metrics_in).filter(|(metric, text, count)| {
        metric.name == metrics::ORDERS.name && *text == "placed" && **count == 0
    });
    assert_eq!(counted.count(), 2);
    assert_eq!(of(&sums, metrics::REFUSED), refused);
    // Two orders of two pieces and three of one, at 5.00 each.
    assert_eq!(of(&sums, metrics::VALUE), BTreeMap::from([("EUR", 3_500)]));
    assert_eq!(of(&sums, metrics::DONE)["expiry"], 1);
    assert_eq!(of(&sums, metrics::SET_ASIDE), BTreeMap::from([("expiry", 1)]));
    assert_all_are_measured(&lines);
}

/// Checks that the functions measure all that is declared for them and for CloudWatch, and nothing else.
///
/// Metrics of maintenance alone are measured in its own tests. Those of Prometheus alone are measured in the unit
/// tests of that output.
fn assert_all_are_measured(lines: &[Value]) {
    let mut measured = BTreeSet::new();
    for line in lines {
        let function = line["function"].as_str().unwrap_or_default();
        for (metric, text, _) in metrics_in(line) {
            assert!(metric.functions.contains(&function), "{} of {function}", metric.name);
            for dimension in metric.dimensions.unwrap_or_default() {
                let is_declared = match dimension.values {
                    DimensionValues::Listed(values) => values.contains(&text),
                    DimensionValues::Currencies => text != OTHER,
                };
                assert!(is_declared, "{}: {text}", metric.name);
            }
            measured.insert(metric.name);
        }
    }
    let is_ours = |metric: &&Metric| metric.dimensions.is_some() && metric.functions != ["maintenance"];
    let declared: BTreeSet<&str> = metrics::ALL.iter().filter(is_ours).map(|metric| metric.name).collect();
    assert_eq!(measured, declared);
}
