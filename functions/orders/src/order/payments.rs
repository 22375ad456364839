//! Payments and refunds of an order: pure decisions, each for one conditional write.
//!
//! The balance of a refund is taken in the write that records it. So two refunds never exceed what was paid.

use serde_json::{Value, json};
use shared::auth::Caller;
use shared::error::{Error, Kind};
use shared::http::idempotency::{RequestFingerprint, RequestKey};
use shared::input::validation::ValidationErrors;
use shared::values::clock::Timestamp;
use shared::values::ids::{ItemId, PaymentId, RefundId, ReturnId, UserId};

use super::{Change, Decision, HistoryEntry, Item, Order, ReturnStatus, Shipping};
use crate::entry_id;
use crate::limits::{MAX_PART_ITEMS, MAX_PAYMENTS, MAX_REFUNDS};
use crate::status::Status;

/// Payment of an order, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Payment ID.
    pub id: PaymentId,
    /// Minor units of the order's currency.
    pub amount: i64,
    /// Reference at the payment provider, unique within the provider.
    pub reference: String,
    /// Payment method.
    pub method: Option<String>,
    /// Payment provider.
    pub provider: Option<String>,
    /// Time of recording.
    pub created_at: Timestamp,
    /// User who recorded it; none for the system.
    pub by: Option<UserId>,
    /// Fingerprint of the request that had an idempotency key.
    pub request: Option<RequestFingerprint>,
}

/// Refund of a payment, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Refund ID.
    pub id: RefundId,
    /// Minor units of the order's currency.
    pub amount: i64,
    /// Refunded items; none for a refund by amount.
    pub items: Vec<ItemQuantity>,
    /// True if it refunds the shipping.
    pub shipping: bool,
    /// Reason for the refund.
    pub reason: Option<String>,
    /// Reference at the payment provider.
    pub reference: Option<String>,
    /// Payment that is refunded; none for any.
    pub payment_id: Option<PaymentId>,
    /// Return for which it is.
    pub return_id: Option<ReturnId>,
    /// Time of recording.
    pub created_at: Timestamp,
    /// User who recorded it; none for the system.
    pub by: Option<UserId>,
    /// Fingerprint of the request that had an idempotency key.
    pub request: Option<RequestFingerprint>,
}

/// References of the latest payment and the latest refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct References {
    /// Reference of the payment.
    pub reference: Option<String>,
    /// Method of the payment.
    pub method: Option<String>,
    /// Reference of the refund.
    pub refund_reference: Option<String>,
}

/// Quantity of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemQuantity {
    /// Item ID.
    pub id: ItemId,
    /// Quantity in units.
    pub quantity: i64,
}

/// Request to record a payment.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// Minor units of the order's currency.
    pub amount: i64,
    /// Reference at the payment provider.
    pub reference: String,
    /// Payment method.
    pub method: Option<String>,
    /// Payment provider.
    pub provider: Option<String>,
}

/// Request to record a refund.
#[derive(Clone, Debug)]
pub struct NewRefund {
    /// Amount to refund.
    pub of: RefundOf,
    /// Reason for the refund.
    pub reason: Option<String>,
    /// Reference at the payment provider.
    pub reference: Option<String>,
    /// Payment to refund.
    pub payment_id: Option<PaymentId>,
    /// Return for which it is.
    pub return_id: Option<ReturnId>,
}

/// Amount of a refund: named, that of items and shipping, or that of a return.
#[derive(Clone, Debug)]
pub enum RefundOf {
    /// Minor units.
    Amount(i64),
    /// Items, distinct ones, and the shipping if true.
    Items(Vec<ItemQuantity>, bool),
    /// Units that the named return brought back, and that are not refunded.
    Return,
}

/// Result of a request to record an entry.
#[derive(Debug)]
pub enum Recording<T> {
    /// Entry to be written.
    New(Box<Decision>, T),
    /// Entry that a request with this key made before.
    SameKey(T),
    /// Payment that has the same reference and amount.
    SameReference(T),
}

/// Origin of a new entry.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Caller of the request.
    pub caller: Caller,
    /// Key of the request.
    pub key: &'a RequestKey,
    /// Time of the request.
    pub now: Timestamp,
}

impl Origin<'_> {
    /// Compares an entry that this request's ID names with the request.
    pub(super) fn check_same(self, request: Option<RequestFingerprint>) -> Result<(), Error> {
        let same = self.key.stored_fingerprint() == request;
        if same { Ok(()) } else { Err(RequestKey::reused()) }
    }
}

impl Order {
    /// Decides about recording a payment, in any status of the order.
    ///
    /// # Errors
    /// 409 for a reference of another payment of this order and for too many payments, 422 for the key of another
    /// request.
    pub fn record_payment(self, new: NewPayment, origin: Origin) -> Result<Recording<Payment>, Error> {
        let by = origin.caller.user_id();
        let id: PaymentId = entry_id::of_request(self.id, by, origin.key);
        if let Some(there) = self.payments.iter().find(|payment| payment.id == id) {
            origin.check_same(there.request)?;
            return Ok(Recording::SameKey(there.clone()));
        }
        let same = |it: &&Payment| it.provider == new.provider && it.reference == new.reference;
        match self.payments.iter().find(same) {
            Some(there) if there.amount == new.amount => return Ok(Recording::SameReference(there.clone())),
            Some(_) => return Err(reference_taken()),
            None => {}
        }
        self.check_room(self.payments.len(), MAX_PAYMENTS, "payments")?;
        let NewPayment { amount, reference, method, provider } = new;
        let request = origin.key.stored_fingerprint();
        let payment =
            Payment { id, amount, reference, method, provider, created_at: origin.now, by, request };
        let before = self.stock();
        let mut after = self;
        after.payments.push(payment.clone());
        let entry = HistoryEntry { at: origin.now, change: Change::Payment(id), by, reason: None };
        Ok(Recording::New(Box::new(after.into_decision(&before, vec![entry], origin.now)), payment))
    }

    /// Decides about recording a refund.
    ///
    /// # Errors
    /// 409 when less is left than it asks for. 422 for items and payments that the order does not have, and for the
    /// key of another request.
    pub fn record_refund(self, new: NewRefund, origin: Origin) -> Result<Recording<Refund>, Error> {
        let by = origin.caller.user_id();
        let id: RefundId = entry_id::of_request(self.id, by, origin.key);
        if let Some(there) = self.refunds.iter().find(|refund| refund.id == id) {
            origin.check_same(there.request)?;
            return Ok(Recording::SameKey(there.clone()));
        }
        let mut refund = self.preview_refund(&new, origin.now, by)?;
        (refund.id, refund.request) = (id, origin.key.stored_fingerprint());
        let before = self.stock();
        let mut after = self;
        after.refunds.push(refund.clone());
        let entry = HistoryEntry {
            at: origin.now,
            change: Change::Refund(refund.id),
            by: refund.by,
            reason: refund.reason.clone(),
        };
        Ok(Recording::New(Box::new(after.into_decision(&before, vec![entry], origin.now)), refund))
    }

    /// Builds the refund that a request would record, and changes nothing. Its ID is that of the next version.
    ///
    /// # Errors
    /// As [`Order::record_refund`].
    pub fn preview_refund(
        &self,
        new: &NewRefund,
        now: Timestamp,
        by: Option<UserId>,
    ) -> Result<Refund, Error> {
        self.check_room(self.refunds.len(), MAX_REFUNDS, "refunds")?;
        let of_return = self.units_to_refund(new.return_id)?;
        let (amount, items, shipping) = match &new.of {
            RefundOf::Amount(amount) => (*amount, Vec::new(), false),
            RefundOf::Items(items, shipping) => (
                self.amount_of(items)?.saturating_add(self.shipping_to_refund(*shipping)?),
                items.clone(),
                *shipping,
            ),
            RefundOf::Return if of_return.is_empty() => {
                let detail = "The return has brought back no units that are not refunded.";
                return Err(exceeded(detail, self.refundable(new.payment_id)?));
            }
            RefundOf::Return => (self.amount_of(&of_return)?, of_return, false),
        };
        let all = self.refunds.iter().map(|refund| refund.items.len());
        let all = all.fold(items.len(), usize::saturating_add);
        if all > MAX_PART_ITEMS {
            let detail = format!(
                "The refunds of the order would have {all} items together; the maximum is {MAX_PART_ITEMS}."
            );
            return Err(exceeded(detail, 0));
        }
        let left = self.refundable(new.payment_id)?;
        if amount > left {
            let detail = format!("{amount} is more than can be refunded: {left}.");
            return Err(exceeded(detail, left));
        }
        Ok(Refund {
            id: entry_id::of_version(self.id, self.version.saturating_add(1)),
            amount,
            items,
            shipping,
            reason: new.reason.clone(),
            reference: new.reference.clone(),
            payment_id: new.payment_id,
            return_id: new.return_id,
            created_at: now,
            by,
            request: None,
        })
    }

    /// Decides about the reference of a refund. `None`: it has that reference already.
    ///
    /// # Errors
    /// 404 for a refund that the order does not have, 409 for one with another reference.
    pub fn set_refund_reference(
        self,
        id: RefundId,
        reference: &str,
        by: Option<UserId>,
        now: Timestamp,
    ) -> Result<(Refund, Option<Decision>), Error> {
        let place = self.refunds.iter().position(|refund| refund.id == id);
        let Some((place, refund)) = place.and_then(|place| Some((place, self.refunds.get(place)?.clone())))
        else {
            return Err(Error::not_found("refund"));
        };
        match refund.reference.as_deref() {
            Some(there) if there == reference => Ok((refund, None)),
            Some(_) => Err(Error::new(Kind::InvalidTransition, "The refund has another reference already.")
                .with("from", json!(self.status))
                .with("to", json!(self.status))
                .with("allowed", json!([]))),
            None => {
                let before = self.stock();
                let mut after = self;
                let refund = Refund { reference: Some(reference.to_owned()), ..refund };
                if let Some(there) = after.refunds.get_mut(place) {
                    *there = refund.clone();
                }
                let entry = HistoryEntry { at: now, change: Change::Refund(id), by, reason: None };
                Ok((refund, Some(after.into_decision(&before, vec![entry], now))))
            }
        }
    }

    /// References of the latest payment and the latest refund.
    pub fn references(&self) -> References {
        let (payment, refund) = (self.payments.last(), self.refunds.last());
        References {
            reference: payment.map(|payment| payment.reference.clone()),
            method: payment.and_then(|payment| payment.method.clone()),
            refund_reference: refund.and_then(|refund| refund.reference.clone()),
        }
    }

    /// ID of one of the order's items.
    pub fn item_id(&self, item: &Item) -> ItemId {
        entry_id::of_item(self.id, item.product_id)
    }

    /// Adds the payment of the short form: all that is due.
    ///
    /// # Errors
    /// 409 for a reference of another payment of this order, and for too many payments.
    pub(super) fn pay_what_is_due(
        &mut self,
        reference: String,
        method: Option<String>,
        by: Option<UserId>,
        now: Timestamp,
    ) -> Result<HistoryEntry, Error> {
        if self.payments.iter().any(|there| there.provider.is_none() && there.reference == reference) {
            return Err(reference_taken());
        }
        self.check_room(self.payments.len(), MAX_PAYMENTS, "payments")?;
        let id = entry_id::of_version(self.id, self.version.saturating_add(1));
        let amount = self.totals().due;
        self.payments.push(Payment {
            id,
            amount,
            reference,
            method,
            provider: None,
            created_at: now,
            by,
            request: None,
        });
        Ok(HistoryEntry { at: now, change: Change::Payment(id), by, reason: None })
    }

    /// Adds the refund of the short form: all that was paid and not refunded.
    ///
    /// # Errors
    /// 409 for too many refunds.
    pub(super) fn refund_what_is_left(
        &mut self,
        reference: String,
        by: Option<UserId>,
        now: Timestamp,
    ) -> Result<HistoryEntry, Error> {
        let all = NewRefund {
            of: RefundOf::Amount(self.totals().refundable()),
            reason: None,
            reference: Some(reference),
            payment_id: None,
            return_id: None,
        };
        let refund = self.preview_refund(&all, now, by)?;
        let entry = HistoryEntry { at: now, change: Change::Refund(refund.id), by, reason: None };
        self.refunds.push(refund);
        Ok(entry)
    }

    /// Status that follows from the sums and the parts: `paid` once the payments reach the payable amount, `refunded`
    /// once all that was paid is refunded, and in between as the units have it.
    pub(super) fn settled_status(&self) -> Option<Status> {
        let totals = self.totals();
        match self.status {
            Status::Placed if totals.paid >= totals.payable() => Some(Status::Paid),
            Status::Cancelled | Status::Returned if totals.paid > 0 && totals.refunded >= totals.paid => {
                Some(Status::Refunded)
            }
            _ => self.derived_status(),
        }
    }

    /// Amount of these units, by the rule of [`share`].
    fn amount_of(&self, units: &[ItemQuantity]) -> Result<i64, Error> {
        let mut errors = ValidationErrors::default();
        let (mut amount, mut beyond) = (0_i64, Vec::new());
        let counted = self.counted();
        for (place, wanted) in units.iter().enumerate() {
            let Some((_, item, counters)) = counted.iter().find(|(id, ..)| *id == wanted.id) else {
                errors.add(&format!("/items/{place}/id"), "must be the ID of an item of the order");
                continue;
            };
            let refunded = counters.refunded;
            let left = item.quantity.saturating_sub(refunded).max(0);
            if wanted.quantity > left {
                let id = wanted.id.to_string();
                beyond.push(json!({ "id": id, "requested": wanted.quantity, "available": left }));
            } else {
                let more = share(item.total(), item.quantity, refunded.saturating_add(wanted.quantity))
                    .saturating_sub(share(item.total(), item.quantity, refunded));
                amount = amount.saturating_add(more);
            }
        }
        if beyond.is_empty() {
            return errors.check().map(|()| amount);
        }
        let detail = "More units than were ordered and not refunded.";
        Err(exceeded_by(detail, self.totals().refundable(), beyond))
    }

    /// Units that a return has brought back, and that are not refunded. None without a return.
    fn units_to_refund(&self, id: Option<ReturnId>) -> Result<Vec<ItemQuantity>, Error> {
        let Some(id) = id else { return Ok(Vec::new()) };
        let named = self.returns.iter().find(|it| it.id == id);
        let may_be_refunded = |status| !matches!(status, ReturnStatus::Rejected | ReturnStatus::Cancelled);
        let Some(named) = named.filter(|it| may_be_refunded(it.status)) else {
            let mut errors = ValidationErrors::default();
            errors.add("/return_id", "must be the ID of a return of the order that is open or received");
            return Err(errors.into_error());
        };
        let counted = self.counted();
        let of_it = self.refunds.iter().filter(|refund| refund.return_id == Some(id));
        let units = named.items.iter().filter_map(|of| {
            let (_, item, counters) = counted.iter().find(|(id, ..)| *id == of.id)?;
            let for_it = of_it.clone().flat_map(|refund| &refund.items).filter(|units| units.id == of.id);
            let for_it = for_it.map(|units| units.quantity).fold(0, i64::saturating_add);
            let quantity =
                of.received.saturating_sub(for_it).min(item.quantity.saturating_sub(counters.refunded));
            (quantity > 0).then_some(ItemQuantity { id: of.id, quantity })
        });
        Ok(units.collect())
    }

    /// Amount of the shipping, which is refunded once.
    fn shipping_to_refund(&self, asked: bool) -> Result<i64, Error> {
        if !asked {
            return Ok(0);
        }
        if self.is_shipping_refunded() {
            return Err(exceeded("The shipping is refunded already.", self.totals().refundable()));
        }
        self.shipping.as_ref().map(Shipping::total).ok_or_else(|| {
            let mut errors = ValidationErrors::default();
            errors.add("/shipping", "must be false or absent; the order has no shipping");
            errors.into_error()
        })
    }

    /// True if the shipping is refunded.
    pub(super) fn is_shipping_refunded(&self) -> bool {
        self.refunds.iter().any(|refund| refund.shipping)
    }

    /// Amount that can be refunded: of one payment, or of all.
    fn refundable(&self, payment: Option<PaymentId>) -> Result<i64, Error> {
        let in_all = self.totals().refundable();
        let Some(id) = payment else { return Ok(in_all) };
        let Some(payment) = self.payments.iter().find(|payment| payment.id == id) else {
            let mut errors = ValidationErrors::default();
            errors.add("/payment_id", "must be the ID of a payment of the order");
            return Err(errors.into_error());
        };
        let of_it = self.refunds.iter().filter(|refund| refund.payment_id == Some(id));
        let refunded = of_it.map(|refund| refund.amount).fold(0, i64::saturating_add);
        Ok(payment.amount.saturating_sub(refunded).max(0).min(in_all))
    }

    /// Checks that an entry more fits into a list of the order.
    ///
    /// # Errors
    /// 409 if it is full.
    fn check_room(&self, there: usize, most: usize, of: &str) -> Result<(), Error> {
        if there < most {
            return Ok(());
        }
        Err(exceeded(format!("The order has {most} {of}, the maximum."), 0))
    }
}

/// Part of a total that falls to the first `units` of `of` units, rounded down. The parts of all units, in any portions,
/// add up to the total.
pub(crate) fn share(total: i64, of: i64, units: i64) -> i64 {
    let share = i128::from(total) * i128::from(units) / i128::from(of.max(1));
    i64::try_from(share).unwrap_or(i64::MAX)
}

/// Error 409 with the amount that can be refunded.
fn exceeded(detail: impl Into<String>, available: i64) -> Error {
    exceeded_by(detail, available, Vec::new())
}

/// Error 409 with the amount that can be refunded, and the items of which too many units were asked for.
fn exceeded_by(detail: impl Into<String>, available: i64, items: Vec<Value>) -> Error {
    Error::new(Kind::AmountExceeded, detail.into())
        .with("available", json!(available))
        .with("items", json!(items))
}

/// Error 409 for a reference that another payment has. It names no order: that may be another customer's.
pub fn reference_taken() -> Error {
    Error::new(Kind::PaymentReferenceTaken, "Another payment of this provider has this reference.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn portions_of_an_item_add_up_to_its_total(
            total in 0..1_000_000_000_000_000_i64,
            portions in prop::collection::vec(1..200_i64, 1..20),
        ) {
            let units: i64 = portions.iter().sum();
            let (mut refunded, mut sum) = (0, 0);
            for portion in portions {
                let amount = share(total, units, refunded + portion) - share(total, units, refunded);
                prop_assert!((0..=total).contains(&amount));
                refunded += portion;
                sum += amount;
            }
            prop_assert_eq!(sum, total);
        }
    }
}
