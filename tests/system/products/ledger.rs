//! The ledger of stock over gRPC, and a product beside many orders.

use mongodb::bson::{Document, doc};
use products::holds::Hold;
use products::store::ProductStore;
use proto::common::v1 as common;
use proto::products::v1 as wire;
use serde_json::{Value, json};
use shared::auth::Role;
use shared::mongo;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};
use tests::in_process::InProcess;
use tests::support::products::ledger;

use crate::support::grpc::{by, caller, time, to_products};

#[tokio::test]
async fn the_ledger_is_the_same_over_grpc() {
    let shop = InProcess::open().await;
    let staff = shop.staff().await;
    let product = shop.product(3).await;
    staff
        .put(&format!("/products/{product}/stock"), json!({ "delta": 4, "reason": "found" }))
        .await
        .expect(200);
    let order = shop.customer().await.orders(&[(&product, 1)]).await.expect(201).id();
    for status in ["paid", "shipped"] {
        shop.admin().moves(&order, status).await.expect(200);
    }
    let mut client = to_products(&shop);
    let request = |page| wire::ListStockMovementsRequest { product_id: product.clone(), page };
    let as_staff = caller(&staff, Role::Staff);
    let answer = client.list_stock_movements(by(as_staff, request(None))).await.unwrap().into_inner();
    assert_eq!(answer.next_cursor, None);
    let told: Vec<Value> = answer
        .data
        .into_iter()
        .map(|it| {
            json!({
                "at": time(it.at), "delta": it.delta, "on_hand": it.on_hand, "reserved": it.reserved,
                "reason": it.reason, "order_id": it.order_id, "by": it.by,
            })
        })
        .collect();
    assert_eq!(told, ledger(&staff, &product).await);
    assert_eq!((told.len(), &told[0]["order_id"]), (3, &json!(order)));
    let first = Some(common::PageRequest { limit: Some(1), cursor: None });
    let page = client.list_stock_movements(by(as_staff, request(first))).await.unwrap().into_inner();
    let next = Some(common::PageRequest { limit: Some(1), cursor: page.next_cursor });
    let page = client.list_stock_movements(by(as_staff, request(next))).await.unwrap().into_inner();
    assert_eq!(page.data[0].reason.as_deref(), Some("found"));
}

#[tokio::test]
async fn a_product_is_ordered_beside_any_number_of_orders() {
    let shop = InProcess::open().await;
    let (mug, pot) = (shop.product(50_000).await, shop.product(10).await);
    let ada = shop.customer().await;
    let held = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    let product: ProductId = mug.parse().unwrap();
    let hold = |number: i64| Hold {
        order: OrderId::new(),
        product,
        // Most have ended.
        quantity: i64::from(number % 5 == 0),
        revision: 2,
        at: Timestamp::from_millis(0),
        counts: None,
    };
    let holds: Vec<Hold> = (0..30_000).map(hold).collect();
    ProductStore::new(&shop.database).insert_holds(&holds).await.unwrap();
    let reserved = doc! { "$inc": { "reserved": 6_000_i64 } };
    let stocks = shop.database.collection::<Document>("stock");
    stocks.update_one(doc! { "_id": mongo::uuid(product) }, reserved).await.unwrap();

    for lines in [&[(mug.as_str(), 1)][..], &[(pot.as_str(), 1), (mug.as_str(), 1)]] {
        ada.orders(lines).await.expect(201);
    }
    ada.moves(&held, "cancelled").await.expect(200);
    assert_eq!(shop.stock(&mug).await, (50_000, 6_002, 43_998));
    assert_eq!(shop.stock(&pot).await, (10, 1, 9));
}
