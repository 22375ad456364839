//! `cargo local seed`: fills a database with a large shop of the past years, to see lists and checks at that
//! size.
//!
//! Orders are placed and decided by the functions' own rules, and their stores write all documents. The
//! result is what requests would have left, ledgers and holds included.
//!
//! - `sign_ups`: users
//! - `catalogue`: products
//! - `sales`: orders, moved to their current status
//! - `amounts`: discounts, taxes and shipping of orders
//! - `stock`: effects on the stock of a product
//! - `random`: random choices
//! - `progress`: progress reports

use std::path::PathBuf;

use futures::future::BoxFuture;
use mongodb::Database;
use orders::number::Number;
use orders::store::{ImportedOrder, OrderStore};
use products::holds::Hold;
use products::store::ProductStore;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::error::Error;
use shared::values::clock::{Clock, Timestamp};
use tokio::task::JoinSet;
use users::credentials::{self, Password};
use users::store::UserStore;
use users::user::User;

use crate::backend;
use crate::database::{connect, is_local};
use crate::demo;
use crate::env::running;
use crate::error::CommandError;
use crate::terminal::report;
use catalogue::Catalogue;
use progress::Progress;
use sales::Sales;

mod amounts;
mod catalogue;
mod progress;
mod random;
mod sales;
mod sign_ups;
mod stock;

/// Number of documents per write.
const BATCH: usize = 1_000;

/// Number of concurrent batches.
const LANES: usize = 4;

/// Maximum number of orders of a part of the shop, which order its products alone.
///
/// It limits the memory for the stock histories until the products are written.
const ORDERS_OF_A_PART: usize = 25_000;

/// Maximum number of products of a part.
const PRODUCTS_OF_A_PART: usize = 2_500;

/// Minimum number of parts, if there are enough products: each part has one currency.
const PARTS: usize = 10;

/// Number of attempts to find a free order number: of 2^40, two collide rarely.
const NUMBERS: u32 = 8;

/// Amounts to load.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// Products, with stock and its ledger.
    pub products: usize,
    /// Orders, of these products by these users.
    pub orders: usize,
    /// Users.
    pub users: usize,
}

/// Options of the command.
#[derive(Debug)]
pub struct Options {
    /// Folder that keeps the data of a running `cargo local`.
    pub data: Option<PathBuf>,
    /// Amounts to load.
    pub amounts: Amounts,
    /// True if the database may be on another machine.
    pub remote: bool,
}

/// Fills the database of `MONGO_URI`, else that of a running `cargo local`.
///
/// # Errors
/// If it is on another machine without permission, or cannot be written to.
pub async fn run(options: Options) -> Result<(), CommandError> {
    let (_, uri) = running(options.data).await?;
    if !options.remote && !is_local(&uri) {
        return Err(CommandError::new("MONGO_URI is not on this machine, and nothing was loaded")
            .advice("To load it anyway: cargo local seed --remote"));
    }
    let database = connect(&uri).await?;
    backend::ensure_schema(&database).await?;
    // On another machine nobody may sign in with a published password.
    let password = is_local(&uri).then_some(demo::PASSWORD);
    let mut rng = StdRng::from_os_rng();
    fill(&database, options.amounts, password, &mut rng, &report).await?;
    if let Some(password) = password {
        report(&format!("the loaded users can sign in with the password: {password}"));
    }
    Ok(())
}

/// Adds a shop to a database that has its schema. Its users have this password, or a random one.
///
/// # Errors
/// If the database refuses a document.
pub async fn fill(
    database: &Database,
    amounts: Amounts,
    password: Option<&str>,
    rng: &mut StdRng,
    report: &(dyn Fn(&str) + Sync),
) -> Result<(), CommandError> {
    let mut load = Load { database, amounts, now: Clock::system().now(), progress: Progress::begin(report) };
    let users = load.users(password, rng).await?;
    let parts = amounts
        .orders
        .div_ceil(ORDERS_OF_A_PART)
        .max(amounts.products.div_ceil(PRODUCTS_OF_A_PART))
        .max(PARTS)
        .min(amounts.products);
    for part in 0..parts {
        let share = |all: usize| all * (part + 1) / parts - all * part / parts;
        let catalogue = Catalogue::draw(part, share(amounts.products), load.now, rng)?;
        load.part(catalogue, &users, share(amounts.orders), rng).await?;
    }
    load.progress.end(amounts);
    Ok(())
}

/// Load in progress.
struct Load<'a> {
    database: &'a Database,
    amounts: Amounts,
    /// Time of the start, which is the current time for all documents.
    now: Timestamp,
    progress: Progress<'a>,
}

impl Load<'_> {
    async fn users(&mut self, password: Option<&str>, rng: &mut StdRng) -> Result<Vec<User>, CommandError> {
        let password = match password {
            Some(password) => password.to_owned(),
            None => random::secret(),
        };
        // One hash for all: a hash for each user would take longer than everything else.
        let hash = credentials::hash(Password::parse(password).map_err(CommandError::new)?).await?;
        let users = sign_ups::draw(self.amounts.users, self.now, rng)?;
        let mut lanes = Lanes::default();
        for batch in users.chunks(BATCH) {
            let (store, batch, hash) = (UserStore::new(self.database), batch.to_vec(), hash.clone());
            self.progress.of("users", batch.len(), self.amounts.users);
            lanes.add(Box::pin(async move { store.insert_many(&batch, &hash).await })).await?;
        }
        lanes.finish().await?;
        Ok(users)
    }

    /// Loads products and their orders. Orders come first, since Reconcile releases a hold without an order. Then
    /// come the holds, each with all of its products.
    async fn part(
        &mut self,
        catalogue: Catalogue,
        users: &[User],
        orders: usize,
        rng: &mut StdRng,
    ) -> Result<(), CommandError> {
        let mut lanes = Lanes::default();
        let mut sales = Sales::begin(catalogue, users, orders, self.now, rng);
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(order) = sales.next(rng)? {
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
        let (products, holds) = sales.end(rng);
        for batch in whole_orders(&holds) {
            let store = ProductStore::new(self.database);
            lanes.add(Box::pin(async move { store.insert_holds(&batch).await })).await?;
        }
        lanes.finish().await?;
        for batch in products.chunks(BATCH / 4) {
            let (store, batch) = (ProductStore::new(self.database), batch.to_vec());
            self.progress.of("products", batch.len(), self.amounts.products);
            lanes.add(Box::pin(async move { store.insert_many(&batch).await })).await?;
        }
        lanes.finish().await
    }
}

/// Splits holds, sorted by order, into batches of so many orders.
fn whole_orders(holds: &[Hold]) -> Vec<Vec<Hold>> {
    let by_order: Vec<&[Hold]> = holds.chunk_by(|one, other| one.order == other.order).collect();
    by_order.chunks(BATCH).map(<[&[Hold]]>::concat).collect()
}

/// Inserts orders, with another number if one is taken, which happens among millions.
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

/// Concurrent batches, limited in number.
#[derive(Default)]
struct Lanes {
    running: JoinSet<Result<(), Error>>,
}

impl Lanes {
    /// Starts a batch as soon as a lane is free.
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
