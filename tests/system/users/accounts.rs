//! Users in a shop without others: creation, whole lists, deletion, and fixed e-mail addresses.

use futures::future::join_all;
use serde_json::{Value, json};
use shared::values::ids::UserId;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tests::shop::Shop;
use tests::support::users::{assert_shows_a_user, path, sign_up};

/// Anyone, and one of each role.
async fn one_of_each(shop: &Shop) -> [(&'static str, Person); 4] {
    let (customer, staff) = (shop.customer().await, shop.staff().await);
    [("anyone", shop.anyone()), ("customer", customer), ("staff", staff), ("admin", shop.admin())]
}

#[tokio::test]
async fn anyone_may_make_a_customer_and_admins_alone_other_roles() {
    let shop = InProcess::open().await;
    for (who, person) in one_of_each(&shop).await {
        let plain = person.post("/users", sign_up(&format!("{who}.1@example.com"))).await.expect(201);
        assert_eq!(plain["role"], "customer", "{who}");
        for (number, role) in [(2, Value::Null), (3, json!("customer"))] {
            let mut user = sign_up(&format!("{who}.{number}@example.com"));
            user["role"] = role;
            assert_eq!(person.post("/users", user).await.expect(201)["role"], "customer", "{who}");
        }
        for role in ["staff", "admin"] {
            let mut user = sign_up(&format!("{who}.{role}@example.com"));
            user["role"] = json!(role);
            let answer = person.post("/users", user).await;
            if who == "admin" {
                assert_eq!(answer.expect(201)["role"], role);
            } else {
                answer.problem(403, "forbidden");
            }
        }
    }
    // What was refused was not made.
    let staff = shop.admin().get("/users?role=staff").await.expect(200);
    assert_eq!(staff.data().len(), 2, "one of each, and the admin's");
}

#[tokio::test]
async fn a_new_user_is_shown_as_it_was_sent_at_version_one() {
    let shop = InProcess::open().await;
    let address = json!({
        "name": " Ada ", "company": "Engines ☕", "phone": "+49 228 2", "line1": " 1 Way ", "line2": "c/o Babbage", "city": "Köln ☕", "region": "NRW",
        "postal_code": "50667", "country": "DE",
    });
    let mut body = sign_up("Ada.L+1@Example.COM");
    body["phone"] = json!("+49 30 1");
    body["address"] = address.clone();
    let made = shop.anyone().post("/users", body).await.expect(201);
    assert_shows_a_user(&made.body);
    assert_eq!(made.header("location"), Some(format!("/users/{}", made.id()).as_str()));
    assert!(made.id().parse::<UserId>().is_ok());
    // Nothing is trimmed, and the e-mail address keeps its case.
    assert_eq!(made["email"], "Ada.L+1@Example.COM");
    assert_eq!(made["address"], address);
    assert_eq!(made["phone"], "+49 30 1");
    assert_eq!((&made["status"], &made["version"]), (&json!("active"), &json!(1)));
    assert_eq!(made["created_at"], made["updated_at"]);
    let created = made.text("created_at");
    assert!(created.len() == "2026-01-01T00:00:00.000Z".len() && created.ends_with('Z'), "{created}");

    let read = shop.admin().get(&format!("/users/{}", made.id())).await.expect(200);
    assert_eq!(read.body, made.body);
}

#[tokio::test]
async fn what_a_new_user_did_not_say_is_null() {
    let shop = InProcess::open().await;
    let made = shop.anyone().post("/users", sign_up("short@example.com")).await.expect(201);
    assert_shows_a_user(&made.body);
    assert_eq!((&made["phone"], &made["address"]), (&Value::Null, &Value::Null));

    let mut body = sign_up("nulls@example.com");
    body["phone"] = Value::Null;
    body["address"] = json!({ "line1": "1 Way", "city": "Bonn", "country": "DE", "line2": null });
    let made = shop.anyone().post("/users", body).await.expect(201);
    assert_eq!(made["phone"], Value::Null);
    assert_eq!(
        made["address"],
        json!({ "name": null, "company": null, "phone": null, "line1": "1 Way", "line2": null, "city": "Bonn",
            "region": null, "postal_code": null, "country": "DE" })
    );
}

#[tokio::test]
async fn staff_and_admins_list_users_newest_first_and_by_role() {
    let shop = InProcess::open().await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let staff = shop.staff().await;
    shop.anyone().get("/users").await.problem(401, "unauthenticated");
    ada.get("/users").await.problem(403, "forbidden");
    ada.get("/users?role=nobody").await.problem(403, "forbidden");

    for person in [staff.clone(), shop.admin()] {
        let list = person.get("/users").await.expect(200);
        list.data().iter().for_each(assert_shows_a_user);
        let ids: Vec<_> = list.data().iter().map(|user| user["id"].as_str()).collect();
        let newest_first = [&staff, &bob, &ada, &shop.admin()].map(|person| Some(person.id.clone()));
        assert_eq!(ids, newest_first.iter().map(Option::as_deref).collect::<Vec<_>>());
        assert_eq!(list["next_cursor"], Value::Null);
    }
    for (role, some) in
        [("customer", vec![&bob, &ada]), ("staff", vec![&staff]), ("admin", vec![&shop.admin()])]
    {
        let list = staff.get(&format!("/users?role={role}")).await.expect(200);
        let ids: Vec<_> = list.data().iter().map(|user| user["id"].as_str()).collect();
        assert_eq!(ids, some.iter().map(|person| Some(person.id.as_str())).collect::<Vec<_>>(), "{role}");
    }
    for bad in
        ["role=", "role=Admin", "role=owner", "role=staff&role=admin", "role[$ne]=admin", "rolle=staff"]
    {
        staff.get(&format!("/users?{bad}")).await.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn customers_and_staff_delete_themselves_and_admins_everybody() {
    let shop = InProcess::open().await;
    let (ada, other) = (shop.customer().await, shop.customer().await);
    let (staff, colleague, admin) = (shop.staff().await, shop.staff().await, shop.admin());

    shop.anyone().delete(&path(&ada)).await.problem(401, "unauthenticated");
    for hidden in [&other, &staff, &admin] {
        ada.delete(&path(hidden)).await.problem(404, "not-found");
    }
    for seen in [&ada, &colleague, &admin] {
        staff.delete(&path(seen)).await.problem(403, "forbidden");
    }
    for (person, gone) in [(&ada, &ada), (&staff, &staff), (&admin, &other), (&admin, &colleague)] {
        let answer = person.delete(&path(gone)).await.expect(204);
        assert_eq!(answer.body, Value::Null);
        admin.get(&path(gone)).await.problem(404, "not-found");
        admin.put(&path(gone), json!({ "name": "Back" })).await.problem(404, "not-found");
        admin.delete(&path(gone)).await.problem(404, "not-found");
    }
    let left = admin.get("/users").await.expect(200);
    assert_eq!(left.data().len(), 1);
}

#[tokio::test]
async fn an_e_mail_address_belongs_to_one_user_in_any_case() {
    let shop = InProcess::open().await;
    let ada = shop.anyone().post("/users", sign_up("Ada@Example.com")).await.expect(201);
    for taken in ["Ada@Example.com", "ada@example.com", "ADA@EXAMPLE.COM"] {
        shop.anyone().post("/users", sign_up(taken)).await.problem(409, "email-taken");
        let bob = shop.customer().await;
        let change = json!({ "email": taken, "current_password": PASSWORD });
        bob.put(&path(&bob), change).await.problem(409, "email-taken");
        let unchanged = bob.get(&path(&bob)).await.expect(200);
        assert_eq!((&unchanged["email"], &unchanged["version"]), (&json!(bob.email), &json!(1)));
    }
    // Her own in another case is hers.
    let recased = json!({ "email": "ADA@example.com" });
    let changed = shop.admin().put(&format!("/users/{}", ada.id()), recased).await.expect(200);
    assert_eq!((&changed["email"], &changed["version"]), (&json!("ADA@example.com"), &json!(2)));
    // And an address that she leaves is free at once.
    let moved = json!({ "email": "ada@example.org" });
    shop.admin().put(&format!("/users/{}", ada.id()), moved).await.expect(200);
    shop.anyone().post("/users", sign_up("ada@example.com")).await.expect(201);
}

#[tokio::test]
async fn of_many_sign_ups_with_one_email_at_once_one_succeeds() {
    let shop = InProcess::open().await;
    let (bob, anyone) = (shop.customer().await, shop.anyone());
    let emails = ["one@example.com", "ONE@example.com", "One@Example.com", "one@EXAMPLE.com"];
    let sign_ups = join_all(emails.map(|email| anyone.post("/users", sign_up(email))));
    // Among them somebody who moves to it.
    let bobs = path(&bob);
    let moves = bob.put(&bobs, json!({ "email": "oNe@example.com", "current_password": PASSWORD }));
    let (mut answers, moved) = futures::join!(sign_ups, moves);
    answers.push(moved);
    let (got, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status.is_success());
    assert_eq!(got.len(), 1);
    for answer in refused {
        answer.problem(409, "email-taken");
    }
}
