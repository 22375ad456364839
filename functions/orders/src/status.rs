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
pub enum Refused<S = Status> {
    /// Allowed for staff only.
    StaffOnly,
    /// Not allowed; the statuses that are allowed for this actor.
    Impossible(Vec<S>),
}

/// Facts about an order, besides its status, on which its transitions depend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// True if a payment was ever recorded.
    pub has_payments: bool,
    /// True if units are shipped.
    pub has_shipped: bool,
}

impl Status {
    /// True if an order in this status holds its items.
    pub fn holds_stock(self) -> bool {
        matches!(self, Self::Placed | Self::Paid)
    }

    /// Statuses that this actor may set next.
    pub fn next(self, facts: Facts, actor: Actor) -> Vec<Self> {
        Self::ALL.into_iter().filter(|&to| allowed_actors(self, to, facts).contains(&actor)).collect()
    }

    /// Checks that this actor may change the status to `to`.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn check(self, to: Self, facts: Facts, actor: Actor) -> Result<(), Refused> {
        let allowed = allowed_actors(self, to, facts);
        if allowed.contains(&actor) {
            Ok(())
        } else if allowed.contains(&Actor::Staff) {
            Err(Refused::StaffOnly)
        } else {
            Err(Refused::Impossible(self.next(facts, actor)))
        }
    }
}

/// Table of transitions in docs/api.md.
fn allowed_actors(from: Status, to: Status, facts: Facts) -> &'static [Actor] {
    use Status::{Cancelled, Delivered, Paid, Placed, Refunded, Returned, Shipped};
    match (from, to) {
        (Placed, Cancelled) => &[Actor::Owner, Actor::Staff, Actor::System],
        (Placed, Paid)
        | (Paid, Shipped)
        | (Shipped, Delivered | Returned)
        | (Delivered, Returned)
        | (Returned, Refunded) => &[Actor::Staff],
        (Paid, Cancelled) if !facts.has_shipped => &[Actor::Staff],
        (Cancelled, Refunded) if facts.has_payments => &[Actor::Staff],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAFF: &[Actor] = &[Actor::Staff];

    /// Table of docs/api.md once more, as its readers see it: from, to, with payments, with shipped units, actors.
    type Row = (&'static str, &'static str, Option<bool>, Option<bool>, &'static [Actor]);
    const TABLE: &[Row] = &[
        ("placed", "paid", None, None, STAFF),
        ("placed", "cancelled", None, None, &[Actor::Owner, Actor::Staff, Actor::System]),
        ("paid", "cancelled", None, Some(false), STAFF),
        ("paid", "shipped", None, None, STAFF),
        ("shipped", "delivered", None, None, STAFF),
        ("shipped", "returned", None, None, STAFF),
        ("delivered", "returned", None, None, STAFF),
        ("cancelled", "refunded", Some(true), None, STAFF),
        ("returned", "refunded", None, None, STAFF),
    ];

    fn all_facts() -> impl Iterator<Item = Facts> {
        let each = [(false, false), (false, true), (true, false), (true, true)];
        each.into_iter().map(|(has_payments, has_shipped)| Facts { has_payments, has_shipped })
    }

    #[test]
    fn each_transition_is_allowed_to_the_actors_of_the_table() {
        let mut cells = 0;
        for from in Status::ALL {
            for to in Status::ALL {
                for facts in all_facts() {
                    for actor in [Actor::Owner, Actor::Staff, Actor::System] {
                        let row = TABLE.iter().find(|(f, t, paid, shipped, _)| {
                            *f == from.name()
                                && *t == to.name()
                                && paid.is_none_or(|paid| paid == facts.has_payments)
                                && shipped.is_none_or(|shipped| shipped == facts.has_shipped)
                        });
                        let expected = row.is_some_and(|(.., actors)| actors.contains(&actor));
                        let is_allowed = from.check(to, facts, actor).is_ok();
                        assert_eq!(is_allowed, expected, "{from:?} {to:?} {facts:?} {actor:?}");
                        assert_eq!(from.next(facts, actor).contains(&to), expected);
                        cells += 1;
                    }
                }
            }
        }
        assert_eq!(cells, 7 * 7 * 4 * 3);
    }

    #[test]
    fn staff_only_transitions_differ_from_impossible_ones() {
        let none = Facts::default();
        let refused = Status::Placed.check(Status::Paid, none, Actor::Owner);
        assert_eq!(refused, Err(Refused::StaffOnly));
        let refused = Status::Placed.check(Status::Shipped, none, Actor::Owner);
        assert_eq!(refused, Err(Refused::Impossible(vec![Status::Cancelled])));
        for facts in all_facts() {
            assert_eq!(Status::Refunded.next(facts, Actor::Staff), []);
        }
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
            for facts in all_facts() {
                assert_eq!(newer.next(facts, actor), []);
            }
        }
    }
}
