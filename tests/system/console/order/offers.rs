//! Forms that a page offers: those that the order allows, and no others.

use std::collections::BTreeSet;

use serde_json::json;

use super::Desk;
use crate::console::{Page, attribute, fields, tags};

/// Forms of a page that change the order: the last segments of their paths, and the changes that they make.
fn offers(page: &Page, desk: &Desk) -> BTreeSet<String> {
    let below = desk.path("/");
    let offer = |(tag, rest): (&str, &str)| {
        let action = attribute(tag, "action")?;
        let rest = rest.split("</form>").next().unwrap_or_default();
        let sent = fields(rest);
        let kind = |name: &str| sent.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone());
        let change = kind("change").or_else(|| kind("status")).or_else(|| kind("of"));
        let place = action.strip_prefix(&below)?.split('/').next().unwrap_or_default().to_owned();
        Some(change.map_or(place.clone(), |change| format!("{place}: {change}")))
    };
    tags(&page.text, "form").filter_map(offer).collect()
}

#[tokio::test]
async fn a_page_offers_what_the_status_of_the_order_allows() {
    const REFUNDS: [&str; 2] = ["refunds: amount", "refunds: items"];
    const PARCEL: [&str; 3] =
        ["fulfillments: cancelled", "fulfillments: delivered", "fulfillments: tracking"];
    for (status, expected) in [
        ("placed", vec!["cancellations", "status"]),
        ("paid", [&REFUNDS[..], &["cancellations", "fulfillments", "status"]].concat()),
        ("shipped", [&REFUNDS[..], &PARCEL, &["returns"]].concat()),
        ("delivered", [&REFUNDS[..], &["fulfillments: tracking", "returns"]].concat()),
        ("returned", [&REFUNDS[..], &["fulfillments: tracking", "refunds: return"]].concat()),
        ("refunded", vec!["fulfillments: tracking"]),
        ("cancelled", vec![]),
        ("paid, cancelled", REFUNDS.to_vec()),
    ] {
        let mut desk = Desk::in_status(status, 2).await;
        let page = desk.page().await;
        // These are in any status.
        let always = ["payments", "notes"];
        let expected: BTreeSet<String> = expected.into_iter().chain(always).map(str::to_owned).collect();
        assert_eq!(offers(&page, &desk), expected, "{status}");
        assert_eq!(page.has("Record a payment that came late"), status != "placed", "{status}");
    }
}

#[tokio::test]
async fn an_order_shipped_in_part_is_not_cancelled_as_a_whole() {
    let mut desk = Desk::in_status("paid", 2).await;
    desk.ship("1").await.expect(303);
    let page = desk.page().await;
    let offered = offers(&page, &desk);
    assert!(!offered.contains("status") && offered.contains("cancellations"), "{offered:?}");
    assert!(offered.contains("fulfillments") && offered.contains("returns"), "{offered:?}");
}

#[tokio::test]
async fn a_return_offers_what_its_status_allows() {
    let mut desk = Desk::in_status("delivered", 3).await;
    let asked = json!({ "items": [{ "id": desk.item, "quantity": 1 }] });
    desk.owner.post(&format!("/orders/{}/returns", desk.order), asked).await.expect(201);
    let rest = format!("/returns/{}", desk.latest("returns").await);
    let returns = |page: &Page, desk: &Desk| {
        let offered = offers(page, desk).into_iter();
        offered.filter(|it| it.starts_with("returns: ")).collect::<Vec<_>>()
    };
    let page = desk.page().await;
    assert_eq!(returns(&page, &desk), ["returns: approved", "returns: cancelled", "returns: rejected"]);
    desk.send_where(&rest, ("status", "approved"), &[]).await.expect(303);
    let page = desk.page().await;
    assert_eq!(returns(&page, &desk), ["returns: cancelled", "returns: received"]);
    desk.send_where(&rest, ("status", "received"), &[]).await.expect(303);
    let page = desk.page().await;
    assert!(returns(&page, &desk).is_empty());
    assert!(offers(&page, &desk).contains("refunds: return"));
}
