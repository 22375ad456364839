//! The state machine of orders: which status follows which, and who may say so. The only place that knows.

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Stock is held; payment is awaited.
    Placed,
    /// Ready to be shipped.
    Paid,
    /// On its way; the stock has left the house.
    Shipped,
    /// With the customer.
    Delivered,
    /// Ended before it was shipped; the stock is free.
    Cancelled,
    /// Back from the customer.
    Returned,
    /// The money went back.
    Refunded,
}

/// Who wants a change of status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The customer whose order it is.
    Owner,
    /// Somebody who runs the shop.
    Staff,
    /// Ourselves.
    System,
}

/// Why a change of status is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The table has it, for staff.
    StaffOnly,
    /// The table does not have it; these it has for this actor.
    Impossible(Vec<Status>),
}

impl Status {
    /// All statuses, in the order in which most orders walk through them.
    pub const ALL: [Self; 7] = [
        Self::Placed,
        Self::Paid,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Returned,
        Self::Refunded,
    ];

    /// The name in JSON and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Returned => "returned",
            Self::Refunded => "refunded",
        }
    }

    /// A rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// Which statuses there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|status| status.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("must be one of {names}")
        })
    }

    /// What may follow, for this actor.
    pub fn next(self, was_paid: bool, actor: Actor) -> Vec<Self> {
        Self::ALL.into_iter().filter(|&to| who_may(self, to, was_paid).contains(&actor)).collect()
    }

    /// Whether this actor may change the status to `to`. `was_paid`: whether the order was ever paid.
    ///
    /// # Errors
    /// Why not.
    pub fn check(self, to: Self, was_paid: bool, actor: Actor) -> Result<(), Refused> {
        let may = who_may(self, to, was_paid);
        if may.contains(&actor) {
            Ok(())
        } else if may.contains(&Actor::Staff) {
            Err(Refused::StaffOnly)
        } else {
            Err(Refused::Impossible(self.next(was_paid, actor)))
        }
    }
}

/// The table of API.md.
fn who_may(from: Status, to: Status, was_paid: bool) -> &'static [Actor] {
    use Status::{Cancelled, Delivered, Paid, Placed, Refunded, Returned, Shipped};
    match (from, to) {
        (Placed, Cancelled) => &[Actor::Owner, Actor::Staff, Actor::System],
        (Placed, Paid)
        | (Paid, Cancelled | Shipped)
        | (Shipped, Delivered)
        | (Delivered, Returned)
        | (Returned, Refunded) => &[Actor::Staff],
        (Cancelled, Refunded) if was_paid => &[Actor::Staff],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of API.md once more, as its users read it: from, to, was paid, who.
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
    fn every_pair_of_statuses_is_allowed_to_just_those_whom_the_table_names() {
        let mut cells = 0;
        for from in Status::ALL {
            for to in Status::ALL {
                for was_paid in [false, true] {
                    for actor in [Actor::Owner, Actor::Staff, Actor::System] {
                        let row = TABLE.iter().find(|(f, t, paid, _)| {
                            *f == from.name() && *t == to.name() && paid.is_none_or(|paid| paid == was_paid)
                        });
                        let expected = row.is_some_and(|(.., who)| who.contains(&actor));
                        assert_eq!(
                            from.check(to, was_paid, actor).is_ok(),
                            expected,
                            "{from:?} {to:?} {actor:?}"
                        );
                        assert_eq!(from.next(was_paid, actor).contains(&to), expected);
                        cells += 1;
                    }
                }
            }
        }
        assert_eq!(cells, 7 * 7 * 2 * 3);
    }

    #[test]
    fn what_only_staff_may_do_is_told_apart_from_what_nobody_can() {
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
}
