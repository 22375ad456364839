//! Changes of an order's addresses, notes and metadata.

use serde_json::{Value, json};
use tests::person::{address, to};
use tests::shop::{Shop, order_of};

fn elsewhere() -> Value {
    json!({ "line1": "2 Way", "city": "Köln", "country": "DE" })
}

/// All states that an order can be in, for editing.
const STATES: [&str; 8] =
    ["placed", "paid", "shipped", "delivered", "cancelled", "paid, cancelled", "returned", "refunded"];

#[tokio::test]
async fn who_may_edit_what_follows_from_the_status() {
    let shop = Shop::open().await;
    let (staff, admin) = (shop.staff().await, shop.admin());
    let mut cells = 0;
    for state in STATES {
        let (owner, order) = shop.order_in(state).await;
        let path = format!("/orders/{order}");
        for (who, person) in [("owner", &owner), ("staff", &staff), ("admin", &admin)] {
            let metadata = json!({ "by": who });
            for (field, value) in [
                ("shipping_address", elsewhere()),
                ("billing_address", elsewhere()),
                ("note", json!(who)),
                ("internal_note", json!(who)),
                ("metadata", metadata),
            ] {
                let before = staff.get(&path).await.expect(200);
                let mut body = json!({});
                body[field] = value.clone();
                // A different value each time, so that an allowed change is one.
                if field.ends_with("address") {
                    body[field]["line2"] = json!(who);
                }
                let answer = person.put(&path, body.clone()).await;
                let allowed = match (who, field) {
                    ("owner", "billing_address" | "internal_note" | "metadata") => Err((403, "forbidden")),
                    ("owner", _) if state == "placed" => Ok(()),
                    ("staff" | "admin", "shipping_address") if matches!(state, "placed" | "paid") => Ok(()),
                    ("staff" | "admin", "billing_address" | "note" | "internal_note" | "metadata") => Ok(()),
                    _ => Err((409, "order-not-editable")),
                };
                let after = staff.get(&path).await;
                match allowed {
                    Ok(()) => {
                        let answer = answer.expect(200);
                        assert_eq!(answer["version"], before["version"].as_i64().unwrap() + 1);
                        assert_eq!(answer["status"], before["status"]);
                        // `history` has the changes of status alone.
                        assert_eq!(after["history"], before["history"]);
                        assert_eq!(after["version"], answer["version"]);
                        match field {
                            "shipping_address" | "billing_address" => {
                                assert_eq!(after[field]["line2"], json!(who));
                                // Replaced whole: what it had and is not named is gone.
                                assert_eq!(after[field]["postal_code"], Value::Null);
                            }
                            _ => assert_eq!(after[field], value),
                        }
                    }
                    Err((status, slug)) => {
                        answer.problem(status, slug);
                        assert_eq!(after.body, before.body, "{state} {who} {field}");
                    }
                }
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 8 * 3 * 5);
}

#[tokio::test]
async fn an_edit_that_changes_nothing_leaves_the_version() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (ada, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    let edited =
        json!({ "note": "Ring", "metadata": { "a": "1", "b": "2" }, "shipping_address": elsewhere() });
    let edited = staff.put(&path, edited).await.expect(200);
    assert_eq!(edited["version"], 2);
    for same in [
        json!({}),
        json!({ "note": "Ring" }),
        json!({ "metadata": { "b": "2", "a": "1" } }),
        json!({ "shipping_address": elsewhere() }),
        json!({ "shipping_address": { "line1": "2 Way", "line2": null, "city": "Köln", "country": "DE" } }),
        json!({ "note": "Ring", "shipping_address": elsewhere() }),
        // Null is as absent for what belongs to a transition alone.
        json!({ "payment": null, "tracking": null, "restock": null, "reason": null }),
    ] {
        assert_eq!(staff.put(&path, same).await.expect(200).body, edited.body);
    }
    assert_eq!(ada.put(&path, json!({})).await.expect(200)["version"], 2);
    assert_eq!(ada.put(&path, json!({ "note": "Ring" })).await.expect(200)["version"], 2);
}

#[tokio::test]
async fn null_clears_a_note_and_what_is_absent_stays() {
    let shop = Shop::open().await;
    let mug = shop.product(10).await;
    let ada = shop.customer().await;
    let body = json!({
        "items": [{ "product_id": mug, "quantity": 1 }],
        "shipping_address": address(),
        "note": "Ring",
        "metadata": { "kept": "yes" },
    });
    let order = ada.post("/orders", body).await.expect(201);
    let path = format!("/orders/{}", order.id());
    let cleared = ada.put(&path, json!({ "note": null })).await.expect(200);
    assert_eq!((&cleared["note"], &cleared["version"]), (&Value::Null, &json!(2)));
    assert_eq!(cleared["metadata"], json!({ "kept": "yes" }));
    assert_eq!(cleared["shipping_address"], order["shipping_address"]);
    assert_eq!((&cleared["created_at"], &cleared["number"]), (&order["created_at"], &order["number"]));
    assert!(cleared.text("updated_at") >= order.text("updated_at"));
    assert_eq!(ada.put(&path, json!({ "note": null })).await.expect(200)["version"], 2);

    // Replaced whole; `{}` clears it.
    let staff = shop.staff().await;
    let replaced = staff.put(&path, json!({ "metadata": { "$set": "x", "a.b": "y" } })).await.expect(200);
    assert_eq!(replaced["metadata"], json!({ "$set": "x", "a.b": "y" }));
    let emptied = staff.put(&path, json!({ "metadata": {} })).await.expect(200);
    assert_eq!(emptied["metadata"], json!({}));
}

#[tokio::test]
async fn a_billing_address_is_set_replaced_and_cleared() {
    let shop = Shop::open().await;
    let (mug, ada, staff) = (shop.product(10).await, shop.customer().await, shop.staff().await);
    let mut body = order_of(&mug, 1);
    body["billing_address"] = json!({
        "name": "Ada", "company": "Engines Ltd", "phone": "+49 228 1", "line1": "3 Way", "line2": null,
        "city": "Bonn", "region": null, "postal_code": null, "country": "DE",
    });
    let placed = ada.post("/orders", body.clone()).await.expect(201);
    assert_eq!(placed["billing_address"], body["billing_address"]);
    for field in ["name", "company", "phone"] {
        assert_eq!(placed["shipping_address"].get(field), Some(&Value::Null), "{field}");
    }
    let path = format!("/orders/{}", placed.id());
    for version in [2, 2] {
        let moved = staff.put(&path, json!({ "billing_address": elsewhere() })).await.expect(200);
        assert_eq!(moved["version"], version);
        assert_eq!(moved["billing_address"]["city"], "Köln");
        // Replaced whole.
        assert_eq!(moved["billing_address"]["company"], Value::Null);
    }
    for version in [3, 3] {
        let cleared = staff.put(&path, json!({ "billing_address": null })).await.expect(200);
        assert_eq!((&cleared["billing_address"], &cleared["version"]), (&Value::Null, &json!(version)));
    }
    assert_eq!(ada.get(&path).await.expect(200)["shipping_address"], placed["shipping_address"]);
}

#[tokio::test]
async fn an_internal_note_is_shown_to_staff_alone() {
    let shop = Shop::open().await;
    let (mug, ada, staff) = (shop.product(10).await, shop.customer().await, shop.staff().await);
    let mut body = order_of(&mug, 1);
    body["user_id"] = json!(ada.id);
    body["internal_note"] = json!("Pays late.\n\tCall first.");
    let placed = staff.post("/orders", body.clone()).await.expect(201);
    assert_eq!(placed["internal_note"], body["internal_note"]);
    let path = format!("/orders/{}", placed.id());
    for note in [body["internal_note"].clone(), json!("Paid"), Value::Null, Value::Null] {
        staff.put(&path, json!({ "internal_note": note })).await.expect(200);
        for person in [&staff, &shop.admin()] {
            let seen = person.get(&path).await.expect(200);
            assert_eq!(seen.body.get("internal_note"), Some(&note));
        }
        let own = ada.get("/orders?limit=1").await.expect(200);
        for seen in [&ada.get(&path).await.expect(200).body, &own.data()[0]] {
            assert_eq!(seen.get("internal_note"), None);
        }
    }
    // Not in the answer to a change of the owner's either.
    let noted = ada.put(&path, json!({ "note": "Ring" })).await.expect(200);
    assert_eq!((noted.body.get("internal_note"), &noted["version"]), (None, &json!(4)));
    let own = ada.orders(&[(&mug, 1)]).await.expect(201);
    assert_eq!(own.body.get("internal_note"), None);
}

#[tokio::test]
async fn a_change_of_status_and_an_edit_are_one_change() {
    let shop = Shop::open().await;
    let staff = shop.staff().await;
    let (ada, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    let mut body = to("paid");
    body["note"] = json!("paid in cash");
    body["metadata"] = json!({ "till": "7" });
    body["shipping_address"] = elsewhere();
    body["reason"] = json!("counted twice");
    let paid = staff.put(&path, body).await.expect(200);
    assert_eq!((&paid["status"], &paid["version"]), (&json!("paid"), &json!(2)));
    assert_eq!((&paid["note"], &paid["metadata"]), (&json!("paid in cash"), &json!({ "till": "7" })));
    assert_eq!(paid["shipping_address"]["line1"], "2 Way");
    assert_eq!(paid["history"][2]["reason"], "counted twice");
    assert_eq!(ada.get(&path).await["history"][2]["by"], "staff");

    // What may be changed is asked of the status before: the address may still go along with the parcel.
    let mut body = to("shipped");
    body["shipping_address"] = address();
    assert_eq!(staff.put(&path, body).await.expect(200)["shipping_address"]["line1"], "1 Way");

    // All or nothing: a part that is refused stops the other.
    let before = staff.get(&path).await;
    let body = json!({ "status": "delivered", "shipping_address": elsewhere() });
    staff.put(&path, body).await.problem(409, "order-not-editable");
    let body = json!({ "status": "paid", "payment": { "reference": "x" }, "note": "x" });
    staff.put(&path, body).await.problem(409, "invalid-transition");
    assert_eq!(staff.get(&path).await.body, before.body);

    // The owner too, while it is placed.
    let (bob, order) = shop.order_in("placed").await;
    let path = format!("/orders/{order}");
    let body = json!({ "status": "cancelled", "note": "sorry", "metadata": { "a": "b" } });
    bob.put(&path, body).await.problem(403, "forbidden");
    let body = json!({ "status": "cancelled", "note": "sorry", "reason": "too late" });
    let cancelled = bob.put(&path, body).await.expect(200);
    assert_eq!((&cancelled["status"], &cancelled["note"]), (&json!("cancelled"), &json!("sorry")));
    assert_eq!((&cancelled["history"][1]["by"], &cancelled["version"]), (&json!(bob.id), &json!(2)));
}
