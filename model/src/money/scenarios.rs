//! Scenarios: the bounds of a search.

use super::{Body, Expectation, Money, MoneyGuard, ORDERS, Order, Sent};

impl Money {
    /// Scenarios of a search. In the long form more is sent more often.
    pub fn all(long: bool) -> Vec<Self> {
        vec![
            Self::payments_and_end(long),
            Self::one_reference(long),
            Self::refunds(long),
            Self::pieces(long),
            Self::changes(long),
            Self::short_form(long),
            Self::the_most(long),
        ]
    }

    /// Returns the scenario in which a search without the guard finds a violation soonest.
    pub fn that_misses(guard: MoneyGuard) -> Self {
        let scenario = match guard {
            MoneyGuard::UniqueReference
            | MoneyGuard::EndedKeepReferences
            | MoneyGuard::SameAmount
            | MoneyGuard::TakenIsAnAnswer
            | MoneyGuard::PaymentCompared => Self::one_reference(false),
            MoneyGuard::DecidedAnew
            | MoneyGuard::RefundById
            | MoneyGuard::RefundCompared
            | MoneyGuard::RefundedKeepsCancelled
            | MoneyGuard::ReplayBeforeBalance
            | MoneyGuard::Balance
            | MoneyGuard::BalanceOfPayment
            | MoneyGuard::RefundedByRefund
            | MoneyGuard::RefundedByEnd => Self::refunds(false),
            MoneyGuard::Pieces | MoneyGuard::SumsRounded => Self::pieces(false),
            MoneyGuard::PaidByEdit | MoneyGuard::FinishOnIntent | MoneyGuard::NotBelowRefunded => {
                Self::changes(false)
            }
            MoneyGuard::IfMatchAnew
            | MoneyGuard::PaidAsPlaced
            | MoneyGuard::DueIsNoReplay
            | MoneyGuard::AnyPaymentCompared
            | MoneyGuard::ReplayBeforeIfMatch => Self::short_form(false),
            MoneyGuard::IdOfOrder | MoneyGuard::ReplayBeforeMost => Self::the_most(false),
            _ => Self::payments_and_end(false),
        };
        Self { without: Some(guard), ..scenario }
    }

    /// Returns the scenario in which a search finds soonest how an expectation is not met.
    pub fn that_fails(expectation: Expectation) -> Self {
        let scenario = match expectation {
            Expectation::PaidIsKept => Self::changes(false),
            Expectation::LateIsDue => Self::pieces(false),
            Expectation::DueAsSeen => Self::short_form(false),
        };
        Self { expects: Some(expectation), ..scenario }
    }

    /// Payments, one of them sent twice, beside cancellation and expiry.
    fn payments_and_end(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Body::Pay { reference: 1, amount: 1 }, 1, 2),
            request(0, Body::Pay { reference: 2, amount: 1 }, 2, 1 + more),
            request(0, Body::Pay { reference: 3, amount: 2 }, 3, 1),
            request(0, Body::Cancel, 4, 1),
            request(0, Body::Expire, 5, 1 + more),
            request(0, Body::Refund { amount: 1, of: None }, 6, 1 + more),
        ];
        Self::of("payments and the end", [Some(Order::placed(2, 2)), None], sent)
    }

    /// One reference for two orders, and with two amounts.
    fn one_reference(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Body::Pay { reference: 1, amount: 2 }, 1, 2),
            request(0, Body::Pay { reference: 1, amount: 1 }, 2, 1 + more),
            request(0, Body::Pay { reference: 2, amount: 2 }, 1, 1),
            request(1, Body::Pay { reference: 1, amount: 2 }, 1, 1 + more),
            request(1, Body::Pay { reference: 2, amount: 2 }, 2, 1),
            request(1, Body::Expire, 3, 1),
        ];
        let orders = [Some(Order::placed(2, 2)), Some(Order::placed(2, 2))];
        Self::of("one reference", orders, sent)
    }

    /// Refunds of amounts, beside a late payment and a cancellation.
    fn refunds(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Body::Refund { amount: 2, of: None }, 1, 2),
            request(0, Body::Refund { amount: 1, of: None }, 1, 1),
            request(0, Body::Refund { amount: 2, of: Some(1) }, 2, 1 + more),
            request(0, Body::Refund { amount: 1, of: Some(1) }, 3, 1),
            request(0, Body::CancelByStaff, 4, 1),
            request(0, Body::Pay { reference: 3, amount: 1 }, 5, 1 + more),
        ];
        let paid = Order::placed(3, 3).paid_by(&[(1, 2), (2, 1)]);
        Self::of("refunds", [Some(paid), None], sent)
    }

    /// Refunds of pieces, beside a late payment and a return.
    fn pieces(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Body::RefundPieces { pieces: 1 }, 1, 2),
            request(0, Body::RefundPieces { pieces: 2 }, 2, 1 + more),
            request(0, Body::RefundPieces { pieces: 1 }, 3, 1),
            request(0, Body::Refund { amount: 2, of: None }, 4, 1),
            request(0, Body::Return, 5, 1),
            request(0, Body::Pay { reference: 2, amount: 2 }, 6, 1 + more),
        ];
        let paid = Order::placed(3, 5).paid_by(&[(1, 5)]);
        Self::of("pieces", [Some(paid), None], sent)
    }

    /// Changes of items up and down, beside payments, a refund and expiry.
    fn changes(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Body::Edit { pieces: 1, total: 1 }, 1, 1),
            request(0, Body::Edit { pieces: 4, total: 4 }, 2, 1 + more),
            request(0, Body::Pay { reference: 1, amount: 2 }, 3, 1 + more),
            request(0, Body::Pay { reference: 2, amount: 1 }, 4, 1),
            request(0, Body::RefundPieces { pieces: 2 }, 5, 1),
            request(0, Body::Expire, 6, 1),
        ];
        Self::of("changes of items", [Some(Order::placed(3, 3)), None], sent)
    }

    /// The short form, with and without a version, beside payments and a change of items.
    fn short_form(long: bool) -> Self {
        let more = u8::from(long);
        let named = request(0, Body::PayDue { reference: 1, received: 2 }, 1, 2);
        let sent = vec![
            Sent { if_match: Some(1), ..named },
            request(0, Body::PayDue { reference: 2, received: 2 }, 2, 1 + more),
            request(0, Body::Pay { reference: 2, amount: 1 }, 3, 1),
            Sent { if_match: Some(1), ..request(0, Body::Pay { reference: 3, amount: 1 }, 4, 1 + more) },
            request(0, Body::Edit { pieces: 3, total: 3 }, 5, 1),
            request(1, Body::Place { pieces: 1, total: 0 }, 6, 1),
            request(1, Body::PayDue { reference: 2, received: 2 }, 7, 1),
        ];
        Self::of("the short form", [Some(Order::placed(2, 2)), None], sent)
    }

    /// As many payments and refunds as there may be, and a key for two orders.
    fn the_most(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Body::Pay { reference: 1, amount: 1 }, 1, 2),
            request(0, Body::Pay { reference: 2, amount: 1 }, 2, 1),
            request(0, Body::Refund { amount: 1, of: None }, 3, 2),
            request(0, Body::Refund { amount: 1, of: None }, 4, 1),
            request(0, Body::CancelByStaff, 5, 1 + more),
            request(1, Body::Refund { amount: 1, of: None }, 3, 1),
        ];
        let other = Order::placed(1, 1).paid_by(&[(3, 1)]);
        Self { most: 1, ..Self::of("the most", [Some(Order::placed(1, 1)), Some(other)], sent) }
    }

    fn of(name: &'static str, orders: [Option<Order>; ORDERS], sent: Vec<Sent>) -> Self {
        Self { name, orders, sent, repeats: 1, most: usize::MAX, without: None, expects: None }
    }

    /// Returns the bound of the search in words.
    pub fn bound(&self) -> String {
        let calls: u8 = self.sent.iter().map(|sent| sent.times).sum();
        format!("{} requests sent {calls} times, {} write sent twice", self.sent.len(), self.repeats)
    }
}

/// Creates a request that names no version.
fn request(order: usize, body: Body, key: u8, times: u8) -> Sent {
    Sent { order, body, key, if_match: None, times }
}
