//! The ledger of stock over gRPC, and a product's bound on holds.

use mongodb::bson::{Bson, Document, doc};
use proto::common::v1 as common;
use proto::products::v1 as wire;
use serde_json::{Value, json};
use shared::auth::Role;
use shared::mongo;
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
async fn a_product_held_for_too_many_orders_refuses_more_holds() {
    let shop = InProcess::open().await;
    let (full, pot) = (shop.product(10_000).await, shop.product(10).await);
    let ada = shop.customer().await;
    let held = ada.orders(&[(&full, 1)]).await.expect(201).id();
    // As if 4,999 others had ordered it.
    let entry = |_| doc! { "o": mongo::uuid(OrderId::new()), "q": 1_i64, "r": 1_i64, "t": Bson::DateTime(mongo::date(shared::values::clock::Timestamp::from_millis(0))) };
    let others: Vec<Document> = (0..4_999).map(entry).collect();
    let filled = doc! { "$push": { "holds": { "$each": others } }, "$inc": { "live": 4_999_i64, "reserved": 4_999_i64 } };
    let id = mongo::uuid(full.parse::<ProductId>().unwrap());
    let products = shop.database.collection::<Document>("products");
    assert_eq!(products.update_one(doc! { "_id": id }, filled).await.unwrap().modified_count, 1);

    for lines in [&[(full.as_str(), 1)][..], &[(pot.as_str(), 1), (full.as_str(), 1)]] {
        let refusal = ada.orders(lines).await.problem(409, "too-many-holds");
        assert_eq!(refusal["items"], json!([{ "product_id": full }]));
    }
    assert_eq!(shop.stock(&pot).await, (10, 0, 10));
    assert_eq!(shop.stock(&full).await, (10_000, 5_000, 5_000));
    // Others are not concerned, and when one has ended there is room for one.
    ada.orders(&[(&pot, 1)]).await.expect(201);
    ada.moves(&held, "cancelled").await.expect(200);
    ada.orders(&[(&full, 1)]).await.expect(201);
    ada.orders(&[(&full, 1)]).await.problem(409, "too-many-holds");
}
