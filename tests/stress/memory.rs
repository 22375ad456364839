//! Memory of the consistency check, over the fattest orders that may exist.

use mongodb::bson::{Document, doc};
use shared::mongo;
use shared::values::ids::{OrderId, ProductId};
use tests::in_process::InProcess;

/// Most memory above idle, in KiB.
const MOST: u64 = 64 * 1024;

/// A figure of this process in KiB, such as `VmRSS`.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Orders of 100 items with the longest texts, of which none is held.
async fn fill(shop: &InProcess, count: usize) {
    let orders = shop.database.collection::<Document>("orders");
    let one = orders.find_one(doc! {}).await.unwrap().unwrap();
    let text = |length: usize| "🦀".repeat(length);
    for batch in (0..count).collect::<Vec<_>>().chunks(100) {
        let documents = batch.iter().map(|place| {
            let items: Vec<Document> = (0..100)
                .map(|item| {
                    let id = mongo::uuid(ProductId::new());
                    doc! { "product_id": id, "sku": "x".repeat(64), "name": text(200), "unit_price": 1_i64, "quantity": item + 1_i64 }
                })
                .collect();
            let metadata: Vec<Document> =
                (0..50).map(|key| doc! { "k": format!("{key:02}{}", text(38)), "v": text(500) }).collect();
            let mut order = one.clone();
            order.insert("_id", mongo::uuid(OrderId::new()));
            order.insert("number", format!("{place:09}"));
            order.insert("items", items);
            order.insert("metadata", metadata);
            order.insert("note", text(2_000));
            order.insert("status", "shipped");
            order.insert("updated_at", mongodb::bson::DateTime::from_millis(1_600_000_000_000));
            order
        });
        orders.insert_many(documents).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "it takes a minute, and measures the process: run it alone"]
#[expect(clippy::print_stdout, reason = "whoever asks for it with --nocapture wants to see the figures")]
async fn the_consistency_check_needs_little_memory() {
    let shop = InProcess::open().await;
    let (mug, ada) = (shop.product(9).await, shop.customer().await);
    ada.orders(&[(&mug, 1)]).await.expect(201);
    shop.admin().get("/orders/consistency?limit=1").await.expect(200);
    let count = 5_000;
    fill(&shop, count).await;
    let idle = status("VmRSS");
    // Forgets the peak so far.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (mut path, mut orders) = ("/orders/consistency?limit=5000".to_owned(), 0);
    loop {
        let page = shop.admin().get(&path).await.expect(200);
        orders += page["checked"]["orders"].as_u64().unwrap();
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/orders/consistency?limit=5000&cursor={cursor}");
    }
    let above = status("VmHWM").saturating_sub(idle);
    println!("{orders} orders of some 210 KB checked with {above} KiB above {idle} KiB");
    assert_eq!(orders, u64::try_from(count).unwrap() + 1);
    assert!(above <= MOST, "{above} KiB");
}
