//! The catalogue of problem types is complete: each type is provoked.
//!
//! `tests::answer` compares each problem that any test meets with its entry.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use http::{Method, Request};
use orders::CustomerLimits;
use serde_json::{Value, json};
use shared::auth::Access;
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::http::routes::{Guard, RouteSpec, RouteTable};
use shared::values::clock::Clock;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::PASSWORD;
use tests::shop::{new_email, order_of};
use tests::support::raw::{LIMIT, product, send, send_json};
use tonic::Code;
use tower::ServiceExt as _;

use crate::socket::listeners;
use crate::support::branch::{Branch, Line};
use crate::support::instance::Instance;

#[tokio::test]
async fn a_type_or_a_file_whose_name_is_no_text_is_a_404_too() {
    // Not everything in front of a function would let these through.
    let shop = InProcess::open().await;
    for path in ["/problems/%FF", "/problems/%00", "/docs/assets/%FF"] {
        shop.anyone().get(path).await.problem(404, "not-found");
    }
}

/// Whoever adds a kind is told by the compiler to say here how a client meets it.
#[tokio::test]
async fn every_type_of_problem_is_to_be_had() {
    let shop = InProcess::open().await;
    for kind in Kind::ALL {
        produced(&shop, kind).await.problem(kind.status().as_u16(), kind.slug());
    }
}

pub(crate) async fn produced(shop: &InProcess, kind: Kind) -> Answer {
    let (anyone, admin, customer) = (shop.anyone(), shop.admin(), shop.customer().await);
    match kind {
        Kind::MalformedRequest => send_json(&admin, Method::POST, "/products", "{").await,
        Kind::InvalidQuery => anyone.get("/products?limit=0").await,
        Kind::Unauthenticated => anyone.get("/orders").await,
        Kind::Forbidden => customer.get("/users").await,
        Kind::NotFound => anyone.get("/nothing").await,
        Kind::MethodNotAllowed => anyone.delete("/products").await,
        Kind::RequestTimeout => listeners::request_timeout(shop).await,
        Kind::MisdirectedRequest => {
            anyone.answer(anyone.request(Method::GET, "/products").header("host", "evil.example")).await
        }
        Kind::EmailTaken => {
            let user = json!({ "email": new_email(), "password": PASSWORD, "name": "Ada" });
            anyone.post("/users", user.clone()).await.expect(201);
            anyone.post("/users", user).await
        }
        Kind::SkuTaken => {
            admin.post("/products", product("TAKEN")).await.expect(201);
            admin.post("/products", product("TAKEN")).await
        }
        Kind::InsufficientStock => {
            let mug = shop.product(1).await;
            customer.orders(&[(&mug, 2)]).await
        }
        Kind::StockBelowReserved => {
            let stock = format!("/products/{}/stock", shop.product(1).await);
            admin.put(&stock, json!({ "delta": -2 })).await
        }
        Kind::TooManyOpenOrders => {
            let mug = shop.product(2).await;
            let limits = CustomerLimits { max_open_orders: 1, ..CustomerLimits::NONE };
            let instance = Instance::with_limits(shop, limits, Clock::system()).await;
            let customer = instance.seen_by(&customer);
            customer.orders(&[(&mug, 1)]).await.expect(201);
            customer.orders(&[(&mug, 1)]).await
        }
        Kind::PaymentReferenceTaken => {
            let payment = json!({ "amount": 1, "reference": "taken" });
            let (_, order) = shop.order_in("placed").await;
            admin.post(&format!("/orders/{order}/payments"), payment.clone()).await.expect(201);
            let (_, order) = shop.order_in("placed").await;
            admin.post(&format!("/orders/{order}/payments"), payment).await
        }
        Kind::AmountExceeded => {
            let (_, order) = shop.order_in("paid").await;
            let item = admin.get(&format!("/orders/{order}")).await.expect(200)["items"][0]["id"].clone();
            let refund = json!({ "items": [{ "id": item, "quantity": 2 }] });
            admin.post(&format!("/orders/{order}/refunds"), refund).await
        }
        Kind::QuantityExceeded => {
            let (_, order) = shop.order_in("paid").await;
            let item = admin.get(&format!("/orders/{order}")).await.expect(200)["items"][0]["id"].clone();
            let parcel = json!({ "items": [{ "id": item, "quantity": 2 }] });
            admin.post(&format!("/orders/{order}/fulfillments"), parcel).await
        }
        Kind::ExternalNumberTaken => {
            let mut order = order_of(&shop.product(2).await, 1);
            order["external_number"] = json!("SHOP-1815");
            customer.post("/orders", order.clone()).await.expect(201);
            customer.post("/orders", order).await
        }
        Kind::InvalidTransition => {
            let (_, order) = shop.order_in("placed").await;
            admin.moves(&order, "delivered").await
        }
        Kind::OrderNotEditable => {
            let (owner, order) = shop.order_in("shipped").await;
            owner.put(&format!("/orders/{order}"), json!({ "note": "Ring twice." })).await
        }
        Kind::LastAdmin => admin.delete(&format!("/users/{}", admin.id)).await,
        Kind::VersionMismatch => {
            let path = format!("/products/{}", shop.product(0).await);
            let request = admin.request(Method::PUT, &path).header("if-match", "\"7\"");
            admin.answer(request.json(&json!({ "name": "Cup" }))).await
        }
        Kind::PayloadTooLarge => send_json(&admin, Method::POST, "/products", " ".repeat(LIMIT + 1)).await,
        Kind::UnsupportedMediaType => send(&admin, Method::POST, "/products", "text/plain", "{}").await,
        Kind::Validation => admin.post("/products", json!({})).await,
        Kind::IdempotencyKeyReused => {
            let mug = shop.product(2).await;
            customer.send_keyed(Method::POST, "/orders", "a", &order_of(&mug, 1)).await.expect(201);
            customer.send_keyed(Method::POST, "/orders", "a", &order_of(&mug, 2)).await
        }
        Kind::TooManyRequests => {
            let (email, password) = (customer.email.clone(), "not this one, surely");
            let wrong = json!({ "email": email, "password": password });
            for _ in 0..10 {
                anyone.post("/auth", wrong.clone()).await.problem(401, "unauthenticated");
            }
            anyone.post("/auth", json!({ "email": email, "password": PASSWORD })).await
        }
        Kind::Unavailable => {
            let branch = Branch::of(shop).await;
            branch.line(Line::Away(Code::Unavailable));
            let order = order_of(&shop.product(1).await, 1);
            let request = branch.request(&customer, Method::POST, "/orders");
            customer.outcome(request.json(&order)).await.unwrap()
        }
        Kind::Internal => panicked().await,
    }
}

/// No route of ours has a bug that could be told here: what a handler that panics comes to.
async fn panicked() -> Answer {
    #[expect(clippy::panic, reason = "it is what is tested")]
    async fn handler() -> Result<(), Error> {
        panic!("a bug")
    }
    static ROW: RouteSpec = RouteSpec::get("/", "panics").access(Access::Public);
    let router: Router =
        RouteTable::new().route(&ROW, handler).into_router((), Guard::public(Clock::system()));
    let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.into_response();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), LIMIT).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    Answer { request: "GET /".to_owned(), status, headers, body, base_path: BasePath::default() }
}
