//! Page of one order: its parts, and all that can be done with it now.
//!
//! Each thing to do is a form of its own. The functions decide: a refusal is shown on the same page, with the fields as
//! they were sent. Each form carries the version of the order that its page showed.
//!
//! - `form`: fields that keep what was sent
//! - `view`: heading, facts, items, addresses
//! - `timeline`: the history
//! - `actions`: cancellations and the internal note
//! - `money`: sums and payments
//! - `refunds`: refunds, with their preview
//! - `ship`: fulfillments
//! - `returns`: returns

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use maud::{Markup, html};
use proto::orders::v1::{GetOrderRequest, ItemQuantity, Order, OrderItem, RefundPreview};
use proto::users::v1::{GetUserRequest, User};
use serde_json::Value;
use shared::error::{Error, Kind};

use crate::Console;
use crate::http::{Answer, Fields, Place, Query, Visit};
use crate::layout;
use crate::texts::order as texts;

mod actions;
mod form;
mod money;
mod refunds;
mod returns;
mod ship;
mod timeline;
mod view;

use form::{Form, Sent};

/// Routes of the page.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/orders/{id}", get(show))
        .route("/console/orders/{id}/payments", post(money::record_payment))
        .route("/console/orders/{id}/fulfillments", post(ship::record))
        .route("/console/orders/{id}/fulfillments/{part}", post(ship::change))
        .route("/console/orders/{id}/cancellations", post(actions::cancel_units))
        .route("/console/orders/{id}/returns", post(returns::record))
        .route("/console/orders/{id}/returns/{part}", post(returns::change))
        .route("/console/orders/{id}/refunds/preview", post(refunds::preview))
        .route("/console/orders/{id}/refunds", post(refunds::record))
        .route("/console/orders/{id}/refunds/{part}", post(refunds::set_reference))
        .route("/console/orders/{id}/status", post(actions::cancel_order))
        .route("/console/orders/{id}/notes", post(actions::save_note))
}

/// Shows the order.
async fn show(visit: Visit, Path(id): Path<String>, query: Query) -> Answer {
    let order = load(&visit, &id).await?;
    let notice = query.get("done").and_then(texts::done).map_or(Notice::None, Notice::Done);
    Ok(Page::new(&visit, &order, None).answer(&notice).await)
}

/// Message at the top of the page.
enum Notice {
    /// No message.
    None,
    /// Change that was made.
    Done(&'static str),
    /// Form that was sent from a page with another version of the order.
    Changed,
    /// Form that was refused.
    Refused {
        /// Reason.
        error: Error,
        /// True if the form takes effect once.
        is_once: bool,
    },
    /// Refund that can be confirmed.
    Preview(RefundPreview),
}

/// Asks for an order.
async fn load(visit: &Visit, id: &str) -> Result<Order, Error> {
    let request = visit.request(GetOrderRequest { id: id.to_owned() });
    Ok(visit.orders().get_order(request).await?.into_inner())
}

/// Answers a form without a key: leads to the page of the order, or shows there why it was refused.
///
/// `form` is its name on the page. `outcome` has the word for its success.
async fn answer(
    visit: &Visit,
    id: &str,
    form: String,
    fields: Fields,
    outcome: Result<&'static str, Error>,
) -> Answer {
    respond(visit, id, form, fields, outcome, false).await
}

/// Answers a form that takes effect once, by its key, as [`answer`] does.
async fn answer_once(
    visit: &Visit,
    id: &str,
    form: String,
    fields: Fields,
    outcome: Result<&'static str, Error>,
) -> Answer {
    respond(visit, id, form, fields, outcome, true).await
}

async fn respond(
    visit: &Visit,
    id: &str,
    form: String,
    fields: Fields,
    outcome: Result<&'static str, Error>,
    is_once: bool,
) -> Answer {
    let error = match outcome {
        Ok(done) => return Ok(visit.redirect(&format!("{}?done={done}", path(id)))),
        Err(error) if is_shown(error.kind()) => error,
        Err(error) => return Err(error.into()),
    };
    let visit = visit.after(&error, &fields);
    let order = match load(&visit, id).await {
        Ok(order) => order,
        // Without the order there is no form to show, but its outcome must be told.
        Err(_) if layout::is_unknown(&error) => return Ok(failed(&visit, &error, is_once)),
        Err(error) => return Err(error.into()),
    };
    let mut sent = Sent::new(form, fields);
    sent.refuse(&order, &error);
    let is_outdated = error.kind() == Kind::VersionMismatch;
    let notice = if is_outdated { Notice::Changed } else { Notice::Refused { error, is_once } };
    Ok(Page::new(&visit, &order, Some(&sent)).answer(&notice).await)
}

/// Answers with an error alone, and with what is known of the form.
fn failed(visit: &Visit, error: &Error, is_once: bool) -> Response {
    let title = error.kind().title();
    let body = html! {
        h1 { (title) }
        div.problem role="alert" {
            (layout::explanation(error))
            (layout::unknown(error, is_once))
        }
    };
    visit.refused(error, title, Place::Orders, body)
}

/// True for refusals that are shown on the page of the order. Others have a page of their own.
fn is_shown(kind: Kind) -> bool {
    !matches!(kind, Kind::Unauthenticated | Kind::NotFound)
}

/// Path of an order's page.
fn path(id: &str) -> String {
    format!("/console/orders/{id}")
}

/// Item of the order, with the units that something can be done with.
struct Item<'a> {
    item: &'a OrderItem,
    /// Units that are neither cancelled nor shipped.
    left: i64,
    /// Shipped units that are in no return.
    returnable: i64,
    /// Units that are not refunded.
    refundable: i64,
}

impl<'a> Item<'a> {
    fn new(order: &Order, item: &'a OrderItem) -> Self {
        let open = order.returns.iter().filter(|it| matches!(it.status.as_str(), "requested" | "approved"));
        let returning = open.flat_map(|it| &it.items).filter(|of| of.id == item.id);
        let returning = returning.map(|of| of.quantity).fold(0, i64::saturating_add);
        let left = item.quantity.saturating_sub(item.cancelled).saturating_sub(item.shipped);
        let returnable = item.shipped.saturating_sub(item.returned).saturating_sub(returning);
        let refundable = item.quantity.saturating_sub(item.refunded);
        Self { item, left: left.max(0), returnable: returnable.max(0), refundable: refundable.max(0) }
    }
}

/// Page of an order.
struct Page<'a> {
    visit: &'a Visit,
    order: &'a Order,
    items: Vec<Item<'a>>,
    /// Form that is shown again.
    sent: Option<&'a Sent>,
}

impl<'a> Page<'a> {
    fn new(visit: &'a Visit, order: &'a Order, sent: Option<&'a Sent>) -> Self {
        let items = order.items.iter().map(|item| Item::new(order, item)).collect();
        Self { visit, order, items, sent }
    }

    /// Answers with the page.
    async fn answer(&self, notice: &Notice) -> Response {
        let status = match notice {
            Notice::Refused { error, .. } => error.kind().status(),
            Notice::Changed => StatusCode::PRECONDITION_FAILED,
            Notice::None | Notice::Done(_) | Notice::Preview(_) => StatusCode::OK,
        };
        let customer = self.customer().await;
        let body = self.body(notice, customer.as_ref());
        let title = texts::title(&self.order.number);
        let is_refusal = matches!(notice, Notice::Refused { .. } | Notice::Changed);
        let title = if is_refusal { layout::title_of_refusal(&title) } else { title };
        self.visit.page_with(status, &title, Place::Orders, body)
    }

    /// Asks for the customer. `None` if users does not answer, and for a deleted one.
    async fn customer(&self) -> Option<User> {
        let request = self.visit.request(GetUserRequest { id: self.order.user_id.clone(), email: None });
        let answer = self.visit.users().get_user(request).await;
        answer.ok().map(tonic::Response::into_inner)
    }

    fn body(&self, notice: &Notice, customer: Option<&User>) -> Markup {
        html! {
            (self.heading())
            (self.notice(notice))
            (self.facts(customer))
            (self.item_table())
            section aria-labelledby="actions" {
                h2 #actions { (texts::ACTIONS) }
                div.cards {
                    // First comes what an order in this status waits for.
                    @let waits_for_payment = self.order.status == "placed";
                    @if waits_for_payment { (self.payment_form()) }
                    (self.ship_form())
                    (self.return_form())
                    (self.refund_forms())
                    (self.cancel_forms())
                    @if !waits_for_payment { (self.payment_form()) }
                    (self.note_form())
                }
            }
            (self.money())
            (self.addresses())
            (self.fulfillments())
            (self.returns())
            (self.timeline())
        }
    }

    fn notice(&self, notice: &Notice) -> Markup {
        match notice {
            Notice::None => html! {},
            Notice::Done(text) => layout::done(text),
            Notice::Changed => html! {
                div.problem role="alert" {
                    p { strong { (texts::CHANGED) } }
                    p { (texts::CHANGED_ADVICE) }
                }
            },
            Notice::Refused { error, is_once } => self.refusal(error, *is_once),
            Notice::Preview(preview) => self.preview(preview),
        }
    }

    /// Renders a refusal, with the labels of the page for the fields.
    fn refusal(&self, error: &Error, is_once: bool) -> Markup {
        let faults = self.sent.map(|sent| sent.faults.as_slice()).unwrap_or_default();
        html! {
            @if faults.is_empty() {
                (layout::problem(error))
            } @else {
                div.problem role="alert" {
                    p { strong { (error.kind().title()) } }
                    ul { @for fault in faults { li { (fault.heading()) " " (fault.detail) } } }
                }
            }
            (layout::unknown(error, is_once))
            (self.exceeded(error))
        }
    }

    /// Renders the items of which a refusal says that too many units were asked for.
    fn exceeded(&self, error: &Error) -> Markup {
        let items = error.member("items").and_then(Value::as_array);
        let items = items.map(Vec::as_slice).unwrap_or_default();
        html! {
            @if !items.is_empty() {
                p { (texts::EXCEEDED) }
                ul {
                    @for item in items {
                        @let number = |name: &str| item.get(name).and_then(Value::as_i64);
                        @let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
                        @let left = number("left").or_else(|| number("available")).unwrap_or_default();
                        li { (texts::exceeded(self.name_of(id), number("requested").unwrap_or_default(), left)) }
                    }
                }
            }
        }
    }

    /// Form of this name.
    fn form(&self, name: &str) -> Form<'a> {
        Form(self.sent.filter(|sent| sent.form == name))
    }

    /// Renders a form to a path below that of the order, with its version: see [`Form::version`].
    fn post(&self, form: Form<'_>, rest: &str, body: &Markup) -> Markup {
        let body = html! {
            (form::hidden("version", &form.version(self.order.version)))
            (body)
        };
        self.visit.form(&format!("{}{rest}", path(&self.order.id)), body)
    }

    /// Renders a form that is closed at first, and open while it is shown again.
    fn closed(&self, name: &str, summary: &str, body: &Markup) -> Markup {
        html! {
            details open[self.form(name).is_sent()] {
                summary { (summary) }
                (body)
            }
        }
    }

    /// Code of the order's currency.
    fn currency(&self) -> &'a str {
        currency(self.order)
    }

    /// Name of an item; its ID if the order does not have it.
    fn name_of<'b>(&self, id: &'b str) -> &'b str
    where
        'a: 'b,
    {
        let item = self.order.items.iter().find(|item| item.id == id);
        item.map_or(id, |item| item.name.as_str())
    }

    /// Renders units of items as a list.
    fn units(&self, units: &[ItemQuantity]) -> Markup {
        html! {
            ul {
                @for units in units { li { (texts::units_of(units.quantity, self.name_of(&units.id))) } }
            }
        }
    }

    /// Label of the user or the function that made a change.
    fn by<'b>(&self, by: &'b str) -> &'b str {
        match by {
            "system" => texts::SYSTEM,
            by if by == self.visit.user_id() => texts::YOU,
            by if by == self.order.user_id => texts::OWNER,
            other => other,
        }
    }
}

/// Code of an order's currency.
fn currency(order: &Order) -> &str {
    order.total.as_ref().map_or("", |total| total.currency.as_str())
}

/// Button of a form.
fn button(text: &str) -> Markup {
    html! { div.actions { button type="submit" { (text) } } }
}

/// Button of a form that takes something away.
fn danger(text: &str) -> Markup {
    html! { div.actions { button.danger type="submit" { (text) } } }
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::{Return, ReturnItem};

    use super::*;

    #[test]
    fn units_of_an_item_are_counted_by_what_can_be_done() {
        let back = |status: &str, quantity| Return {
            status: status.to_owned(),
            items: vec![ReturnItem { id: "item_a".to_owned(), quantity, ..ReturnItem::default() }],
            ..Return::default()
        };
        let item = OrderItem {
            id: "item_a".to_owned(),
            quantity: 10,
            cancelled: 1,
            shipped: 7,
            returned: 1,
            refunded: 4,
            ..OrderItem::default()
        };
        let returns =
            vec![back("requested", 1), back("approved", 2), back("received", 1), back("rejected", 7)];
        let order = Order { items: vec![item], returns, ..Order::default() };
        let units = Item::new(&order, &order.items[0]);
        assert_eq!((units.left, units.returnable, units.refundable), (2, 3, 6));
    }
}
