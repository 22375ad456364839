//! Pure decisions about a loaded order.

use super::state::{Answer, Body, Order, Payment, Plan, Refund, RefundId, Status, Then};
use super::{Money, MoneyGuard, Sent};

/// Result of a decision.
pub(super) enum Decided {
    /// There is nothing to write.
    Answers(Answer),
    /// The order is written.
    Writes(Box<Plan>),
}

impl Money {
    /// Decides about a request on the order as it was loaded.
    pub(super) fn decide(&self, order: &Order, sent: &Sent) -> Decided {
        match self.try_decide(order, sent) {
            Err(answer) => Decided::Answers(answer),
            Ok((mut after, then)) => {
                after.version = order.version + 1;
                self.settle(&mut after, sent.body);
                Decided::Writes(Box::new(Plan { loaded: order.clone(), after, then }))
            }
        }
    }

    /// Decides, or returns the answer if there is nothing to write.
    fn try_decide(&self, order: &Order, sent: &Sent) -> Result<(Order, Then), Answer> {
        let replay = self.replay(order, sent);
        let is_full = match sent.body {
            Body::Pay { .. } | Body::PayDue { .. } => order.payments.len() >= self.most,
            Body::Refund { .. } | Body::RefundPieces { .. } => order.refunds.len() >= self.most,
            _ => false,
        };
        let is_other_version = sent.if_match.is_some_and(|version| version != order.version);
        let mut after = order.clone();
        let refusals = [
            (MoneyGuard::ReplayBeforeIfMatch, is_other_version.then_some(Answer::Mismatch)),
            (MoneyGuard::ReplayBeforeMost, is_full.then_some(Answer::Exceeded)),
            (MoneyGuard::ReplayBeforeBalance, self.apply(&mut after, sent).err()),
        ];
        for (guard, refusal) in refusals {
            if let Some(refusal) = refusal
                && (replay.is_none() || !self.has(guard))
            {
                return Err(refusal);
            }
        }
        match (replay, sent.body) {
            (Some(replay), _) => Err(replay),
            // The intent of a change only makes a version.
            (None, Body::Edit { .. }) => Ok((order.clone(), Then::Finish)),
            (None, _) => Ok((after, Then::Answer(Answer::Done))),
        }
    }

    /// Returns the answer to a request whose key or reference the order has.
    fn replay(&self, order: &Order, sent: &Sent) -> Option<Answer> {
        match sent.body {
            Body::Pay { reference, amount } => {
                let has_key =
                    order.payments.iter().find(|it| it.request.0 == sent.key && it.request.1 != sent.body);
                if has_key.is_some() && self.has(MoneyGuard::PaymentCompared) {
                    return Some(Answer::KeyReused);
                }
                let found = order.payment(reference).filter(|_| self.has(MoneyGuard::ReferenceOnOrder))?;
                let is_same = found.amount == amount || !self.has(MoneyGuard::SameAmount);
                Some(if is_same { Answer::Replayed } else { Answer::Taken })
            }
            Body::PayDue { reference, .. } => {
                let found = order.payment(reference)?;
                let due = payable(self, order).saturating_sub(order.paid());
                match order.status {
                    Status::Placed if found.amount == due && !self.has(MoneyGuard::DueIsNoReplay) => {
                        Some(Answer::Replayed)
                    }
                    Status::Placed => Some(Answer::Taken),
                    Status::Paid
                        if self.has(MoneyGuard::AnyPaymentCompared)
                            || order.payments.last() == Some(found) =>
                    {
                        Some(Answer::Replayed)
                    }
                    _ => None,
                }
            }
            Body::Refund { .. } | Body::RefundPieces { .. } => {
                let id = self.refund_id(sent);
                let found = order.refunds.iter().find(|refund| refund.id == id)?;
                let is_same = found.body == sent.body || !self.has(MoneyGuard::RefundCompared);
                let answer = if is_same { Answer::Replayed } else { Answer::KeyReused };
                self.has(MoneyGuard::RefundById).then_some(answer)
            }
            Body::Edit { pieces, total } => {
                ((order.pieces, order.total) == (pieces, total)).then_some(Answer::Replayed)
            }
            Body::Cancel | Body::CancelByStaff => {
                (order.status == Status::Cancelled).then_some(Answer::Replayed)
            }
            Body::Return => (order.status == Status::Returned).then_some(Answer::Replayed),
            Body::Place { .. } => Some(Answer::Replayed),
            Body::Expire => None,
        }
    }

    /// Applies a request, or refuses it.
    fn apply(&self, order: &mut Order, sent: &Sent) -> Result<(), Answer> {
        let balance = order.paid().saturating_sub(order.refunded());
        match sent.body {
            Body::Pay { reference, amount } => {
                let has_ended = !matches!(order.status, Status::Placed | Status::Paid);
                if has_ended && !self.has(MoneyGuard::AnyStatus) {
                    return Err(Answer::NotAllowed);
                }
                order.payments.push(Payment { reference, amount, request: (sent.key, sent.body) });
            }
            Body::PayDue { reference, .. } => {
                let amount = payable(self, order).saturating_sub(order.paid());
                allow(order, &[Status::Placed])?;
                order.payments.push(Payment { reference, amount, request: (sent.key, sent.body) });
            }
            Body::Refund { amount, of } => {
                if let Some(reference) = of {
                    let paid = order.payment(reference).ok_or(Answer::Exceeded)?.amount;
                    let refunds = order.refunds.iter().filter(|refund| refund.of == of);
                    let refunded: u8 = refunds.map(|refund| refund.amount).sum();
                    if amount > paid.saturating_sub(refunded) && self.has(MoneyGuard::BalanceOfPayment) {
                        return Err(Answer::Exceeded);
                    }
                }
                self.refund(order, sent, amount, of, balance)?;
            }
            Body::RefundPieces { pieces } => {
                let refunded = order.refunded_pieces + pieces;
                if refunded > order.pieces && self.has(MoneyGuard::Pieces) {
                    return Err(Answer::Exceeded);
                }
                let rounded = |pieces: u8| order.total * pieces / order.pieces.max(1);
                let amount = if self.has(MoneyGuard::SumsRounded) {
                    rounded(refunded) - rounded(order.refunded_pieces)
                } else {
                    rounded(pieces)
                };
                self.refund(order, sent, amount, None, balance)?;
                order.refunded_pieces = refunded;
            }
            Body::Edit { pieces, total } => {
                allow(order, &[Status::Placed])?;
                if pieces < order.refunded_pieces && self.has(MoneyGuard::NotBelowRefunded) {
                    return Err(Answer::NotAllowed);
                }
                order.changed_since |= order.refunded_pieces > 0;
                (order.pieces, order.total) = (pieces, total);
            }
            Body::Cancel => {
                allow(order, &[Status::Placed])?;
                order.status = Status::Cancelled;
            }
            Body::CancelByStaff => {
                allow(order, &[Status::Placed, Status::Paid])?;
                order.status = Status::Cancelled;
            }
            Body::Expire => {
                let is_paid = order.status == Status::Paid && !self.has(MoneyGuard::OnlyPlacedExpires);
                allow(order, if is_paid { &[Status::Paid] } else { &[Status::Placed] })?;
                order.status = Status::Cancelled;
                order.has_expired = true;
            }
            Body::Return => {
                allow(order, &[Status::Paid])?;
                order.status = Status::Returned;
            }
            Body::Place { .. } => return Err(Answer::Replayed),
        }
        order.was_cancelled |= order.status == Status::Cancelled;
        Ok(())
    }

    /// Adds a refund, if the balance allows it.
    fn refund(
        &self,
        order: &mut Order,
        sent: &Sent,
        amount: u8,
        of: Option<u8>,
        balance: u8,
    ) -> Result<(), Answer> {
        if amount > balance && self.has(MoneyGuard::Balance) {
            return Err(Answer::Exceeded);
        }
        order.refunds.push(Refund { id: self.refund_id(sent), amount, of, body: sent.body });
        Ok(())
    }

    /// Returns the ID that follows from order and key.
    fn refund_id(&self, sent: &Sent) -> RefundId {
        RefundId { order: self.has(MoneyGuard::IdOfOrder).then_some(sent.order), key: sent.key }
    }

    /// Moves the order to the status that follows from its money.
    pub(super) fn settle(&self, order: &mut Order, body: Body) {
        let is_left = match body {
            Body::Pay { .. } | Body::PayDue { .. } => !self.has(MoneyGuard::PaidByPayment),
            Body::Edit { .. } => !self.has(MoneyGuard::PaidByEdit),
            Body::Place { .. } => !self.has(MoneyGuard::PaidAsPlaced),
            Body::Refund { .. } | Body::RefundPieces { .. } => !self.has(MoneyGuard::RefundedByRefund),
            Body::Cancel | Body::CancelByStaff | Body::Return => !self.has(MoneyGuard::RefundedByEnd),
            Body::Expire => false,
        };
        if is_left {
            return;
        }
        let may_become_paid = match order.status {
            Status::Placed => true,
            Status::Cancelled => !self.has(MoneyGuard::OnlyPlacedBecomesPaid),
            _ => false,
        };
        if may_become_paid && order.paid() >= payable(self, order) {
            order.status = Status::Paid;
            order.was_paid = true;
            order.kept_as_paid = order.paid() - order.refunded().min(order.paid());
        }
        if order.is_to_be_refunded() {
            order.status = Status::Refunded;
        }
    }

    /// Finishes a change of items on its intent.
    pub(super) fn finish(&self, intent: &Order, sent: &Sent) -> Box<Plan> {
        let mut after = intent.clone();
        let answer = self.apply(&mut after, sent).err().unwrap_or(Answer::Done);
        after.version = intent.version + 1;
        self.settle(&mut after, sent.body);
        Box::new(Plan { loaded: intent.clone(), after, then: Then::Answer(answer) })
    }
}

impl Order {
    /// Returns true if it was paid, has ended, and all its payments are refunded.
    pub(super) fn is_to_be_refunded(&self) -> bool {
        let has_ended = matches!(self.status, Status::Cancelled | Status::Returned);
        has_ended && self.was_paid && self.paid() > 0 && self.refunded() >= self.paid()
    }
}

/// Returns what is payable.
pub(super) fn payable(money: &Money, order: &Order) -> u8 {
    let is_cancelled = match order.status {
        Status::Cancelled => money.has(MoneyGuard::NothingPayable),
        Status::Refunded => order.was_cancelled && money.has(MoneyGuard::RefundedKeepsCancelled),
        _ => false,
    };
    if is_cancelled { 0 } else { order.total }
}

fn allow(order: &Order, statuses: &[Status]) -> Result<(), Answer> {
    if statuses.contains(&order.status) { Ok(()) } else { Err(Answer::NotAllowed) }
}
