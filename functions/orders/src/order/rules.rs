//! Rules for the parts of an order: the actions that each status allows, and the actors that may take them. Declared here
//! and nowhere else.

use serde_json::json;
use shared::auth::Caller;
use shared::error::{Error, Kind};

use super::{FulfillmentStatus, Order, ReturnStatus};
use crate::status::{Actor, Refused, Status};

/// Transition of a part of an order, and the actors that may make it.
#[derive(Clone, Copy, Debug)]
pub struct Rule<S: 'static> {
    /// Status before.
    pub from: S,
    /// Status after.
    pub to: S,
    /// Actors that may make it.
    pub actors: &'static [Actor],
}

/// Transitions of a fulfillment.
pub const FULFILLMENTS: &[Rule<FulfillmentStatus>] = {
    use FulfillmentStatus::{Cancelled, Delivered, Shipped};
    &[
        Rule { from: Shipped, to: Delivered, actors: &[Actor::Staff] },
        Rule { from: Shipped, to: Cancelled, actors: &[Actor::Staff] },
    ]
};

/// Transitions of a return.
pub const RETURNS: &[Rule<ReturnStatus>] = {
    use ReturnStatus::{Approved, Cancelled, Received, Rejected, Requested};
    &[
        Rule { from: Requested, to: Approved, actors: &[Actor::Staff] },
        Rule { from: Requested, to: Rejected, actors: &[Actor::Staff] },
        Rule { from: Requested, to: Cancelled, actors: &[Actor::Owner, Actor::Staff] },
        Rule { from: Approved, to: Received, actors: &[Actor::Staff] },
        Rule { from: Approved, to: Cancelled, actors: &[Actor::Staff] },
    ]
};

/// Action that adds a part to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ships units.
    Ship,
    /// Cancels units.
    Cancel,
    /// Asks for the return of units.
    Return,
}

/// Action that a status of the order allows.
#[derive(Clone, Copy, Debug)]
pub struct ActionRule {
    /// The action.
    pub action: Action,
    /// Status of the order.
    pub status: Status,
    /// Actors that may take it.
    pub actors: &'static [Actor],
}

/// Actions on orders, and the statuses that allow them.
pub const ACTIONS: &[ActionRule] = {
    use Status::{Delivered, Paid, Placed, Shipped};
    &[
        ActionRule { action: Action::Ship, status: Paid, actors: &[Actor::Staff] },
        ActionRule { action: Action::Cancel, status: Placed, actors: &[Actor::Owner, Actor::Staff] },
        ActionRule { action: Action::Cancel, status: Paid, actors: &[Actor::Staff] },
        ActionRule { action: Action::Return, status: Paid, actors: &[Actor::Owner, Actor::Staff] },
        ActionRule { action: Action::Return, status: Shipped, actors: &[Actor::Owner, Actor::Staff] },
        ActionRule { action: Action::Return, status: Delivered, actors: &[Actor::Owner, Actor::Staff] },
    ]
};

impl Action {
    /// All actions.
    pub const ALL: [Self; 3] = [Self::Ship, Self::Cancel, Self::Return];

    /// Status that the action would lead to, once all units are concerned.
    fn to(self) -> Status {
        match self {
            Self::Ship => Status::Shipped,
            Self::Cancel => Status::Cancelled,
            Self::Return => Status::Returned,
        }
    }

    /// Name in texts for clients.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ship => "shipped",
            Self::Cancel => "cancelled",
            Self::Return => "returned",
        }
    }

    /// Statuses of an order in which this actor may take the action.
    pub fn statuses(self, actor: Actor) -> Vec<Status> {
        let rules = ACTIONS.iter().filter(|rule| rule.action == self && rule.actors.contains(&actor));
        rules.map(|rule| rule.status).collect()
    }

    /// Checks that this actor may take the action.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn check(self, status: Status, actor: Actor) -> Result<(), Refused> {
        let rule = ACTIONS.iter().find(|rule| rule.action == self && rule.status == status);
        match rule {
            Some(rule) if rule.actors.contains(&actor) => Ok(()),
            Some(_) => Err(Refused::StaffOnly),
            None if self.statuses(actor).is_empty() => Err(Refused::StaffOnly),
            None => Err(Refused::Impossible(self.statuses(actor))),
        }
    }
}

/// Checks that this actor may change the status of a part.
///
/// # Errors
/// The reason why it is refused.
pub fn check<S: Copy + PartialEq>(rules: &[Rule<S>], from: S, to: S, actor: Actor) -> Result<(), Refused<S>> {
    match rules.iter().find(|rule| rule.from == from && rule.to == to) {
        Some(rule) if rule.actors.contains(&actor) => Ok(()),
        Some(_) => Err(Refused::StaffOnly),
        None => {
            let allowed = rules.iter().filter(|rule| rule.from == from && rule.actors.contains(&actor));
            Err(Refused::Impossible(allowed.map(|rule| rule.to).collect()))
        }
    }
}

impl Order {
    /// Checks that the caller may take an action in the order's status.
    ///
    /// # Errors
    /// 403 for an action of staff, 409 for a status that does not allow it.
    pub(super) fn check_action(&self, action: Action, caller: Caller) -> Result<(), Error> {
        let is = self.status.name();
        match action.check(self.status, Self::actor(caller)) {
            Ok(()) => Ok(()),
            Err(Refused::StaffOnly) => Err(Error::forbidden(format!(
                "While the order is {is}, units can be {} by staff only.",
                action.name()
            ))),
            Err(Refused::Impossible(statuses)) => {
                let names: Vec<_> = statuses.iter().map(|status| status.name()).collect();
                let detail = format!(
                    "Units can be {} while the order is {}; it is {is}.",
                    action.name(),
                    names.join(" or ")
                );
                let allowed: Vec<_> = self.next_statuses(caller).into_iter().map(Status::name).collect();
                Err(invalid_transition(detail, is, action.to().name(), &allowed))
            }
        }
    }
}

/// Checks that the caller may change the status of a part. `of` names the part.
///
/// # Errors
/// 403 for a transition of staff, 409 for one that is not there.
pub(super) fn check_part<S: Copy + PartialEq>(
    rules: &[Rule<S>],
    (from, to): (S, S),
    name: impl Fn(S) -> &'static str,
    of: &str,
    caller: Caller,
) -> Result<(), Error> {
    match check(rules, from, to, Order::actor(caller)) {
        Ok(()) => Ok(()),
        Err(Refused::StaffOnly) => {
            let (from, to) = (name(from), name(to));
            Err(Error::forbidden(format!("Only staff may change a {of} from {from} to {to}.")))
        }
        Err(Refused::Impossible(allowed)) => {
            let allowed: Vec<_> = allowed.into_iter().map(&name).collect();
            let (from, to) = (name(from), name(to));
            let may = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
            let detail = format!("Cannot change the {of} from {from} to {to}. Allowed: {may}.");
            Err(invalid_transition(detail, from, to, &allowed))
        }
    }
}

/// Error 409 for a status that does not allow a change.
pub(super) fn invalid_transition(detail: String, from: &str, to: &str, allowed: &[&str]) -> Error {
    Error::new(Kind::InvalidTransition, detail)
        .with("from", json!(from))
        .with("to", json!(to))
        .with("allowed", json!(allowed))
}
