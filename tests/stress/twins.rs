//! Twins: 50 requests at once under one key. Each key has one order, every 201 names it, and nothing is held beyond.

use std::collections::BTreeSet;

use futures::future::join_all;
use http::Method;
use mongodb::bson::{Document, doc};
use rand::Rng as _;
use serde_json::Value;
use shared::auth::Role;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::Person;
use tests::shop::order_of;

use crate::campaign::{Campaign, is_long};
use crate::recovery;

/// Number of requests at once under one key.
const TWINS: usize = 50;

/// Callers at once.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The same request, and stock for all of them.
    Plenty,
    /// The same request, and stock for one alone.
    EnoughForOne,
    /// Half of them with another body, and stock for either.
    OtherBodies,
    /// The same, and stock for one of the two bodies alone.
    OtherBodiesAndEnoughForOne,
    /// Everyone another user.
    OtherUsers,
}

const KINDS: [Kind; 5] =
    [Kind::Plenty, Kind::EnoughForOne, Kind::OtherBodies, Kind::OtherBodiesAndEnoughForOne, Kind::OtherUsers];

/// The IDs that were answered with 201.
fn placed(answers: &[Answer]) -> BTreeSet<String> {
    answers.iter().filter(|answer| answer.status == 201).map(Answer::id).collect()
}

/// The orders under a key, and how many pieces they have.
async fn on_disk(shop: &InProcess, key: &str) -> (usize, i64) {
    let orders = shop.database.collection::<Document>("orders");
    let mut found = orders.find(doc! { "placed_under.key": key, "status": "placed" }).await.unwrap();
    let (mut count, mut pieces) = (0, 0);
    while found.advance().await.unwrap() {
        let order = found.deserialize_current().unwrap();
        let item = order.get_array("items").unwrap().first().and_then(|item| item.as_document()).unwrap();
        count += 1;
        pieces += item.get_i64("quantity").unwrap();
    }
    (count, pieces)
}

async fn twins(shop: &InProcess, campaign: &mut Campaign, kind: Kind, key: &str, quantity: i64) {
    let twins = i64::try_from(TWINS).unwrap();
    let stock = match kind {
        Kind::Plenty | Kind::OtherBodies | Kind::OtherUsers => 2 * twins * quantity + twins,
        Kind::EnoughForOne => quantity,
        Kind::OtherBodiesAndEnoughForOne => quantity + 1,
    };
    let mug = shop.product(stock).await;
    let people: Vec<Person> = match kind {
        Kind::OtherUsers => shop.people(Role::Customer, TWINS),
        _ => vec![shop.people(Role::Customer, 1).remove(0); TWINS],
    };
    let has_other_bodies = matches!(kind, Kind::OtherBodies | Kind::OtherBodiesAndEnoughForOne);
    let bodies: Vec<Value> = (0..twins)
        .map(|twin| order_of(&mug, if has_other_bodies && twin % 2 == 1 { quantity + 1 } else { quantity }))
        .collect();
    let sent = people.iter().zip(&bodies);
    let answers =
        join_all(sent.map(|(person, body)| person.send_keyed(Method::POST, "/orders", key, body))).await;
    campaign.cases += answers.len();

    let orders = if let Kind::OtherUsers = kind { TWINS } else { 1 };
    let placed = placed(&answers);
    let (count, pieces) = on_disk(shop, key).await;
    campaign.holds((placed.len(), count) == (orders, orders), || {
        format!("{kind:?} {key}: {count} orders on disk, and the answers name {placed:?}")
    });
    for answer in &answers {
        let allowed = match answer.status.as_u16() {
            201 => true,
            // The other body's key, or its hold.
            422 => has_other_bodies && answer["type"] == "/problems/idempotency-key-reused",
            409 => {
                matches!(kind, Kind::OtherBodiesAndEnoughForOne)
                    && answer["type"] == "/problems/insufficient-stock"
            }
            _ => false,
        };
        campaign.holds(allowed, || format!("{kind:?} {key}: {} {:#}", answer.status, answer.body));
    }
    let there = shop.stock(&mug).await;
    campaign.holds(there == (stock, pieces, stock - pieces), || {
        format!("{kind:?} {key}: {pieces} pieces are ordered, and the stock is {there:?}")
    });
    // And once more, when all is quiet.
    let again = people[0].send_keyed(Method::POST, "/orders", key, &bodies[0]).await;
    let known = again.status == 422 && has_other_bodies;
    campaign.holds(known || (again.is_replayed() && placed.contains(&again.id())), || {
        format!("{kind:?} {key}, again: {} {:#}", again.status, again.body)
    });
}

#[tokio::test]
#[ignore = "a campaign: see main.rs"]
async fn of_fifty_twins_at_once_one_order_comes_and_all_are_told_of_it() {
    let mut campaign = Campaign::begin("twins");
    let mut chance = campaign.chance();
    let shop = InProcess::open().await;
    for key in 0..if is_long() { 200 } else { 12 } {
        let quantity = chance.random_range(1..=5);
        twins(&shop, &mut campaign, KINDS[key % KINDS.len()], &format!("key-{key}"), quantity).await;
    }
    let healed = recovery::heals(&shop, &shop.database).await;
    campaign.healed_in(healed.unwrap());
    campaign.finds(recovery::violations(&shop, &shop.database).await);
    campaign.end();
}
