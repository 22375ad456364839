//! Refunds of an order: the forms, the preview that is to be confirmed, and references that are given later.

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use proto::orders::v1::{
    CreateRefundRequest, Order, PreviewRefundRequest, Refund, RefundPreview, Return, UpdateRefundRequest,
};
use shared::error::Error;

use super::form::{self, Form, Sent, UNITS, hidden};
use super::{Notice, Page, answer, answer_once, button, currency, load, path};
use crate::amount::typed;
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::texts::order as texts;

/// Name of the form for items.
const OF_ITEMS: &str = "refund-items";
/// Name of the form for an amount.
const OF_AMOUNT: &str = "refund-amount";
/// Prefix of the name of the form for a return, whose ID follows.
const OF_RETURN: &str = "refund-";
/// Prefix of the name of the form for a reference, before the ID of the refund.
const REFERENCE: &str = "reference-";

/// Fields that a confirming form repeats, besides units.
const REPEATED: [&str; 8] =
    ["version", "of", "return_id", "amount", "shipping", "reason", "reference", "payment_id"];

/// Columns of the refunds: their headings, and true for numbers.
const COLUMNS: [(&str, bool); 6] = [
    (texts::AMOUNT, true),
    (texts::REFUND_OF, false),
    (texts::REASON, false),
    (texts::PAYMENT_REFERENCE, false),
    (texts::RECORDED_AT, false),
    (texts::BY, false),
];

/// Shows the refund that a form would record, to be confirmed.
pub(super) async fn preview(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let (order, preview) = match ask(&visit, &id, &fields).await {
        Ok(previewed) => previewed,
        Err(error) => return answer_once(&visit, &id, name_of(&fields), fields, Err(error)).await,
    };
    let sent = Sent::new(name_of(&fields), fields);
    // The order is of the version that the refund is for: otherwise the preview is refused.
    Ok(Page::new(&visit, &order, Some(&sent)).answer(&Notice::Preview(preview)).await)
}

async fn ask(visit: &Visit, id: &str, fields: &Fields) -> Result<(Order, RefundPreview), Error> {
    let order = load(visit, id).await?;
    let refund = Some(request(&order, fields)?);
    let preview = visit.orders().preview_refund(visit.request(PreviewRefundRequest { refund })).await?;
    Ok((order, preview.into_inner()))
}

/// Records a refund that was confirmed.
pub(super) async fn record(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    match refund(&visit, &id, &fields).await {
        // The refund may have been recorded.
        Err(error) if layout::is_unknown(&error) => Ok(ask_again(&visit, &id, &fields, &error)),
        outcome => answer_once(&visit, &id, name_of(&fields), fields, outcome.map(|()| "refund")).await,
    }
}

/// Answers with the error, and with the same form under the same key.
fn ask_again(visit: &Visit, id: &str, fields: &Fields, error: &Error) -> Response {
    let visit = visit.after(error, fields);
    let body = html! {
        h1 { (texts::PREVIEW) }
        (layout::problem(error))
        (layout::unknown(error, true))
        (confirmation(&visit, id, fields))
    };
    visit.refused(error, texts::PREVIEW, Place::Orders, body)
}

async fn refund(visit: &Visit, id: &str, fields: &Fields) -> Result<(), Error> {
    let order = load(visit, id).await?;
    let request = request(&order, fields)?;
    visit.orders().create_refund(visit.request_once(request, fields)).await?;
    Ok(())
}

/// Gives a refund its reference.
pub(super) async fn set_reference(
    visit: Visit,
    Path((id, part)): Path<(String, String)>,
    fields: Fields,
) -> Answer {
    let outcome = refer(&visit, &id, &part, &fields).await.map(|()| "refund-reference");
    answer(&visit, &id, format!("{REFERENCE}{part}"), fields, outcome).await
}

async fn refer(visit: &Visit, id: &str, part: &str, fields: &Fields) -> Result<(), Error> {
    let request = UpdateRefundRequest {
        order_id: id.to_owned(),
        refund_id: part.to_owned(),
        reference: form::text(fields, "reference"),
        expected_version: form::version(fields)?,
    };
    visit.orders().update_refund(visit.request(request)).await?;
    Ok(())
}

/// Reads a form for a refund. Its field `of` names the kind.
///
/// # Errors
/// 422 for fields that cannot be read, and for a refund of nothing.
fn request(order: &Order, fields: &Fields) -> Result<CreateRefundRequest, Error> {
    let mut request = CreateRefundRequest {
        order_id: order.id.clone(),
        reason: form::text(fields, "reason"),
        reference: form::text(fields, "reference"),
        payment_id: form::text(fields, "payment_id"),
        expected_version: form::version(fields)?,
        ..CreateRefundRequest::default()
    };
    match fields.get("of") {
        Some("items") => {
            request.items = form::units(fields)?;
            request.shipping = fields.get("shipping").map(|_| true);
            if request.items.is_empty() && request.shipping.is_none() {
                return Err(form::fault("items", texts::NOTHING_TO_REFUND));
            }
        }
        Some("return") => request.return_id = form::text(fields, "return_id"),
        _ => request.amount = Some(form::amount(fields, currency(order))?),
    }
    Ok(request)
}

/// Name of the form that was sent.
fn name_of(fields: &Fields) -> String {
    match fields.get("of") {
        Some("items") => OF_ITEMS.to_owned(),
        Some("return") => form_of_return(fields.get("return_id").unwrap_or_default()),
        _ => OF_AMOUNT.to_owned(),
    }
}

fn form_of_return(id: &str) -> String {
    format!("{OF_RETURN}{id}")
}

impl Page<'_> {
    /// Renders the forms for refunds, while there is money to refund.
    pub(super) fn refund_forms(&self) -> Markup {
        let Some(totals) = self.order.totals.as_ref().filter(|totals| totals.paid > totals.refunded) else {
            return html! {};
        };
        let returns = self.order.returns.iter().enumerate().filter(|(_, it)| self.is_refundable(it));
        html! {
            @for (place, it) in returns { (self.refund_return(place, it)) }
            (self.refund_items())
            (self.refund_amount(totals.refund_due))
        }
    }

    /// True if a return brought back units that no refund has.
    fn is_refundable(&self, it: &Return) -> bool {
        let refunds = &self.order.refunds;
        let of_it = || refunds.iter().filter(|refund| refund.return_id.as_deref() == Some(it.id.as_str()));
        let has_more = |id: &str, received: i64| {
            let units = of_it().flat_map(|refund| &refund.items).filter(|units| units.id == id);
            let refunded = units.map(|units| units.quantity).fold(0, i64::saturating_add);
            let is_left = self.items.iter().any(|item| item.item.id == id && item.refundable > 0);
            received > refunded && is_left
        };
        it.status == "received" && it.items.iter().any(|item| has_more(&item.id, item.received))
    }

    fn refund_return(&self, place: usize, it: &Return) -> Markup {
        let name = form_of_return(&it.id);
        self.refund_card(
            &name,
            &texts::refund_return(place.saturating_add(1)),
            &html! {
                (hidden("of", "return"))
                (hidden("return_id", &it.id))
            },
        )
    }

    fn refund_items(&self) -> Markup {
        let form = self.form(OF_ITEMS);
        let has_shipping = self.order.shipping.is_some();
        let may_refund_shipping = has_shipping && !self.order.refunds.iter().any(|refund| refund.shipping);
        if !may_refund_shipping && self.items.iter().all(|item| item.refundable == 0) {
            return html! {};
        }
        self.refund_card(
            OF_ITEMS,
            texts::REFUND_ITEMS_FORM,
            &html! {
                (hidden("of", "items"))
                (form.units(&self.items, |item| item.refundable, false))
                @if may_refund_shipping { (form.tick("shipping", texts::REFUND_SHIPPING_FIELD)) }
            },
        )
    }

    fn refund_amount(&self, due: i64) -> Markup {
        let (form, currency) = (self.form(OF_AMOUNT), self.currency());
        let amount = if due > 0 { typed(due, currency) } else { String::new() };
        self.refund_card(
            OF_AMOUNT,
            texts::REFUND_AMOUNT_FORM,
            &html! {
                (hidden("of", "amount"))
                (form.amount(currency, &amount))
            },
        )
    }

    /// Renders a form for a refund, with the fields that all of them have.
    fn refund_card(&self, name: &str, heading: &str, fields: &Markup) -> Markup {
        let form = self.form(name);
        let body = self.post(
            form,
            "/refunds/preview",
            &html! {
                div.fields {
                    (fields)
                    (form.reason(false))
                    (form.reference("reference", texts::OPTIONAL_REFERENCE, "", false))
                    (self.payment_choice(form))
                }
                p.muted { (texts::PREVIEW_HINT) }
                (button(texts::PREVIEW_BUTTON))
            },
        );
        html! { section.card { (self.closed(name, heading, &body)) } }
    }

    /// Renders the choice of the payment to refund, if there are several.
    fn payment_choice(&self, form: Form<'_>) -> Markup {
        let currency = self.currency();
        let payments = self.order.payments.iter().map(|it| {
            (it.id.as_str(), texts::payment_option(&typed(it.amount, currency), currency, &it.reference))
        });
        let any = ("", texts::ANY_PAYMENT.to_owned());
        let options: Vec<(&str, String)> = std::iter::once(any).chain(payments).collect();
        html! {
            @if self.order.payments.len() > 1 {
                (form.choice("payment_id", texts::PAYMENT_FIELD, &options))
            }
        }
    }

    /// Renders a refund that is to be confirmed.
    pub(super) fn preview(&self, preview: &RefundPreview) -> Markup {
        html! {
            section.card aria-labelledby="preview" {
                h2 #preview { (texts::PREVIEW) }
                p {
                    (texts::PREVIEW_AMOUNT) " "
                    strong { (layout::money(preview.amount, self.currency())) }
                }
                (self.units(&preview.items))
                @if preview.shipping { p { (texts::REFUND_SHIPPING) } }
                @if let Some(sent) = self.sent { (confirmation(self.visit, &self.order.id, &sent.fields)) }
            }
        }
    }

    /// Renders the refunds as a table.
    pub(super) fn refunds(&self) -> Markup {
        let refunds = &self.order.refunds;
        html! {
            @if refunds.is_empty() {
                p.muted { (texts::NO_REFUNDS) }
            } @else {
                table.list {
                    thead {
                        tr {
                            @for (heading, is_number) in COLUMNS {
                                th scope="col" class=[is_number.then_some("number")] { (heading) }
                            }
                        }
                    }
                    tbody { @for (place, refund) in refunds.iter().enumerate() { (self.refund(place, refund)) } }
                }
            }
        }
    }

    fn refund(&self, place: usize, refund: &Refund) -> Markup {
        html! {
            tr {
                td.number data-label=(texts::AMOUNT) { (layout::money(refund.amount, self.currency())) }
                td data-label=(texts::REFUND_OF) { (self.subject_of(refund)) }
                td data-label=(texts::REASON) { (refund.reason.as_deref().unwrap_or_default()) }
                td data-label=(texts::PAYMENT_REFERENCE) {
                    @match &refund.reference {
                        Some(reference) => { code { (reference) } }
                        None => { (self.reference_form(place, refund)) }
                    }
                }
                td data-label=(texts::RECORDED_AT) { (layout::time(refund.created_at.as_ref())) }
                td data-label=(texts::BY) { (self.by(&refund.by)) }
            }
        }
    }

    /// Renders the items, the shipping and the return that a refund is for.
    fn subject_of(&self, refund: &Refund) -> Markup {
        let of = refund.return_id.as_deref();
        let place = self.order.returns.iter().position(|it| Some(it.id.as_str()) == of);
        html! {
            @if refund.items.is_empty() && !refund.shipping { (texts::REFUND_AMOUNT) }
            @if !refund.items.is_empty() { (self.units(&refund.items)) }
            @if refund.shipping { (texts::REFUND_SHIPPING) }
            @if let Some(place) = place { " " span.muted { (texts::return_name(place.saturating_add(1))) } }
        }
    }

    fn reference_form(&self, place: usize, refund: &Refund) -> Markup {
        let form = self.form(&format!("{REFERENCE}{}", refund.id));
        let label = texts::refund_reference(place.saturating_add(1));
        self.post(
            form,
            &format!("/refunds/{}", refund.id),
            &html! {
                (form.reference("reference", &label, "", true))
                (button(texts::REFUND_REFERENCE_BUTTON))
            },
        )
    }
}

/// Renders the form that confirms a refund: the same fields, hidden, under a key of their own.
fn confirmation(visit: &Visit, id: &str, fields: &Fields) -> Markup {
    let body = html! {
        @for name in REPEATED {
            @if let Some(value) = fields.get(name) { (hidden(name, value)) }
        }
        @for (item, quantity) in fields.with_prefix(UNITS) {
            (hidden(&format!("{UNITS}{item}"), quantity))
        }
        div.actions {
            button type="submit" { (texts::CONFIRM_BUTTON) }
            a href=(visit.path(&path(id))) { (texts::NO_CONFIRM) }
        }
    };
    visit.form(&format!("{}/refunds", path(id)), body)
}

#[cfg(test)]
mod tests {
    use proto::common::v1::Money;

    use super::*;

    #[test]
    fn a_refund_is_of_items_of_an_amount_or_of_a_return() {
        let total = Some(Money { amount: 0, currency: "EUR".to_owned() });
        let order = Order { id: "order_a".to_owned(), total, ..Order::default() };
        let read = |body: &str| {
            let fields = Fields::of("/x", body);
            (name_of(&fields), request(&order, &fields))
        };
        // What the form of another kind would have is ignored.
        let (name, items) = read("of=items&units-item_a=2&shipping=yes&amount=5&return_id=return_a");
        let items = items.unwrap();
        assert_eq!((name.as_str(), items.items.len(), items.shipping), (OF_ITEMS, 1, Some(true)));
        assert_eq!((items.amount, items.return_id), (None, None));
        let (name, amount) = read("of=amount&units-item_a=2&shipping=yes&amount=5&version=7");
        let amount = amount.unwrap();
        assert_eq!((name.as_str(), amount.amount, amount.items.len()), (OF_AMOUNT, Some(500), 0));
        assert_eq!((amount.shipping, amount.expected_version), (None, Some(7)));
        let (name, of_return) = read("of=return&return_id=return_a&units-item_a=2&amount=5");
        let of_return = of_return.unwrap();
        assert_eq!((name.as_str(), of_return.return_id.as_deref()), ("refund-return_a", Some("return_a")));
        assert_eq!((of_return.amount, of_return.items.len()), (None, 0));
        for (nothing, pointer) in [("of=items", "/items"), ("of=amount", "/amount"), ("", "/amount")] {
            assert_eq!(read(nothing).1.unwrap_err().errors()[0].pointer, pointer, "{nothing}");
        }
    }
}
