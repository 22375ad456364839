//! Scenarios: the bounds of a search.

use super::state::{Counts, FulfillmentStatus, Hold, Items, NOTHING, Order, Task, Wish};
use super::{Parts, PartsGuard, Sent};

impl Parts {
    /// Scenarios of a search. In the long form more is sent more often.
    pub fn all(long: bool) -> Vec<Self> {
        vec![
            Self::fulfillments(long),
            Self::two_products(long),
            Self::cancellations(long),
            Self::changes(long),
            Self::returns(long),
            Self::deliveries(long),
            Self::hours_later(long),
            Self::an_hour_between(long),
            Self::older_builds(long),
        ]
    }

    /// Returns the scenario in which a search without the guard finds a violation soonest.
    pub fn that_misses(guard: PartsGuard) -> Self {
        let scenario = match guard {
            PartsGuard::BeforeIfNone | PartsGuard::OldestBefore | PartsGuard::RevisionLeft => {
                Self::hours_later(false)
            }
            PartsGuard::PruneWaitsForTasks
            | PartsGuard::PruneWaitsAfterTasks
            | PartsGuard::PruneWaitsForCalls
            | PartsGuard::OnlyTombstones => Self::an_hour_between(false),
            PartsGuard::ReturnsWhatWasShipped
            | PartsGuard::ReturnsKeepFulfillments
            | PartsGuard::ReceivedOnce
            | PartsGuard::RestocksWhatCameBack => Self::returns(false),
            PartsGuard::ShipsWhatIsLeft => Self::two_products(false),
            PartsGuard::OlderAlone => Self::older_builds(false),
            PartsGuard::DeliveredStays => Self::deliveries(false),
            PartsGuard::CancelsWhatIsLeft => Self::cancellations(false),
            PartsGuard::NotBelowCancelled => Self::changes(false),
            _ => Self::fulfillments(false),
        };
        Self { without: Some(guard), ..scenario }
    }

    /// Fulfillments of parts, one of them cancelled and shipped again, beside a cancellation and a rival.
    fn fulfillments(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Ship { id: 1, items: [1, 0] }, 2),
            request(0, Wish::Unship { id: 1 }, 1 + more),
            request(0, Wish::Ship { id: 2, items: [1, 0] }, 1 + more),
            request(0, Wish::Cancel { id: 3, items: [1, 0] }, 1),
            request(1, Wish::Place([1, 0]), 1),
        ];
        let hold = Hold { revision: 1, held: [2, 0], counts: None, old: false };
        let parts = Self::of("fulfillments", [3, 0], Order::paid([2, 0]), Some(hold), sent);
        Self { archive: true, ..parts }
    }

    /// Fulfillments and cancellations of two products.
    fn two_products(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Ship { id: 1, items: [1, 1] }, 1),
            request(0, Wish::Ship { id: 2, items: [1, 0] }, 1),
            request(0, Wish::Unship { id: 1 }, 1 + more),
            request(0, Wish::Unship { id: 2 }, 1),
            request(0, Wish::Cancel { id: 3, items: [0, 1] }, 1 + more),
            request(1, Wish::Place([1, 1]), 1),
        ];
        let hold = Hold { revision: 1, held: [2, 1], counts: None, old: false };
        Self::of("two products", [3, 2], Order::paid([2, 1]), Some(hold), sent)
    }

    /// Cancellations of parts, beside payment, expiry and shipping.
    fn cancellations(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Cancel { id: 1, items: [1, 0] }, 2),
            request(0, Wish::Cancel { id: 2, items: [1, 1] }, 1 + more),
            request(0, Wish::Pay, 1),
            request(0, Wish::Expire, 1),
            request(0, Wish::Ship { id: 3, items: [1, 1] }, 1 + more),
            request(1, Wish::Place([2, 0]), 1),
        ];
        let hold = Hold { revision: 1, held: [2, 1], counts: None, old: false };
        Self::of("cancellations", [2, 1], Order::placed([2, 1]), Some(hold), sent)
    }

    /// Changes of items, beside cancellations of parts, a payment and a rival.
    fn changes(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Change([1, 1]), 1 + more),
            request(0, Wish::Change([3, 0]), 1),
            request(0, Wish::Cancel { id: 1, items: [1, 0] }, 1),
            request(0, Wish::Cancel { id: 2, items: [1, 0] }, 1),
            request(0, Wish::Pay, 1),
            request(0, Wish::Ship { id: 3, items: [1, 0] }, 1),
            request(1, Wish::Place([1, 0]), 1),
        ];
        let hold = Hold { revision: 1, held: [2, 0], counts: None, old: false };
        Self::of("changes of items", [3, 1], Order::placed([2, 0]), Some(hold), sent)
    }

    /// Returns of parts, one of them received twice, beside a fulfillment that is cancelled.
    fn returns(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Return { id: 1, items: [1, 0] }, 2),
            request(0, Wish::Return { id: 2, items: [2, 0] }, 1),
            request(0, Wish::Receive { id: 1, restocked: [1, 0] }, 1 + more),
            request(0, Wish::Receive { id: 1, restocked: [0, 0] }, 1),
            request(0, Wish::Receive { id: 2, restocked: [1, 0] }, 1),
            request(0, Wish::Receive { id: 2, restocked: [3, 0] }, 1),
            request(0, Wish::Unship { id: 9 }, 1),
            request(0, Wish::Ship { id: 3, items: [1, 0] }, 1 + more),
        ];
        let counts = Counts { shipped: [2, 0], restocked: NOTHING };
        let hold = Hold { revision: 3, held: [1, 0], counts: Some(counts), old: false };
        let order = Order::shipped([3, 0], [2, 0], FulfillmentStatus::Shipped);
        Self::of("returns", [1, 0], order, Some(hold), sent)
    }

    /// A fulfillment that is delivered and cancelled at once, and then comes back.
    fn deliveries(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Deliver { id: 9 }, 1 + more),
            request(0, Wish::Unship { id: 9 }, 1),
            request(0, Wish::Return { id: 1, items: [1, 0] }, 1),
            request(0, Wish::Receive { id: 1, restocked: [1, 0] }, 1),
            request(0, Wish::Ship { id: 2, items: [1, 0] }, 1),
            request(0, Wish::Cancel { id: 3, items: [1, 0] }, 1),
        ];
        let counts = Counts { shipped: [1, 0], restocked: NOTHING };
        let hold = Hold { revision: 3, held: [1, 0], counts: Some(counts), old: false };
        let order = Order::shipped([2, 0], [1, 0], FulfillmentStatus::Shipped);
        Self::of("deliveries", [1, 0], order, Some(hold), sent)
    }

    /// All is shipped, and the hold is pruned. Then the fulfillment is cancelled, or comes back in parts.
    fn hours_later(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Unship { id: 9 }, 1 + more),
            request(0, Wish::Ship { id: 1, items: [2, 0] }, 1 + more),
            request(0, Wish::Return { id: 2, items: [1, 0] }, 1),
            request(0, Wish::Return { id: 3, items: [1, 0] }, 1),
            request(0, Wish::Receive { id: 2, restocked: [1, 0] }, 1 + more),
            request(0, Wish::Receive { id: 3, restocked: [1, 0] }, 1),
        ];
        let order = Order::shipped([2, 0], [2, 0], FulfillmentStatus::Shipped);
        let parts = Self::of("hours later", [0, 0], order, None, sent);
        Self { hours: 1 + more, ..parts }
    }

    /// A part is shipped and may be cancelled or come back, and an hour passes at any moment.
    fn an_hour_between(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Ship { id: 1, items: [1, 0] }, 1),
            request(0, Wish::Cancel { id: 2, items: [1, 0] }, 1),
            request(0, Wish::Unship { id: 1 }, 1),
            request(0, Wish::Ship { id: 4, items: [2, 0] }, 1),
            request(0, Wish::Return { id: 3, items: [1, 0] }, 1),
            request(0, Wish::Receive { id: 3, restocked: [1, 0] }, 1 + more),
        ];
        let hold = Hold { revision: 1, held: [2, 0], counts: None, old: false };
        let parts = Self::of("an hour between", [2, 0], Order::paid([2, 0]), Some(hold), sent);
        Self { hours: 1 + more, ..parts }
    }

    /// An older build has decided to ship: its hold has no counts. Then a part comes back.
    fn older_builds(long: bool) -> Self {
        let more = u8::from(long);
        let sent = vec![
            request(0, Wish::Unship { id: 9 }, 1),
            request(0, Wish::Ship { id: 1, items: [1, 0] }, 1 + more),
            request(0, Wish::Return { id: 2, items: [1, 0] }, 1),
            request(0, Wish::Receive { id: 2, restocked: [1, 0] }, 1 + more),
        ];
        let mut order = Order::shipped([2, 0], [2, 0], FulfillmentStatus::Shipped);
        let (revision, before) = (order.version, Counts::default());
        order.tasks.push(Task { revision, before, is_older: true, done: false });
        let hold = Hold { revision: 1, held: [2, 0], counts: None, old: false };
        let parts = Self::of("an older build", [2, 0], order, Some(hold), sent);
        Self { hours: 1 + more, ..parts }
    }

    fn of(name: &'static str, on_hand: Items, order: Order, hold: Option<Hold>, sent: Vec<Sent>) -> Self {
        let (orders, holds) = ([Some(order), None], [hold, None]);
        Self { name, on_hand, orders, holds, sent, hours: 0, archive: false, without: None }
    }

    /// Returns the bound of the search in words.
    pub fn bound(&self) -> String {
        let calls: u8 = self.sent.iter().map(|sent| sent.times).sum();
        format!("{} requests sent {calls} times, {} hours", self.sent.len(), self.hours)
    }
}

fn request(order: usize, wish: Wish, times: u8) -> Sent {
    Sent { order, wish, times }
}
