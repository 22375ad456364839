//! Orders: what becomes of them when the products function is away, or answers nothing that helps.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use mongodb::bson::{self, Document, doc};
use serde_json::{Value, json};
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::server::RpcServer;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;
use tests::person::{Person, to};
use tests::shop::{InProcess, Shop, order_of};
use tokio::net::TcpListener;
use tonic::{Code, Status};

/// What becomes of the calls to the products function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    /// They arrive, and are answered.
    Works,
    /// They never arrive.
    Away(Code),
    /// They arrive and are done, and the answer is lost.
    AnswerLost,
    /// That happens to the next call alone.
    NextAnswerLost,
}

/// The products function at the end of a line that a test can cut.
struct Cut {
    products: RpcServer,
    line: Mutex<Line>,
    /// The methods that were called and have arrived.
    arrived: Mutex<Vec<String>>,
}

impl Invoke for Cut {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let line = *self.line.lock().unwrap();
        if let Line::NextAnswerLost = line {
            *self.line.lock().unwrap() = Line::Works;
        }
        if let Line::Away(code) = line {
            return Box::pin(async move { Err(Status::new(code, "10.0.0.7 refused the connection")) });
        }
        let call: Value = serde_json::from_slice(&payload).unwrap();
        let path = call["grpc"]["path"].as_str().unwrap();
        self.arrived.lock().unwrap().push(path.rsplit('/').next().unwrap().to_owned());
        let answer = self.products.invoke(payload);
        Box::pin(async move {
            let answer = answer.await?;
            match line {
                Line::AnswerLost | Line::NextAnswerLost => {
                    Err(Status::unavailable("the connection broke off"))
                }
                Line::Works | Line::Away(_) => Ok(answer),
            }
        })
    }
}

/// An orders function of its own over the shop's database, and its line to the products function.
pub(crate) struct Branch {
    cut: Arc<Cut>,
    base: String,
    http: reqwest::Client,
}

impl Branch {
    pub(crate) async fn of(shop: &InProcess) -> Self {
        Self::with_clock(shop, Clock::system()).await
    }

    pub(crate) async fn with_clock(shop: &InProcess, clock: Clock) -> Self {
        let cut = Arc::new(Cut {
            products: shop.backend.products.rpc.clone(),
            line: Mutex::new(Line::Works),
            arrived: Mutex::new(Vec::new()),
        });
        let app = orders::app(orders::Dependencies {
            database: shop.database.clone(),
            products: Channel::new(cut.clone(), clock.clone()),
            users: Channel::new(Arc::new(shop.backend.users.rpc.clone()), clock.clone()),
            payment_window: orders::DEFAULT_PAYMENT_WINDOW,
            clock,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, app.router)));
        Self { cut, base, http: reqwest::Client::new() }
    }

    pub(crate) fn line(&self, line: Line) {
        *self.cut.line.lock().unwrap() = line;
        self.cut.arrived.lock().unwrap().clear();
    }

    /// The methods that have arrived since the line last changed.
    pub(crate) fn arrived(&self) -> Vec<String> {
        self.cut.arrived.lock().unwrap().clone()
    }

    /// Not by way of [`Person::answer`], which takes a 5xx for a bug: here it is what is tested.
    pub(crate) async fn send(
        &self,
        person: &Person,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, HeaderMap, Value) {
        let answer = self.request(person, method, path).json(&body).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, answer.json().await.unwrap())
    }

    /// A request of which a test wants to say more.
    pub(crate) fn request(&self, person: &Person, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.bearer_auth(person.token.as_deref().unwrap_or_default())
    }

    /// A change that must be answered with 200 and this status.
    async fn moves(&self, staff: &Person, order: &str, status: &str, body: Value) {
        let (code, _, answer) = self.send(staff, Method::PUT, &format!("/orders/{order}"), body).await;
        assert_eq!((code, answer["status"].as_str()), (200, Some(status)), "{answer:#}");
    }
}

/// What is left to be done for an order, on disk.
async fn tasks(shop: &InProcess, order: &str) -> Vec<(i64, String)> {
    let id: OrderId = order.parse().unwrap();
    let id = bson::Uuid::from_bytes(id.uuid().into_bytes());
    let orders = shop.database.collection::<Document>("orders");
    let found = orders.find_one(doc! { "_id": id }).await.unwrap().unwrap();
    let task = |task: &bson::Bson| {
        let task = task.as_document().unwrap();
        (task.get_i64("revision").unwrap(), task.get_str("kind").unwrap().to_owned())
    };
    found.get_array("tasks").unwrap().iter().map(task).collect()
}

async fn count(shop: &InProcess) -> u64 {
    shop.database.collection::<Document>("orders").count_documents(doc! {}).await.unwrap()
}

#[tokio::test]
async fn without_the_products_function_nothing_is_ordered_and_the_client_may_try_again() {
    let shop = Shop::open_in_process().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::ResourceExhausted] {
        branch.line(Line::Away(code));
        let (status, headers, problem) =
            branch.send(&staff, Method::POST, "/orders", order_of(&mug, 1)).await;
        assert_eq!((status, problem["type"].as_str()), (503, Some("/problems/unavailable")), "{code:?}");
        assert!(headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(problem["request_id"], headers["x-request-id"].to_str().unwrap());
        // No word of what is behind.
        assert!(!problem.to_string().contains("10.0.0.7"), "{problem:#}");
    }
    assert_eq!(count(&shop).await, 0);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));

    // The stock may be held by then, but there is no order.
    branch.line(Line::AnswerLost);
    let (status, ..) = branch.send(&staff, Method::POST, "/orders", order_of(&mug, 1)).await;
    assert_eq!((status, count(&shop).await), (503, 0));
    branch.line(Line::Works);
    let (status, ..) = branch.send(&staff, Method::POST, "/orders", order_of(&mug, 1)).await;
    assert_eq!((status, count(&shop).await), (201, 1));
}

#[tokio::test]
async fn a_bug_of_the_products_function_is_ours_and_not_the_clients() {
    let shop = Shop::open_in_process().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    branch.line(Line::Away(Code::Internal));
    let (status, headers, problem) = branch.send(&staff, Method::POST, "/orders", order_of(&mug, 1)).await;
    assert_eq!((status, problem["type"].as_str()), (500, Some("/problems/internal")));
    assert!(!headers.contains_key("retry-after"));
    assert!(!problem.to_string().contains("10.0.0.7"), "{problem:#}");
    assert_eq!(count(&shop).await, 0);
}

#[tokio::test]
async fn a_cancelled_order_is_cancelled_and_its_stock_is_freed_with_the_next_change() {
    let shop = Shop::open_in_process().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    for code in
        [Code::Unavailable, Code::DeadlineExceeded, Code::Internal, Code::InvalidArgument, Code::Unknown]
    {
        branch.line(Line::Works);
        let order = staff.orders(&[(&mug, 2)]).await.expect(201).id();
        branch.line(Line::Away(code));
        branch.moves(&staff, &order, "cancelled", json!({ "status": "cancelled" })).await;
        assert_eq!(tasks(&shop, &order).await, [(2, "release".to_owned())]);
        assert_eq!(shop.stock(&mug).await, (10, 2, 8));
        // A change while it is still away leaves the task, once.
        branch.moves(&staff, &order, "cancelled", json!({ "note": "really" })).await;
        assert_eq!(tasks(&shop, &order).await, [(2, "release".to_owned())]);
        let seen = staff.get(&format!("/orders/{order}")).await.expect(200);
        assert_eq!((&seen["status"], &seen["version"]), (&json!("cancelled"), &json!(3)));

        branch.line(Line::Works);
        branch.moves(&staff, &order, "cancelled", json!({ "note": "really cancelled" })).await;
        assert_eq!(branch.arrived(), ["HoldStock"]);
        assert_eq!(tasks(&shop, &order).await, []);
        assert_eq!(shop.stock(&mug).await, (10, 0, 10));
        // Nothing is left for the change after it.
        branch.moves(&staff, &order, "cancelled", json!({ "note": "and done" })).await;
        assert_eq!(branch.arrived(), ["HoldStock"]);
    }
}

#[tokio::test]
async fn what_is_left_is_done_in_the_order_of_the_decisions() {
    let shop = Shop::open_in_process().await;
    let branch = Branch::of(&shop).await;
    let (mug, pot, staff) = (shop.product(10).await, shop.product(10).await, shop.staff().await);
    let order = staff.orders(&[(&mug, 2), (&pot, 3)]).await.expect(201).id();
    staff.moves(&order, "paid").await.expect(200);
    branch.line(Line::Away(Code::Unavailable));
    branch.moves(&staff, &order, "shipped", to("shipped")).await;
    branch.moves(&staff, &order, "delivered", to("delivered")).await;
    let restock = json!({ "status": "returned", "restock": true });
    branch.moves(&staff, &order, "returned", restock).await;
    assert_eq!(tasks(&shop, &order).await, [(3, "ship".to_owned()), (5, "restock".to_owned())]);
    assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], [(10, 2, 8), (10, 3, 7)]);

    branch.line(Line::Works);
    branch.moves(&staff, &order, "refunded", to("refunded")).await;
    assert_eq!(branch.arrived(), ["ShipStock", "RestockReturned"]);
    assert_eq!(tasks(&shop, &order).await, []);
    // Off the hand and back again; held no more.
    assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], [(10, 0, 10), (10, 0, 10)]);
    assert_eq!(staff.get(&format!("/orders/{order}")).await["version"], 6);
}

#[tokio::test]
async fn what_is_done_while_its_answer_is_lost_is_not_done_twice() {
    let shop = Shop::open_in_process().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    let order = staff.orders(&[(&mug, 3)]).await.expect(201).id();
    staff.moves(&order, "paid").await.expect(200);
    branch.line(Line::AnswerLost);
    branch.moves(&staff, &order, "shipped", to("shipped")).await;
    // Only idempotent calls may be sent again, and this one is.
    assert!(branch.arrived().iter().all(|call| call == "ShipStock"));
    assert_eq!(tasks(&shop, &order).await, [(3, "ship".to_owned())]);
    assert_eq!(shop.stock(&mug).await, (7, 0, 7));
    branch.moves(&staff, &order, "delivered", to("delivered")).await;
    assert_eq!(shop.stock(&mug).await, (7, 0, 7));

    let restock = json!({ "status": "returned", "restock": true });
    branch.moves(&staff, &order, "returned", restock).await;
    assert_eq!(tasks(&shop, &order).await.len(), 2);
    branch.line(Line::Works);
    branch.moves(&staff, &order, "refunded", to("refunded")).await;
    assert_eq!(tasks(&shop, &order).await, []);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_what_it_told_is_done_once() {
    let shop = Shop::open_in_process().await;
    let branch = Branch::of(&shop).await;
    let (mug, staff) = (shop.product(10).await, shop.staff().await);
    branch.line(Line::NextAnswerLost);
    let (status, _, order) = branch.send(&staff, Method::POST, "/orders", order_of(&mug, 3)).await;
    assert_eq!((status, branch.arrived()), (201, vec!["HoldStock".to_owned(); 2]), "{order:#}");
    assert_eq!(shop.stock(&mug).await, (10, 3, 7));

    let order = order["id"].as_str().unwrap();
    staff.moves(order, "paid").await.expect(200);
    branch.line(Line::NextAnswerLost);
    branch.moves(&staff, order, "shipped", to("shipped")).await;
    assert_eq!(branch.arrived(), ["ShipStock"; 2]);
    staff.moves(order, "delivered").await.expect(200);
    branch.line(Line::NextAnswerLost);
    let restock = json!({ "status": "returned", "restock": true });
    branch.moves(&staff, order, "returned", restock).await;
    assert_eq!(branch.arrived(), ["RestockReturned"; 2]);
    assert_eq!(tasks(&shop, order).await, []);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn what_needs_no_stock_is_answered_while_the_products_function_is_away() {
    let shop = Shop::open_in_process().await;
    let branch = Branch::of(&shop).await;
    let staff = shop.staff().await;
    let (_, order) = shop.order_in("placed").await;
    branch.line(Line::Away(Code::Unavailable));
    branch.moves(&staff, &order, "paid", to("paid")).await;
    branch.moves(&staff, &order, "paid", json!({ "note": "x" })).await;
    for path in ["/orders".to_owned(), format!("/orders/{order}")] {
        let (status, ..) = branch.send(&staff, Method::GET, &path, json!({})).await;
        assert_eq!(status, 200);
    }
    assert_eq!(tasks(&shop, &order).await, []);
}
