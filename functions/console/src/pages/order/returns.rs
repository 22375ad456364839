//! Returns of an order: a new one, and the forms for each that there is.

use axum::extract::Path;
use maud::{Markup, html};
use proto::orders::v1::{
    CreateReturnRequest, NewReturnItem, ReceivedItem, ReceivedItems, Return, ReturnItem, UpdateReturnRequest,
};
use shared::error::Error;

use super::form::{self, RECEIVED, RESTOCKED, hidden};
use super::{Page, answer, answer_once, button, danger};
use crate::http::{Answer, Fields, Visit};
use crate::layout;
use crate::texts::order as texts;

/// Name of the form for a new return.
const NEW: &str = "return";

/// Columns of the items of a return: their headings, and true for numbers.
const COLUMNS: [(&str, bool); 5] = [
    (texts::ITEM, false),
    (texts::REQUESTED_UNITS, true),
    (texts::RECEIVED_UNITS, true),
    (texts::RESTOCKED_UNITS, true),
    (texts::REASON, false),
];

/// Records a return.
pub(super) async fn record(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let outcome = take_back(&visit, &id, &fields).await.map(|()| "return");
    answer_once(&visit, &id, NEW.to_owned(), fields, outcome).await
}

async fn take_back(visit: &Visit, id: &str, fields: &Fields) -> Result<(), Error> {
    let units = form::some_units(fields)?.into_iter();
    let request = CreateReturnRequest {
        order_id: id.to_owned(),
        items: units.map(|of| NewReturnItem { id: of.id, quantity: of.quantity, reason: None }).collect(),
        reason: form::text(fields, "reason"),
        expected_version: form::version(fields)?,
    };
    visit.orders().create_return(visit.request_once(request, fields)).await?;
    Ok(())
}

/// Changes a return. The field `status` names the new status.
pub(super) async fn change(visit: Visit, Path((id, part)): Path<(String, String)>, fields: Fields) -> Answer {
    let name = form_of(fields.get("status").unwrap_or_default(), &part);
    let outcome = update(&visit, &id, &part, &fields).await;
    answer(&visit, &id, name, fields, outcome).await
}

async fn update(visit: &Visit, id: &str, part: &str, fields: &Fields) -> Result<&'static str, Error> {
    let (done, items) = match fields.get("status") {
        Some("approved") => ("return-approved", None),
        Some("rejected") => ("return-rejected", None),
        Some("received") => ("return-received", Some(ReceivedItems { items: received(fields)? })),
        Some("cancelled") => ("return-cancelled", None),
        _ => return Err(form::fault("status", texts::UNKNOWN_CHANGE)),
    };
    let request = UpdateReturnRequest {
        order_id: id.to_owned(),
        return_id: part.to_owned(),
        status: form::text(fields, "status"),
        items,
        reason: form::text(fields, "reason"),
        expected_version: form::version(fields)?,
    };
    visit.orders().update_return(visit.request(request)).await?;
    Ok(done)
}

/// Reads the units that came back.
///
/// # Errors
/// 422 for text that is no whole number.
fn received(fields: &Fields) -> Result<Vec<ReceivedItem>, Error> {
    let item = |id: String| -> Result<ReceivedItem, Error> {
        let received = fields.number(&format!("{RECEIVED}{id}"))?;
        // An empty field beside units that came back means none of them.
        let restocked = fields.number(&format!("{RESTOCKED}{id}"))?.or(Some(0));
        Ok(ReceivedItem { id: Some(id), received, restocked })
    };
    form::received_items(fields).into_iter().map(item).collect()
}

/// Name of the form that gives a return a status.
fn form_of(status: &str, id: &str) -> String {
    format!("{status}-{id}")
}

impl Page<'_> {
    /// Renders the form for a new return, while there are shipped units that are in none.
    pub(super) fn return_form(&self) -> Markup {
        let may_return = matches!(self.order.status.as_str(), "paid" | "shipped" | "delivered");
        if !may_return || self.items.iter().all(|item| item.returnable == 0) {
            return html! {};
        }
        let form = self.form(NEW);
        let body = self.post(
            form,
            "/returns",
            &html! {
                p.muted { (texts::RECORD_RETURN_HINT) }
                div.fields {
                    (form.units(&self.items, |item| item.returnable, false))
                    (form.reason(false))
                }
                (button(texts::RECORD_RETURN_BUTTON))
            },
        );
        html! { section.card { (self.closed(NEW, texts::RECORD_RETURN, &body)) } }
    }

    pub(super) fn returns(&self) -> Markup {
        let returns = &self.order.returns;
        html! {
            section aria-labelledby="returns" {
                h2 #returns { (texts::RETURNS) }
                @if returns.is_empty() { p.muted { (texts::NO_RETURNS) } }
                div.cards {
                    @for (place, it) in returns.iter().enumerate() { (self.return_card(place, it)) }
                }
            }
        }
    }

    fn return_card(&self, place: usize, it: &Return) -> Markup {
        let is_open = matches!(it.status.as_str(), "requested" | "approved");
        html! {
            section.card {
                h3 { (texts::return_name(place.saturating_add(1))) " " (layout::badge(&it.status)) }
                (self.return_items(&it.items))
                dl.facts {
                    @if let Some(reason) = &it.reason {
                        dt { (texts::REASON) }
                        dd { (reason) }
                    }
                    dt { (texts::REQUESTED_AT) }
                    dd { (layout::time(it.requested_at.as_ref())) }
                    @if let Some(at) = &it.decided_at {
                        dt { (texts::DECIDED_AT) }
                        dd { (layout::time(Some(at))) }
                    }
                    @if let Some(at) = &it.received_at {
                        dt { (texts::RECEIVED_AT) }
                        dd { (layout::time(Some(at))) }
                    }
                    dt { (texts::BY) }
                    dd { (self.by(&it.by)) }
                }
                @if it.status == "requested" { (self.approve_form(it)) (self.reject_form(it)) }
                @if it.status == "approved" { (self.receive_form(it)) }
                @if is_open { (self.cancel_return_form(it)) }
            }
        }
    }

    fn return_items(&self, items: &[ReturnItem]) -> Markup {
        html! {
            table.list {
                thead {
                    tr {
                        @for (heading, is_number) in COLUMNS {
                            th scope="col" class=[is_number.then_some("number")] { (heading) }
                        }
                    }
                }
                tbody {
                    @for item in items {
                        tr {
                            td data-label=(texts::ITEM) { (self.name_of(&item.id)) }
                            td.number data-label=(texts::REQUESTED_UNITS) { (item.quantity) }
                            td.number data-label=(texts::RECEIVED_UNITS) { (item.received) }
                            td.number data-label=(texts::RESTOCKED_UNITS) { (item.restocked) }
                            td data-label=(texts::REASON) { (item.reason.as_deref().unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }

    fn approve_form(&self, it: &Return) -> Markup {
        self.to_status(it, "approved", &button(texts::APPROVE_BUTTON))
    }

    fn reject_form(&self, it: &Return) -> Markup {
        let name = form_of("rejected", &it.id);
        let body = self.to_status(
            it,
            "rejected",
            &html! {
                p.muted { (texts::REJECT_HINT) }
                div.fields { (self.form(&name).reason(true)) }
                (danger(texts::REJECT_BUTTON))
            },
        );
        self.closed(&name, texts::REJECT, &body)
    }

    fn receive_form(&self, it: &Return) -> Markup {
        let form = self.form(&form_of("received", &it.id));
        self.to_status(
            it,
            "received",
            &html! {
                fieldset.fields {
                    legend { (texts::RECEIVE) }
                    @for item in &it.items {
                        @let (name, most) = (self.name_of(&item.id), item.quantity);
                        @let (received, restocked) = (texts::received(name, most), texts::restocked(name));
                        (form.number(&format!("{RECEIVED}{}", item.id), &received, Some(most)))
                        // As by default of the API: a unit that came back may be broken.
                        (form.number(&format!("{RESTOCKED}{}", item.id), &restocked, Some(0)))
                    }
                }
                (button(texts::RECEIVE_BUTTON))
            },
        )
    }

    fn cancel_return_form(&self, it: &Return) -> Markup {
        let name = form_of("cancelled", &it.id);
        let body = self.to_status(
            it,
            "cancelled",
            &html! {
                div.fields { (self.form(&name).reason(false)) }
                (danger(texts::CANCEL_RETURN_BUTTON))
            },
        );
        self.closed(&name, texts::CANCEL_RETURN, &body)
    }

    /// Renders a form that gives a return a status.
    fn to_status(&self, it: &Return, status: &str, body: &Markup) -> Markup {
        let form = self.form(&form_of(status, &it.id));
        self.post(form, &format!("/returns/{}", it.id), &html! { (hidden("status", status)) (body) })
    }
}
