//! Functions that stop between two requests, as Lambda stops them, and what has died when they go on.

use mongod::{Data, Mongod};
use serde_json::json;
use tests::lambda::{Lambda, Options};
use tests::on_lambda::OnLambda;

/// A server of the test's own, which it may restart.
async fn mongod(data: &std::path::Path, port: Option<u16>) -> Mongod {
    let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|_| {})).await.unwrap().unwrap();
    let options = mongod::Options::new(binary, Data::Folder(data.to_owned()));
    Mongod::start(mongod::Options { port, ..options }).await.unwrap()
}

#[tokio::test]
async fn the_first_requests_after_a_freeze_outlive_dead_connections() {
    let data = std::env::temp_dir().join(format!("oms-freezing-{}", uuid::Uuid::new_v4().simple()));
    let server = mongod(&data, None).await;
    let port = server.port();
    let shop = OnLambda::open_at(server.uri(), Options::default(), |functions| functions).await;
    let (ada, grace) = (shop.customer().await, shop.customer().await);
    let (mug, hat) = (shop.product(9).await, shop.product(9).await);
    let lines: [(&str, i64); 2] = [(&mug, 1), (&hat, 1)];
    // Reads and writes of every function, so that each has connections to lose.
    let order = ada.orders(&lines).await.expect(201).id();
    ada.get("/orders").await.expect(200);
    let pids =
        |lambda: &Lambda| ["orders", "products", "users"].map(|name| lambda.environments(name)[0].pid());
    let before = pids(&shop.lambda);

    // Each kind of first request: a write, a transaction of several products, a read.
    let mut server = server;
    for round in 0..3 {
        shop.lambda.freeze().await;
        server.stop().await;
        server = mongod(&data, Some(port)).await;
        match round {
            0 => ada.orders(&[(&mug, 1)]).await.expect(201),
            1 => grace.orders(&lines).await.expect(201),
            _ => ada.get(&format!("/orders/{order}")).await.expect(200),
        };
        let name = json!({ "name": format!("Ada {round}") });
        ada.put(&format!("/users/{}", ada.id), name).await.expect(200);
        shop.anyone().get("/products").await.expect(200);
    }
    assert_eq!(shop.stock(&mug).await, (9, 3, 6));
    assert_eq!(shop.stock(&hat).await, (9, 2, 7));
    assert_eq!(pids(&shop.lambda), before, "no other process has stood in");
    server.stop().await;
    std::fs::remove_dir_all(data).unwrap();
}
