//! Sums of an order, and its status of payment, from what was ordered, paid and refunded. Whole minor units.

use super::amounts::{sum, taxes_of};
use super::{Counters, Item, Order, share};
use crate::status::Status;

shared::stored_names! {
    /// Status of an order's payments and refunds.
    pub enum PaymentStatus ("PaymentStatus", "Status of the payments and refunds.") {
        /// Nothing is paid.
        Unpaid = "unpaid",
        /// Less is paid than is payable.
        Partial = "partial",
        /// All that is payable is paid.
        Paid = "paid",
        /// A part of what was paid is refunded.
        PartiallyRefunded = "partially_refunded",
        /// All that was paid is refunded.
        Refunded = "refunded",
        /// More was paid than is payable, and is not refunded yet.
        RefundDue = "refund_due",
    }
    /// Status of a newer build.
    Unknown
}

/// Sums of an order in minor units of its currency.
///
/// `total` is `items - discounts + shipping + tax`. The payable amount is `total - cancelled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Prices of all items.
    pub items: i64,
    /// Discounts of all items.
    pub discounts: i64,
    /// Shipping, without its taxes.
    pub shipping: i64,
    /// Taxes that are not included in prices.
    pub tax: i64,
    /// Taxes that are included in prices.
    pub tax_included: i64,
    /// Amount of the order.
    pub total: i64,
    /// Part of the total that is cancelled.
    pub cancelled: i64,
    /// Sum of all payments.
    pub paid: i64,
    /// Sum of all refunds.
    pub refunded: i64,
    /// Amount that is still to be paid.
    pub due: i64,
    /// Amount that is still to be refunded.
    pub refund_due: i64,
}

impl Totals {
    /// Amount that the customer has to pay in all.
    pub fn payable(&self) -> i64 {
        self.total.saturating_sub(self.cancelled)
    }

    /// Amount that can still be refunded.
    pub fn refundable(&self) -> i64 {
        self.paid.saturating_sub(self.refunded).max(0)
    }

    /// Status that follows from the sums: the first that holds.
    fn payment_status(&self, is_cancelled: bool) -> PaymentStatus {
        let payable = self.payable();
        if self.refund_due > 0 {
            PaymentStatus::RefundDue
        } else if self.refunded > 0 && self.refunded >= self.paid {
            PaymentStatus::Refunded
        } else if self.refunded > 0 {
            PaymentStatus::PartiallyRefunded
        } else if self.paid == 0 && (payable > 0 || is_cancelled) {
            PaymentStatus::Unpaid
        } else if self.paid < payable {
            PaymentStatus::Partial
        } else {
            PaymentStatus::Paid
        }
    }
}

impl Order {
    /// Sums of the order as it stands.
    pub fn totals(&self) -> Totals {
        let total = self.total();
        let cancelled = self.cancelled_amount(total);
        let paid = sum(self.payments.iter().map(|payment| payment.amount));
        let refunded = sum(self.refunds.iter().map(|refund| refund.amount));
        let payable = total.saturating_sub(cancelled);
        let taxed = |included| {
            let of_items = self.items.iter().flat_map(|item| &item.amounts.taxes);
            let of_shipping = self.shipping.iter().flat_map(|shipping| &shipping.taxes);
            taxes_of(of_items.chain(of_shipping), included)
        };
        Totals {
            items: sum(self.items.iter().map(Item::price)),
            discounts: sum(self.items.iter().map(|item| item.amounts.discounted())),
            shipping: sum(self.shipping.iter().map(|shipping| shipping.amount)),
            tax: taxed(false),
            tax_included: taxed(true),
            total,
            cancelled,
            paid,
            refunded,
            due: payable.saturating_sub(paid).max(0),
            refund_due: paid.saturating_sub(refunded).saturating_sub(payable).max(0),
        }
    }

    /// Status of the order's payments.
    pub fn payment_status(&self) -> PaymentStatus {
        self.payment_status_by(&self.totals())
    }

    /// Status of the order's payments, by its sums.
    pub fn payment_status_by(&self, totals: &Totals) -> PaymentStatus {
        totals.payment_status(self.is_cancelled())
    }

    /// Part of the total that is cancelled: all of a cancelled order, or that of the cancelled units.
    fn cancelled_amount(&self, total: i64) -> i64 {
        if self.is_cancelled() {
            return total;
        }
        if self.cancellations.is_empty() {
            return 0;
        }
        let of_units = |(item, units): (&Item, Counters)| {
            share(item.total(), item.quantity, units.cancelled.min(item.quantity))
        };
        sum(self.items.iter().zip(self.counters()).map(of_units))
    }

    /// True if the order was cancelled. A refund of it changes its status, and not this.
    pub(super) fn is_cancelled(&self) -> bool {
        let was = || self.history.iter().any(|entry| entry.to() == Some(Status::Cancelled));
        self.status == Status::Cancelled || (self.status == Status::Refunded && was())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_payment_is_the_first_that_holds() {
        let status = |total: i64, cancelled: i64, paid: i64, refunded: i64, is_cancelled| {
            let refund_due = (paid - refunded - (total - cancelled)).max(0);
            let totals = Totals { total, cancelled, paid, refunded, refund_due, ..Totals::default() };
            totals.payment_status(is_cancelled)
        };
        for (expected, of) in [
            (PaymentStatus::Unpaid, (10, 0, 0, 0, false)),
            (PaymentStatus::Unpaid, (10, 10, 0, 0, true)),
            (PaymentStatus::Partial, (10, 0, 9, 0, false)),
            (PaymentStatus::Paid, (10, 0, 10, 0, false)),
            (PaymentStatus::Paid, (0, 0, 0, 0, false)),
            (PaymentStatus::RefundDue, (10, 0, 11, 0, false)),
            (PaymentStatus::RefundDue, (10, 10, 4, 1, true)),
            (PaymentStatus::PartiallyRefunded, (10, 0, 10, 3, false)),
            (PaymentStatus::PartiallyRefunded, (10, 0, 12, 3, false)),
            (PaymentStatus::Refunded, (10, 0, 10, 10, false)),
            (PaymentStatus::Refunded, (10, 10, 4, 4, true)),
        ] {
            let (total, cancelled, paid, refunded, is_cancelled) = of;
            assert_eq!(status(total, cancelled, paid, refunded, is_cancelled), expected, "{of:?}");
        }
    }
}
