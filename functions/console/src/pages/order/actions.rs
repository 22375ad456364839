//! Cancellations of an order or of its units, and its internal note.

use axum::extract::Path;
use maud::{Markup, html};
use proto::FieldMask;
use proto::orders::v1::{CreateCancellationRequest, NewItemQuantities, UpdateOrderRequest};
use shared::error::Error;

use super::{Page, answer, answer_once, button, danger, form};
use crate::http::{Answer, Fields, Visit};
use crate::texts::order as texts;

/// Name of the form that cancels units.
const UNITS: &str = "cancel-units";
/// Name of the form that cancels the order.
const ORDER: &str = "cancel-order";
/// Name of the form for the internal note, and of its field.
const NOTE: &str = "internal_note";

/// Cancels units that are not shipped.
pub(super) async fn cancel_units(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let outcome = cancel(&visit, &id, &fields).await.map(|()| "units-cancelled");
    answer_once(&visit, &id, UNITS.to_owned(), fields, outcome).await
}

async fn cancel(visit: &Visit, id: &str, fields: &Fields) -> Result<(), Error> {
    let request = CreateCancellationRequest {
        order_id: id.to_owned(),
        items: Some(NewItemQuantities { items: form::some_units(fields)? }),
        reason: form::text(fields, "reason"),
        expected_version: form::version(fields)?,
    };
    visit.orders().create_cancellation(visit.request_once(request, fields)).await?;
    Ok(())
}

/// Cancels the order.
pub(super) async fn cancel_order(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let outcome = end(&visit, &id, &fields).await.map(|()| "cancelled");
    answer(&visit, &id, ORDER.to_owned(), fields, outcome).await
}

async fn end(visit: &Visit, id: &str, fields: &Fields) -> Result<(), Error> {
    let request = UpdateOrderRequest {
        id: id.to_owned(),
        status: Some("cancelled".to_owned()),
        reason: form::text(fields, "reason"),
        expected_version: form::version(fields)?,
        ..UpdateOrderRequest::default()
    };
    visit.orders().update_order(visit.request(request)).await?;
    Ok(())
}

/// Saves the internal note. An empty one is removed.
pub(super) async fn save_note(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let outcome = note(&visit, &id, &fields).await.map(|()| "note");
    answer(&visit, &id, NOTE.to_owned(), fields, outcome).await
}

async fn note(visit: &Visit, id: &str, fields: &Fields) -> Result<(), Error> {
    let request = UpdateOrderRequest {
        id: id.to_owned(),
        internal_note: form::text(fields, NOTE),
        // A field that the mask names and that is not set is cleared.
        update_mask: Some(FieldMask { paths: vec![NOTE.to_owned()] }),
        expected_version: form::version(fields)?,
        ..UpdateOrderRequest::default()
    };
    visit.orders().update_order(visit.request(request)).await?;
    Ok(())
}

impl Page<'_> {
    /// Renders the forms for cancellations that the order allows.
    pub(super) fn cancel_forms(&self) -> Markup {
        let status = self.order.status.as_str();
        let is_open = matches!(status, "placed" | "paid");
        let may_cancel_units = is_open && self.items.iter().any(|item| item.left > 0);
        let has_shipped = self.order.fulfillments.iter().any(|it| it.status != "cancelled");
        html! {
            @if may_cancel_units { (self.cancel_units_form()) }
            @if is_open && !has_shipped { (self.cancel_order_form()) }
        }
    }

    fn cancel_units_form(&self) -> Markup {
        let form = self.form(UNITS);
        let body = self.post(
            form,
            "/cancellations",
            &html! {
                p.muted { (texts::CANCEL_UNITS_HINT) }
                div.fields {
                    (form.units(&self.items, |item| item.left, false))
                    (form.reason(false))
                }
                (danger(texts::CANCEL_UNITS_BUTTON))
            },
        );
        html! { section.card { (self.closed(UNITS, texts::CANCEL_UNITS, &body)) } }
    }

    fn cancel_order_form(&self) -> Markup {
        let form = self.form(ORDER);
        let body = self.post(
            form,
            "/status",
            &html! {
                p.muted { (texts::CANCEL_ORDER_HINT) }
                div.fields { (form.reason(false)) }
                (danger(texts::CANCEL_ORDER_BUTTON))
            },
        );
        html! { section.card { (self.closed(ORDER, texts::CANCEL_ORDER, &body)) } }
    }

    /// Renders the form for the internal note.
    pub(super) fn note_form(&self) -> Markup {
        let note = self.order.internal_note.as_deref().unwrap_or_default();
        let body = self.post(
            self.form(NOTE),
            "/notes",
            &html! {
                p.muted { (texts::EDIT_NOTE_HINT) }
                div.fields { (self.form(NOTE).lines(NOTE, texts::INTERNAL_NOTE, note)) }
                (button(texts::EDIT_NOTE_BUTTON))
            },
        );
        html! { section.card { (self.closed(NOTE, texts::EDIT_NOTE, &body)) } }
    }
}
