//! Conditions that hold at every moment, and conditions that hold once Reconcile has run to its end.

use crate::guards::Guard;
use crate::placing::Outcome;
use crate::state::{IDS, NONE, PRODUCTS, State, Status};
use crate::steps::Protocol;

/// Checks a state, the state that Reconcile makes of it, and the answer to a repeated request.
///
/// # Errors
/// Names the invariant that is violated.
pub fn check(protocol: &Protocol, state: &State) -> Result<(), String> {
    always(protocol, state)?;
    let recovered = protocol.recovered(state);
    always(protocol, &recovered)?;
    at_rest(protocol, &recovered)?;
    if protocol.without.is_some_and(|guard| guard != Guard::ReplayAnswer) {
        // A loss for a customer or the shop explains a guard better than a request that has to wait.
        return Ok(());
    }
    asked_again(protocol, state)?;
    asked_again(protocol, &recovered)
}

fn always(protocol: &Protocol, state: &State) -> Result<(), String> {
    if let Some(broken) = state.broken {
        return Err(broken.to_owned());
    }
    for product in &state.products {
        let held: u8 = product.entries.iter().flatten().map(|entry| entry.quantity).sum();
        wrong(product.reserved > product.on_hand, "more is reserved than there is")?;
        wrong(product.reserved != held, "what is reserved is not what is held")?;
    }
    for (id, promises) in state.promises.iter().enumerate() {
        let is_there = state.orders[id].as_ref().is_some_and(|order| order.status != Status::Void);
        wrong(promises.placed && !is_there, "an acknowledged order is lost")?;
    }
    let of_key = |key: u8| {
        let of =
            |id| protocol.scenario.placement(id).map(|(place, _)| protocol.scenario.placements[place].key);
        let orders = state.orders.iter().enumerate().filter(move |(id, _)| of(*id) == Some(key));
        orders.filter(|(_, order)| order.as_ref().is_some_and(|order| order.status != Status::Void)).count()
    };
    for placement in &protocol.scenario.placements {
        wrong(of_key(placement.key) > 1, "one key has two orders")?;
    }
    for (id, moved) in state.moved.iter().enumerate() {
        let items = state.orders[id].as_ref().map_or(NONE, |order| order.items);
        wrong(exceeds(moved.shipped, items), "an order was shipped twice")?;
        wrong(exceeds(moved.restocked, items), "an order was restocked twice")?;
    }
    // Without a guard only the harm is of interest, and this would be found before it.
    let mut pairs = state.sent.windows(2);
    let share = pairs.any(|pair| pair[0].id == pair[1].id && pair[0].revision == pair[1].revision);
    wrong(protocol.without.is_none() && share, "two different calls share a revision")
}

fn at_rest(protocol: &Protocol, state: &State) -> Result<(), String> {
    for id in 0..IDS {
        let held = state.held(id);
        let moved = state.moved[id];
        let Some(order) = &state.orders[id] else {
            wrong(held != NONE, "stock is held for an order that is not there")?;
            continue;
        };
        wrong(!order.tasks.is_empty() || order.pending.is_some(), "a task cannot be done")?;
        let is_open = matches!(order.status, Status::Placed | Status::Paid);
        wrong(is_open && held != order.items, "an order does not hold just what was ordered")?;
        wrong(!is_open && held != NONE, "stock is held for an order that has ended")?;
        let left = matches!(order.status, Status::Shipped | Status::Delivered | Status::Returned);
        wrong(moved.shipped != if left { order.items } else { NONE }, "what was shipped is not the order")?;
        let back = order.status == Status::Returned;
        wrong(moved.restocked != if back { order.items } else { NONE }, "what came back is not the order")?;
    }
    for product in 0..PRODUCTS {
        let sum = |of: fn(&crate::state::Moved) -> [u8; PRODUCTS]| -> u8 {
            state.moved.iter().map(|moved| of(moved)[product]).sum()
        };
        let out = sum(|moved| moved.shipped);
        let back = sum(|moved| moved.restocked);
        let kept = state.products[product].on_hand + out == protocol.scenario.stock[product] + back;
        wrong(!kept, "units are lost or came from nowhere")?;
    }
    Ok(())
}

/// Checks that a repeated request is answered with the order of its key.
fn asked_again(protocol: &Protocol, state: &State) -> Result<(), String> {
    for (place, placement) in protocol.scenario.placements.iter().enumerate() {
        let answer = protocol.sent_alone(state, place);
        let known = protocol.order_under_key(state, placement.key);
        let right = match (answer, known) {
            (Some(Outcome::Order(id)), Some((known, by))) => id == known && by == place,
            (Some(Outcome::KeyReused), Some((_, by))) => by != place,
            (Some(_), Some(_)) | (None, _) => false,
            (Some(_), None) => true,
        };
        wrong(!right, "a request that is sent again is not answered as before")?;
    }
    Ok(())
}

fn exceeds(moved: [u8; PRODUCTS], items: [u8; PRODUCTS]) -> bool {
    moved.iter().zip(items).any(|(moved, items)| *moved > items)
}

fn wrong(is: bool, what: &str) -> Result<(), String> {
    if is { Err(what.to_owned()) } else { Ok(()) }
}
