//! `cargo local seed`: fills a database with a large shop of the past years, in bulk, for whoever wants to see what
//! lists and the check are like then.
//!
//! Orders are placed and decided about by the functions' own rules, and all documents are written by their stores:
//! what is there afterwards is what requests would have left, ledgers and holds included.
//!
//! - `sign_ups`: users
//! - `catalogue`: products
//! - `sales`: orders, walked to where they stand now
//! - `stock`: what that does to the stock of a product
//! - `draw`: what is left to chance
//! - `progress`: how far it is

use std::path::PathBuf;

use futures::future::BoxFuture;
use mongodb::Database;
use orders::number::Number;
use orders::store::{ImportedOrder, OrderStore};
use products::store::{ImportedProduct, ProductStore};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::error::Error;
use shared::values::clock::{Clock, Timestamp};
use tokio::task::JoinSet;
use users::credentials::{self, Password};
use users::store::UserStore;
use users::user::User;

use crate::backend;
use crate::demo;
use crate::env::running;
use crate::error::CommandError;
use crate::run::{connect, is_near, say};
use catalogue::Catalogue;
use progress::Progress;
use sales::Sales;

mod catalogue;
mod progress;
mod random;
mod sales;
mod sign_ups;
mod stock;

/// How many documents are written at once.
const BATCH: usize = 1_000;

/// How many batches are on their way at once.
const LANES: usize = 4;

/// A part of the shop has at most so many orders, whose lines are of its products alone: what is remembered of them
/// until the products are written stays small.
const ORDERS_OF_A_PART: usize = 25_000;

/// And at most so many products.
const PRODUCTS_OF_A_PART: usize = 2_500;

/// A shop has at least so many parts, if it has the products: each has one currency.
const PARTS: usize = 10;

/// How many numbers are drawn for an order: of 2^40, two are the same once in a long while.
const NUMBERS: u32 = 8;

/// How much is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// Products, with stock and its ledger.
    pub products: usize,
    /// Orders, of these products by these users.
    pub orders: usize,
    /// Users.
    pub users: usize,
}

/// What the user wants.
#[derive(Debug)]
pub struct Options {
    /// The folder that keeps the data of the `cargo local` that is running.
    pub data: Option<PathBuf>,
    /// How much.
    pub amounts: Amounts,
    /// Whether the database may be on another machine.
    pub remote: bool,
}

/// Loads the database of `MONGO_URI`, else that of a `cargo local` that is running.
///
/// # Errors
/// When it is not on this machine and that is not asked for, or cannot be written to.
pub async fn run(options: Options) -> Result<(), CommandError> {
    let (_, uri) = running(options.data).await?;
    if !options.remote && !is_near(&uri) {
        return Err(CommandError::new("MONGO_URI is not on this machine, and nothing was loaded")
            .advice("If it is meant, say so: cargo local seed --remote"));
    }
    let database = connect(&uri).await?;
    backend::ensure_schema(&database).await?;
    // Elsewhere nobody must be able to sign in with a password that everybody knows.
    let password = is_near(&uri).then_some(demo::PASSWORD);
    let mut chance = StdRng::from_os_rng();
    fill(&database, options.amounts, password, &mut chance, &say).await?;
    if let Some(password) = password {
        say(&format!("whoever was loaded can sign in with the password: {password}"));
    }
    Ok(())
}

/// Adds a shop to a database that has its schema. Its users have this password, or one that nobody knows.
///
/// # Errors
/// When the database does not take something.
pub async fn fill(
    database: &Database,
    amounts: Amounts,
    password: Option<&str>,
    chance: &mut StdRng,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<(), CommandError> {
    let mut load = Load { database, amounts, now: Clock::system().now(), progress: Progress::begin(tell) };
    let users = load.users(password, chance).await?;
    let parts = amounts
        .orders
        .div_ceil(ORDERS_OF_A_PART)
        .max(amounts.products.div_ceil(PRODUCTS_OF_A_PART))
        .max(PARTS)
        .min(amounts.products);
    for part in 0..parts {
        let share = |all: usize| all * (part + 1) / parts - all * part / parts;
        let catalogue = Catalogue::draw(part, share(amounts.products), load.now, chance)?;
        load.part(catalogue, &users, share(amounts.orders), chance).await?;
    }
    load.progress.end(amounts);
    Ok(())
}

/// A load that is under way.
struct Load<'a> {
    database: &'a Database,
    amounts: Amounts,
    /// When it began, which is now for all that is loaded.
    now: Timestamp,
    progress: Progress<'a>,
}

impl Load<'_> {
    async fn users(
        &mut self,
        password: Option<&str>,
        chance: &mut StdRng,
    ) -> Result<Vec<User>, CommandError> {
        let password = match password {
            Some(password) => password.to_owned(),
            None => random::secret(),
        };
        // One for all: a hash of its own for each would take longer than all else.
        let hash = credentials::hash(Password::parse(password).map_err(CommandError::new)?).await?;
        let users = sign_ups::draw(self.amounts.users, self.now, chance)?;
        let mut lanes = Lanes::default();
        for batch in users.chunks(BATCH) {
            let (store, batch, hash) = (UserStore::new(self.database), batch.to_vec(), hash.clone());
            self.progress.of("users", batch.len(), self.amounts.users);
            lanes.add(Box::pin(async move { store.insert_many(&batch, &hash).await })).await?;
        }
        lanes.finish().await?;
        Ok(users)
    }

    /// Loads products and their orders: these first, since a hold without an order is ended by Reconcile.
    async fn part(
        &mut self,
        catalogue: Catalogue,
        users: &[User],
        orders: usize,
        chance: &mut StdRng,
    ) -> Result<(), CommandError> {
        let mut lanes = Lanes::default();
        let mut sales = Sales::begin(catalogue, users, orders, self.now, chance);
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(order) = sales.next(chance)? {
            batch.push(order);
            if batch.len() == BATCH {
                self.progress.of("orders", BATCH, self.amounts.orders);
                let (store, batch) = (OrderStore::new(self.database), std::mem::take(&mut batch));
                lanes.add(Box::pin(insert_orders(store, batch))).await?;
            }
        }
        self.progress.of("orders", batch.len(), self.amounts.orders);
        lanes.add(Box::pin(insert_orders(OrderStore::new(self.database), batch))).await?;
        lanes.finish().await?;
        let products: Vec<ImportedProduct> = sales.end(chance);
        for batch in products.chunks(BATCH / 4) {
            let (store, batch) = (ProductStore::new(self.database), batch.to_vec());
            self.progress.of("products", batch.len(), self.amounts.products);
            lanes.add(Box::pin(async move { store.insert_many(&batch).await })).await?;
        }
        lanes.finish().await
    }
}

/// Inserts orders, under another number where one is taken: among millions that happens.
async fn insert_orders(store: OrderStore, mut orders: Vec<ImportedOrder>) -> Result<(), Error> {
    for _ in 0..NUMBERS {
        if orders.is_empty() {
            return Ok(());
        }
        let taken = store.insert_many(&orders).await?;
        let renumber = |order: &ImportedOrder| order.clone().renumbered(Number::from_bits(rand::random()));
        orders = taken.into_iter().filter_map(|place| orders.get(place).map(renumber)).collect();
    }
    Err(Error::unavailable("no free order number was found"))
}

/// Batches that are on their way, a few at a time, each on whichever thread is free.
#[derive(Default)]
struct Lanes {
    running: JoinSet<Result<(), Error>>,
}

impl Lanes {
    /// Sends one off as soon as there is a lane for it.
    async fn add(&mut self, batch: BoxFuture<'static, Result<(), Error>>) -> Result<(), CommandError> {
        while self.running.len() >= LANES {
            self.one_ends().await?;
        }
        self.running.spawn(batch);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), CommandError> {
        while !self.running.is_empty() {
            self.one_ends().await?;
        }
        Ok(())
    }

    async fn one_ends(&mut self) -> Result<(), CommandError> {
        match self.running.join_next().await {
            Some(Ok(inserted)) => Ok(inserted?),
            Some(Err(error)) => Err(CommandError::new(format!("a batch did not end: {error}"))),
            None => Ok(()),
        }
    }
}
