//! Money of an order: sums, payments and refunds as tables, and the form for a payment.

use axum::extract::Path;
use maud::{Markup, html};
use proto::orders::v1::{CreatePaymentRequest, Payment, Totals};
use shared::error::Error;

use super::{Page, answer_once, button, currency, form, load};
use crate::amount::typed;
use crate::http::{Answer, Fields, Visit};
use crate::layout;
use crate::texts::order as texts;

/// Name of the form for a payment.
const PAYMENT: &str = "payment";

/// Columns of the payments: their headings, and true for numbers.
const COLUMNS: [(&str, bool); 6] = [
    (texts::AMOUNT, true),
    (texts::PAYMENT_REFERENCE, false),
    (texts::PAYMENT_METHOD, false),
    (texts::PROVIDER, false),
    (texts::RECORDED_AT, false),
    (texts::BY, false),
];

/// Records a payment.
pub(super) async fn record_payment(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let outcome = pay(&visit, &id, &fields).await.map(|()| "payment");
    answer_once(&visit, &id, PAYMENT.to_owned(), fields, outcome).await
}

async fn pay(visit: &Visit, id: &str, fields: &Fields) -> Result<(), Error> {
    // The currency has the number of decimals.
    let order = load(visit, id).await?;
    let request = CreatePaymentRequest {
        order_id: id.to_owned(),
        amount: Some(form::amount(fields, currency(&order))?),
        reference: form::text(fields, "reference"),
        method: form::text(fields, "method"),
        provider: None,
        expected_version: form::version(fields)?,
    };
    visit.orders().create_payment(visit.request_once(request, fields)).await?;
    Ok(())
}

impl Page<'_> {
    /// Renders the form for a payment. Once the order is no longer placed, it is for one that came late.
    pub(super) fn payment_form(&self) -> Markup {
        let (form, currency) = (self.form(PAYMENT), self.currency());
        let due = self.order.totals.as_ref().map_or(0, |totals| totals.due);
        let amount = if due > 0 { typed(due, currency) } else { String::new() };
        let fields = self.post(
            form,
            "/payments",
            &html! {
                div.fields {
                    (form.amount(currency, &amount))
                    (form.reference("reference", texts::REFERENCE, "", true))
                    (form.reference("method", texts::METHOD, "", false))
                }
                (button(texts::RECORD_PAYMENT_BUTTON))
            },
        );
        html! {
            section.card {
                @if self.order.status == "placed" {
                    h3 { (texts::RECORD_PAYMENT) }
                    (fields)
                } @else {
                    (self.closed(PAYMENT, texts::RECORD_LATE_PAYMENT, &fields))
                }
            }
        }
    }

    /// Renders the sums, the payments and the refunds.
    pub(super) fn money(&self) -> Markup {
        html! {
            section aria-labelledby="money" {
                h2 #money { (texts::MONEY) }
                h3 { (texts::TOTALS) }
                @if let Some(totals) = &self.order.totals { (self.totals(totals)) }
                h3 { (texts::PAYMENTS) }
                (self.payments())
                h3 { (texts::REFUNDS) }
                (self.refunds())
            }
        }
    }

    fn totals(&self, totals: &Totals) -> Markup {
        let currency = self.currency();
        let shipping = self.order.shipping.as_ref();
        let label = shipping.map(|it| texts::shipping(&it.label));
        let sums = [
            (texts::TOTAL_ITEMS, totals.items),
            (texts::TOTAL_DISCOUNTS, totals.discounts.saturating_neg()),
            (label.as_deref().unwrap_or(texts::TOTAL_SHIPPING), totals.shipping),
            (texts::TOTAL_TAX, totals.tax),
            (texts::TOTAL_ALL, totals.total),
            (texts::TOTAL_TAX_INCLUDED, totals.tax_included),
            (texts::TOTAL_CANCELLED, totals.cancelled),
            (texts::TOTAL_PAID, totals.paid),
            (texts::TOTAL_REFUNDED, totals.refunded),
            (texts::TOTAL_DUE, totals.due),
            (texts::TOTAL_REFUND_DUE, totals.refund_due),
        ];
        html! {
            dl.facts.sums {
                @for (label, amount) in sums.into_iter().filter(|sum| sum.1 != 0) {
                    dt { (label) }
                    dd.number { (layout::money(amount, currency)) }
                }
                @for tax in shipping.map(|it| it.taxes.as_slice()).unwrap_or_default() {
                    dt { (texts::TOTAL_SHIPPING) ": " (texts::tax(&tax.label, &tax.rate, tax.included)) }
                    dd.number { (layout::money(tax.amount, currency)) }
                }
            }
        }
    }

    fn payments(&self) -> Markup {
        let payments = &self.order.payments;
        html! {
            @if payments.is_empty() {
                p.muted { (texts::NO_PAYMENTS) }
            } @else {
                table.list {
                    thead {
                        tr {
                            @for (heading, is_number) in COLUMNS {
                                th scope="col" class=[is_number.then_some("number")] { (heading) }
                            }
                        }
                    }
                    tbody { @for payment in payments { (self.payment(payment)) } }
                }
            }
        }
    }

    fn payment(&self, payment: &Payment) -> Markup {
        html! {
            tr {
                td.number data-label=(texts::AMOUNT) { (layout::money(payment.amount, self.currency())) }
                td data-label=(texts::PAYMENT_REFERENCE) { code { (payment.reference) } }
                td data-label=(texts::PAYMENT_METHOD) { (payment.method.as_deref().unwrap_or_default()) }
                td data-label=(texts::PROVIDER) { (payment.provider.as_deref().unwrap_or_default()) }
                td data-label=(texts::RECORDED_AT) { (layout::time(payment.created_at.as_ref())) }
                td data-label=(texts::BY) { (self.by(&payment.by)) }
            }
        }
    }
}
