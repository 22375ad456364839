//! Consistency check: permissions and limits of pages.

use tests::person::{PASSWORD, Person};
use tests::shop::Shop;

#[tokio::test]
async fn only_admins_may_check_and_pages_have_their_limits() {
    let shop = Shop::open().await;
    let path = "/orders/consistency";
    shop.anyone().get(path).await.problem(401, "unauthenticated");
    for person in [shop.customer().await, shop.staff().await] {
        person.get(path).await.problem(403, "forbidden");
    }
    let admin: Person = shop.admin();
    for query in ["limit=0", "limit=5001", "limit=x", "limit=", "page=2", "cursor=nonsense"] {
        admin.get(&format!("{path}?{query}")).await.problem(400, "invalid-query");
    }
    let page = admin.get(&format!("{path}?limit=5000")).await.expect(200);
    assert_eq!(page.body.as_object().map(|page| page.len()), Some(3));
    // A cursor belongs to its caller.
    let other = shop.person("admin").await;
    let other = shop.anyone().signs_in(&other.email, PASSWORD).await;
    let cursor = page.text("next_cursor");
    other.get(&format!("{path}?cursor={cursor}")).await.problem(400, "invalid-query");
}
