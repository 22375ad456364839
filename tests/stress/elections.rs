//! Elections: a replica set whose primary steps down and is killed under load. No order that was acknowledged is lost,
//! and none is there twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use http::Method;
use mongodb::bson::{Document, doc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use shared::auth::Role;
use shared::mongo;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::{Person, address, to};
use tokio::time::sleep;

use crate::campaign::{Campaign, is_long};
use crate::recovery;
use crate::replica_set::ReplicaSet;

const CLIENTS: usize = 16;
const PRODUCTS: usize = 10;

/// More of each product than can be ordered in time.
const STOCK: i64 = 1_000_000;

/// Maximum time in which a client repeats a request.
const PATIENCE: Duration = Duration::from_secs(60);

/// Event that the primary suffers, again and again.
const EVENTS: [Event; 3] = [Event::StepsDown, Event::IsKilled, Event::StepsDown];

#[derive(Clone, Copy, Debug)]
enum Event {
    StepsDown,
    IsKilled,
}

/// Acknowledged results of a client.
struct Told {
    key: String,
    order: String,
    status: &'static str,
    /// Number of fulfillments.
    parcels: usize,
    at: Instant,
}

/// A client: whom it asks, and about what.
struct Client<'a> {
    name: usize,
    person: &'a Person,
    products: &'a [String],
    chance: StdRng,
}

impl Client<'_> {
    /// Orders until the shop closes. What it was told, and what it should never have been told.
    async fn orders(mut self, is_closed: &AtomicBool) -> (Vec<Told>, Vec<String>) {
        let (mut told, mut wrong) = (Vec::new(), Vec::new());
        for number in 0.. {
            if is_closed.load(Ordering::SeqCst) {
                break;
            }
            match self.places_and_moves(format!("{}-{number}", self.name)).await {
                Ok(acknowledged) => told.push(acknowledged),
                Err(violation) => wrong.push(violation),
            }
        }
        (told, wrong)
    }

    /// Places an order, often moves it on, and looks at it after each step.
    async fn places_and_moves(&mut self, key: String) -> Result<Told, String> {
        let first = self.chance.random_range(0..PRODUCTS);
        let lines = self.chance.random_range(1..=2);
        let items: Vec<Value> = (first..first + lines)
            .map(|product| json!({ "product_id": self.products[product % PRODUCTS], "quantity": 1 }))
            .collect();
        let body = json!({ "items": items, "shipping_address": address() });
        let placed = self.insists(Method::POST, "/orders", &key, Some(&body), 201).await?;
        let (order, mut status, mut parcels) = (placed.id(), "placed", 0);
        let path = format!("/orders/{order}");
        // It may show an earlier version, but never nothing.
        self.insists(Method::GET, &path, &key, None, 200).await?;
        let choice = self.chance.random_range(0..5);
        let steps: &[&'static str] = match choice {
            0 => &["cancelled"],
            1 => &["paid", "shipped"],
            2 => &["paid"],
            _ => &[],
        };
        for step in steps {
            self.insists(Method::PUT, &path, &key, Some(&to(step)), 200).await?;
            self.insists(Method::GET, &path, &key, None, 200).await?;
            status = step;
            parcels += usize::from(*step == "shipped");
        }
        if choice == 2 {
            // One item of it alone.
            let unit = json!({ "items": [{ "id": placed["items"][0]["id"], "quantity": 1 }] });
            self.insists(Method::POST, &format!("{path}/fulfillments"), &key, Some(&unit), 201).await?;
            self.insists(Method::GET, &path, &key, None, 200).await?;
            status = if lines == 1 { "shipped" } else { "paid" };
            parcels = 1;
        }
        Ok(Told { key, order, status, parcels, at: Instant::now() })
    }

    /// Sends a request again until the answer is no 503; it must be this one then.
    async fn insists(
        &mut self,
        method: Method,
        path: &str,
        key: &str,
        body: Option<&Value>,
        expected: u16,
    ) -> Result<Answer, String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let mut request = self.person.request(method.clone(), path);
            if let Some(body) = body {
                request = request.header("idempotency-key", key).json(body);
            }
            let answer = self.person.outcome(request).await?;
            if answer.status == expected {
                return Ok(answer);
            }
            if answer.status != 503 {
                return Err(format!("{key}: {method} answered {}: {:#}", answer.status, answer.body));
            }
            answer.problem(503, "unavailable");
            sleep(Duration::from_millis(self.chance.random_range(10..100))).await;
        }
        Err(format!("{key}: {method} was answered 503 for {PATIENCE:?}"))
    }
}

/// Steps down and kills, with pauses between, and closes the shop some time after the last.
async fn disturbs(
    set: &mut ReplicaSet,
    campaign: &mut Campaign,
    chance: &mut StdRng,
    is_closed: &AtomicBool,
) {
    let events = if is_long() { 30 } else { EVENTS.len() };
    for event in EVENTS.into_iter().cycle().take(events) {
        sleep(Duration::from_millis(chance.random_range(4_000..6_000))).await;
        match event {
            Event::StepsDown => set.steps_down().await,
            Event::IsKilled => {
                let killed = set.kills_the_primary().await;
                // Without it the other two go on.
                set.primary().await;
                sleep(Duration::from_millis(chance.random_range(500..3_000))).await;
                set.starts_again(killed).await;
            }
        }
        campaign.faults += 1;
    }
    sleep(Duration::from_secs(5)).await;
    is_closed.store(true, Ordering::SeqCst);
}

/// Differences between the database and the acknowledged results.
async fn differences(shop: &InProcess, told: &Told) -> Vec<String> {
    let orders = shop.database.collection::<Document>("orders");
    let under = doc! { "placed_under.key": &told.key };
    let count = orders.count_documents(under).await.unwrap();
    let id: OrderId = told.order.parse().unwrap();
    let found = orders.find_one(doc! { "_id": mongo::uuid(id) }).await.unwrap();
    let status = found.as_ref().and_then(|order| order.get_str("status").ok()).unwrap_or("lost");
    let parcels = found.as_ref().and_then(|order| order.get_array("fulfillments").ok()).map_or(0, Vec::len);
    if (count, status, parcels) == (1, told.status, told.parcels) {
        return Vec::new();
    }
    let Told { key, order, status: was, parcels: were, .. } = told;
    vec![format!(
        "{key}: {order} was {was} and is {status}, with {were} and {parcels} parcels; {count} orders under its key"
    )]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a campaign: see main.rs"]
async fn no_acknowledged_order_is_lost_or_doubled_while_primaries_step_down_and_die() {
    let mut campaign = Campaign::begin("elections");
    let mut chance = campaign.chance();
    let mut set = ReplicaSet::start().await;
    let shop = InProcess::open_at(&set.uri(), Clock::system()).await;
    let mut products = Vec::new();
    for _ in 0..PRODUCTS {
        products.push(shop.product(STOCK).await);
    }
    let people = shop.people(Role::Staff, CLIENTS);
    let is_closed = AtomicBool::new(false);
    let begun = Instant::now();
    let clients: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(name, person)| {
            let chance = StdRng::seed_from_u64(chance.random());
            Client { name, person, products: &products, chance }.orders(&is_closed)
        })
        .collect();
    let disturbing = disturbs(&mut set, &mut campaign, &mut chance, &is_closed);
    let (told, ()) = join(join_all(clients), disturbing).await;

    let mut acknowledged = Vec::new();
    for (told, wrong) in told {
        acknowledged.extend(told);
        campaign.finds(wrong);
    }
    campaign.cases = acknowledged.len();
    // The longest time in which nobody was told anything is what an election costs.
    acknowledged.sort_by_key(|told| told.at);
    let mut last = begun;
    for told in &acknowledged {
        campaign.healed_in(told.at - last);
        last = told.at;
    }
    campaign.holds(acknowledged.len() > 100, || "hardly anything was ordered".to_owned());
    recovery::heals(&shop, &shop.database).await.unwrap();
    for told in &acknowledged {
        campaign.finds(differences(&shop, told).await);
    }
    campaign.finds(recovery::violations(&shop, &shop.database).await);
    campaign.end();
}
