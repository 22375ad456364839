//! Timeline of an order: its history, the latest first.

use maud::{Markup, html};
use proto::orders::v1::{HistoryEntry, Order};

use super::Page;
use crate::layout;
use crate::texts::order as texts;

impl Page<'_> {
    pub(super) fn timeline(&self) -> Markup {
        let entries = self.order.history.iter().enumerate().rev();
        html! {
            section aria-labelledby="history" {
                h2 #history { (texts::HISTORY) }
                ol.timeline reversed {
                    @for (place, entry) in entries { (self.entry(place, entry)) }
                }
            }
        }
    }

    fn entry(&self, place: usize, entry: &HistoryEntry) -> Markup {
        let (from, to) = (entry.from.as_deref(), entry.to.as_deref());
        let mut earlier = self.order.history.iter().take(place);
        let is_first = !earlier.any(|it| it.event == entry.event && it.subject == entry.subject);
        let part = part_of(self.order, entry.subject.as_deref().unwrap_or_default());
        html! {
            li {
                (layout::time(entry.at.as_ref())) " "
                strong { (texts::event(&entry.event, &part, is_first, from, to)) }
                @if let Some(amount) = self.amount_of(entry) { ": " (amount) }
                @if from.is_some() || to.is_some() {
                    " "
                    @if let Some(from) = from { (layout::badge(from)) " " (texts::TO_WORD) " " }
                    @if let Some(to) = to { (layout::badge(to)) }
                }
                " " span.muted { (texts::BY_WORD) " " (self.by(&entry.by)) }
                @if let Some(reason) = &entry.reason { br; (reason) }
            }
        }
    }

    /// Amount of the payment or the refund that an entry is about.
    fn amount_of(&self, entry: &HistoryEntry) -> Option<Markup> {
        let subject = entry.subject.as_deref()?;
        let payment = self.order.payments.iter().find(|it| it.id == subject).map(|it| it.amount);
        let refund = || self.order.refunds.iter().find(|it| it.id == subject).map(|it| it.amount);
        Some(layout::money(payment.or_else(refund)?, self.currency()))
    }
}

/// Name of a part of the order, as its card has it. Empty for others.
fn part_of(order: &Order, id: &str) -> String {
    let fulfillment = order.fulfillments.iter().position(|it| it.id == id);
    let returned = || order.returns.iter().position(|it| it.id == id);
    let name_of_return = || returned().map(|place| texts::return_name(place.saturating_add(1)));
    let fulfillment = fulfillment.map(|place| texts::fulfillment_name(place.saturating_add(1)));
    fulfillment.or_else(name_of_return).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::{Fulfillment, Return};

    use super::*;

    #[test]
    fn a_part_has_the_name_of_its_card() {
        let fulfillment = |id: &str| Fulfillment { id: id.to_owned(), ..Fulfillment::default() };
        let order = Order {
            fulfillments: vec![fulfillment("fulfillment_a"), fulfillment("fulfillment_b")],
            returns: vec![Return { id: "return_a".to_owned(), ..Return::default() }],
            ..Order::default()
        };
        assert_eq!(part_of(&order, "fulfillment_b"), "Fulfillment 2");
        assert_eq!(part_of(&order, "return_a"), "Return 1");
        assert_eq!(part_of(&order, "payment_a"), "");
    }
}
