//! `Idempotency-Key` sent twice in one request.

use http::Method;
use serde_json::json;
use tests::in_process::InProcess;
use tests::shop::order_of;

// In process: API Gateway makes one of them, `a,b`, before a function sees them.
#[tokio::test]
async fn two_keys_are_refused() {
    let shop = InProcess::open().await;
    let (staff, mug) = (shop.staff().await, shop.product(1).await);
    for (path, body) in [("/orders", order_of(&mug, 1)), ("/products", json!({})), ("/users", json!({}))] {
        let twice = staff.request(Method::POST, path).header("idempotency-key", "a");
        let twice = twice.header("idempotency-key", "b").json(&body);
        staff.answer(twice).await.problem(400, "malformed-request");
    }
}
