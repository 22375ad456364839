//! Money: 64 clients pay, refund, cancel, ship, take back, expire and edit the same orders. Their processes are killed at
//! their commands, lines are cut, and answers are lost. Afterwards each order has exactly the money that was
//! acknowledged.
//!
//! - `account`: knowledge of an order's money, and the check
//! - `client`: operations and their faults

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use shared::auth::Role;
use shared::values::clock::Clock;
use tests::in_process::InProcess;
use tests::person::{Person, address};

use crate::campaign::{Campaign, is_long, tell};
use crate::clients::{Known, Notes};
use crate::recovery;

mod account;
mod client;

use account::{Account, Book, Entry, Said};
use client::{Client, MIX, Operation};

const CLIENTS: usize = 64;

/// Prices of the products, in minor units.
const PRICES: [i64; 8] = [1, 333, 500, 999, 1_000, 1_001, 1_250, 7_777];

/// More of each product than can be ordered.
const STOCK: i64 = 1_000_000;

/// Number of operations for each order.
const OPERATIONS: usize = 12;

/// Number of orders that clients work on at once.
const AT_ONCE: usize = 16;

/// Pause between two runs of Reconcile.
const RECONCILED_EVERY: Duration = Duration::from_millis(500);

/// Kinds of faults, as their names begin.
const FAULTS: [&str; 4] = ["crash", "cut", "call", "answer"];

/// Orders in the hands of the clients.
struct Market<'a> {
    shop: &'a InProcess,
    accounts: Vec<Mutex<Account>>,
    /// Number of operations that were begun.
    begun: AtomicUsize,
    notes: Notes<Operation>,
    is_over: AtomicBool,
}

impl Market<'_> {
    fn account(&self, place: usize) -> MutexGuard<'_, Account> {
        self.accounts[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Order of the next operation; none at the end. The orders come one after the other, so many at once.
    fn next(&self, chance: &mut StdRng) -> Option<usize> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) / OPERATIONS;
        let place = (number + chance.random_range(0..AT_ONCE)) % self.accounts.len();
        (number < self.accounts.len()).then_some(place)
    }

    /// Records an entry before it is sent.
    fn expect(&self, place: usize, book: Book, tag: &str, amount: Option<i64>) {
        self.account(place).entries(book).insert(tag.to_owned(), Entry::sent(amount));
    }

    /// Records the answers about an entry.
    fn learn(&self, place: usize, book: Book, tag: &str, said: &[Said]) -> Known {
        let (known, wrong) = {
            let mut account = self.account(place);
            let entry = account.entries(book).get_mut(tag).unwrap();
            let wrong = entry.learn(said);
            (entry.known, wrong)
        };
        self.notes.finds(wrong.into_iter().map(|wrong| format!("{tag} was {wrong}")));
        known
    }

    /// Records the reference that was acknowledged for a refund, which has one alone.
    fn refer(&self, place: usize, tag: &str, reference: String) {
        let before = {
            let mut account = self.account(place);
            account.refunds.get_mut(tag).unwrap().reference.replace(reference.clone())
        };
        self.notes.holds(before.is_none(), || format!("{tag} has the references {before:?} and {reference}"));
    }

    /// Notes the violations in an order as it is at a moment.
    fn see(&self, order: &Value) {
        let wrong = account::unsound(order);
        self.notes.finds(wrong.into_iter().map(|wrong| format!("{}, meanwhile: {wrong}", order["id"])));
    }

    async fn reconciles(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            if let Err(status) = recovery::reconciles(self.shop).await {
                self.notes.finds([format!("Reconcile: {status}")]);
            }
            tokio::time::sleep(RECONCILED_EVERY).await;
        }
    }
}

/// Places an order of two products, one in three with a discount, taxes and a shipping. One in eight has a payment
/// deadline that passes during the campaign.
async fn place(staff: &Person, products: &[String], chance: &mut StdRng) -> Account {
    let first = chance.random_range(0..products.len());
    let items = [first, (first + 1) % products.len()]
        .map(|product| json!({ "product_id": products[product], "quantity": chance.random_range(1..=4) }));
    let mut body = json!({ "items": items, "shipping_address": address() });
    if chance.random_ratio(1, 3) {
        let half = |amount: i64, included: bool| json!({ "label": "VAT", "rate": "0.5", "amount": amount, "included": included });
        body["items"][0]["discounts"] = json!([{ "label": "A cent", "amount": 1 }]);
        body["shipping"] =
            json!({ "label": "Van", "amount": 35, "taxes": [half(18, false), half(12, true)] });
    }
    if chance.random_ratio(1, 8) {
        let soon = Duration::from_millis(chance.random_range(2_000..20_000));
        body["expires_at"] = json!(Clock::system().now().after(soon));
    }
    Account::of(staff.post("/orders", body).await.expect(201).id())
}

/// Findings of the consistency check over all pages.
async fn inconsistencies(admin: &Person) -> Vec<String> {
    let mut found = Vec::new();
    let mut path = "/orders/consistency?limit=1000".to_owned();
    loop {
        let page = admin.get(&path).await.expect(200);
        found.extend(page["violations"].as_array().unwrap().iter().map(Value::to_string));
        let Some(cursor) = page["next_cursor"].as_str() else { return found };
        path = format!("/orders/consistency?limit=1000&cursor={cursor}");
    }
}

/// Prints how much was acknowledged, and what the orders have of it.
fn tell_sums(accounts: &[Account], orders: &[Value]) {
    let of = |known: Known| {
        let entries =
            accounts.iter().flat_map(|account| account.payments.values().chain(account.refunds.values()));
        entries.filter(|entry| entry.known == known).count()
    };
    let sum = |name: &str| orders.iter().map(|order| account::number(&order["totals"][name])).sum::<i64>();
    let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
    for order in orders {
        *statuses.entry(order["status"].as_str().unwrap_or_default()).or_default() += 1;
    }
    tell(&format!(
        "\n{} entries acknowledged, {} refused, {} unknown; {} paid, {} refunded, {} due for refund; {statuses:?}\n",
        of(Known::Acknowledged),
        of(Known::Refused),
        of(Known::Unknown),
        sum("paid"),
        sum("refunded"),
        sum("refund_due"),
    ));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn each_order_has_exactly_the_acknowledged_money() {
    let mut campaign = Campaign::begin("money");
    let mut chance = campaign.chance();
    let shop = InProcess::open().await;
    let (staff, size) = (shop.people(Role::Staff, 1).remove(0), if is_long() { 1_000 } else { 80 });
    let mut products = Vec::new();
    for price in PRICES {
        let price = json!({ "amount": price, "currency": "EUR" });
        products.push(shop.product_with(json!({ "stock": STOCK, "price": price })).await.id());
    }
    let mut accounts = Vec::new();
    for _ in 0..size {
        accounts.push(Mutex::new(place(&staff, &products, &mut chance).await));
    }
    let market = Market {
        shop: &shop,
        accounts,
        begun: AtomicUsize::new(0),
        notes: Notes::default(),
        is_over: AtomicBool::new(false),
    };
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| chance.random()).collect();
    let clients = seeds.iter().enumerate();
    let clients = clients.map(|(name, seed)| Client::open(&market, name, StdRng::seed_from_u64(*seed)));
    let clients = join_all(clients.collect::<Vec<_>>()).await;
    let worked = async {
        join_all(clients.into_iter().map(Client::work)).await;
        market.is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(worked, market.reconciles());

    let Market { accounts, notes, .. } = market;
    notes.end(&mut campaign, &MIX, &FAULTS);

    let end = Clock::system().now().to_string();
    match recovery::heals(&shop, &shop.database).await {
        Ok(took) => campaign.healed_in(took),
        Err(left) => campaign.finds([left]),
    }
    let admin = shop.people(Role::Admin, 1).remove(0);
    let (mut known, mut orders) = (Vec::new(), Vec::new());
    for account in accounts {
        let account = account.into_inner().unwrap_or_else(PoisonError::into_inner);
        let order = admin.get(&format!("/orders/{}", account.id)).await.expect(200).body;
        let wrong = account::violations(&order, &account);
        campaign.finds(wrong.into_iter().map(|wrong| format!("{}: {wrong}", account.id)));
        // Times of one form are in the order of their texts.
        let is_late = order["expires_at"].as_str().is_some_and(|at| at < end.as_str());
        campaign.holds(!is_late, || format!("{}: not expired at {}", account.id, order["expires_at"]));
        known.push(account);
        orders.push(order);
    }
    campaign.finds(account::doubled_references(&orders));
    tell_sums(&known, &orders);
    recovery::a_while_goes_by(&shop, &shop.database).await;
    campaign.finds(inconsistencies(&admin).await);
    campaign.end();
}
