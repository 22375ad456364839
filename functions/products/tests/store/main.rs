//! Store of products on a real MongoDB. Declarations are applied whole or not at all, once, and in the sequence
//! of their revisions, for any number of concurrent calls. Every unit is in the ledger.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod declarations;
mod holds;
mod journal;
mod late;
mod ledger;
mod lists;
mod moves;
mod outdated;
mod races;
mod schema;

use futures::TryStreamExt as _;
use futures::future::join_all;
use mongodb::bson::{self, Document, doc};
use mongodb::{Collection, Database};
use products::ledger::StockMovement;
use products::product::{HeldProduct, NewProduct, Product, ProductChange, Sku, Status};
use products::stock::{Declaration, DeclarationKind, Item, Rejection, StockChange, StockCount};
use products::store::{Inserted, ProductStore, StockWrite, StockWritten};
use shared::error::Kind;
use shared::http::conditional::IfMatch;
use shared::http::idempotency::{KeyRecord, RequestKey};
use shared::input::page::PageRequest;
use shared::mongo;
use shared::runtime::context::InvocationId;
use shared::values::clock::Timestamp;
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::{Currency, Money};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Key of a request that was not sent before.
pub(crate) fn new_key() -> KeyRecord {
    RequestKey::of_invocation(InvocationId::new()).sent_to("a test").by("somebody")
}

/// Store on a database of its own.
pub(crate) struct Fixture {
    pub(crate) database: Database,
    pub(crate) store: ProductStore,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::at(mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"))).await
    }

    /// Store on a database of this server.
    pub(crate) async fn at(uri: &str) -> Self {
        let default = mongo::connect(uri, "tests").await.unwrap();
        let database = default.client().database(&format!("test_{}", ProductId::new()));
        let store = ProductStore::new(&database);
        store.ensure_schema().await.unwrap();
        Self { database, store }
    }

    pub(crate) async fn product(&self, on_hand: i64) -> ProductId {
        self.product_in("EUR", on_hand).await
    }

    pub(crate) async fn product_in(&self, currency: &str, on_hand: i64) -> ProductId {
        let product = new_product(currency, on_hand);
        assert_eq!(self.store.insert(&product, "somebody", &new_key()).await.unwrap(), Inserted::Done);
        product.id
    }

    /// Sets or moves the count.
    pub(crate) async fn count(&self, product: ProductId, change: StockChange) -> StockWritten {
        let count = StockCount { change, reason: None };
        let by = "somebody".to_owned();
        self.store
            .change_stock(&StockWrite {
                product,
                if_match: IfMatch::Any,
                count,
                by,
                now: NOW,
                key_record: new_key(),
            })
            .await
            .unwrap()
    }

    /// Reads the whole ledger, newest first.
    pub(crate) async fn movements(&self, product: ProductId) -> Vec<StockMovement> {
        let all = PageRequest::within(Some(10_000), None, 1, 10_000).unwrap();
        self.store.movements(product, &all, None).await.unwrap().data
    }

    pub(crate) async fn products<const N: usize>(&self, on_hand: [i64; N]) -> [ProductId; N] {
        let made = join_all(on_hand.map(|count| self.product(count))).await;
        made.try_into().unwrap()
    }

    pub(crate) async fn find(&self, product: ProductId) -> Product {
        self.store.find(product).await.unwrap().unwrap()
    }

    pub(crate) async fn archive(&self, product: ProductId) {
        let change = ProductChange { status: Some(Status::Archived), ..ProductChange::default() };
        let active = self.find(product).await;
        let archived = active.changed(change, NOW).unwrap();
        assert!(self.store.write(&active, &archived).await.unwrap().is_some());
    }

    /// Gives a product another name.
    pub(crate) async fn rename(&self, product: ProductId) {
        let before = self.find(product).await;
        let change = ProductChange { name: Some(format!("{}!", before.name)), ..ProductChange::default() };
        let renamed = before.changed(change, NOW).unwrap();
        assert!(self.store.write(&before, &renamed).await.unwrap().is_some());
    }

    pub(crate) async fn declare(
        &self,
        order: OrderId,
        revision: i64,
        kind: DeclarationKind,
        items: &[(ProductId, i64)],
    ) -> Result<Vec<HeldProduct>, Rejection> {
        let items = items.iter().map(|&(product, quantity)| Item::new(product, quantity)).collect();
        self.declares(Declaration { order, revision, kind, items }).await
    }

    pub(crate) async fn declares(&self, declaration: Declaration) -> Result<Vec<HeldProduct>, Rejection> {
        // On a busy machine it may take longer than a caller waits. A caller asks again.
        for _ in 0..5 {
            match self.store.declare(&declaration, NOW).await {
                Err(error) if error.kind() == Kind::Unavailable => {}
                declared => return declared.unwrap(),
            }
        }
        panic!("{declaration:?} was never answered")
    }

    pub(crate) async fn hold(
        &self,
        order: OrderId,
        revision: i64,
        items: &[(ProductId, i64)],
    ) -> Result<Vec<HeldProduct>, Rejection> {
        self.declare(order, revision, DeclarationKind::Hold, items).await
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// Reads a whole collection, in the order of IDs.
    pub(crate) async fn all(&self, name: &str) -> Vec<Document> {
        let found = self.collection(name).find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        found.try_collect().await.unwrap()
    }

    /// Reads all stocks and holds.
    pub(crate) async fn documents(&self) -> Vec<Document> {
        [self.all("stock").await, self.all("stock_holds").await].concat()
    }

    /// Store of another process, in which one command of this name fails.
    pub(crate) async fn failing_once(&self, command: &str, failure: Document) -> ProductStore {
        // The fail point selects the client by its app name.
        let app = format!("fails-{command}-{}", self.database.name());
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        let client = mongo::connect(uri, &app).await.unwrap();
        let mut data = doc! { "failCommands": [command], "appName": app };
        data.extend(failure);
        let fails = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data };
        self.database.client().database("admin").run_command(fails).await.unwrap();
        ProductStore::new(&client.client().database(self.database.name()))
    }

    /// Folds all journals. One to which others write all the time is left to the next pass.
    pub(crate) async fn fold(&self) {
        for _ in 0..20 {
            let (mut after, mut more, mut failed) = (None, true, 0);
            while more {
                let folded = self.store.fold_journals(after, 1_000).await.unwrap();
                failed += folded.failed;
                (after, more) = (folded.last, folded.more);
            }
            if failed == 0 {
                return;
            }
        }
        panic!("a journal cannot be folded");
    }

    /// Reads `on_hand` and `reserved`, and checks the invariants.
    pub(crate) async fn stock(&self, product: ProductId) -> (i64, i64) {
        self.assert_sound().await;
        let stock = self.find(product).await.stock;
        (stock.on_hand, stock.reserved)
    }

    /// Checks the invariants. `reserved` is the sum of what orders hold, and at most `on_hand`. A journal has at most
    /// one entry of an order. A product is in stock if units are left. The ledger adds up to `on_hand`, entry by entry.
    pub(crate) async fn assert_sound(&self) {
        let (stocks, holds) = (self.all("stock").await, self.all("stock_holds").await);
        let list = |document: &Document, field: &str| -> Vec<Document> {
            let list = document.get_array(field).unwrap();
            list.iter().map(|it| it.as_document().unwrap().clone()).collect()
        };
        for stock in &stocks {
            let count = |field: &str| stock.get_i64(field).unwrap();
            let product = stock.get("_id").unwrap();
            let entries = list(stock, "pending");
            let mut held: i64 = 0;
            for hold in &holds {
                let entry = entries.iter().find(|entry| entry.get("o") == hold.get("_id"));
                let newer = entry.filter(|it| it.get_i64("r").unwrap() > hold.get_i64("r").unwrap());
                let item = list(hold, "items").into_iter().find(|item| item.get("p") == Some(product));
                held += newer.is_none().then_some(item).flatten().map_or(0, |it| it.get_i64("q").unwrap());
                let live = list(hold, "items").iter().any(|item| item.get_i64("q").unwrap() > 0);
                assert_eq!(hold.get_bool("live").unwrap(), live, "{hold}");
            }
            for entry in &entries {
                let hold = holds.iter().find(|hold| hold.get("_id") == entry.get("o"));
                let is_newer = hold.is_none_or(|it| it.get_i64("r").unwrap() < entry.get_i64("r").unwrap());
                held += if is_newer { entry.get_i64("q").unwrap() } else { 0 };
            }
            assert_eq!(count("reserved"), held, "{stock}");
            assert!(0 <= held && held <= count("on_hand"), "{stock}");
            let mut orders: Vec<_> = entries.iter().map(|it| it.get("o").unwrap().to_string()).collect();
            orders.sort();
            orders.dedup();
            assert_eq!(orders.len(), entries.len(), "{stock}");
            let id = mongo::id(bson::deserialize_from_bson(product.clone()).unwrap());
            let shown = self.collection("products").find_one(doc! { "_id": product }).await.unwrap().unwrap();
            assert_eq!(shown.get_bool("in_stock").unwrap(), count("on_hand") > count("reserved"), "{stock}");
            self.assert_ledger(id, count("on_hand"), count("movements")).await;
        }
    }

    async fn assert_ledger(&self, product: ProductId, on_hand: i64, length: i64) {
        let mut movements = self.movements(product).await;
        movements.reverse();
        let mut before: Option<&StockMovement> = None;
        for (place, movement) in movements.iter().enumerate() {
            assert_eq!(movement.number, i64::try_from(place).unwrap() + 1);
            assert_ne!(movement.delta, 0);
            assert_eq!(movement.stock.on_hand, before.map_or(0, |it| it.stock.on_hand) + movement.delta);
            assert!(before.is_none_or(|before| before.at <= movement.at));
            before = Some(movement);
        }
        assert_eq!(movements.iter().map(|movement| movement.delta).sum::<i64>(), on_hand);
        assert_eq!(i64::try_from(movements.len()).unwrap(), length);
    }
}

/// Builds an active product without storing it.
pub(crate) fn new_product(currency: &str, on_hand: i64) -> Product {
    let id = ProductId::new();
    let sku = Sku::parse(id.to_string()).unwrap();
    let price = Money::new(500, Currency::parse(currency.to_owned()).unwrap()).unwrap();
    let new = NewProduct { on_hand, ..NewProduct::new(sku, "Mug".to_owned(), price) };
    new.into_product(id, NOW)
}

pub(crate) fn ids(products: &[HeldProduct]) -> Vec<ProductId> {
    products.iter().map(|product| product.id).collect()
}
