//! Consistency check: it finds every damage done to the data by hand, and none without damage.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mongodb::bson::{Document, doc};
use shared::mongo;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{ItemId, OrderId, ProductId};
use tests::holds::{StoredHold, insert_holds};
use tests::in_process::InProcess;

/// A shop with orders in every status, all of them older than any request runs.
struct ImportedOrder {
    shop: InProcess,
    mug: String,
    /// Placed, for three mugs.
    placed: String,
    /// Cancelled.
    cancelled: String,
}

impl ImportedOrder {
    async fn open() -> Self {
        let now = Arc::new(AtomicI64::new(Clock::system().now().millis()));
        let clock = now.clone();
        let clock = Clock::from_fn(move || Timestamp::from_millis(clock.load(Ordering::SeqCst)));
        let shop = InProcess::open_with_clock(clock.clone()).await;
        let mug = shop.product(100).await;
        let ada = shop.customer().await;
        let placed = ada.orders(&[(&mug, 3)]).await.expect(201).id();
        let cancelled = shop.order_in("cancelled").await.1;
        for status in ["paid", "shipped", "delivered", "returned", "refunded"] {
            shop.order_in(status).await;
        }
        shop.fold(&clock).await.unwrap();
        now.fetch_add(600_000, Ordering::SeqCst);
        Self { shop, mug, placed, cancelled }
    }

    /// The kinds of what is wrong, over all pages of so many documents.
    async fn check(&self, limit: i64) -> BTreeSet<String> {
        let mut kinds = BTreeSet::new();
        let mut counts = (0, 0);
        let mut path = format!("/orders/consistency?limit={limit}");
        loop {
            let page = self.shop.admin().get(&path).await.expect(200);
            counts.0 += page["checked"]["orders"].as_i64().unwrap();
            counts.1 += page["checked"]["products"].as_i64().unwrap();
            for violation in page["violations"].as_array().unwrap() {
                assert!(violation["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
                kinds.insert(violation["kind"].as_str().unwrap().to_owned());
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/orders/consistency?limit={limit}&cursor={cursor}");
        }
        let there = async |collection: &str| {
            let all = self.shop.database.collection::<Document>(collection);
            i64::try_from(all.count_documents(doc! {}).await.unwrap()).unwrap()
        };
        assert_eq!(counts, (there("orders").await, there("products").await));
        kinds
    }

    /// Damages a document, past everything that guards it.
    async fn damage(&self, collection: &str, id: mongodb::bson::Uuid, update: Document) {
        let command = doc! {
            "update": collection,
            "updates": [{ "q": { "_id": id }, "u": update }],
            "bypassDocumentValidation": true,
        };
        let done = self.shop.database.run_command(command).await.unwrap();
        assert_eq!(done.get_i32("nModified").unwrap(), 1, "{done}");
    }

    async fn damage_mug(&self, update: Document) {
        self.damage("products", mongo::uuid(self.mug.parse::<ProductId>().unwrap()), update).await;
    }

    async fn damage_stock(&self, update: Document) {
        self.damage("stock", mongo::uuid(self.mug.parse::<ProductId>().unwrap()), update).await;
    }

    async fn damage_hold(&self, order: &str, update: Document) {
        self.damage("stock_holds", mongo::uuid(order.parse::<OrderId>().unwrap()), update).await;
    }

    async fn damage_order(&self, order: &str, update: Document) {
        self.damage("orders", mongo::uuid(order.parse::<OrderId>().unwrap()), update).await;
    }

    async fn finds(&self, kinds: &[&str]) {
        for limit in [1, 3, 1000] {
            let found = self.check(limit).await;
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), kinds, "limit {limit}");
        }
    }
}

#[tokio::test]
async fn a_shop_in_order_has_nothing_to_report() {
    ImportedOrder::open().await.finds(&[]).await;
}

#[tokio::test]
async fn pieces_that_were_added_by_hand_are_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_stock(doc! { "$inc": { "on_hand": 1_i64 } }).await;
    shop.finds(&["ledger-is-not-the-sum"]).await;
}

#[tokio::test]
async fn a_movement_that_was_deleted_is_found() {
    let shop = ImportedOrder::open().await;
    let movements = shop.shop.database.collection::<Document>("stock_movements");
    assert_eq!(movements.delete_one(doc! {}).await.unwrap().deleted_count, 1);
    shop.finds(&["ledger-is-not-the-sum"]).await;
}

#[tokio::test]
async fn a_reserved_count_that_was_changed_by_hand_is_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_stock(doc! { "$inc": { "reserved": 1_i64 } }).await;
    shop.finds(&["reserved-is-not-the-sum"]).await;
}

#[tokio::test]
async fn stock_below_nothing_is_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_stock(doc! { "$set": { "on_hand": -1_i64 } }).await;
    shop.finds(&["ledger-is-not-the-sum", "stock-out-of-bounds"]).await;
}

#[tokio::test]
async fn a_hold_that_was_deleted_is_found() {
    let shop = ImportedOrder::open().await;
    let id = mongo::uuid(shop.placed.parse::<OrderId>().unwrap());
    let holds = shop.shop.database.collection::<Document>("stock_holds");
    assert_eq!(holds.delete_one(doc! { "_id": id }).await.unwrap().deleted_count, 1);
    shop.damage_stock(doc! { "$set": { "reserved": 0_i64 } }).await;
    shop.finds(&["order-without-hold"]).await;
}

#[tokio::test]
async fn a_hold_that_was_changed_is_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_hold(&shop.placed, doc! { "$inc": { "items.0.q": 1_i64 } }).await;
    shop.damage_stock(doc! { "$inc": { "reserved": 1_i64 } }).await;
    shop.finds(&["hold-differs"]).await;
}

#[tokio::test]
async fn a_hold_that_cannot_be_read_is_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_hold(&shop.placed, doc! { "$set": { "r": "one" } }).await;
    shop.finds(&["order-without-hold", "unreadable-hold"]).await;
}

#[tokio::test]
async fn a_hold_of_nobody_is_found() {
    let shop = ImportedOrder::open().await;
    let mug = mongo::uuid(shop.mug.parse::<ProductId>().unwrap());
    let hold = StoredHold::new(mug, mongodb::bson::DateTime::from_millis(0));
    insert_holds(&shop.shop.database, &[hold]).await;
    shop.finds(&["hold-without-order"]).await;
}

#[tokio::test]
async fn an_order_that_was_deleted_is_found() {
    let shop = ImportedOrder::open().await;
    let id = mongo::uuid(shop.placed.parse::<OrderId>().unwrap());
    shop.shop.database.collection::<Document>("orders").delete_one(doc! { "_id": id }).await.unwrap();
    shop.finds(&["hold-without-order"]).await;
}

#[tokio::test]
async fn an_order_that_was_ended_by_hand_is_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_order(&shop.placed, doc! { "$set": { "status": "cancelled" } }).await;
    shop.finds(&["hold-of-ended-order"]).await;
}

#[tokio::test]
async fn a_release_that_is_not_folded_is_no_violation() {
    let shop = ImportedOrder::open().await;
    let order = shop.placed.parse::<OrderId>().unwrap();
    let mug = mongo::uuid(shop.mug.parse::<ProductId>().unwrap());
    shop.damage_order(&shop.placed, doc! { "$set": { "status": "cancelled" } }).await;
    let entry = doc! {
        "o": mongo::uuid(order), "r": 9_i64, "q": 0_i64, "t": mongodb::bson::DateTime::now(),
    };
    let released = doc! { "$push": { "pending": entry }, "$inc": { "reserved": -3_i64 } };
    shop.damage("stock", mug, released).await;
    // The clock of the shop is ten minutes ahead of the entry.
    shop.finds(&["journal-overdue"]).await;
}

#[tokio::test]
async fn an_order_that_was_revived_by_hand_is_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_order(&shop.cancelled, doc! { "$set": { "status": "placed" } }).await;
    shop.finds(&["order-without-hold"]).await;
}

#[tokio::test]
async fn a_quantity_that_was_changed_by_hand_is_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_order(&shop.placed, doc! { "$set": { "items.0.quantity": 4_i64 } }).await;
    shop.finds(&["hold-differs", "total-is-not-the-sum"]).await;
}

#[tokio::test]
async fn amounts_that_were_changed_by_hand_are_found() {
    let shop = ImportedOrder::open().await;
    let discount = doc! { "label": "Friends", "amount": 1_i64 };
    let tax = |included: bool| doc! { "label": "VAT", "rate": "0.1", "amount": 1_i64, "included": included };
    shop.damage_order(&shop.placed, doc! { "$set": { "items.0.taxes": [tax(true)] } }).await;
    shop.finds(&[]).await;
    for damage in [
        doc! { "$inc": { "total": 1_i64 } },
        doc! { "$set": { "items.0.discounts": [discount] } },
        doc! { "$set": { "items.0.taxes": [tax(false)] } },
        doc! { "$set": { "shipping": { "label": "Van", "amount": 5_i64, "taxes": [tax(false)] } } },
    ] {
        let shop = ImportedOrder::open().await;
        shop.damage_order(&shop.placed, damage.clone()).await;
        shop.finds(&["total-is-not-the-sum"]).await;
    }
}

#[tokio::test]
async fn parts_that_were_changed_by_hand_are_found() {
    let shop = ImportedOrder::open().await;
    let (id, at) = (mongodb::bson::Uuid::new(), mongodb::bson::DateTime::from_millis(0));
    let order = shop.shop.admin().get(&format!("/orders/{}", shop.placed)).await.expect(200);
    let item = mongo::uuid(order["items"][0]["id"].as_str().unwrap().parse::<ItemId>().unwrap());
    let cancelled = async |quantity: i64| {
        let entry = doc! { "id": id, "items": [{ "id": item, "quantity": quantity }], "created_at": at };
        shop.damage_order(&shop.placed, doc! { "$set": { "cancellations": [entry] } }).await;
    };
    // One of three is cancelled, and three are held.
    cancelled(1).await;
    shop.finds(&["hold-differs"]).await;
    cancelled(3).await;
    shop.finds(&["hold-differs", "status-is-not-derived"]).await;
    cancelled(4).await;
    shop.finds(&["hold-differs", "parts-exceed-quantity", "status-is-not-derived"]).await;
    shop.damage_order(&shop.placed, doc! { "$unset": { "cancellations": "" } }).await;
    shop.finds(&[]).await;
    // The hold keeps counts of what the order has never shipped.
    let counts = doc! { "$set": { "items.0.shipped": 1_i64, "items.0.restocked": 0_i64 } };
    shop.damage_hold(&shop.placed, counts).await;
    shop.finds(&["counts-differ"]).await;
}

#[tokio::test]
async fn money_that_was_changed_by_hand_is_found() {
    let shop = ImportedOrder::open().await;
    let (id, at) = (mongodb::bson::Uuid::new(), mongodb::bson::DateTime::from_millis(0));
    let payment = |amount: i64| doc! { "id": id, "amount": amount, "reference": "pi", "created_at": at, "unique": "pi/" };
    let refund = |amount: i64, items: Vec<Document>| {
        doc! {
            "id": id, "amount": amount, "items": items, "shipping": false, "created_at": at,
        }
    };
    let order = shop.shop.admin().get(&format!("/orders/{}", shop.placed)).await.expect(200);
    let total = order["total"]["amount"].as_i64().unwrap();
    let item = mongo::uuid(order["items"][0]["id"].as_str().unwrap().parse::<ItemId>().unwrap());
    let units = |quantity: i64| vec![doc! { "id": item, "quantity": quantity }];
    let set = async |payments: Vec<Document>, refunds: Vec<Document>| {
        shop.damage_order(&shop.placed, doc! { "$set": { "payments": payments, "refunds": refunds } }).await;
    };
    set(vec![payment(total - 1)], vec![refund(total - 1, units(3))]).await;
    shop.finds(&[]).await;
    set(vec![payment(total - 1)], vec![refund(total, vec![])]).await;
    shop.finds(&["refunds-exceed-payments"]).await;
    set(vec![payment(total - 1)], vec![refund(1, units(4))]).await;
    shop.finds(&["refunds-exceed-quantity"]).await;
    set(vec![payment(total)], vec![]).await;
    shop.finds(&["paid-but-placed"]).await;
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_found() {
    let shop = ImportedOrder::open().await;
    // With a hold and without.
    for order in [&shop.cancelled, &shop.placed] {
        shop.damage_order(order, doc! { "$set": { "note": 7_i64 } }).await;
        shop.finds(&["unreadable-order"]).await;
        shop.damage_order(order, doc! { "$set": { "note": null, "items": 7_i64 } }).await;
        shop.finds(&["unreadable-order"]).await;
    }
}

#[tokio::test]
async fn an_order_in_a_status_of_a_newer_build_is_in_order() {
    let shop = ImportedOrder::open().await;
    for order in [&shop.cancelled, &shop.placed] {
        shop.damage_order(order, doc! { "$set": { "status": "picked" } }).await;
        shop.finds(&[]).await;
    }
}

#[tokio::test]
async fn a_product_that_cannot_be_read_is_found() {
    let shop = ImportedOrder::open().await;
    shop.damage_mug(doc! { "$set": { "name": 7_i64 } }).await;
    shop.finds(&["unreadable-product"]).await;
    shop.damage_mug(doc! { "$set": { "name": "Mug" } }).await;
    shop.damage_stock(doc! { "$set": { "reserved": "three" } }).await;
    shop.finds(&["unreadable-product"]).await;
}

#[tokio::test]
async fn a_task_that_nobody_does_is_found() {
    let shop = ImportedOrder::open().await;
    let task = doc! { "revision": 2_i64, "kind": "release" };
    shop.damage_order(&shop.cancelled, doc! { "$push": { "tasks": task } }).await;
    shop.finds(&["task-overdue"]).await;
}
