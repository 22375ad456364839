//! Users: permissions of each role to read, change and find them.

use serde_json::{Value, json};
use shared::values::ids::{OrderId, UserId};
use tests::emulator_quirks::{Quirk, refuses_path};
use tests::shop::Shop;
use tests::support::users::{assert_shows_a_user, path};

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

/// Texts in a path in place of a user's ID.
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
async fn an_unknown_malformed_or_foreign_id_is_not_found() {
    let shop = Shop::open().await;
    let (ada, admin) = (shop.customer().await, shop.admin());
    for id in no_user_ids() {
        // An emulator that decodes it makes another path of it.
        if (Quirk::DecodesPaths.is_here() && id.contains("%2F")) || refuses_path(&id) {
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
