//! Conditional requests about the last admin.

use http::{Method, header};
use serde_json::json;
use tests::in_process::InProcess;
use tests::support::conditional::{outdated, put_if, send_if};

#[tokio::test]
async fn the_last_admin_is_told_first_that_the_version_is_another_one() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let path = format!("/users/{}", admin.id);
    let delete = async |tag| send_if(&admin, Method::DELETE, &path, (header::IF_MATCH, &[tag]), None).await;
    outdated(delete("\"2\"").await, 1);
    delete("\"1\"").await.problem(409, "last-admin");
    outdated(put_if(&admin, &path, "\"2\"", &json!({ "role": "staff" })).await, 1);
    put_if(&admin, &path, "\"1\"", &json!({ "role": "staff" })).await.problem(409, "last-admin");
}
