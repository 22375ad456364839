//! Cancellations, returns, refunds and notes, each by its form.

use serde_json::{Value, json};

use super::{Desk, form_where, value};

#[tokio::test]
async fn an_order_is_cancelled_with_a_reason() {
    let mut desk = Desk::of(2).await;
    let answer = desk.send("/status", &[("reason", "by phone")]).await;
    let page = desk.follow(&answer, "cancelled", "The order is cancelled.").await;
    page.shows("by phone");
    let seen = desk.seen().await;
    assert_eq!((&seen["status"], &seen["history"][1]["reason"]), (&json!("cancelled"), &json!("by phone")));
    assert_eq!(desk.site.shop.stock(&desk.product).await, (10, 0, 10));
}

#[tokio::test]
async fn a_payment_that_came_late_is_recorded_and_refunded() {
    let mut desk = Desk::in_status("cancelled", 1).await;
    desk.send("/payments", &[("amount", "5.00"), ("reference", "pi_1")]).await.expect(303);
    let page = desk.page().await;
    page.shows("refund due");
    // The form begins with what is to be refunded.
    let form = form_where(&page, &desk.path("/refunds/preview"), ("of", "amount"));
    assert_eq!(value(&form, "amount"), "5.00");
    let preview =
        desk.send_where("/refunds/preview", ("of", "amount"), &[("reference", "re_1")]).await.expect(200);
    let refunds = desk.path("/refunds");
    let answer = desk.browser.submit(&preview, &refunds, &[]).await;
    desk.follow(&answer, "refund", "The refund is recorded.").await;
    let seen = desk.seen().await;
    assert_eq!((&seen["status"], &seen["refunds"][0]["reference"]), (&json!("refunded"), &json!("re_1")));
}

#[tokio::test]
async fn units_are_cancelled_and_their_part_is_due() {
    let mut desk = Desk::in_status("paid", 3).await;
    let units = desk.field("units");
    let answer = desk.send("/cancellations", &[(&units, "1"), ("reason", "broken")]).await;
    let page = desk.follow(&answer, "units-cancelled", "The units are cancelled.").await;
    page.shows("EUR 5.00");
    let seen = desk.seen().await;
    let item = &seen["items"][0];
    assert_eq!((&item["cancelled"], &seen["totals"]["refund_due"]), (&json!(1), &json!(500)));
    assert_eq!(desk.site.shop.stock(&desk.product).await, (10, 2, 8));
}

#[tokio::test]
async fn a_fulfillment_by_mistake_is_taken_back() {
    let mut desk = Desk::in_status("paid", 3).await;
    desk.ship("3").await.expect(303);
    let rest = format!("/fulfillments/{}", desk.latest("fulfillments").await);
    let answer = desk.send_where(&rest, ("change", "cancelled"), &[]).await;
    desk.follow(&answer, "unshipped", "Its units can be shipped again.").await;
    let seen = desk.seen().await;
    assert_eq!((&seen["status"], &seen["fulfillments"][0]["status"]), (&json!("paid"), &json!("cancelled")));
}

#[tokio::test]
async fn a_return_is_rejected_with_a_reason_or_cancelled() {
    let mut desk = Desk::in_status("delivered", 3).await;
    let path = format!("/orders/{}/returns", desk.order);
    for (status, done, text) in [
        ("rejected", "return-rejected", "The return is rejected."),
        ("cancelled", "return-cancelled", "The return is cancelled."),
    ] {
        let asked = json!({ "items": [{ "id": desk.item, "quantity": 1 }] });
        desk.owner.post(&path, asked).await.expect(201);
        let rest = format!("/returns/{}", desk.latest("returns").await);
        if status == "rejected" {
            let page = desk.send_where(&rest, ("status", status), &[]).await.expect(422);
            page.shows("is required for rejected");
        }
        let answer = desk.send_where(&rest, ("status", status), &[("reason", "worn")]).await;
        let page = desk.follow(&answer, done, text).await;
        page.shows("worn");
        let returns = desk.seen().await["returns"].clone();
        assert_eq!(returns.as_array().unwrap().last().unwrap()["status"], status);
    }
}

#[tokio::test]
async fn items_and_the_shipping_are_refunded_together() {
    let order = json!({ "shipping": { "label": "Express", "amount": 490 } });
    let mut desk = Desk::with(json!({}), order, 2).await;
    desk.pay().await;
    let units = desk.field("units");
    let given = [(units.as_str(), "1"), ("shipping", "yes"), ("reason", "late")];
    let preview = desk.send_where("/refunds/preview", ("of", "items"), &given).await.expect(200);
    preview.shows("EUR 9.90");
    let refunds = desk.path("/refunds");
    // The fields are those that were previewed, under another key.
    let confirmed = preview.form(&refunds);
    for (name, expected) in given.into_iter().chain([("of", "items"), ("version", "2")]) {
        assert_eq!(value(&confirmed, name), expected, "{name}");
    }
    let sent = form_where(&preview, &desk.path("/refunds/preview"), ("of", "items"));
    assert_ne!(value(&confirmed, "key"), value(&sent, "key"));
    let answer = desk.browser.submit(&preview, &refunds, &[]).await;
    desk.follow(&answer, "refund", "The refund is recorded.").await;
    let refund = desk.seen().await["refunds"][0].clone();
    assert_eq!((&refund["amount"], &refund["shipping"]), (&json!(990), &json!(true)));
    // The shipping is refunded once: it is no longer offered.
    assert!(!desk.page().await.has("Refund the shipping, too"));
}

#[tokio::test]
async fn a_refund_may_name_one_of_several_payments() {
    let mut desk = Desk::of(2).await;
    for (reference, amount) in [("pi_1", "4"), ("pi_2", "6")] {
        desk.send("/payments", &[("amount", amount), ("reference", reference)]).await.expect(303);
    }
    let second = desk.seen().await["payments"][1]["id"].as_str().unwrap().to_owned();
    let given = [("amount", "5"), ("payment_id", second.as_str())];
    let preview = desk.send_where("/refunds/preview", ("of", "amount"), &given).await.expect(200);
    let refunds = desk.path("/refunds");
    desk.browser.submit(&preview, &refunds, &[]).await.expect(303);
    assert_eq!(desk.seen().await["refunds"][0]["payment_id"], second);
}

#[tokio::test]
async fn an_internal_note_is_written_and_cleared() {
    let mut desk = Desk::of(1).await;
    let answer = desk.send("/notes", &[("internal_note", "call back\r\non Monday")]).await;
    desk.follow(&answer, "note", "The internal note is saved.").await;
    assert_eq!(desk.seen().await["internal_note"], "call back\non Monday");
    desk.send("/notes", &[("internal_note", "")]).await.expect(303);
    assert_eq!(desk.seen().await["internal_note"], Value::Null);
}

#[tokio::test]
async fn a_deleted_customer_is_shown_by_id_alone() {
    let mut desk = Desk::of(1).await;
    let (id, email) = (desk.owner.id.clone(), desk.owner.email.clone());
    let page = desk.page().await;
    page.shows(&email);
    desk.owner.delete(&format!("/users/{id}")).await.expect(204);
    let page = desk.page().await;
    page.shows(&id);
    assert!(!page.has(&email), "{}", page.text);
}
