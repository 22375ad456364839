//! Calls that declare stock: revisions, replays and late declarations; HTTP reaches none of them.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::time::Duration;

use futures::future::join_all;
use http::Method;
use proto::products::v1 as wire;
use proto::products::v1::product_service_client::ProductServiceClient;
use serde_json::{Value, json};
use shared::auth::{Caller, Role};
use shared::error::{Error, Kind};
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::in_process::InProcess;
use tests::shop::order_of;
use tonic::{Code, Status};

use crate::support::grpc::{by, channel, invalid, refused, to_products};

fn lines(lines: &[(&str, i64)]) -> Vec<wire::StockItem> {
    let line =
        |&(product, quantity): &(&str, i64)| wire::StockItem { product_id: product.to_owned(), quantity };
    lines.iter().map(line).collect()
}

/// One order's declarations.
#[derive(Clone)]
struct Declares {
    client: ProductServiceClient<Channel>,
    order_id: String,
}

impl Declares {
    fn new(shop: &InProcess) -> Self {
        Self { client: to_products(shop), order_id: OrderId::new().to_string() }
    }

    async fn holds(&self, revision: i64, of: &[(&str, i64)]) -> Result<Vec<wire::HeldProduct>, Status> {
        let request = wire::HoldStockRequest { order_id: self.order_id.clone(), revision, items: lines(of) };
        let answer = self.client.clone().hold_stock(by(Caller::System, request)).await?;
        Ok(answer.into_inner().products)
    }

    async fn ships(&self, revision: i64, of: &[(&str, i64)]) -> Result<(), Status> {
        let request = wire::ShipStockRequest { order_id: self.order_id.clone(), revision, items: lines(of) };
        self.client.clone().ship_stock(by(Caller::System, request)).await.map(|_| ())
    }

    async fn moves(&self, revision: i64, items: Vec<wire::MovedItem>) -> Result<(), Status> {
        let request = wire::MoveStockRequest { order_id: self.order_id.clone(), revision, items };
        self.client.clone().move_stock(by(Caller::System, request)).await.map(|_| ())
    }

    /// Reads the units, and the counts, that the hold has of a product.
    async fn has(&self, product: &str) -> (i64, Option<i64>, Option<i64>) {
        let request = wire::GetHoldsRequest { order_ids: vec![self.order_id.clone()] };
        let answer = self.client.clone().get_holds(by(Caller::System, request)).await.unwrap().into_inner();
        let hold = answer.holds.iter().find(|hold| hold.product_id == product).unwrap();
        (hold.quantity, hold.shipped, hold.restocked)
    }

    async fn restocks(&self, revision: i64, of: &[(&str, i64)]) -> Result<(), Status> {
        let request =
            wire::RestockReturnedRequest { order_id: self.order_id.clone(), revision, items: lines(of) };
        self.client.clone().restock_returned(by(Caller::System, request)).await.map(|_| ())
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, Status>) -> Code {
    answer.unwrap_err().code()
}

#[tokio::test]
async fn the_highest_revision_says_what_is_held() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(10).await, shop.product(10).await);
    let order = Declares::new(&shop);
    let both = [(pot.as_str(), 3), (&mug, 2)];
    let held = order.holds(1, &both).await.unwrap();
    // In the order of the lines, with what an order keeps of them.
    let named: Vec<&str> = held.iter().map(|product| product.product_id.as_str()).collect();
    assert_eq!(named, [&pot, &mug]);
    assert_eq!((held[0].name.as_str(), held[0].status.as_str()), ("Mug", "active"));
    assert_eq!(held[0].price.clone().unwrap().amount, 500);
    let stock = || async { [shop.stock(&mug).await, shop.stock(&pot).await] };
    assert_eq!(stock().await, [(10, 2, 8), (10, 3, 7)]);

    // A replay answers the same, and does nothing.
    assert_eq!(order.holds(1, &both).await.unwrap(), held);
    assert_eq!(stock().await, [(10, 2, 8), (10, 3, 7)]);
    // What is not named is free; revisions may leave gaps.
    order.holds(5, &[(&mug, 7)]).await.unwrap();
    assert_eq!(stock().await, [(10, 7, 3), (10, 0, 10)]);
    for late in 1..5 {
        assert_eq!(code(order.holds(late, &both).await), Code::Aborted);
        assert_eq!(code(order.ships(late, &both).await), Code::Aborted);
        assert_eq!(code(order.restocks(late, &both).await), Code::Aborted);
        assert_eq!(code(order.holds(late, &[]).await), Code::Aborted);
    }
    assert_eq!(stock().await, [(10, 7, 3), (10, 0, 10)]);
    // It ends, and what comes late cannot revive it.
    assert_eq!(order.holds(6, &[]).await.unwrap(), []);
    assert_eq!(order.holds(6, &[]).await.unwrap(), []);
    assert_eq!(code(order.holds(5, &[(&mug, 7)]).await), Code::Aborted);
    assert_eq!(stock().await, [(10, 0, 10), (10, 0, 10)]);
    // Another order is not concerned.
    Declares::new(&shop).holds(1, &[(&mug, 10)]).await.unwrap();
    assert_eq!(stock().await, [(10, 10, 0), (10, 0, 10)]);
}

#[tokio::test]
async fn a_hold_that_never_was_can_end() {
    let shop = InProcess::open().await;
    let order = Declares::new(&shop);
    assert_eq!(order.holds(2, &[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_replay_answers_the_same_whatever_became_of_the_product() {
    let shop = InProcess::open().await;
    let mug = shop.product(2).await;
    let order = Declares::new(&shop);
    order.holds(1, &[(&mug, 2)]).await.unwrap();
    shop.admin().put(&format!("/products/{mug}"), json!({ "status": "archived" })).await.expect(200);
    let again = order.holds(1, &[(&mug, 2)]).await.unwrap();
    assert_eq!(again.len(), 1);
    // A line that does not grow is never refused.
    order.holds(2, &[(&mug, 1)]).await.unwrap();
    assert_eq!(shop.stock(&mug).await, (2, 1, 1));
    let other = Declares::new(&shop).holds(1, &[(&mug, 1)]).await;
    assert_eq!(Error::from(other.unwrap_err()).errors()[0].pointer, "/items/0/product_id");
    order.ships(3, &[(&mug, 1)]).await.unwrap();
    order.restocks(4, &[(&mug, 1)]).await.unwrap();
    assert_eq!(shop.stock(&mug).await, (2, 0, 2));
}

#[tokio::test]
async fn a_shortage_leaves_everything_as_it_was() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(5).await, shop.product(5).await);
    let order = Declares::new(&shop);
    order.holds(1, &[(&mug, 4), (&pot, 1)]).await.unwrap();
    let refusal = order.holds(2, &[(&mug, 6), (&pot, 2)]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    let error = Error::from(refusal);
    assert_eq!(error.kind(), Kind::InsufficientStock);
    // What the order holds itself is available to it.
    let shortage = json!([{ "product_id": mug, "requested": 6, "available": 5 }]);
    assert_eq!(error.member("items"), Some(&shortage));
    assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], [(5, 4, 1), (5, 1, 4)]);
    // A refused revision is not taken: it can still be what another call says.
    order.holds(2, &[(&mug, 5)]).await.unwrap();
    assert_eq!([shop.stock(&mug).await, shop.stock(&pot).await], [(5, 5, 0), (5, 0, 5)]);
}

#[tokio::test]
async fn repeated_and_concurrent_shipping_and_restocking_happen_once() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(10).await, shop.product(10).await);
    let order = Declares::new(&shop);
    let both = [(mug.as_str(), 2), (pot.as_str(), 3)];
    let stock = || async { [shop.stock(&mug).await, shop.stock(&pot).await] };
    for answer in join_all((0..12).map(|_| order.holds(1, &both))).await {
        answer.unwrap();
    }
    assert_eq!(stock().await, [(10, 2, 8), (10, 3, 7)]);
    for answer in join_all((0..12).map(|_| order.ships(3, &both))).await {
        answer.unwrap();
    }
    assert_eq!(stock().await, [(8, 0, 8), (7, 0, 7)]);
    assert_eq!(code(order.holds(1, &both).await), Code::Aborted);
    for answer in join_all((0..12).map(|_| order.restocks(5, &both))).await {
        answer.unwrap();
    }
    order.restocks(5, &both).await.unwrap();
    assert_eq!(code(order.ships(3, &both).await), Code::Aborted);
    assert_eq!(stock().await, [(10, 0, 10), (10, 0, 10)]);
}

fn part(product: &str, held: i64, shipped: i64, restocked: i64) -> wire::MovedItem {
    wire::MovedItem { product_id: product.to_owned(), held, shipped, restocked, ..wire::MovedItem::default() }
}

#[tokio::test]
async fn parts_are_moved_by_their_totals_and_once() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(10).await, shop.product(10).await);
    let order = Declares::new(&shop);
    let stock = || async { [shop.stock(&mug).await, shop.stock(&pot).await] };
    order.holds(1, &[(&mug, 3), (&pot, 2)]).await.unwrap();
    assert_eq!(order.has(&mug).await, (3, None, None));
    let all = [
        // One is shipped, all of the mugs are, one comes back, and one was not sent after all.
        (3, part(&mug, 2, 1, 0), part(&pot, 2, 0, 0), [(9, 2, 7), (10, 2, 8)]),
        (4, part(&mug, 0, 3, 0), part(&pot, 1, 1, 0), [(7, 0, 7), (9, 1, 8)]),
        (6, part(&mug, 0, 3, 1), part(&pot, 1, 1, 0), [(8, 0, 8), (9, 1, 8)]),
        (7, part(&mug, 1, 2, 1), part(&pot, 0, 1, 0), [(9, 1, 8), (9, 0, 9)]),
    ];
    for (revision, of_mug, of_pot, expected) in all {
        let parts = vec![of_mug.clone(), of_pot];
        for answer in join_all((0..6).map(|_| order.moves(revision, parts.clone()))).await {
            answer.unwrap();
        }
        assert_eq!(stock().await, expected, "{revision}");
        assert_eq!(code(order.moves(revision - 1, parts.clone()).await), Code::Aborted);
        let counts = (of_mug.held, Some(of_mug.shipped), Some(of_mug.restocked));
        assert_eq!(order.has(&mug).await, counts);
    }
    // A hold keeps the counts, and moves nothing.
    order.holds(8, &[]).await.unwrap();
    assert_eq!(order.has(&mug).await, (0, Some(2), Some(1)));
    assert_eq!(stock().await, [(9, 0, 9), (9, 0, 9)]);
    let ledger = shop.admin().get(&format!("/products/{mug}/stock/movements")).await.expect(200);
    let reasons: Vec<_> = ledger["data"].as_array().unwrap().iter().map(|it| &it["reason"]).collect();
    assert_eq!(reasons, ["unshipped", "returned", "shipped", "shipped", "initial"]);
}

#[tokio::test]
async fn counts_from_before_stand_for_those_that_are_gone() {
    let shop = InProcess::open().await;
    let mug = shop.product(7).await;
    let order = Declares::new(&shop);
    let now = wire::MovedItem { shipped_before: 3, restocked_before: 1, ..part(&mug, 0, 3, 2) };
    order.moves(9, vec![now]).await.unwrap();
    assert_eq!(shop.stock(&mug).await, (8, 0, 8));
    assert_eq!(order.has(&mug).await, (0, Some(3), Some(2)));
}

#[tokio::test]
async fn a_move_of_more_than_there_is_is_refused_as_a_hold_is() {
    let shop = InProcess::open().await;
    let mug = shop.product(3).await;
    let order = Declares::new(&shop);
    order.holds(1, &[(&mug, 2)]).await.unwrap();
    let refusal = order.moves(2, vec![part(&mug, 3, 1, 0)]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert_eq!(Error::from(refusal).kind(), Kind::InsufficientStock);
    // A product that does not exist cannot have been shipped.
    let unknown = ProductId::new().to_string();
    assert_eq!(code(order.moves(2, vec![part(&unknown, 0, 1, 0)]).await), Code::Internal);
    assert_eq!(shop.stock(&mug).await, (3, 2, 1));
}

#[tokio::test]
async fn a_move_that_makes_no_sense_is_an_invalid_argument() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let order = Declares::new(&shop);
    let below = wire::MovedItem {
        product_id: "x".to_owned(),
        held: -1,
        shipped: -1,
        restocked: -1,
        shipped_before: -1,
        restocked_before: i64::MIN,
    };
    let fields = ["held", "shipped", "restocked", "shipped_before", "restocked_before", "product_id"];
    let pointers = fields.map(|field| format!("/items/0/{field}"));
    let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
    let twice = vec![part(&mug, 1, 0, 0), part(&mug, 0, 1, 0)];
    for (revision, items, pointers) in [
        (1, vec![below], pointers),
        (1, twice, vec!["/items/1/product_id"]),
        (0, vec![part(&mug, 1, 0, 0)], vec!["/revision"]),
    ] {
        let answer = order.moves(revision, items).await;
        assert_eq!(refused(answer.map(tonic::Response::new)), invalid(&pointers));
    }
    let with_order = Declares { order_id: "x".to_owned(), ..order.clone() };
    let answer = with_order.moves(1, vec![part(&mug, 1, 0, 0)]).await;
    assert_eq!(refused(answer.map(tonic::Response::new)), invalid(&["/order_id"]));
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    // Of what is huge there is not enough, and nothing overflows.
    let huge = part(&mug, i64::MAX, i64::MAX, i64::MAX);
    assert_eq!(code(order.moves(1, vec![huge]).await), Code::FailedPrecondition);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn nobody_but_a_function_moves_stock() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let order = Declares::new(&shop);
    order.holds(1, &[(&mug, 2)]).await.unwrap();
    let mut people = vec![Caller::Anonymous];
    for role in Role::ALL {
        people.push(Caller::User { id: UserId::new(), role });
    }
    for person in people {
        let items = vec![part(&mug, 0, 2, 0)];
        let request = wire::MoveStockRequest { order_id: order.order_id.clone(), revision: 2, items };
        let answer = order.client.clone().move_stock(by(person, request)).await;
        assert_eq!(answer.unwrap_err().code(), Code::PermissionDenied, "{person:?}");
    }
    assert_eq!(shop.stock(&mug).await, (10, 2, 8));
}

#[tokio::test]
async fn a_restock_leaves_its_mark_also_where_no_entry_is_left() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let order = Declares::new(&shop);
    for _ in 0..3 {
        order.restocks(5, &[(&mug, 2)]).await.unwrap();
        assert_eq!(shop.stock(&mug).await, (12, 0, 12));
    }
}

#[tokio::test]
async fn a_fold_between_declarations_changes_nothing() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(10).await, shop.product(10).await);
    let stock = || async { [shop.stock(&mug).await, shop.stock(&pot).await] };
    let clock = Clock::system();
    let fold = async || shop.fold(&clock).await.unwrap();
    for lines in [&[(mug.as_str(), 2)][..], &[(mug.as_str(), 2), (pot.as_str(), 3)]] {
        let (order, before) = (Declares::new(&shop), stock().await);
        let held = order.holds(1, lines).await.unwrap();
        fold().await;
        assert_eq!(order.holds(1, lines).await.unwrap(), held);
        order.holds(2, &lines[..1]).await.unwrap();
        fold().await;
        assert_eq!(code(order.holds(1, lines).await), Code::Aborted);
        assert_eq!(stock().await[0], (10, 2, 8));
        for _ in 0..2 {
            order.ships(3, &lines[..1]).await.unwrap();
            fold().await;
        }
        assert_eq!(stock().await[0], (8, 0, 8));
        assert_eq!(code(order.holds(2, lines).await), Code::Aborted);
        for _ in 0..2 {
            order.restocks(4, &lines[..1]).await.unwrap();
            fold().await;
        }
        assert_eq!(code(order.ships(3, lines).await), Code::Aborted);
        assert_eq!(stock().await, before);
    }
}

#[tokio::test]
async fn more_orders_than_a_journal_keeps_marks_of_are_held_once() {
    let shop = InProcess::open().await;
    let mug = shop.product(1_000).await;
    let one = [(mug.as_str(), 1)];
    let orders: Vec<Declares> = (0..300).map(|_| Declares::new(&shop)).collect();
    for repeat in 0..2 {
        for some in orders.chunks(50) {
            for held in join_all(some.iter().map(|order| order.holds(1, &one))).await {
                assert_eq!(held.unwrap().len(), 1, "{repeat}");
            }
        }
        assert_eq!(shop.stock(&mug).await, (1_000, 300, 700));
    }
    for some in orders.chunks(50) {
        for ended in join_all(some.iter().map(|order| order.holds(2, &[]))).await {
            assert_eq!(ended.unwrap(), []);
        }
    }
    assert_eq!(shop.stock(&mug).await, (1_000, 0, 1_000));
}

#[tokio::test]
async fn what_is_not_there_cannot_be_shipped() {
    let shop = InProcess::open().await;
    let mug = shop.product(3).await;
    shop.customer().await.orders(&[(&mug, 3)]).await.expect(201);
    // Another order's pieces: never held by this one. A bug of the caller, and no wrong stock.
    let order = Declares::new(&shop);
    assert_eq!(code(order.ships(2, &[(&mug, 1)]).await), Code::Internal);
    assert_eq!(code(order.ships(2, &[(&ProductId::new().to_string(), 1)]).await), Code::Internal);
    assert_eq!(shop.stock(&mug).await, (3, 3, 0));
}

#[tokio::test]
async fn a_declaration_that_makes_no_sense_is_an_invalid_argument() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let with_order = |order_id: &str| Declares { order_id: order_id.to_owned(), ..Declares::new(&shop) };
    let good = with_order(&OrderId::new().to_string());
    let other_kind = ProductId::new().to_string();
    let mut cases = Vec::new();
    for order_id in ["", "x", &other_kind, "order_", "order_\0"] {
        cases.push((with_order(order_id), 1, vec![(mug.as_str(), 1)], vec!["/order_id"]));
    }
    for revision in [0, -1, i64::MIN] {
        cases.push((good.clone(), revision, vec![(mug.as_str(), 1)], vec!["/revision"]));
    }
    for quantity in [0, -1, i64::MIN] {
        cases.push((good.clone(), 1, vec![(mug.as_str(), quantity)], vec!["/items/0/quantity"]));
    }
    for product in ["", "x", &good.order_id] {
        cases.push((good.clone(), 1, vec![(mug.as_str(), 1), (product, 1)], vec!["/items/1/product_id"]));
    }
    cases.push((good.clone(), 1, vec![(&mug, 1), (&mug, 2)], vec!["/items/1/product_id"]));
    let all = vec!["/order_id", "/revision", "/items/0/quantity", "/items/0/product_id"];
    cases.push((with_order("x"), 0, vec![("x", 0)], all));
    for (order, revision, of, pointers) in cases {
        let answered = |answer: Result<(), Status>| refused(answer.map(tonic::Response::new));
        assert_eq!(answered(order.holds(revision, &of).await.map(|_| ())), invalid(&pointers));
        assert_eq!(answered(order.ships(revision, &of).await), invalid(&pointers));
        assert_eq!(answered(order.restocks(revision, &of).await), invalid(&pointers));
    }
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    // Of what is huge there is not enough, and nothing overflows.
    assert_eq!(code(good.holds(1, &[(&mug, i64::MAX)]).await), Code::FailedPrecondition);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
}

#[tokio::test]
async fn a_call_after_its_deadline_does_nothing() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let now = Clock::system().now();
    let context = Context::new(Caller::System, now);
    let order_id = OrderId::new().to_string();
    let request =
        || wire::HoldStockRequest { order_id: order_id.clone(), revision: 1, items: lines(&[(&mug, 1)]) };
    let late = to_products(&shop).hold_stock(metadata::request(request(), &context)).await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    // The callee refuses as well, whatever the caller's clock says.
    let slow = Clock::from_fn(move || shared::values::clock::Timestamp::from_millis(now.millis() - 60_000));
    let products = std::sync::Arc::new(shop.backend.products.rpc.clone());
    let mut client = ProductServiceClient::new(Channel::new(products, slow));
    let late = client.hold_stock(metadata::request(request(), &context)).await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    let deadline = now.after(Duration::from_secs(20));
    client.hold_stock(metadata::request(request(), &Context { deadline, ..context })).await.unwrap();
}

#[tokio::test]
async fn a_function_answers_no_calls_of_another_ones_service() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let mut client = ProductServiceClient::new(channel(shop.backend.orders.rpc.clone()));
    let request = wire::HoldStockRequest {
        order_id: OrderId::new().to_string(),
        revision: 1,
        items: lines(&[(&mug, 1)]),
    };
    let answer = client.hold_stock(by(Caller::System, request)).await;
    assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn no_client_can_send_what_is_taken_for_a_call() {
    let shop = InProcess::open().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    // Just what a function would be sent.
    let envelope = |path: &str| json!({ "grpc": { "path": path, "headers": [["oms-caller", "system"]], "body": "AAAAAAA=" } });
    let hold = "/oms.products.v1.ProductService/HoldStock";
    for path in [hold, "/oms.orders.v1.OrderService/ListOrders", "/oms.users.v1.UserService/ListUsers"] {
        let body = envelope(path);
        for route in ["/orders", "/products", "/users", "/auth"] {
            shop.admin().post(route, body.clone()).await.faults_at(&["/grpc"]);
        }
        ada.post("/orders", body.clone()).await.faults_at(&["/grpc"]);
        shop.anyone().post("/orders", body.clone()).await.problem(401, "unauthenticated");
        // Beside what is allowed it is an unknown field.
        let mut order = order_of(&mug, 1);
        order["grpc"] = body["grpc"].clone();
        ada.post("/orders", order).await.faults_at(&["/grpc"]);
        for person in [&shop.anyone(), &ada, &shop.admin()] {
            for content_type in ["application/grpc", "application/grpc+proto", "application/json"] {
                let request = person.request(Method::POST, path).header("content-type", content_type);
                person.answer(request.body(body.to_string())).await.problem(404, "not-found");
                let request = person.request(Method::POST, path).header("content-type", content_type);
                person.answer(request.body(vec![0_u8; 5])).await.problem(404, "not-found");
            }
        }
    }
    let request = ada.request(Method::POST, "/orders").header("content-type", "application/grpc");
    ada.answer(request.body(vec![0_u8; 5])).await.problem(415, "unsupported-media-type");
    // Who calls is what the token says, and no header.
    let request =
        ada.request(Method::GET, "/users").header("oms-caller", "system").header("oms-caller-role", "admin");
    ada.answer(request).await.problem(403, "forbidden");
    let request = shop.anyone().request(Method::GET, "/orders").header("oms-caller", "system");
    shop.anyone().answer(request).await.problem(401, "unauthenticated");
    assert_eq!(shop.stock(&mug).await, (10, 0, 10));
    assert_eq!(ada.get("/orders").await.expect(200)["data"], Value::Array(Vec::new()));
}
