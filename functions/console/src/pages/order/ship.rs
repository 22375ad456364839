//! Fulfillments of an order: a new one, and the forms for each that there is.

use axum::extract::Path;
use maud::{Markup, html};
use proto::orders::v1::{
    CreateFulfillmentRequest, Fulfillment, NewItemQuantities, Tracking, UpdateFulfillmentRequest,
};
use shared::error::Error;

use super::form::{self, Form, hidden};
use super::{Page, answer, answer_once, button, danger};
use crate::http::{Answer, Fields, Visit};
use crate::layout;
use crate::pages::orders::slips;
use crate::texts::order as texts;
use crate::texts::slips::SLIP;

/// Name of the form for a new fulfillment.
const SHIP: &str = "ship";

/// Values of the field `change`: the changes of a fulfillment.
const TRACKING: &str = "tracking";
const DELIVERED: &str = "delivered";
const CANCELLED: &str = "cancelled";

/// Records a fulfillment.
pub(super) async fn record(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let outcome = ship(&visit, &id, &fields).await.map(|()| "fulfillment");
    answer_once(&visit, &id, SHIP.to_owned(), fields, outcome).await
}

async fn ship(visit: &Visit, id: &str, fields: &Fields) -> Result<(), Error> {
    let request = CreateFulfillmentRequest {
        order_id: id.to_owned(),
        items: Some(NewItemQuantities { items: form::some_units(fields)? }),
        tracking: tracking(fields),
        expected_version: form::version(fields)?,
    };
    visit.orders().create_fulfillment(visit.request_once(request, fields)).await?;
    Ok(())
}

/// Changes a fulfillment.
pub(super) async fn change(visit: Visit, Path((id, part)): Path<(String, String)>, fields: Fields) -> Answer {
    let name = form_of(fields.get("change").unwrap_or_default(), &part);
    let outcome = update(&visit, &id, &part, &fields).await;
    answer(&visit, &id, name, fields, outcome).await
}

async fn update(visit: &Visit, id: &str, part: &str, fields: &Fields) -> Result<&'static str, Error> {
    let mut request = UpdateFulfillmentRequest {
        order_id: id.to_owned(),
        fulfillment_id: part.to_owned(),
        status: None,
        tracking: None,
        expected_version: form::version(fields)?,
    };
    let done = match fields.get("change") {
        Some(TRACKING) => {
            // Without tracking the request would change nothing.
            request.tracking = Some(tracking(fields).unwrap_or_default());
            "tracking"
        }
        Some(status @ DELIVERED) => {
            request.status = Some(status.to_owned());
            "delivered"
        }
        Some(status @ CANCELLED) => {
            request.status = Some(status.to_owned());
            "unshipped"
        }
        _ => return Err(form::fault("change", texts::UNKNOWN_CHANGE)),
    };
    visit.orders().update_fulfillment(visit.request(request)).await?;
    Ok(done)
}

/// Reads the tracking of a form. `None` if all of its fields are empty.
fn tracking(fields: &Fields) -> Option<Tracking> {
    let [carrier, number, url] = ["carrier", "number", "url"].map(|name| form::text(fields, name));
    let is_empty = carrier.is_none() && number.is_none() && url.is_none();
    (!is_empty).then_some(Tracking { carrier, number, url })
}

/// Name of the form for a change of a fulfillment.
fn form_of(change: &str, id: &str) -> String {
    format!("{change}-{id}")
}

impl Page<'_> {
    /// Renders the form for a new fulfillment, while units are to be shipped.
    pub(super) fn ship_form(&self) -> Markup {
        if self.order.status != "paid" || self.items.iter().all(|item| item.left == 0) {
            return html! {};
        }
        let form = self.form(SHIP);
        html! {
            section.card {
                h3 { (texts::SHIP) }
                p { a href=(self.visit.path(&slips::path([self.order.id.as_str()]))) { (SLIP) } }
                (self.post(form, "/fulfillments", &html! {
                    div.fields {
                        (form.units(&self.items, |item| item.left, true))
                        (form.reference("carrier", texts::OPTIONAL_CARRIER, "", false))
                        (form.reference("number", texts::OPTIONAL_TRACKING_NUMBER, "", false))
                        (form.url(""))
                    }
                    (button(texts::SHIP_BUTTON))
                }))
            }
        }
    }

    pub(super) fn fulfillments(&self) -> Markup {
        let fulfillments = &self.order.fulfillments;
        html! {
            section aria-labelledby="fulfillments" {
                h2 #fulfillments { (texts::FULFILLMENTS) }
                @if fulfillments.is_empty() { p.muted { (texts::NO_FULFILLMENTS) } }
                div.cards {
                    @for (place, it) in fulfillments.iter().enumerate() { (self.fulfillment(place, it)) }
                }
            }
        }
    }

    fn fulfillment(&self, place: usize, it: &Fulfillment) -> Markup {
        html! {
            section.card {
                h3 { (texts::fulfillment_name(place.saturating_add(1))) " " (layout::badge(&it.status)) }
                (self.units(&it.items))
                dl.facts {
                    @if let Some(tracking) = &it.tracking {
                        dt { (texts::TRACKING) }
                        dd { (parcel(tracking)) }
                    }
                    dt { (texts::SHIPPED_AT) }
                    dd { (layout::time(it.shipped_at.as_ref())) }
                    @if let Some(at) = &it.delivered_at {
                        dt { (texts::DELIVERED_AT) }
                        dd { (layout::time(Some(at))) }
                    }
                    dt { (texts::BY) }
                    dd { (self.by(&it.by)) }
                }
                @if it.status == "shipped" { (self.deliver_form(it)) }
                @if it.status != "cancelled" { (self.tracking_form(it)) }
                @if it.status == "shipped" { (self.unship_form(it)) }
            }
        }
    }

    fn deliver_form(&self, it: &Fulfillment) -> Markup {
        self.change_of(it, DELIVERED, &button(texts::DELIVER_BUTTON))
    }

    fn tracking_form(&self, it: &Fulfillment) -> Markup {
        let name = form_of(TRACKING, &it.id);
        let form = self.form(&name);
        let body = self.change_of(
            it,
            TRACKING,
            &html! {
                div.fields { (tracking_fields(form, it.tracking.as_ref())) }
                (button(texts::CORRECT_TRACKING_BUTTON))
            },
        );
        self.closed(&name, texts::CORRECT_TRACKING, &body)
    }

    fn unship_form(&self, it: &Fulfillment) -> Markup {
        let body = self.change_of(
            it,
            CANCELLED,
            &html! {
                p.muted { (texts::UNSHIP_HINT) }
                (danger(texts::UNSHIP_BUTTON))
            },
        );
        self.closed(&form_of(CANCELLED, &it.id), texts::UNSHIP, &body)
    }

    /// Renders a form that changes a fulfillment.
    fn change_of(&self, it: &Fulfillment, change: &str, body: &Markup) -> Markup {
        let form = self.form(&form_of(change, &it.id));
        self.post(form, &format!("/fulfillments/{}", it.id), &html! { (hidden("change", change)) (body) })
    }
}

/// Renders the fields of tracking, with what is known.
fn tracking_fields(form: Form<'_>, known: Option<&Tracking>) -> Markup {
    let carrier = known.and_then(|it| it.carrier.as_deref()).unwrap_or_default();
    let number = known.and_then(|it| it.number.as_deref()).unwrap_or_default();
    let url = known.and_then(|it| it.url.as_deref()).unwrap_or_default();
    html! {
        (form.reference("carrier", texts::CARRIER, carrier, true))
        (form.reference("number", texts::TRACKING_NUMBER, number, true))
        (form.url(url))
    }
}

/// Renders tracking. A URL is a link if it is https: stored ones may be from before that was a rule.
fn parcel(tracking: &Tracking) -> Markup {
    html! {
        (tracking.carrier.as_deref().unwrap_or_default()) " "
        code { (tracking.number.as_deref().unwrap_or_default()) }
        @if let Some(url) = &tracking.url {
            " "
            @if url.starts_with("https://") {
                a href=(url) rel="noopener noreferrer" { (texts::FOLLOW) }
            } @else {
                (url)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_a_link() {
        let with = |url: &str| {
            let tracking = Tracking {
                carrier: Some("<DHL>".to_owned()),
                number: Some("1".to_owned()),
                url: Some(url.to_owned()),
            };
            parcel(&tracking).into_string()
        };
        let link =
            "<a href=\"https://dhl.example/?a=1&amp;b\" rel=\"noopener noreferrer\">Follow the parcel</a>";
        assert_eq!(with("https://dhl.example/?a=1&b"), format!("&lt;DHL&gt; <code>1</code> {link}"));
        for other in ["http://dhl.example", "javascript:alert(1)", "HTTPS://dhl.example"] {
            assert!(!with(other).contains("<a"), "{other}");
        }
    }
}
