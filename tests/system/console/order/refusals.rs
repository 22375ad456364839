//! Refusals: shown on the page of the order, with the fields as they were sent.

use serde_json::json;
use tests::person::to;

use super::{Desk, filled, form_where, value};

#[tokio::test]
async fn an_amount_that_is_none_is_refused_at_its_field() {
    let mut desk = Desk::of(3).await;
    let payments = desk.path("/payments");
    for (amount, detail) in [
        ("12.345", "has more than the 2 decimals of EUR"),
        ("-1", "must be an amount in EUR, such as 12.34"),
        ("1,50", "must be an amount in EUR, such as 12.34"),
        ("", "is required"),
        // The API refuses this one.
        ("0", "must be 1 to 1000000000000"),
    ] {
        let page = desk.send("/payments", &[("amount", amount), ("reference", "pi_1")]).await.expect(422);
        page.shows(detail);
        let field = format!(
            "value=\"{amount}\" inputmode=\"decimal\" autocomplete=\"off\" required aria-invalid=\"true\""
        );
        assert!(page.text.contains(&field), "{}", page.text);
        let form = page.form(&payments);
        assert_eq!(
            (value(&form, "amount"), value(&form, "reference")),
            (amount.to_owned(), "pi_1".to_owned())
        );
    }
    assert_eq!(desk.seen().await["version"], 1);
}

#[tokio::test]
async fn an_amount_has_the_decimals_of_its_currency() {
    let yen = json!({ "price": { "amount": 500, "currency": "JPY" } });
    let mut desk = Desk::with(yen, json!({}), 3).await;
    let page = desk.page().await;
    page.shows("JPY 1500");
    assert_eq!(value(&page.form(&desk.path("/payments")), "amount"), "1500");
    let refused = desk.send("/payments", &[("amount", "15.00"), ("reference", "pi_1")]).await.expect(422);
    refused.shows("has decimals, and JPY has none");
    desk.pay().await;
    assert_eq!(desk.seen().await["payments"][0]["amount"], 1_500);
}

#[tokio::test]
async fn each_refusal_is_shown_with_its_detail() {
    let mut desk = Desk::in_status("paid", 3).await;
    let units = desk.field("units");
    let path = desk.path("/fulfillments");
    let page = desk.ship("5").await.expect(409);
    page.shows("More units than can be shipped; `items` names them, with what is left of each.");
    page.shows("Mug: 5 asked for, 3 left");
    assert_eq!(value(&page.form(&path), &units), "5");

    let page = desk.ship("10001").await.expect(422);
    page.shows("must be 1 to 10000");
    let page = desk.ship("1.5").await.expect(422);
    page.shows("must be a whole number");
    for none in ["0", ""] {
        desk.ship(none).await.expect(422).shows("must name at least one unit");
    }
    let page = desk.send("/fulfillments", &[("carrier", "DHL")]).await.expect(422);
    page.shows("is required");
    assert_eq!(value(&page.form(&path), "carrier"), "DHL");
    let page = desk.send("/fulfillments", &[("url", "http://dhl.example")]).await.expect(422);
    page.shows("must be an https URL");

    desk.send("/cancellations", &[]).await.expect(422).shows("must name at least one unit");
    let page = desk.send_where("/refunds/preview", ("of", "items"), &[]).await.expect(422);
    page.shows("must name at least one unit, or the shipping");
    let page = desk.send_where("/refunds/preview", ("of", "items"), &[(&units, "4")]).await.expect(409);
    page.shows("More units than were ordered and not refunded.");
    page.shows("Mug: 4 asked for, 3 left");
    let page = desk.send_where("/refunds/preview", ("of", "amount"), &[("amount", "99")]).await.expect(409);
    page.shows("9900 is more than can be refunded: 1500.");
    assert!(page.text.contains("<details open>"), "{}", page.text);

    let taken = format!("pi_{}", desk.order);
    let page = desk.send("/payments", &[("amount", "1"), ("reference", &taken)]).await.expect(409);
    page.shows("Another payment of this provider has this reference.");
    let seen = desk.seen().await;
    assert_eq!((&seen["status"], &seen["version"]), (&json!("paid"), &json!(2)));
}

#[tokio::test]
async fn a_change_that_the_page_does_not_offer_is_refused() {
    let mut desk = Desk::in_status("shipped", 1).await;
    let rest = format!("/fulfillments/{}", desk.latest("fulfillments").await);
    for change in ["shipped", "returned", ""] {
        let page = desk.send_where(&rest, ("change", "delivered"), &[("change", change)]).await.expect(422);
        page.shows("must be a change that the page offers");
    }
    let units = desk.field("units");
    desk.send("/returns", &[(&units, "1")]).await.expect(303);
    let rest = format!("/returns/{}", desk.latest("returns").await);
    let page = desk.send_where(&rest, ("status", "received"), &[("status", "requested")]).await.expect(422);
    page.shows("must be a change that the page offers");
    let (received, restocked) = (desk.field("received"), desk.field("restocked"));
    let many = [(received.as_str(), "1"), (restocked.as_str(), "2")];
    let page = desk.send_where(&rest, ("status", "received"), &many).await.expect(422);
    page.shows("must be at most `received`: 1; got 2");
    let form = form_where(&page, &desk.path(&rest), ("status", "received"));
    assert_eq!(value(&form, &restocked), "2");
}

#[tokio::test]
async fn a_stale_page_asks_and_keeps_what_was_sent() {
    let mut desk = Desk::of(2).await;
    let path = desk.path("/payments");
    let old = desk.page().await;
    desk.staff.put(&format!("/orders/{}", desk.order), json!({ "note": "ring twice" })).await.expect(200);
    let given = [("amount", "2.50"), ("reference", "pi_1"), ("method", "card")];
    let page = desk.browser.submit(&old, &path, &given).await.expect(412);
    page.shows("It was changed since you opened this page, by somebody else or by sending this form twice.");
    // The order is shown as it is now.
    page.shows("ring twice");
    assert_eq!(desk.seen().await["payments"], json!([]));
    let form = page.form(&path);
    for (name, expected) in given.into_iter().chain([("version", "2")]) {
        assert_eq!(value(&form, name), expected, "{name}");
    }
    // What was asked for is done on the second attempt.
    let answer = desk.browser.submit(&page, &path, &[]).await;
    desk.follow(&answer, "payment", "The payment is recorded.").await;
    assert_eq!(desk.seen().await["payments"][0]["amount"], 250);
}

#[tokio::test]
async fn a_correction_on_a_stale_page_changes_nothing_unseen() {
    let mut desk = Desk::of(2).await;
    let path = desk.path("/payments");
    let old = desk.page().await;
    desk.staff.put(&format!("/orders/{}", desk.order), json!({ "note": "ring twice" })).await.expect(200);
    let bad = [("amount", "x"), ("reference", "pi_1")];
    let refused = desk.browser.submit(&old, &path, &bad).await.expect(422);
    assert!(refused.text.contains("<title>Error: Order "), "{}", refused.text);
    assert!(refused.text.contains("id=\"fault-amount\" autofocus"), "{}", refused.text);
    assert_eq!(value(&refused.form(&path), "version"), "1");
    let page = desk.browser.submit(&refused, &path, &[("amount", "2.50")]).await.expect(412);
    assert_eq!(value(&page.form(&path), "version"), "2");
    assert_eq!(desk.seen().await["payments"], json!([]));
    desk.browser.submit(&page, &path, &[]).await.expect(303);
}

#[tokio::test]
async fn every_form_is_of_the_version_of_its_page() {
    let mut desk = Desk::in_status("paid", 4).await;
    let units = desk.field("units");
    desk.ship("2").await.expect(303);
    desk.send("/returns", &[(&units, "1")]).await.expect(303);
    desk.send_where("/refunds/preview", ("of", "amount"), &[("amount", "1")]).await.expect(200);
    let (fulfillment, back) = (desk.latest("fulfillments").await, desk.latest("returns").await);
    let old = desk.page().await;
    desk.staff.put(&format!("/orders/{}", desk.order), json!({ "note": "ring twice" })).await.expect(200);
    let version = desk.seen().await["version"].clone();
    let (part, back) = (format!("/fulfillments/{fulfillment}"), format!("/returns/{back}"));
    for (rest, of, given) in [
        ("/payments", ("reference", ""), vec![("amount", "1"), ("reference", "pi_2")]),
        ("/fulfillments", ("url", ""), vec![(units.as_str(), "1")]),
        (part.as_str(), ("change", "delivered"), vec![]),
        (part.as_str(), ("change", "tracking"), vec![("carrier", "DHL"), ("number", "1")]),
        ("/cancellations", ("reason", ""), vec![(units.as_str(), "1")]),
        ("/returns", ("reason", ""), vec![(units.as_str(), "1")]),
        (back.as_str(), ("status", "received"), vec![]),
        ("/refunds/preview", ("of", "items"), vec![(units.as_str(), "1")]),
        ("/notes", ("internal_note", "\n"), vec![("internal_note", "x")]),
    ] {
        let path = desk.path(rest);
        let form = filled(form_where(&old, &path, of), &given);
        let page = desk.browser.post(&path, &form).await.expect(412);
        page.shows(
            "It was changed since you opened this page, by somebody else or by sending this form twice.",
        );
        // Without a version nothing is changed, either.
        let mut form = form;
        form.retain(|(name, _)| name != "version");
        desk.browser.post(&path, &form).await.expect(412);
    }
    assert_eq!(desk.seen().await["version"], version);
}

#[tokio::test]
async fn a_refund_is_refused_when_the_order_has_changed_meanwhile() {
    let mut desk = Desk::in_status("paid", 2).await;
    let preview =
        desk.send_where("/refunds/preview", ("of", "amount"), &[("amount", "10")]).await.expect(200);
    desk.staff.post(&format!("/orders/{}/refunds", desk.order), json!({ "amount": 500 })).await.expect(201);
    let refunds = desk.path("/refunds");
    let page = desk.browser.submit(&preview, &refunds, &[]).await.expect(412);
    page.shows("It was changed since you opened this page, by somebody else or by sending this form twice.");
    // The amount is kept, and is previewed again.
    let preview = desk.path("/refunds/preview");
    let form = form_where(&page, &preview, ("of", "amount"));
    assert_eq!(value(&form, "amount"), "10");
    let page = desk.browser.post(&preview, &form).await.expect(409);
    page.shows("1000 is more than can be refunded: 500.");
    assert_eq!(desk.seen().await["refunds"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_transition_names_what_is_allowed() {
    let mut desk = Desk::of(1).await;
    let old = desk.page().await;
    let status = desk.path("/status");
    desk.staff.put(&format!("/orders/{}", desk.order), to("paid")).await.expect(200);
    desk.staff.put(&format!("/orders/{}", desk.order), to("shipped")).await.expect(200);
    // As if the page were up to date.
    let page = desk.browser.submit(&old, &status, &[("version", "3")]).await.expect(409);
    page.shows("Cannot change status from shipped to cancelled.");
    assert_eq!(desk.seen().await["status"], "shipped");
}
