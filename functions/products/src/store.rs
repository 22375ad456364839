//! Products in MongoDB. With the modules below it, the only place of this function that knows BSON.
//!
//! - `declarations`: declarations about an order's stock
//! - `ledger`: changes of the on-hand count by people, and the ledger of all changes
//! - `checkpoints`: how far ledgers have been verified
//! - `holds`: queries of other functions about holds
//! - `list`: lists, and the fields stored for them
//! - `upgrade`: migration of products from earlier schema versions
//! - `bulk`: import of products with their history

use mongodb::bson::{self, Document, doc};
use mongodb::options::ReturnDocument;
use mongodb::{ClientSession, Database};
use serde::{Deserialize, Serialize};
use shared::error::{Error, Kind};
use shared::http::idempotency::KeyRecord;
use shared::http::idempotency::key_store::KeyStore;
use shared::mongo::changes::changes;
use shared::mongo::fenced::{FencedCollection, FencedDatabase};
use shared::mongo::json_schema;
use shared::mongo::unreadable::Unreadable;
use shared::mongo::{self, ANY_WRITER, Index, Schema, SchemaStep, TxOutcome};
use shared::values::clock::Timestamp;
use shared::values::ids::ProductId;
use shared::values::money::{Currency, Money};
use shared::values::text::{MAX_SKU, Name};

use crate::ledger::{Cause, INITIAL, LedgerEnd};
use crate::limits::Description;
use crate::product::{Product, Sku, Status};
use crate::stock::{MAX_ENTRIES, Stock};

mod bulk;
mod checkpoints;
mod declarations;
mod holds;
mod ledger;
mod list;
mod upgrade;

pub use bulk::ImportedProduct;
use ledger::MovementDocument;
pub use ledger::{StockWrite, StockWritten};

/// Schema of this build. Raise its version with every change of `ensure_schema`, of the rules or of documents.
pub const SCHEMA: Schema = Schema { function: "products", version: 7, lowest_writer: ANY_WRITER };

const PRODUCTS: &str = "products";

const MOVEMENTS: &str = "stock_movements";

/// Verified beginnings of ledgers.
const CHECKPOINTS: &str = "stock_checkpoints";

const KEYS: &str = "product_keys";

/// Product on disk, without the fields that are read and written apart. These are `holds`, read for one order
/// at a time; `live`, the number of live holds; `movements` and `moved_at`, the end of the ledger.
/// `in_stock`, `name_key`, `words` and `folding`, the rule that made the words, serve lists.
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
    on_hand: i64,
    reserved: i64,
    version: i64,
    created_at: bson::DateTime,
    updated_at: bson::DateTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct PriceDocument {
    amount: i64,
    currency: String,
}

/// Hold on disk. There may be thousands in one product: hence the one-letter keys.
#[derive(Debug, Serialize, Deserialize)]
struct HoldDocument {
    /// Order ID.
    o: bson::Uuid,
    /// Quantity.
    q: i64,
    /// Revision.
    r: i64,
    /// Time of the declaration, by the database's clock.
    t: bson::DateTime,
}

/// Product with the end of its ledger.
#[derive(Debug, Deserialize)]
struct CountedDocument {
    #[serde(flatten)]
    product: ProductDocument,
    movements: i64,
    moved_at: Option<bson::DateTime>,
}

impl CountedDocument {
    fn ledger_end(&self) -> LedgerEnd {
        LedgerEnd { number: self.movements, at: self.moved_at.map(mongo::timestamp) }
    }
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
            on_hand: product.stock.on_hand,
            reserved: product.stock.reserved,
            version: product.version,
            created_at: mongo::date(product.created_at),
            updated_at: mongo::date(product.updated_at),
        }
    }
}

impl ProductDocument {
    /// Reads a product.
    ///
    /// # Errors
    /// The document, if it cannot be read.
    fn read(document: Document) -> Result<Product, Unreadable> {
        Unreadable::or_read::<Self>(PRODUCTS, document)?.into_product()
    }

    fn into_product(self) -> Result<Product, Unreadable> {
        let document = self;
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
            stock: Stock { on_hand: document.on_hand, reserved: document.reserved },
            version: document.version,
            created_at: mongo::timestamp(document.created_at),
            updated_at: mongo::timestamp(document.updated_at),
        })
    }
}

/// Maximum number of entries that the schema allows. It is far above the domain's own limit, which entries that
/// end a hold may exceed.
const MOST_HOLDS: i64 = 5 * MAX_ENTRIES;

/// Validation rule for products.
fn valid_product() -> Document {
    let mut rule = doc! { "$jsonSchema": product_rule() };
    rule.insert("$expr", doc! { "$lte": ["$reserved", "$on_hand"] });
    rule
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
            ("on_hand", json_schema::whole(0)),
            ("reserved", json_schema::whole(0)),
            ("live", json_schema::whole(0)),
            ("holds", json_schema::long_list(MOST_HOLDS)),
            ("movements", json_schema::whole(0)),
            ("version", json_schema::whole(1)),
            ("created_at", json_schema::date()),
            ("updated_at", json_schema::date()),
        ],
        &[
            ("description", json_schema::or_null(json_schema::text(Description::MAX))),
            ("max_per_order", json_schema::or_null(json_schema::whole(1))),
            ("moved_at", json_schema::or_null(json_schema::date())),
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
        let (checkpoints, keys) = (checkpoints::collection(), KeyStore::collection(KEYS));
        let mut indexes = list::indexes();
        indexes.extend([
            Index::unique("sku", doc! { "sku": 1 }),
            Index::plain("holds_of_order", doc! { "holds.o": 1 }),
            Index::plain("holds_by_time", doc! { "holds.t": 1 }),
        ]);
        let products = mongo::Collection {
            name: PRODUCTS,
            indexes,
            obsolete: vec!["newest", "status_newest"],
            // Second safeguard of the stock: even a bug cannot sell units that are not there.
            validator: valid_product(),
            append_only: false,
        };
        let all = [&movements, &checkpoints, &keys, &products];
        let Some(step) = SchemaStep::begin(&self.database, &all).await? else { return Ok(()) };
        for collection in [&movements, &checkpoints, &keys] {
            step.ensure(collection).await?;
        }
        self.begin_ledgers().await?;
        self.begin_lists().await?;
        step.ensure(&products).await?;
        step.end().await
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
        let document = document(product, &[], end)?;
        let products = self.products.clone_with_type::<Document>();
        let first = first.map(|first| MovementDocument::of(product.id, first));
        let inserted = mongo::transaction(&self.database, |session| {
            let (store, products) = (self.clone(), products.clone());
            let (document, first, key_record) = (document.clone(), first.clone(), *key_record);
            let (id, now) = (product.id, product.created_at);
            Box::pin(async move {
                match products.insert_one(document)?.session(&mut *session).await {
                    Ok(_) => {}
                    Err(error) if mongo::is_duplicate_key(&error) => {
                        return Ok(TxOutcome::Abort(Inserted::SkuTaken));
                    }
                    Err(error) => return Err(error),
                }
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
        let found =
            self.documents().find_one(doc! { "_id": mongo::uuid(id) }).projection(without_holds()).await?;
        Ok(found.map(ProductDocument::read).transpose()?)
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
        for untouched in ["on_hand", "reserved"] {
            fields.remove(untouched);
        }
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
            .projection(without_holds())
            .return_document(ReturnDocument::After);
        match mongo::bounded_write(write).await {
            Ok(written) => Ok(written.map(ProductDocument::read).transpose()?),
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

    /// Products as they are stored.
    fn documents(&self) -> FencedCollection<Document> {
        self.products.clone_with_type()
    }
}

/// Builds the document to insert, with all its separate fields.
fn document(product: &Product, holds: &[HoldDocument], end: LedgerEnd) -> Result<Document, Error> {
    let live = holds.iter().filter(|hold| hold.q > 0).count();
    let mut document = bson::serialize_to_document(&ProductDocument::of(product)).map_err(Error::internal)?;
    document.extend(listed(product));
    document.insert("in_stock", product.stock.available() > 0);
    document.insert("holds", bson::serialize_to_bson(holds).map_err(Error::internal)?);
    document.insert("live", i64::try_from(live).map_err(Error::internal)?);
    document.insert("movements", end.number);
    document.insert("moved_at", end.at.map(mongo::date));
    Ok(document)
}

fn without_holds() -> Document {
    doc! { "holds": 0, "words": 0, "folding": 0 }
}

fn listed(product: &Product) -> Document {
    list::listed_by(&product.name, product.description.as_deref(), product.sku.as_str())
}

/// Conflict error (409) for a taken SKU.
pub fn sku_taken() -> Error {
    Error::new(Kind::SkuTaken, "Another product has this `sku`.")
}
