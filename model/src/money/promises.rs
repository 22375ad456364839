//! Conditions at every moment.

use super::deciding::{Decided, payable};
use super::state::{Answer, Body, Order, Refund, State, Status};
use super::{Expectation, Money, MoneyGuard, Sent};

impl Money {
    /// Checks a state, and the answer to each request that would be sent again.
    ///
    /// # Errors
    /// Names the promise that is broken.
    pub(super) fn check_promises(&self, state: &State) -> Result<(), String> {
        if let Some(broken) = state.broken {
            return Err(broken.to_owned());
        }
        for order in state.orders.iter().flatten() {
            self.order(order)?;
        }
        for (request, sent) in self.sent.iter().enumerate() {
            if let Some(order) = &state.orders[sent.order]
                && state.stands[request]
            {
                stands(order, sent)?;
                if self.without.is_none_or(MoneyGuard::is_of_replays) {
                    self.asked_again(order, sent)?;
                }
            }
        }
        unique(state)?;
        let is_final = state.processes.is_empty() && state.left.iter().all(|left| *left == 0);
        let unanswered = self.sent.iter().zip(&state.answered).any(|(sent, done)| sent.times > 0 && !done);
        wrong(is_final && unanswered, "a request has no answer")
    }

    fn order(&self, order: &Order) -> Result<(), String> {
        let (paid, refunded) = (order.paid(), order.refunded());
        wrong(refunded > paid, "more is refunded than was paid")?;
        for payment in &order.payments {
            let of_payment = order.refunds.iter().filter(|refund| refund.of == Some(payment.reference));
            let refunded: u8 = of_payment.map(|refund| refund.amount).sum();
            wrong(refunded > payment.amount, "more of a payment is refunded than it was")?;
        }
        let payable = payable(self, order);
        let is_placed = order.status == Status::Placed;
        wrong(is_placed && paid >= payable, "an order is placed though all is paid")?;
        let has_come_back = order.was_cancelled && matches!(order.status, Status::Placed | Status::Paid);
        wrong(has_come_back, "a cancelled order goes on")?;
        wrong(order.status == Status::Paid && paid < payable, "an order is paid with too little")?;
        wrong(order.has_expired && order.was_paid, "a paid order has expired")?;
        let due = paid.saturating_sub(refunded).saturating_sub(payable);
        let is_silent = due < paid.saturating_sub(refunded);
        wrong(order.was_cancelled && is_silent, "a cancelled order keeps money in silence")?;
        wrong(order.is_to_be_refunded(), "all is refunded, and the status does not say so")?;
        let is_refunded = order.status == Status::Refunded;
        wrong(is_refunded && refunded == 0, "an order is refunded without a refund")?;
        wrong(order.refunded_pieces > order.pieces, "more pieces are refunded than there are")?;
        let by_pieces = |refund: &&Refund| matches!(refund.body, Body::RefundPieces { .. });
        let of_pieces: u8 = order.refunds.iter().filter(by_pieces).map(|refund| refund.amount).sum();
        let all_pieces = order.refunded_pieces == order.pieces && !order.changed_since;
        wrong(all_pieces && of_pieces != order.total, "all pieces together are not the total")?;
        match self.expects {
            Some(Expectation::PaidIsKept) => {
                let is_paid = order.status == Status::Paid;
                wrong(
                    is_paid && order.kept_as_paid < payable,
                    "an order is paid with money that was given back",
                )
            }
            Some(Expectation::LateIsDue) => {
                wrong(is_refunded && is_silent, "a refunded order keeps money in silence")
            }
            Some(Expectation::DueAsSeen) => {
                let recorded = order.payments.iter().filter_map(|payment| match payment.request.1 {
                    Body::PayDue { received, .. } => Some((received, payment.amount)),
                    _ => None,
                });
                let mut recorded = recorded.filter(|(received, recorded)| received != recorded);
                wrong(recorded.next().is_some(), "another amount is recorded than has arrived")
            }
            None => Ok(()),
        }
    }

    /// Checks that a repeated request is answered as before.
    fn asked_again(&self, order: &Order, sent: &Sent) -> Result<(), String> {
        if matches!(sent.body, Body::PayDue { .. }) && order.status != Status::Paid {
            // A PUT has no key: it is refused once its status has been left.
            return Ok(());
        }
        let is_replayed = matches!(self.decide(order, sent), Decided::Answers(Answer::Replayed));
        wrong(!is_replayed, "a request that is sent again is not answered as before")
    }
}

/// Checks that what was acknowledged is there once.
fn stands(order: &Order, sent: &Sent) -> Result<(), String> {
    let times = match sent.body {
        Body::Pay { reference, amount } => {
            order.payments.iter().filter(|it| (it.reference, it.amount) == (reference, amount)).count()
        }
        Body::PayDue { reference, received } => {
            let payments = || order.payments.iter().filter(|it| it.reference == reference);
            let is_other = sent.if_match.is_some() && payments().any(|it| it.amount != received);
            wrong(is_other, "another amount is recorded than what was due in the version that was named")?;
            payments().count()
        }
        body => order.refunds.iter().filter(|it| it.id.key == sent.key && it.body == body).count(),
    };
    wrong(times == 0, "an acknowledged payment or refund is lost")?;
    wrong(times > 1, "a payment or refund is there twice")
}

/// Checks references, keys and IDs.
fn unique(state: &State) -> Result<(), String> {
    let payments = || {
        let of = |(number, order): (usize, &'_ Order)| {
            order.payments.iter().map(move |payment| (number, *payment)).collect::<Vec<_>>()
        };
        state.orders.iter().flatten().enumerate().flat_map(of)
    };
    for (place, (order, payment)) in payments().enumerate() {
        for (other, earlier) in payments().take(place) {
            let is_twice = earlier.reference == payment.reference;
            wrong(is_twice && other == order, "a reference is twice in an order")?;
            wrong(is_twice && other != order, "two orders have one reference")?;
            let shares_key = other == order && earlier.request.0 == payment.request.0;
            wrong(shares_key, "one key has two payments")?;
        }
    }
    let refunds: Vec<&Refund> = state.orders.iter().flatten().flat_map(|order| &order.refunds).collect();
    for (place, refund) in refunds.iter().enumerate() {
        let is_twice = refunds[..place].iter().any(|earlier| earlier.id == refund.id);
        wrong(is_twice, "two refunds have one ID")?;
    }
    Ok(())
}

fn wrong(is: bool, what: &str) -> Result<(), String> {
    if is { Err(what.to_owned()) } else { Ok(()) }
}
