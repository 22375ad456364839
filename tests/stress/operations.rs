//! The operations whose commands fail: what each needs, does, and leaves.

use std::sync::Arc;

use http::Method;
use mongodb::bson::{Document, doc};
use proto::products::v1 as wire;
use proto::products::v1::product_service_client::ProductServiceClient;
use serde_json::{Value, json};
use shared::auth::{Caller, Role};
use shared::mongo;
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{Person, address, to};
use tonic::Code;

use crate::recovery;

/// Units of each product on hand at first.
const STOCK: i64 = 10;

/// An operation on orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    PlaceOneLine,
    PlaceThreeLines,
    ChangeItems,
    Cancel,
    Ship,
    ShipUnits,
    CancelFulfillment,
    CancelUnits,
    Return,
    Receive,
    Reconcile,
}

pub(crate) const OPERATIONS: [Operation; 11] = [
    Operation::PlaceOneLine,
    Operation::PlaceThreeLines,
    Operation::ChangeItems,
    Operation::Cancel,
    Operation::Ship,
    Operation::ShipUnits,
    Operation::CancelFulfillment,
    Operation::CancelUnits,
    Operation::Return,
    Operation::Receive,
    Operation::Reconcile,
];

/// Answer to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It is done: of this order, if it is about one.
    Done(Option<String>),
    /// 503: it may be done or not.
    Unknown,
    /// Undocumented answer.
    Wrong(String),
}

/// An operation that can be done, on products and an order of its own.
pub(crate) struct Prepared {
    operation: Operation,
    person: Person,
    products: Vec<String>,
    order: Option<String>,
    /// One unit of the order's first item, as a body has it.
    unit: Value,
    /// The fulfillment or the return that it is about; empty without.
    part: String,
    key: String,
}

/// On hand and reserved of a product.
type Stock = (i64, i64);

impl Operation {
    /// The stock of its products before, and after.
    fn stock(self) -> (Vec<Stock>, Vec<Stock>) {
        match self {
            Self::PlaceOneLine => (vec![(10, 0)], vec![(10, 2)]),
            Self::PlaceThreeLines => (vec![(10, 0); 3], vec![(10, 2); 3]),
            Self::ChangeItems => (vec![(10, 2), (10, 0)], vec![(10, 1), (10, 3)]),
            Self::Cancel => (vec![(10, 2); 2], vec![(10, 0); 2]),
            Self::Ship => (vec![(10, 2); 2], vec![(8, 0); 2]),
            Self::ShipUnits => (vec![(10, 2); 2], vec![(9, 1), (10, 2)]),
            Self::CancelFulfillment => (vec![(9, 1), (10, 2)], vec![(10, 2); 2]),
            Self::CancelUnits => (vec![(10, 2); 2], vec![(10, 1), (10, 2)]),
            Self::Return => (vec![(8, 0); 2], vec![(10, 0); 2]),
            Self::Receive => (vec![(9, 1), (10, 2)], vec![(10, 1), (10, 2)]),
            // It is healed whatever is answered.
            Self::Reconcile => (vec![(10, 0), (10, 0), (10, 2)], vec![(10, 0), (10, 0), (10, 2)]),
        }
    }

    /// Number of products in the order at first, two pieces each.
    fn lines(self) -> usize {
        match self {
            Self::PlaceOneLine | Self::PlaceThreeLines | Self::Reconcile => 0,
            Self::ChangeItems => 1,
            Self::Cancel
            | Self::Ship
            | Self::ShipUnits
            | Self::CancelFulfillment
            | Self::CancelUnits
            | Self::Return
            | Self::Receive => 2,
        }
    }

    /// Makes what it needs.
    pub(crate) async fn prepare(self, shop: &InProcess) -> Prepared {
        let mut products = Vec::new();
        for _ in self.stock().0 {
            products.push(shop.product(STOCK).await);
        }
        let person = shop.people(Role::Staff, 1).remove(0);
        let lines: Vec<(&str, i64)> =
            products.iter().take(self.lines()).map(|product| (product.as_str(), 2)).collect();
        let placed = match lines.len() {
            0 => None,
            _ => Some(person.orders(&lines).await.expect(201)),
        };
        let item = placed.as_ref().map(|order| order["items"][0]["id"].clone()).unwrap_or_default();
        let unit = json!({ "items": [{ "id": item, "quantity": 1 }] });
        let order = placed.as_ref().map(Answer::id);
        let steps: &[&str] = match self {
            Self::Ship | Self::ShipUnits | Self::CancelFulfillment | Self::Receive => &["paid"],
            Self::Return => &["paid", "shipped", "delivered"],
            _ => &[],
        };
        for step in steps {
            person.moves(order.as_deref().unwrap(), step).await.expect(200);
        }
        let lists: &[&str] = match self {
            Self::CancelFulfillment => &["fulfillments"],
            Self::Receive => &["fulfillments", "returns"],
            _ => &[],
        };
        let mut part = String::new();
        for list in lists {
            let path = format!("/orders/{}/{list}", order.as_deref().unwrap());
            part = person.post(&path, unit.clone()).await.expect(201).id();
        }
        if self == Self::Reconcile {
            leave_work(shop, &person, &products).await;
        }
        let key = OrderId::new().to_string();
        Prepared { operation: self, person, products, order, unit, part, key }
    }
}

impl Prepared {
    /// Does it, or does it again.
    pub(crate) async fn act(&self, shop: &InProcess) -> Answered {
        let (method, path, body) = match (self.operation, &self.order) {
            (Operation::Reconcile, _) => {
                return match recovery::reconciles(shop).await {
                    Ok(_) => Answered::Done(None),
                    Err(status) if status.code() == Code::Unavailable => Answered::Unknown,
                    Err(status) => Answered::Wrong(status.to_string()),
                };
            }
            (Operation::ShipUnits, Some(order)) => {
                (Method::POST, format!("/orders/{order}/fulfillments"), self.unit.clone())
            }
            (Operation::CancelUnits, Some(order)) => {
                (Method::POST, format!("/orders/{order}/cancellations"), self.unit.clone())
            }
            (Operation::CancelFulfillment, Some(order)) => {
                (Method::PUT, format!("/orders/{order}/fulfillments/{}", self.part), to("cancelled"))
            }
            (Operation::Receive, Some(order)) => {
                let item = json!({ "id": self.unit["items"][0]["id"], "received": 1, "restocked": 1 });
                let body = json!({ "status": "received", "items": [item] });
                (Method::PUT, format!("/orders/{order}/returns/{}", self.part), body)
            }
            (operation, Some(order)) => (Method::PUT, format!("/orders/{order}"), self.change(operation)),
            (_, None) => (Method::POST, "/orders".to_owned(), self.body(&vec![2; self.products.len()])),
        };
        let request = self.person.request(method, &path).header("idempotency-key", &self.key);
        let answer = match self.person.outcome(request.json(&body)).await {
            Ok(answer) => answer,
            Err(lost) => return Answered::Wrong(lost),
        };
        match answer.status.as_u16() {
            200 | 201 => Answered::Done(Some(answer.id())),
            // Whether it has the form of a problem, and Retry-After, is looked at there.
            503 => {
                answer.problem(503, "unavailable");
                Answered::Unknown
            }
            status => Answered::Wrong(format!("{status}: {:#}", answer.body)),
        }
    }

    fn change(&self, operation: Operation) -> Value {
        match operation {
            Operation::ChangeItems => json!({ "items": self.body(&[1, 3])["items"] }),
            Operation::Ship => to("shipped"),
            Operation::Return => json!({ "status": "returned", "restock": true }),
            _ => to("cancelled"),
        }
    }

    fn body(&self, quantities: &[i64]) -> Value {
        let lines = self.products.iter().zip(quantities);
        let items: Vec<Value> =
            lines.map(|(product, count)| json!({ "product_id": product, "quantity": count })).collect();
        json!({ "items": items, "shipping_address": address() })
    }

    /// What is wrong with what is on disk, once all is healed: after it is known to be done, or while it may be.
    pub(crate) async fn faults_on_disk(&self, shop: &InProcess, is_done: bool) -> Vec<String> {
        let mut found = Vec::new();
        let mut stock = Vec::new();
        for product in &self.products {
            let (on_hand, reserved, _) = shop.stock(product).await;
            stock.push((on_hand, reserved));
        }
        let (before, after) = self.operation.stock();
        if stock != after && (is_done || stock != before) {
            found.push(format!("the stock is {stock:?}, done: {is_done}"));
        }
        if self.operation.lines() == 0 && self.operation != Operation::Reconcile {
            let orders = shop.database.collection::<Document>("orders");
            let placed = doc! { "placed_under.key": &self.key, "status": "placed" };
            let count = orders.count_documents(placed).await.unwrap();
            if count > 1 || count == 0 && is_done {
                found.push(format!("{count} orders under the key, done: {is_done}"));
            }
        }
        found
    }
}

/// What crashes leave: a hold without an order, a decision whose task was not done, and a change of items that
/// nobody finishes.
async fn leave_work(shop: &InProcess, person: &Person, products: &[String]) {
    let channel = Channel::new(Arc::new(shop.backend.products.rpc.clone()), Clock::system());
    let deadline = Clock::system().now().after(std::time::Duration::from_secs(10));
    let line = wire::StockItem { product_id: products[0].clone(), quantity: 2 };
    let hold =
        wire::HoldStockRequest { order_id: OrderId::new().to_string(), revision: 1, items: vec![line] };
    let hold = metadata::request(hold, &Context::new(Caller::System, deadline));
    ProductServiceClient::new(channel).hold_stock(hold).await.unwrap();

    let orders = shop.database.collection::<Document>("orders");
    let task = doc! { "revision": 2_i64, "kind": "release" };
    let cancelled = doc! { "status": "cancelled", "expires_at": null, "version": 2_i64, "tasks": [task] };
    let changing = doc! { "changing": true, "version": 2_i64 };
    for (product, left) in [(&products[1], cancelled), (&products[2], changing)] {
        let order: OrderId = person.orders(&[(product, 2)]).await.expect(201).id().parse().unwrap();
        let order = doc! { "_id": mongo::uuid(order) };
        orders.update_one(order, doc! { "$set": left }).await.unwrap();
    }
    recovery::a_while_goes_by(shop, &shop.database).await;
}
