//! Products in MongoDB. With the modules below it, the only place of this function that knows BSON.
//!
//! - `documents`: stocks with their journals, and holds
//! - `entries`: entries of journals, as they are written
//! - `declarations`: declarations about an order's stock
//! - `view`: reads of a declaration
//! - `first_holds`: holds of new orders, those of one product together
//! - `turns`: turns to write to stocks, within a process
//! - `journal`: folding of journals into holds
//! - `ledger`: changes of the on-hand count by people, and the ledger of all changes
//! - `checkpoints`: how far ledgers have been verified
//! - `holds`: queries of other functions about holds
//! - `audit`: data of the consistency check
//! - `list`: lists, and the fields stored for them
//! - `upgrade`: migration of products from earlier schema versions
//! - `arrays`: migration of the holds that earlier versions kept in arrays
//! - `bulk`: import of products with their history

use std::sync::{Arc, OnceLock};

use mongodb::bson::{self, Document, RawBsonRef, RawDocumentBuf, Timestamp as OperationTime, doc};
use mongodb::options::ReturnDocument;
use mongodb::{ClientSession, Database};
use serde::{Deserialize, Serialize};
use shared::error::{Error, Kind};
use shared::http::idempotency::KeyRecord;
use shared::http::idempotency::key_store::KeyStore;
use shared::mongo::changes::changes;
use shared::mongo::fenced::{FencedCollection, FencedDatabase};
use shared::mongo::json_schema;
use shared::mongo::unreadable::{self, StoredDocument, Unreadable};
use shared::mongo::{self, Index, Schema, SchemaStep, TxOutcome};
use shared::values::clock::Timestamp;
use shared::values::ids::ProductId;
use shared::values::money::{Currency, Money};
use shared::values::text::{MAX_SKU, Name};

use crate::ledger::{Cause, INITIAL, LedgerEnd};
use crate::limits::Description;
use crate::product::{Product, Sku, Status};
use crate::stock::Stock;

mod arrays;
mod audit;
mod bulk;
mod checkpoints;
mod declarations;
mod documents;
mod entries;
mod first_holds;
mod holds;
mod journal;
mod ledger;
mod list;
mod turns;
mod upgrade;
mod view;

pub use bulk::ImportedProduct;
use documents::StockDocument;
use first_holds::FirstHolds;
pub use journal::Folded;
use ledger::MovementDocument;
pub use ledger::{StockWrite, StockWritten};

/// Schema of this build. Raise its version with every change of `ensure_schema`, of the rules or of documents.
/// Builds before version 8 keep holds in arrays, and may not write any more.
pub const SCHEMA: Schema = Schema { function: "products", version: 10, lowest_writer: 8 };

const PRODUCTS: &str = "products";

/// Counters and journals, one document for each product.
const STOCK: &str = "stock";

/// Holds, one document for each order.
const HOLDS: &str = "stock_holds";

const MOVEMENTS: &str = "stock_movements";

/// Verified beginnings of ledgers.
const CHECKPOINTS: &str = "stock_checkpoints";

const KEYS: &str = "product_keys";

/// Product on disk. Its counts are in its stock. `in_stock`, `name_key`, `words` and `folding`, the rule that
/// made the words, serve lists, and are written apart.
#[derive(Debug, Serialize, Deserialize)]
struct ProductDocument {
    _id: bson::Uuid,
    sku: String,
    name: String,
    description: Option<String>,
    price: PriceDocument,
    attributes: Vec<mongo::Entry>,
    status: String,
    max_per_order: Option<i64>,
    version: i64,
    created_at: bson::DateTime,
    updated_at: bson::DateTime,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PriceDocument {
    amount: i64,
    currency: String,
}

impl ProductDocument {
    fn of(product: &Product) -> Self {
        Self {
            _id: mongo::uuid(product.id),
            sku: product.sku.as_str().to_owned(),
            name: product.name.clone(),
            description: product.description.clone(),
            price: PriceDocument {
                amount: product.price.amount(),
                currency: product.price.currency().code().to_owned(),
            },
            attributes: mongo::entries(&product.attributes),
            status: product.status.name().to_owned(),
            max_per_order: product.max_per_order,
            version: product.version,
            created_at: mongo::date(product.created_at),
            updated_at: mongo::date(product.updated_at),
        }
    }
}

impl ProductDocument {
    /// Reads a product with these counts.
    ///
    /// # Errors
    /// The document, if it cannot be read.
    fn read(document: impl StoredDocument, stock: Stock) -> Result<Product, Unreadable> {
        let document: Self = Unreadable::or_read(PRODUCTS, document)?;
        let id = uuid::Uuid::from_bytes(document._id.bytes());
        let unreadable = |_| Unreadable { collection: PRODUCTS, id: Some(id) };
        let currency = Currency::from_stored(&document.price.currency).map_err(unreadable)?;
        Ok(Product {
            id: mongo::id(document._id),
            sku: Sku::from_stored(document.sku),
            name: document.name,
            description: document.description,
            price: Money::from_stored(document.price.amount, currency),
            attributes: mongo::map(document.attributes),
            status: Status::from_stored(&document.status).map_err(unreadable)?,
            max_per_order: document.max_per_order,
            stock,
            version: document.version,
            created_at: mongo::timestamp(document.created_at),
            updated_at: mongo::timestamp(document.updated_at),
        })
    }
}

/// Rule for the fields of a product.
fn product_rule() -> Document {
    let price = json_schema::document(
        &[("amount", json_schema::whole(0)), ("currency", json_schema::text(Currency::LENGTH))],
        &[],
    );
    json_schema::document(
        &[
            ("_id", json_schema::bytes()),
            ("sku", json_schema::text(MAX_SKU)),
            ("name", json_schema::text(Name::MAX)),
            ("price", price),
            ("attributes", json_schema::map()),
            ("status", json_schema::one_of(["draft", "active", "archived"])),
            ("version", json_schema::whole(1)),
            ("created_at", json_schema::date()),
            ("updated_at", json_schema::date()),
        ],
        &[
            ("description", json_schema::or_null(json_schema::text(Description::MAX))),
            ("max_per_order", json_schema::or_null(json_schema::whole(1))),
        ],
    )
}

/// Result of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The product was inserted.
    Done,
    /// The SKU is taken by another product.
    SkuTaken,
    /// The idempotency key was used before.
    KeyTaken,
}

/// Store of products.
#[derive(Clone)]
pub struct ProductStore {
    database: FencedDatabase,
    products: FencedCollection<ProductDocument>,
    stocks: FencedCollection<Document>,
    holds: FencedCollection<Document>,
    first_holds: Arc<FirstHolds>,
    arrays_gone: Arc<OnceLock<OperationTime>>,
    movements: FencedCollection<MovementDocument>,
    keys: KeyStore,
}

impl ProductStore {
    /// Creates a store over this database.
    pub fn new(database: &Database) -> Self {
        Self::with_schema(database, SCHEMA)
    }

    /// Creates the store of a build with another schema.
    pub fn with_schema(database: &Database, schema: Schema) -> Self {
        let database = FencedDatabase::new(database, schema);
        Self {
            products: database.collection(PRODUCTS),
            stocks: database.collection(STOCK),
            holds: database.collection(HOLDS),
            first_holds: Arc::default(),
            arrays_gone: Arc::default(),
            movements: database.collection(MOVEMENTS),
            keys: KeyStore::new(&database, KEYS),
            database,
        }
    }

    /// Idempotency keys of answered requests.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Creates collections and indexes, and migrates products of earlier versions. It may run again at any
    /// time.
    ///
    /// # Errors
    /// Fails when MongoDB refuses or is unavailable.
    pub async fn ensure_schema(&self) -> Result<(), Error> {
        let movements = mongo::Collection {
            name: MOVEMENTS,
            indexes: vec![Index::unique("newest", doc! { "product": 1, "number": -1 })],
            obsolete: Vec::new(),
            validator: ledger::valid_movement(),
            append_only: true,
        };
        let (stock, holds) = (documents::stock_collection(), documents::holds_collection());
        let (checkpoints, keys) = (checkpoints::collection(), KeyStore::collection(KEYS));
        let mut indexes = list::indexes();
        indexes.push(Index::unique("sku", doc! { "sku": 1 }));
        let mut obsolete = vec!["newest", "status_newest", "holds_by_time"];
        if self.arrays_are_gone().await? {
            obsolete.push(arrays::ORDERS_IN_ARRAYS);
        } else {
            indexes.push(Index::plain(arrays::ORDERS_IN_ARRAYS, doc! { "holds.o": 1 }));
        }
        let products = mongo::Collection {
            name: PRODUCTS,
            indexes,
            obsolete,
            validator: doc! { "$jsonSchema": product_rule() },
            append_only: false,
        };
        let all = [&movements, &checkpoints, &keys, &stock, &holds, &products];
        let Some(step) = SchemaStep::begin(&self.database, &all).await? else { return Ok(()) };
        for collection in [&movements, &checkpoints, &keys, &stock, &holds] {
            step.ensure(collection).await?;
        }
        self.begin_ledgers().await?;
        self.begin_lists().await?;
        step.ensure(&products).await?;
        // From here on the arrays of all products are frozen.
        step.sign(&products).await?;
        self.begin_stocks().await?;
        step.end().await?;
        // This build can serve requests now, beside what is left to do.
        self.copy_arrays().await
    }

    /// Inserts a product, the first entry of its ledger and the key of the request, all or none.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn insert(
        &self,
        product: &Product,
        by: &str,
        key_record: &KeyRecord,
    ) -> Result<Inserted, Error> {
        let count = product.stock.on_hand;
        let first = (count != 0).then(|| {
            let cause = Cause { reason: Some(INITIAL.to_owned()), order: None, by: by.to_owned() };
            LedgerEnd::default().next(count, product.stock, cause, product.created_at)
        });
        let end = first.as_ref().map_or_else(LedgerEnd::default, LedgerEnd::from);
        let document = document(product)?;
        let stock = StockDocument::new(product.id, product.stock, end);
        let stock = bson::serialize_to_document(&stock).map_err(Error::internal)?;
        let products = self.documents();
        let first = first.map(|first| MovementDocument::of(product.id, first));
        let inserted = mongo::transaction(&self.database, |session| {
            let (store, products) = (self.clone(), products.clone());
            let (document, stock) = (document.clone(), stock.clone());
            let (first, key_record) = (first.clone(), *key_record);
            let (id, now) = (product.id, product.created_at);
            Box::pin(async move {
                match products.insert_one(document)?.session(&mut *session).await {
                    Ok(_) => {}
                    Err(error) if mongo::is_duplicate_key(&error) => {
                        return Ok(TxOutcome::Abort(Inserted::SkuTaken));
                    }
                    Err(error) => return Err(error),
                }
                store.stocks.insert_one(stock)?.session(&mut *session).await?;
                if let Some(first) = first {
                    store.movements.insert_one(first)?.session(&mut *session).await?;
                }
                store.keep_key(session, &key_record, id, now, Inserted::Done, Inserted::KeyTaken).await
            })
        });
        Ok(inserted.await?)
    }

    /// Ends a transaction with its last write: the key of the request.
    async fn keep_key<T>(
        &self,
        session: &mut ClientSession,
        key_record: &KeyRecord,
        product: ProductId,
        now: Timestamp,
        done: T,
        taken: T,
    ) -> mongodb::error::Result<TxOutcome<T>> {
        let kept = self.keys.keep(session, key_record, product, now).await?;
        Ok(if kept { TxOutcome::Commit(done) } else { TxOutcome::Abort(taken) })
    }

    /// Finds a product by ID.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find(&self, id: ProductId) -> Result<Option<Product>, Error> {
        let found = self.stored().find_one(with_id(id)).projection(shown()).await?;
        let Some(document) = found else { return Ok(None) };
        Ok(Some(ProductDocument::read(document, self.counts_of(id).await?)?))
    }

    /// Reads the counts of a product.
    async fn counts_of(&self, id: ProductId) -> Result<Stock, Error> {
        let stocks = self.stored_stocks();
        let find = || stocks.find_one(with_id(id)).projection(counts());
        let found = match find().await? {
            // Reads may still show the state from before the product was created.
            None => mongo::confirmed(find()).await?,
            found => found,
        };
        let unreadable = Unreadable { collection: STOCK, id: Some(id.uuid()) };
        Ok(read_counts(&found.ok_or(unreadable)?)?.1)
    }

    /// Writes the next version of a product, except its stock. `None`: a concurrent write was faster.
    ///
    /// It sets only what has changed: a field of a later build stays.
    ///
    /// # Errors
    /// 409 for a taken SKU.
    pub async fn write(&self, before: &Product, product: &Product) -> Result<Option<Product>, Error> {
        let document = |product| bson::serialize_to_document(&ProductDocument::of(product));
        let old = document(before).map_err(Error::internal)?;
        let new = document(product).map_err(Error::internal)?;
        let mut fields = changes(&old, &new);
        // The words name the rule that made them: they are written together.
        if ["name", "description", "sku"].iter().any(|source| fields.contains_key(source)) {
            fields.extend(listed(product));
        }
        let products = self.documents();
        let write = products
            .find_one_and_update(
                doc! { "_id": mongo::uuid(before.id), "version": before.version },
                doc! { "$set": fields },
            )
            .projection(shown())
            .return_document(ReturnDocument::After);
        match mongo::bounded_write(write).await {
            Ok(Some(written)) => Ok(Some(ProductDocument::read(written, self.counts_of(before.id).await?)?)),
            Ok(None) => Ok(None),
            Err(error) if mongo::is_duplicate_key(&error) => {
                let same = products.find_one(doc! { "sku": product.sku.as_str() });
                match mongo::confirmed(same.projection(doc! { "_id": 1 })).await? {
                    Some(_) => Err(sku_taken()),
                    None => Ok(None),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Products as MongoDB sends them.
    fn stored(&self) -> FencedCollection<RawDocumentBuf> {
        self.products.clone_with_type()
    }

    /// Stocks as MongoDB sends them.
    fn stored_stocks(&self) -> FencedCollection<RawDocumentBuf> {
        self.stocks.clone_with_type()
    }

    /// Products as they are stored.
    fn documents(&self) -> FencedCollection<Document> {
        self.products.clone_with_type()
    }
}

/// Builds the document to insert, with all its separate fields.
fn document(product: &Product) -> Result<Document, Error> {
    let mut document = bson::serialize_to_document(&ProductDocument::of(product)).map_err(Error::internal)?;
    document.extend(listed(product));
    document.insert("in_stock", product.stock.available() > 0);
    Ok(document)
}

fn with_id(product: ProductId) -> Document {
    doc! { "_id": mongo::uuid(product) }
}

/// Projection of a product without the fields that only lists use, and the array of earlier versions.
fn shown() -> Document {
    doc! { "holds": 0, "words": 0, "folding": 0 }
}

/// Projection of a stock without its journal.
fn counts() -> Document {
    doc! { "on_hand": 1, "reserved": 1 }
}

/// Reads the counts of a product.
fn read_counts(document: &RawDocumentBuf) -> Result<(ProductId, Stock), Unreadable> {
    let unreadable = || Unreadable::of(STOCK, document);
    let count = |field| match unreadable::value(document, field) {
        Some(RawBsonRef::Int64(count)) => Ok(count),
        Some(RawBsonRef::Int32(count)) => Ok(i64::from(count)),
        _ => Err(unreadable()),
    };
    let id = unreadable::id_of(document).ok_or_else(unreadable)?;
    Ok((ProductId::from_uuid(id), Stock { on_hand: count("on_hand")?, reserved: count("reserved")? }))
}

fn listed(product: &Product) -> Document {
    list::listed_by(&product.name, product.description.as_deref(), product.sku.as_str())
}

/// Conflict error (409) for a taken SKU.
pub fn sku_taken() -> Error {
    Error::new(Kind::SkuTaken, "Another product has this `sku`.")
}
