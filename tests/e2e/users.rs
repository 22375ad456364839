//! Users: who may do what with whom, and what an answer shows of a user.

use futures::future::join_all;
use serde_json::{Value, json};
use shared::values::ids::{OrderId, UserId};
use tests::differences::Difference;
use tests::person::{PASSWORD, Person};
use tests::shop::Shop;

/// The body of somebody who signs up.
pub(crate) fn sign_up(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "name": "Ada" })
}

/// Where a user is.
pub(crate) fn path(person: &Person) -> String {
    format!("/users/{}", person.id)
}

/// Anyone, and one of each role.
async fn one_of_each(shop: &Shop) -> [(&'static str, Person); 4] {
    let (customer, staff) = (shop.customer().await, shop.staff().await);
    [("anyone", shop.anyone()), ("customer", customer), ("staff", staff), ("admin", shop.admin())]
}

/// A user has these fields and no others: so there is none in which anything of a password could be.
#[track_caller]
pub(crate) fn assert_shows_a_user(user: &Value) {
    let mut fields: Vec<_> =
        user.as_object().into_iter().flatten().map(|(field, _)| field.as_str()).collect();
    fields.sort_unstable();
    let all =
        ["address", "created_at", "email", "id", "name", "phone", "role", "status", "updated_at", "version"];
    assert_eq!(fields, all);
    let text = user.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("argon2"), "{text}");
}

#[tokio::test]
async fn anyone_and_every_role_may_make_a_customer_and_admins_alone_other_roles() {
    let shop = Shop::open_in_process().await;
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
    let shop = Shop::open_in_process().await;
    let address = json!({
        "line1": " 1 Way ", "line2": "c/o Babbage", "city": "Köln ☕", "region": "NRW",
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
    let shop = Shop::open_in_process().await;
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
        json!({ "line1": "1 Way", "line2": null, "city": "Bonn", "region": null, "postal_code": null,
            "country": "DE" })
    );
}

#[tokio::test]
async fn customers_read_themselves_and_staff_everybody() {
    let shop = Shop::open().await;
    let (ada, other) = (shop.customer().await, shop.customer().await);
    let (staff, admin) = (shop.staff().await, shop.admin());

    for person in [&ada, &staff, &admin] {
        let own = person.get(&path(person)).await.expect(200);
        assert_eq!((own.id(), own.text("email")), (person.id.clone(), person.email.clone()));
        assert_shows_a_user(&own.body);
    }
    shop.anyone().get(&path(&ada)).await.problem(401, "unauthenticated");
    for hidden in [&other, &staff, &admin] {
        ada.get(&path(hidden)).await.problem(404, "not-found");
    }
    for seen in [&ada, &admin] {
        assert_shows_a_user(&staff.get(&path(seen)).await.expect(200).body);
    }
    assert_shows_a_user(&admin.get(&path(&ada)).await.expect(200).body);

    // Another's user and one that is not there look the same to a customer.
    let nobody = UserId::new().to_string();
    let mut hidden = ada.get(&path(&other)).await.expect(404).body;
    let mut missing = ada.get(&format!("/users/{nobody}")).await.expect(404).body;
    for problem in [&mut hidden, &mut missing] {
        problem["request_id"] = Value::Null;
        problem["instance"] = Value::Null;
    }
    assert_eq!(hidden, missing);
}

#[tokio::test]
async fn staff_and_admins_list_users_newest_first_and_by_role() {
    let shop = Shop::open_in_process().await;
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
async fn customers_and_staff_change_themselves_and_admins_everybody() {
    let shop = Shop::open().await;
    let (ada, other) = (shop.customer().await, shop.customer().await);
    let (staff, colleague, admin) = (shop.staff().await, shop.staff().await, shop.admin());
    let named = |name: &str| json!({ "name": name });

    shop.anyone().put(&path(&ada), named("Eve")).await.problem(401, "unauthenticated");
    for person in [&ada, &staff, &admin] {
        let own = person.put(&path(person), named("Me")).await.expect(200);
        assert_eq!((&own["name"], &own["version"]), (&json!("Me"), &json!(2)));
        assert_shows_a_user(&own.body);
    }
    for hidden in [&other, &staff, &admin] {
        ada.put(&path(hidden), named("Eve")).await.problem(404, "not-found");
    }
    for seen in [&ada, &colleague, &admin] {
        staff.put(&path(seen), named("Eve")).await.problem(403, "forbidden");
        // Nothing would change; it is not theirs all the same.
        staff.put(&path(seen), json!({})).await.problem(403, "forbidden");
    }
    for (person, version) in [(&ada, 3), (&staff, 3), (&other, 2)] {
        let changed = admin.put(&path(person), named("Renamed")).await.expect(200);
        assert_eq!((&changed["name"], &changed["version"]), (&json!("Renamed"), &json!(version)));
    }
    assert_eq!(admin.get(&path(&colleague)).await.expect(200)["version"], 1);
}

#[tokio::test]
async fn role_and_status_are_changed_by_admins_alone() {
    let shop = Shop::open().await;
    let (ada, staff, admin) = (shop.customer().await, shop.staff().await, shop.admin());
    let changes = [
        json!({ "role": "admin" }),
        json!({ "status": "disabled" }),
        json!({ "name": "Eve", "role": "staff" }),
    ];
    for person in [&ada, &staff] {
        for change in &changes {
            person.put(&path(person), change.clone()).await.problem(403, "forbidden");
        }
        // To name them is enough, even where nothing would change.
        let same = json!({ "status": "active" });
        person.put(&path(person), same).await.problem(403, "forbidden");
        assert_eq!(person.get(&path(person)).await.expect(200)["version"], 1);
    }
    // Whose user it is comes before what is changed.
    ada.put(&path(&staff), json!({ "role": "admin" })).await.problem(404, "not-found");
    // A body that is wrong comes before both.
    ada.put(&path(&ada), json!({ "role": "owner" })).await.faults_at(&["/role"]);

    for (version, change) in [json!({ "role": "staff" }), json!({ "role": "customer", "status": "disabled" })]
        .into_iter()
        .enumerate()
    {
        let changed = admin.put(&path(&ada), change.clone()).await.expect(200);
        assert_eq!(changed["version"], version + 2);
        for (field, value) in change.as_object().unwrap() {
            assert_eq!(&changed[field.as_str()], value);
        }
    }
}

#[tokio::test]
async fn customers_and_staff_delete_themselves_and_admins_everybody() {
    let shop = Shop::open_in_process().await;
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

/// What stands in a path where the ID of a user should.
fn no_user_ids() -> Vec<String> {
    let id = UserId::new().to_string();
    let bits = id.trim_start_matches("user_");
    vec![
        id.clone(),
        OrderId::new().to_string(),
        format!("product_{bits}"),
        bits.to_owned(),
        id.to_uppercase(),
        format!("{id}0"),
        id[..id.len() - 1].to_owned(),
        // One bit more than there are.
        format!("user_8{}", &bits[1..]),
        "user_".to_owned(),
        "me".to_owned(),
        "0".to_owned(),
        "null".to_owned(),
        "[object%20Object]".to_owned(),
        format!("{id}%00"),
        "%FF%FE".to_owned(),
        "user_%2F..%2Fadmin".to_owned(),
        "%F0%9F%8D%B5".to_owned(),
        "{\"$ne\":null}".to_owned(),
        "x".repeat(4000),
    ]
}

#[tokio::test]
async fn an_id_that_is_unknown_malformed_or_of_another_kind_is_not_found() {
    let shop = Shop::open().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    for id in no_user_ids() {
        // An emulator that decodes it makes another path of it.
        if Difference::DecodesPaths.is_here() && id.contains("%2F") {
            continue;
        }
        let path = format!("/users/{id}");
        for person in [&ada, &admin] {
            person.get(&path).await.problem(404, "not-found");
            person.put(&path, json!({ "name": "Eve" })).await.problem(404, "not-found");
            person.delete(&path).await.problem(404, "not-found");
        }
        // Who is calling comes first, and the body before the ID.
        shop.anyone().get(&path).await.problem(401, "unauthenticated");
        admin.put(&path, json!({ "name": "" })).await.faults_at(&["/name"]);
        admin.put(&path, json!({ "nmae": "Eve" })).await.faults_at(&["/nmae"]);
        let broken = admin.request(http::Method::PUT, &path).header("content-type", "application/json");
        admin.answer(broken.body("{")).await.problem(400, "malformed-request");
    }
}

#[tokio::test]
async fn an_e_mail_address_belongs_to_one_user_in_any_case() {
    let shop = Shop::open_in_process().await;
    let ada = shop.anyone().post("/users", sign_up("Ada@Example.com")).await.expect(201);
    for taken in ["Ada@Example.com", "ada@example.com", "ADA@EXAMPLE.COM"] {
        shop.anyone().post("/users", sign_up(taken)).await.problem(409, "email-taken");
        let bob = shop.customer().await;
        bob.put(&path(&bob), json!({ "email": taken })).await.problem(409, "email-taken");
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
async fn of_many_who_sign_up_with_one_e_mail_address_at_once_one_gets_it() {
    let shop = Shop::open_in_process().await;
    let (bob, anyone) = (shop.customer().await, shop.anyone());
    let emails = ["one@example.com", "ONE@example.com", "One@Example.com", "one@EXAMPLE.com"];
    let sign_ups = join_all(emails.map(|email| anyone.post("/users", sign_up(email))));
    // Among them somebody who moves to it.
    let bobs = path(&bob);
    let moves = bob.put(&bobs, json!({ "email": "oNe@example.com" }));
    let (mut answers, moved) = futures::join!(sign_ups, moves);
    answers.push(moved);
    let (got, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status.is_success());
    assert_eq!(got.len(), 1);
    for answer in refused {
        answer.problem(409, "email-taken");
    }
}
