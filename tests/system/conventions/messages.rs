//! Messages of errors that need a shop without others, or one without its database.

use http::Method;
use mongodb::bson::{Document, doc};
use shared::values::clock::Clock;
use tests::in_process::InProcess;
use tests::support::messages::says;
use tests::support::raw::raw;

#[tokio::test]
async fn what_only_a_shop_of_ones_own_can_show_is_told_as_well() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let last = admin.delete(&format!("/users/{}", admin.id)).await;
    says(last, 409, "last-admin", &["last active admin", "an admin first"]);

    // A fault of ours: the log has what it is, the answer does not.
    let mug = shop.product(1).await;
    let products = shop.database.collection::<Document>("products");
    products
        .update_one(doc! {}, doc! { "$set": { "sku": 7_i64 } })
        .bypass_document_validation(true)
        .await
        .unwrap();
    let broken = admin.outcome(admin.request(Method::GET, &format!("/products/{mug}"))).await.unwrap();
    says(broken, 500, "internal", &["Internal error", "request ID"]);
}

#[tokio::test]
async fn a_database_that_is_away_is_worth_another_try() {
    // Nobody listens on this port.
    let uri = "mongodb://127.0.0.1:1/away?serverSelectionTimeoutMS=50&directConnection=true";
    let database = shared::mongo::connect(uri, "tests").await.unwrap();
    let signer = shared::auth::Signer::from_secret(tests::JWT_SECRET).unwrap();
    let payment_window = std::time::Duration::from_secs(86_400);
    let needs = local::backend::BackendConfig {
        database,
        signer,
        payment_window,
        return_window: orders::DEFAULT_RETURN_WINDOW,
        limits: orders::CustomerLimits::NONE,
        rate_limit_per_address: 0,
        clock: Clock::system(),
    };
    let backend = local::backend::Backend::build(needs);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, backend.router())));
    let anyone = InProcess::open().await.anyone().at(&base);
    let away = anyone.outcome(anyone.request(Method::GET, "/products")).await.unwrap();
    let away = says(away, 503, "unavailable", &["did not answer in time", "Retry-After"]);
    assert_eq!(away.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_in_words() {
    // Emulators answer such bodies and headers by themselves.
    let shop = InProcess::open().await;
    let body = b"{\"email\": \"\xff\"}";
    let length = body.len().to_string();
    let headers: [(&str, &[u8]); 2] =
        [("content-type", b"application/json"), ("content-length", length.as_bytes())];
    let answer = raw(&shop, "POST /auth", &headers, body).await;
    says(answer, 400, "malformed-request", &["line 1, column", "a string is not UTF-8"]);
    let headers: [(&str, &[u8]); 2] = [("content-type", b"\xff"), ("content-length", b"2")];
    let answer = raw(&shop, "POST /auth", &headers, b"{}").await;
    says(answer, 415, "unsupported-media-type", &["a Content-Type that is none"]);
}
