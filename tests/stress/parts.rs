//! Parts: 32 clients ship, cancel and take back units of the same orders, while rivals buy every free unit of their
//! products. Their processes are killed at their commands, lines are cut, and calls of products are lost, late and
//! doubled. At each quiet point the stock is moved by exactly what the orders say.
//!
//! - `account`: knowledge of an order's parts, and the check
//! - `client`: operations and their faults
//! - `stock`: comparison of the stock with all orders

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use rand::rngs::StdRng;
use rand::seq::index::sample;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use shared::auth::{Role, Signer};
use shared::values::clock::Clock;
use shared::values::ids::UserId;
use tests::JWT_SECRET;
use tests::in_process::InProcess;
use tests::person::{Person, address, to};

use crate::campaign::{Campaign, is_long};
use crate::clients::{Known, Notes};
use crate::recovery;

mod account;
mod client;
mod stock;

use account::{Account, Book, Said};
use client::{Client, MIX, Operation};

const CLIENTS: usize = 32;
const RIVALS: usize = 4;
const PRODUCTS: usize = 8;

/// Units of each product beyond those of the orders at first.
const SPARE: i64 = 3;

/// Number of operations for each order.
const OPERATIONS: usize = 24;

/// Number of orders that clients work on at once.
const AT_ONCE: usize = 8;

/// Rounds of operations, each with a quiet point at its end.
const ROUNDS: usize = 3;

/// Pause of a rival who was refused.
const PAUSE: Duration = Duration::from_millis(20);

/// Pause between two looks at the stock.
const LOOKED_EVERY: Duration = Duration::from_millis(200);

/// While that goes by on disk more than an hour goes by, after which ended holds are forgotten.
const WHILES: usize = 7;

/// Kinds of faults, as their names begin.
const FAULTS: [&str; 6] = ["crash", "cut", "call, ", "calls, Lost", "calls, Late", "answer"];

/// Orders in the hands of the clients.
struct Market<'a> {
    shop: &'a InProcess,
    signer: Signer,
    products: Vec<String>,
    accounts: Vec<Mutex<Account>>,
    /// Number of operations of the round that were begun.
    begun: AtomicUsize,
    notes: Notes<Operation>,
    is_quiet: AtomicBool,
}

impl Market<'_> {
    fn account(&self, place: usize) -> MutexGuard<'_, Account> {
        self.accounts[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Customer whose order it is, who has just signed in.
    fn owner(&self, place: usize) -> Person {
        let owner = self.account(place).owner;
        customer(self.shop, &self.signer, owner)
    }

    /// Order of the next operation; none at the end of the round. The orders come one after the other, so many at once.
    fn next(&self, chance: &mut StdRng) -> Option<usize> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) / (OPERATIONS / ROUNDS);
        let place = (number + chance.random_range(0..AT_ONCE)) % self.accounts.len();
        (number < self.accounts.len()).then_some(place)
    }

    /// Records the answers about an entry.
    fn learn(&self, place: usize, book: Book, tag: &str, said: &[Said]) -> Known {
        let (known, wrong) = self.account(place).learn(book, tag, said);
        self.notes.finds(wrong);
        known
    }

    /// Notes the violations in an order as it is at a moment.
    fn see(&self, order: &Value) {
        let wrong = account::unsound(order);
        self.notes.finds(wrong.into_iter().map(|wrong| format!("{}, meanwhile: {wrong}", order["id"])));
    }

    fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::SeqCst)
    }

    /// Looks at the stock, and has Reconcile run, until the round is over.
    async fn looks(&self) {
        while !self.is_quiet() {
            self.notes.finds(stock::beyond_bounds(self.shop).await);
            if let Err(status) = recovery::reconciles(self.shop).await {
                self.notes.finds([format!("Reconcile: {status}")]);
            }
            tokio::time::sleep(LOOKED_EVERY).await;
        }
    }

    /// Buys every free unit until the round is over. Some are given back, whole orders or single units.
    async fn rival(&self, mut chance: StdRng) {
        let rival = self.shop.people(Role::Customer, 1).remove(0);
        while !self.is_quiet() {
            let product = &self.products[chance.random_range(0..self.products.len())];
            let items = json!([{ "product_id": product, "quantity": chance.random_range(1..=2) }]);
            let body = json!({ "items": items, "shipping_address": address() });
            let Some(order) = self.ask(&rival, Method::POST, "/orders", body).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let path = format!("/orders/{}", order["id"].as_str().unwrap_or_default());
            match chance.random_range(0..6) {
                0 => drop(self.ask(&rival, Method::PUT, &path, to("cancelled")).await),
                1 => {
                    let one = json!({ "items": [{ "id": order["items"][0]["id"], "quantity": 1 }] });
                    drop(self.ask(&rival, Method::POST, &format!("{path}/cancellations"), one).await);
                }
                _ => {}
            }
        }
    }

    /// Body of the answer to a request of a rival, who may be refused for a shortage alone.
    async fn ask(&self, rival: &Person, method: Method, path: &str, body: Value) -> Option<Value> {
        match rival.outcome(rival.request(method, path).json(&body)).await {
            Ok(answer) if answer.status.is_success() => Some(answer.body),
            Ok(answer) if answer.status == 503 => None,
            Ok(answer) => {
                let is_short = answer["type"] == "/problems/insufficient-stock";
                self.notes.holds(is_short, || format!("a rival's {path}: {:#}", answer.body));
                None
            }
            Err(lost) => {
                self.notes.finds([lost]);
                None
            }
        }
    }

    /// Lets all that is under way end, heals, and compares everything.
    async fn settles(&self, campaign: &mut Campaign) {
        for _ in 0..2 {
            match recovery::heals(self.shop, &self.shop.database).await {
                Ok(took) => campaign.healed_in(took),
                Err(left) => campaign.finds([left]),
            }
            self.compare(campaign).await;
            // The second time holds that have ended are forgotten, and the next round goes on without them.
            for _ in 0..WHILES {
                recovery::a_while_goes_by(self.shop, &self.shop.database).await;
            }
        }
    }

    async fn compare(&self, campaign: &mut Campaign) {
        campaign.finds(recovery::violations(self.shop, &self.shop.database).await);
        let orders = stock::all_orders(self.shop).await;
        campaign.finds(stock::violations(self.shop, &orders).await);
        for place in 0..self.accounts.len() {
            let account = self.account(place).clone();
            let order = orders.iter().find(|order| order["id"] == account.id);
            let wrong = order.map(|order| account::violations(order, &account));
            let wrong = wrong.unwrap_or_else(|| vec!["is lost".to_owned()]);
            campaign.finds(wrong.into_iter().map(|wrong| format!("{}: {wrong}", account.id)));
        }
    }

    /// Cancels fulfillments where no unit is free: each gets its own units back.
    async fn takes_back_its_own(&self, campaign: &mut Campaign) {
        let staff = self.shop.people(Role::Staff, 1).remove(0);
        self.buys_the_rest(campaign).await;
        for order in stock::all_orders(self.shop).await {
            for part in account::list(&order, "fulfillments").iter().filter(|it| it["status"] == "shipped") {
                let (id, part) = (order["id"].as_str(), part["id"].as_str().unwrap_or_default().to_owned());
                let path = format!("/orders/{}/fulfillments/{part}", id.unwrap_or_default());
                let answer = staff.put(&path, json!({ "status": "cancelled" })).await;
                if answer.status != 200 {
                    // Units of it are in returns.
                    answer.problem(409, "quantity-exceeded");
                    continue;
                }
                if let Some(place) = self.place_of(&order) {
                    self.account(place).attempt(&part, "cancelled", Known::Acknowledged);
                }
            }
        }
        campaign.finds(stock::beyond_bounds(self.shop).await);
        self.compare(campaign).await;
    }

    fn place_of(&self, order: &Value) -> Option<usize> {
        (0..self.accounts.len()).find(|place| order["id"] == self.account(*place).id)
    }

    /// Buys what is free of each product, and not one unit more.
    async fn buys_the_rest(&self, campaign: &mut Campaign) {
        let buyer = self.shop.people(Role::Customer, 1).remove(0);
        for product in &self.products {
            let (_, _, available) = self.shop.stock(product).await;
            if available > 0 {
                buyer.orders(&[(product, available)]).await.expect(201);
            }
            let beyond = buyer.orders(&[(product, 1)]).await;
            let is_short = beyond["type"] == "/problems/insufficient-stock";
            campaign.holds(is_short, || format!("{product} is sold beyond its last unit"));
        }
    }
}

/// A customer with this ID, who has just signed in.
fn customer(shop: &InProcess, signer: &Signer, id: UserId) -> Person {
    let token = signer.access_token(id, Role::Customer, Clock::system().now());
    shop.anyone().with_token(token.unwrap())
}

/// Items of orders: two or three products, and some units of each.
fn carts(orders: usize, chance: &mut StdRng) -> Vec<Vec<(usize, i64)>> {
    let cart = |_| {
        let count = chance.random_range(2..=3);
        let products = sample(chance, PRODUCTS, count).into_vec();
        products.into_iter().map(|product| (product, chance.random_range(3..=9))).collect()
    };
    (0..orders).map(cart).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: see main.rs"]
async fn stock_moves_by_exactly_the_parts_of_all_orders() {
    let mut campaign = Campaign::begin("parts");
    let mut chance = campaign.chance();
    let shop = InProcess::open().await;
    let carts = carts(if is_long() { 1_000 } else { 40 }, &mut chance);
    let mut products = Vec::new();
    for product in 0..PRODUCTS {
        let ordered: i64 =
            carts.iter().flatten().filter(|(it, _)| *it == product).map(|(_, units)| units).sum();
        products.push(shop.product(ordered + SPARE).await);
    }
    let (signer, staff) = (Signer::from_secret(JWT_SECRET).unwrap(), shop.people(Role::Staff, 1).remove(0));
    let mut accounts = Vec::new();
    for cart in &carts {
        let owner = UserId::new();
        let items: Vec<(&str, i64)> =
            cart.iter().map(|(product, units)| (products[*product].as_str(), *units)).collect();
        let order = customer(&shop, &signer, owner).orders(&items).await.expect(201).id();
        if chance.random_ratio(3, 4) {
            staff.moves(&order, "paid").await.expect(200);
        }
        accounts.push(Mutex::new(Account::of(order, owner)));
    }
    let market = Market {
        shop: &shop,
        signer,
        products,
        accounts,
        begun: AtomicUsize::new(0),
        notes: Notes::default(),
        is_quiet: AtomicBool::new(false),
    };
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| chance.random()).collect();
    let clients = seeds.iter().enumerate();
    let clients = clients.map(|(name, seed)| Client::open(&market, name, StdRng::seed_from_u64(*seed)));
    let mut clients = join_all(clients.collect::<Vec<_>>()).await;
    for _ in 0..ROUNDS {
        market.begun.store(0, Ordering::SeqCst);
        market.is_quiet.store(false, Ordering::SeqCst);
        let rivals: Vec<_> =
            (0..RIVALS).map(|_| market.rival(StdRng::seed_from_u64(chance.random()))).collect();
        let worked = async {
            join_all(clients.iter_mut().map(Client::work)).await;
            market.is_quiet.store(true, Ordering::SeqCst);
        };
        tokio::join!(worked, join_all(rivals), market.looks());
        // Late calls arrive before time goes by.
        join_all(clients.iter().map(|client| client.terminal.rests())).await;
        market.settles(&mut campaign).await;
    }
    drop(clients);
    market.takes_back_its_own(&mut campaign).await;
    // A sample is too small for each of the rarest operations.
    let mix: &[(Operation, u32)] = if is_long() { &MIX } else { &[] };
    market.notes.end(&mut campaign, mix, &FAULTS);
    campaign.end();
}
