//! The last active admin stays, also when admins go concurrently.

use serde_json::json;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tests::shop::Shop;
use uuid::Uuid;

use tests::support::users::path;

/// The ways to take an admin away.
#[derive(Clone, Copy, Debug)]
enum Way {
    Demote,
    Disable,
    Delete,
}

/// One admin takes another, or themselves, away.
async fn take_away(admin: &Person, target: &Person, way: Way) -> Answer {
    match way {
        Way::Demote => admin.put(&path(target), json!({ "role": "customer" })).await,
        Way::Disable => admin.put(&path(target), json!({ "status": "disabled" })).await,
        Way::Delete => admin.delete(&path(target)).await,
    }
}

/// A new admin, made by one who is still there.
async fn another(shop: &Shop, admin: &Person) -> Person {
    let email = format!("{}@example.com", Uuid::new_v4().simple());
    let user = json!({ "email": email, "password": PASSWORD, "name": "Another", "role": "admin" });
    let id = admin.post("/users", user).await.expect(201).id();
    let mut person = shop.anyone().signs_in(&email, PASSWORD).await;
    person.id = id;
    person
}

/// The IDs of the admins who may sign in.
async fn active_admins(admin: &Person) -> Vec<String> {
    let list = admin.get("/users?role=admin").await.expect(200);
    let active = list.data().iter().filter(|user| user["status"] == "active");
    active.filter_map(|user| user["id"].as_str()).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_last_active_admin_cannot_be_demoted_disabled_or_deleted() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    // Neither staff nor an admin who is disabled would be there to help.
    shop.staff().await;
    let disabled = shop.person("admin").await;
    take_away(&admin, &disabled, Way::Disable).await.expect(200);

    for way in [Way::Demote, Way::Disable, Way::Delete] {
        take_away(&admin, &admin, way).await.problem(409, "last-admin");
    }
    let both = json!({ "role": "staff", "status": "disabled", "name": "Eve" });
    admin.put(&path(&admin), both).await.problem(409, "last-admin");
    let user = admin.get(&path(&admin)).await.expect(200);
    assert_eq!((&user["version"], &user["name"]), (&json!(1), &json!("Admin")));
    // All else may change.
    let change = json!({ "name": "Root", "role": "admin", "status": "active" });
    assert_eq!(admin.put(&path(&admin), change).await.expect(200)["version"], 2);
    // One who is disabled is not counted, and may go.
    take_away(&admin, &disabled, Way::Demote).await.expect(200);
    take_away(&admin, &disabled, Way::Delete).await.expect(204);
}

#[tokio::test]
async fn of_two_admins_one_may_go() {
    let shop = InProcess::open().await;
    let mut admin = shop.admin();
    for way in [Way::Demote, Way::Disable, Way::Delete] {
        let other = another(&shop, &admin).await;
        take_away(&admin, &other, way).await.expect(if matches!(way, Way::Delete) { 204 } else { 200 });
        take_away(&admin, &admin, way).await.problem(409, "last-admin");

        let heir = another(&shop, &admin).await;
        take_away(&admin, &admin, way).await.expect(if matches!(way, Way::Delete) { 204 } else { 200 });
        admin = heir;
        assert_eq!(active_admins(&admin).await, [admin.id.clone()]);
    }
}

/// Actions of two admins at the same moment.
const AT_ONCE: [(Way, Way); 6] = [
    (Way::Demote, Way::Demote),
    (Way::Disable, Way::Disable),
    (Way::Delete, Way::Delete),
    (Way::Demote, Way::Disable),
    (Way::Demote, Way::Delete),
    (Way::Disable, Way::Delete),
];

/// Number of tries of each.
const ROUNDS: usize = 3;

#[tokio::test]
async fn two_admins_who_remove_each_other_at_once_leave_one() {
    let shop = InProcess::open().await;
    let mut one = shop.admin();
    for (ones, others) in AT_ONCE.into_iter().cycle().take(AT_ONCE.len() * ROUNDS) {
        let other = another(&shop, &one).await;
        let (answer, reply) = futures::join!(take_away(&one, &other, ones), take_away(&other, &one, others));
        assert_ne!(answer.status.is_success(), reply.status.is_success(), "{ones:?} and {others:?}");
        let (refused, survivor) = if answer.status.is_success() { (reply, one) } else { (answer, other) };
        // 401 if word that they are no admin any more was there before their request.
        if refused.status != 401 {
            refused.problem(409, "last-admin");
        }
        one = survivor;
        assert_eq!(active_admins(&one).await, [one.id.clone()], "{ones:?} and {others:?}");
    }
}

#[tokio::test]
async fn two_admins_who_both_go_at_once_leave_exactly_one() {
    let shop = InProcess::open().await;
    let mut one = shop.admin();
    for (ones, others) in AT_ONCE.into_iter().cycle().take(AT_ONCE.len() * ROUNDS) {
        let other = another(&shop, &one).await;
        let (answer, reply) = futures::join!(take_away(&one, &one, ones), take_away(&other, &other, others));
        assert_ne!(answer.status.is_success(), reply.status.is_success(), "{ones:?} and {others:?}");
        let (refused, survivor) = if answer.status.is_success() { (reply, other) } else { (answer, one) };
        refused.problem(409, "last-admin");
        one = survivor;
        assert_eq!(active_admins(&one).await, [one.id.clone()], "{ones:?} and {others:?}");
    }
}
