//! State machine of orders: allowed transitions, and the actors that may make them. Declared here and nowhere
//! else.

shared::stored_names! {
    /// Status of an order.
    pub enum Status ("OrderStatus", "Status of an order.") {
        /// Stock is held; payment is awaited.
        Placed = "placed",
        /// Paid; ready to be shipped.
        Paid = "paid",
        /// On its way; the stock has left the warehouse.
        Shipped = "shipped",
        /// Received by the customer.
        Delivered = "delivered",
        /// Ended before shipping; its stock is free.
        Cancelled = "cancelled",
        /// Sent back by the customer.
        Returned = "returned",
        /// Money paid back.
        Refunded = "refunded",
    }
    /// Status of a newer build, by its name. It allows no transition.
    Unknown
}

/// Role of the caller who asks for a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The customer to whom the order belongs.
    Owner,
    /// Staff of the shop.
    Staff,
    /// The system itself.
    System,
}

/// Reason why a transition is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Allowed for staff only.
    StaffOnly,
    /// Not allowed; the statuses that are allowed for this actor.
    Impossible(Vec<Status>),
}

impl Status {
    /// True if an order in this status holds its items.
    pub fn holds_stock(self) -> bool {
        matches!(self, Self::Placed | Self::Paid)
    }

    /// Statuses that this actor may set next.
    pub fn next(self, has_payments: bool, actor: Actor) -> Vec<Self> {
        Self::ALL.into_iter().filter(|&to| allowed_actors(self, to, has_payments).contains(&actor)).collect()
    }

    /// Checks that this actor may change the status to `to`. `has_payments`: true if the order has a payment.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn check(self, to: Self, has_payments: bool, actor: Actor) -> Result<(), Refused> {
        let allowed = allowed_actors(self, to, has_payments);
        if allowed.contains(&actor) {
            Ok(())
        } else if allowed.contains(&Actor::Staff) {
            Err(Refused::StaffOnly)
        } else {
            Err(Refused::Impossible(self.next(has_payments, actor)))
        }
    }
}

/// Table of transitions in docs/api.md.
fn allowed_actors(from: Status, to: Status, has_payments: bool) -> &'static [Actor] {
    use Status::{Cancelled, Delivered, Paid, Placed, Refunded, Returned, Shipped};
    match (from, to) {
        (Placed, Cancelled) => &[Actor::Owner, Actor::Staff, Actor::System],
        (Placed, Paid)
        | (Paid, Cancelled | Shipped)
        | (Shipped, Delivered)
        | (Delivered, Returned)
        | (Returned, Refunded) => &[Actor::Staff],
        (Cancelled, Refunded) if has_payments => &[Actor::Staff],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table of docs/api.md once more, as its readers see it: from, to, was paid, actors.
    const TABLE: &[(&str, &str, Option<bool>, &[Actor])] = &[
        ("placed", "paid", None, &[Actor::Staff]),
        ("placed", "cancelled", None, &[Actor::Owner, Actor::Staff, Actor::System]),
        ("paid", "cancelled", None, &[Actor::Staff]),
        ("paid", "shipped", None, &[Actor::Staff]),
        ("shipped", "delivered", None, &[Actor::Staff]),
        ("delivered", "returned", None, &[Actor::Staff]),
        ("cancelled", "refunded", Some(true), &[Actor::Staff]),
        ("returned", "refunded", None, &[Actor::Staff]),
    ];

    #[test]
    fn each_transition_is_allowed_to_the_actors_of_the_table() {
        let mut cells = 0;
        for from in Status::ALL {
            for to in Status::ALL {
                for has_payments in [false, true] {
                    for actor in [Actor::Owner, Actor::Staff, Actor::System] {
                        let row = TABLE.iter().find(|(f, t, paid, _)| {
                            *f == from.name()
                                && *t == to.name()
                                && paid.is_none_or(|paid| paid == has_payments)
                        });
                        let expected = row.is_some_and(|(.., actors)| actors.contains(&actor));
                        assert_eq!(
                            from.check(to, has_payments, actor).is_ok(),
                            expected,
                            "{from:?} {to:?} {actor:?}"
                        );
                        assert_eq!(from.next(has_payments, actor).contains(&to), expected);
                        cells += 1;
                    }
                }
            }
        }
        assert_eq!(cells, 7 * 7 * 2 * 3);
    }

    #[test]
    fn staff_only_transitions_differ_from_impossible_ones() {
        let refused = Status::Placed.check(Status::Paid, false, Actor::Owner);
        assert_eq!(refused, Err(Refused::StaffOnly));
        let refused = Status::Placed.check(Status::Shipped, false, Actor::Owner);
        assert_eq!(refused, Err(Refused::Impossible(vec![Status::Cancelled])));
        assert_eq!(Status::Refunded.next(true, Actor::Staff), []);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.name()), Ok(status));
        }
        assert!(Status::parse("void").is_err());
    }

    #[test]
    fn a_stored_status_is_kept_and_allows_nothing() {
        let newer = Status::from_stored("picked").unwrap();
        assert_eq!(newer.name(), "picked");
        assert_eq!(Status::from_stored("paid"), Ok(Status::Paid));
        for actor in [Actor::Owner, Actor::Staff, Actor::System] {
            assert_eq!(newer.next(true, actor), []);
        }
    }
}
