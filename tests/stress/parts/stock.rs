//! Comparison of the stock with all orders, when nothing is under way.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;
use shared::auth::Role;
use shared::mongo;
use shared::values::ids::OrderId;
use tests::in_process::InProcess;

use super::account::{left, list, number, sum_of};
use crate::backlog::stored;

/// Units of a product, over orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Units {
    held: i64,
    shipped: i64,
    restocked: i64,
}

/// All orders, as staff see them.
pub(super) async fn all_orders(shop: &InProcess) -> Vec<Value> {
    let staff = shop.people(Role::Staff, 1).remove(0);
    let (mut all, mut path) = (Vec::new(), "/orders?limit=100".to_owned());
    loop {
        let page = staff.get(&path).await.expect(200);
        all.extend_from_slice(page.data());
        let Some(cursor) = page["next_cursor"].as_str() else { return all };
        path = format!("/orders?limit=100&cursor={cursor}");
    }
}

/// Units of an item of an order.
fn units_of(order: &Value, item: &Value) -> Units {
    let holds = order["status"] == "placed" || order["status"] == "paid";
    let received = list(order, "returns").iter().filter(|it| it["status"] == "received");
    Units {
        held: if holds { left(item) } else { 0 },
        shipped: number(&item["shipped"]),
        restocked: sum_of(received, item, "restocked"),
    }
}

async fn documents(shop: &InProcess, collection: &str) -> Vec<Document> {
    let all = shop.database.collection::<Document>(collection);
    all.find(doc! {}).await.unwrap().try_collect().await.unwrap()
}

fn count(document: &Document, field: &str) -> i64 {
    document.get_i64(field).unwrap_or_default()
}

/// Products of which more is reserved than is on hand, or less than nothing.
pub(super) async fn beyond_bounds(shop: &InProcess) -> Vec<String> {
    let mut wrong = Vec::new();
    for stock in documents(shop, "stock").await {
        let (on_hand, reserved) = (count(&stock, "on_hand"), count(&stock, "reserved"));
        if !(0 <= reserved && reserved <= on_hand) {
            wrong.push(format!("{reserved} reserved of {on_hand}: {:?}", stock.get("_id")));
        }
    }
    wrong
}

/// Differences between the stock and what follows from all orders. As `reserved` is at most `on_hand`, no unit is sold
/// twice: all that is shipped or held was there, or came back.
pub(super) async fn violations(shop: &InProcess, orders: &[Value]) -> Vec<String> {
    let mut wrong = beyond_bounds(shop).await;
    let mut products: BTreeMap<&str, Units> = BTreeMap::new();
    for (order, item) in
        orders.iter().flat_map(|order| list(order, "items").iter().map(move |it| (order, it)))
    {
        let of_product = products.entry(item["product_id"].as_str().unwrap_or_default()).or_default();
        let Units { held, shipped, restocked } = units_of(order, item);
        of_product.held += held;
        of_product.shipped += shipped;
        of_product.restocked += restocked;
    }
    let (stocks, movements) = (documents(shop, "stock").await, documents(shop, "stock_movements").await);
    for (product, Units { held, shipped, restocked }) in products {
        let id = Bson::from(stored(product));
        let Some(stock) = stocks.iter().find(|it| it.get("_id") == Some(&id)) else {
            wrong.push(format!("{product} has no stock"));
            continue;
        };
        // The first entry is the count at first, and no other counts.
        let of_product = movements.iter().filter(|it| it.get("product") == Some(&id));
        let initial = of_product.clone().min_by_key(|it| count(it, "number"));
        let initial = initial.map_or(0, |it| count(it, "delta"));
        let ledger: i64 = of_product.map(|it| count(it, "delta")).sum();
        let there = (count(stock, "on_hand"), count(stock, "reserved"));
        let expected = (initial - shipped + restocked, held);
        if there != expected || ledger != there.0 {
            wrong.push(format!("{product}: {there:?}, {ledger} by its ledger, {expected:?} by the orders"));
        }
    }
    wrong.extend(check_holds(shop, orders).await);
    wrong
}

/// Compares each hold with what is left of its order, and its counts with what the order has moved. All journals are
/// folded.
async fn check_holds(shop: &InProcess, orders: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let holds = documents(shop, "stock_holds").await;
    let holds: BTreeMap<String, &Document> =
        holds.iter().map(|hold| (format!("{:?}", hold.get("_id")), hold)).collect();
    for order in orders {
        let id = order["id"].as_str().unwrap_or_default();
        let order_id: OrderId = id.parse().unwrap();
        let hold = holds.get(&format!("{:?}", Some(Bson::from(mongo::uuid(order_id)))));
        for item in list(order, "items") {
            let expected = units_of(order, item);
            let product = Bson::from(stored(item["product_id"].as_str().unwrap_or_default()));
            let items = hold.and_then(|hold| hold.get_array("items").ok()).into_iter().flatten();
            let held = items.filter_map(Bson::as_document).find(|it| it.get("p") == Some(&product));
            let quantity = held.map_or(0, |held| count(held, "q"));
            let counts = held.filter(|held| held.contains_key("shipped"));
            let counts = counts.map(|held| (count(held, "shipped"), count(held, "restocked")));
            let has_counts = counts.is_none_or(|counts| counts == (expected.shipped, expected.restocked));
            if quantity != expected.held || !has_counts {
                wrong.push(format!("{id} holds {quantity}, moved {counts:?}, and should {expected:?}"));
            }
        }
    }
    wrong
}
