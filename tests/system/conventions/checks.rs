//! The order of checks for users, with a fixed e-mail address.

use serde_json::json;
use tests::in_process::InProcess;
use tests::person::PASSWORD;

#[tokio::test]
async fn the_order_of_checks_holds_for_users_too() {
    let shop = InProcess::open().await;
    let (anyone, customer, staff) = (shop.anyone(), shop.customer().await, shop.staff().await);
    let admin = format!("/users/{}", shop.admin().id);

    // The form, then 403 by field, then 409.
    let mut body =
        json!({ "email": shop.admin().email, "password": "short", "name": "Eve", "role": "admin" });
    anyone.post("/users", body.clone()).await.faults_at(&["/password"]);
    body["password"] = json!(PASSWORD);
    anyone.post("/users", body.clone()).await.problem(403, "forbidden");
    body["role"] = json!("customer");
    anyone.post("/users", body).await.problem(409, "email-taken");

    // 401 and 403 by role before a query is looked at.
    anyone.get("/users?limit=0").await.problem(401, "unauthenticated");
    customer.get("/users?limit=0").await.problem(403, "forbidden");
    staff.get("/users?limit=0").await.problem(400, "invalid-query");
    anyone.get("/orders?limit=0").await.problem(401, "unauthenticated");

    // The form, then another's record, which for staff is there to be seen, and not to be changed.
    for (person, status, slug) in [(&customer, 404, "not-found"), (&staff, 403, "forbidden")] {
        person.put(&admin, json!({ "name": "" })).await.faults_at(&["/name"]);
        person.put(&admin, json!({ "name": "Eve" })).await.problem(status, slug);
        person.delete(&admin).await.problem(status, slug);
    }
    anyone.delete("/users/%FF").await.problem(401, "unauthenticated");
    shop.admin().delete(&admin).await.problem(409, "last-admin");
}
