//! Orders in MongoDB. With `store/`, the only module of this function that knows BSON.

use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{self, Document, RawDocumentBuf, doc};
use mongodb::options::Hint;
use shared::error::Error;
use shared::mongo::fenced::{FencedCollection, FencedDatabase, WRITER};
use shared::mongo::lease::Lease;
use shared::mongo::request_counts::RequestCounts;
use shared::mongo::unreadable::{self, StoredDocument, Unreadable};
use shared::mongo::{self, ANY_WRITER, Index, Schema, SchemaStep};
use shared::values::clock::Timestamp;
use shared::values::ids::OrderId;

use crate::order::{Decision, IdempotencyRef, Order};

mod bulk;
mod check;
mod documents;
mod jobs;
mod limits;
mod list;
mod progress;
mod upgrade;

pub use bulk::ImportedOrder;
pub use check::{CheckedItem, CheckedOrder};
use documents::{OrderDocument, VOID, VoidDocument};
pub use documents::{Stored, Void};
pub use jobs::{Unfinished, is_away, is_from_store, is_invalid};
pub use limits::Freshness;
pub use progress::{Job, LONGEST_DELAY, Reason, SetAside, SetAsideMark};

/// Schema of this build. Raise its version with every change of `ensure_schema`, of the rules or of documents.
pub const SCHEMA: Schema = Schema { function: "orders", version: 13, lowest_writer: ANY_WRITER };

const ORDERS: &str = "orders";

const LEASES: &str = "leases";

/// Unique index on numbers.
const NUMBER_INDEX: &str = "number_of_orders";

/// Unique index on the references of payments.
const PAYMENT_INDEX: &str = "payment_reference";

/// Unique index on numbers at other systems.
const EXTERNAL_NUMBER_INDEX: &str = "external_number";

/// Result of an insert.
#[derive(Clone, Debug, PartialEq)]
pub enum Inserted {
    /// The order was inserted.
    Done,
    /// The ID is taken by this document.
    Exists(Stored),
    /// The idempotency key is taken by this order, which has another ID.
    KeyTaken(Box<Order>),
    /// The number is taken by another order.
    NumberTaken,
    /// The number at another system is taken by another order.
    ExternalNumberTaken,
    /// The slot is taken by another open order of the customer.
    SlotTaken,
}

/// Result of writing a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The decision was written.
    Done,
    /// A concurrent write was faster.
    Conflict,
    /// The reference of a payment is taken by a payment of another order.
    ReferenceTaken,
}

/// Store of orders.
#[derive(Clone)]
pub struct OrderStore {
    database: FencedDatabase,
    orders: FencedCollection<OrderDocument<'static>>,
    /// The same collection, voids included.
    all: FencedCollection<Document>,
    rates: RequestCounts,
}

impl OrderStore {
    /// Creates a store over this database.
    pub fn new(database: &Database) -> Self {
        Self::with_schema(database, SCHEMA)
    }

    /// Creates the store of a build with another schema.
    pub fn with_schema(database: &Database, schema: Schema) -> Self {
        let database = FencedDatabase::new(database, schema);
        Self {
            orders: database.collection(ORDERS),
            all: database.collection(ORDERS),
            rates: RequestCounts::new(&database, limits::RATES),
            database,
        }
    }

    /// Creates collections and indexes. It may run again at any time.
    ///
    /// # Errors
    /// Fails when MongoDB refuses or is unavailable.
    pub async fn ensure_schema(&self) -> Result<(), Error> {
        let mut indexes = list::indexes();
        indexes.extend([
            // Voids have no number.
            Index::unique(NUMBER_INDEX, doc! { "number": 1 }).only(doc! { "number": { "$exists": true } }),
            Index::unique("placed_under", doc! { "placed_under.caller": 1, "placed_under.key": 1 })
                .only(doc! { "placed_under.key": { "$exists": true } }),
        ]);
        indexes.extend([
            Index::unique(PAYMENT_INDEX, doc! { "payments.unique": 1 })
                .only(doc! { "payments.unique": { "$exists": true } }),
            Index::unique(EXTERNAL_NUMBER_INDEX, doc! { "external_number": 1 })
                .only(doc! { "external_number": { "$exists": true } }),
        ]);
        indexes.extend(jobs::indexes());
        indexes.extend([limits::index(), upgrade::index()]);
        let orders = mongo::Collection {
            name: ORDERS,
            indexes,
            obsolete: vec!["number", "newest", "user_newest", "unpaid"],
            validator: documents::valid(),
            append_only: false,
        };
        let (positions, set_aside) = (progress::positions(), progress::set_aside());
        let rates = RequestCounts::collection(limits::RATES);
        let leases = Lease::collection(LEASES);
        let all = [&orders, &positions, &set_aside, &rates, &leases];
        let Some(step) = SchemaStep::begin(&self.database, &all).await? else { return Ok(()) };
        step.ensure(&orders).await?;
        step.ensure(&positions).await?;
        step.ensure(&rates).await?;
        step.ensure(&leases).await?;
        self.upgrade_all().await?;
        self.convert_deferred().await?;
        step.ensure(&set_aside).await?;
        // An older build may have deferred a hold just before the validator refused it.
        self.convert_deferred().await?;
        step.end().await
    }

    /// Checks that the schema step and this build fit each other. A deletion is refused by no validator: who
    /// deletes what a later build may still need asks first.
    ///
    /// # Errors
    /// 503 if they do not, or if MongoDB is unavailable.
    pub async fn check_schema(&self) -> Result<(), Error> {
        self.database.check_schema().await
    }

    /// Creates a lease of Reconcile, for a new holder.
    pub fn lease_of_reconcile(&self) -> Lease {
        Lease::new(&self.database, LEASES, "reconcile")
    }

    /// Inserts an order.
    ///
    /// # Errors
    /// Fails when it is unknown whether the order was inserted.
    pub async fn insert(&self, order: &Order) -> Result<Inserted, Error> {
        let Err(error) = self.orders.insert_one(OrderDocument::of(order))?.await else {
            return Ok(Inserted::Done);
        };
        if !mongo::is_duplicate_key(&error) {
            return Err(error.into());
        }
        // A duplicate key only means "look": the driver may have sent the insert twice.
        mongo::confirmed(self.find_duplicate(order, &error)).await
    }

    /// Finds the document that refused an order.
    async fn find_duplicate(&self, order: &Order, error: &mongodb::error::Error) -> Result<Inserted, Error> {
        if let Some(stored) = self.find_stored(with_id(order.id)).await? {
            return Ok(match stored {
                Stored::Order(there) if there.number == order.number => Inserted::Done,
                stored => Inserted::Exists(stored),
            });
        }
        if let Some(idempotency) = &order.placed_under
            && let Some(Stored::Order(there)) = self.find_stored(placed_under(idempotency)).await?
        {
            return Ok(Inserted::KeyTaken(there));
        }
        if limits::is_slot_taken(error) {
            return Ok(Inserted::SlotTaken);
        }
        let number = doc! { "number": order.number.to_string() };
        if self.all.find_one(number).projection(doc! { "_id": 1 }).await?.is_some() {
            return Ok(Inserted::NumberTaken);
        }
        match &order.external_number {
            Some(number) if self.has_external_number(number).await? => Ok(Inserted::ExternalNumberTaken),
            _ => Err(Error::unavailable("a duplicate key, but no document that has it")),
        }
    }

    /// True if an order has this number at another system.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn has_external_number(&self, number: &str) -> Result<bool, Error> {
        let found = self.all.find_one(doc! { "external_number": number }).projection(doc! { "_id": 1 });
        Ok(found.hint(Hint::Name(EXTERNAL_NUMBER_INDEX.to_owned())).await?.is_some())
    }

    /// Inserts a void, so that no order can be placed under this ID any more. Returns the void, or the
    /// document that has the ID already. The caller must end the hold of a void.
    ///
    /// # Errors
    /// Fails when it is unknown whether the void was inserted.
    pub async fn insert_void(&self, id: OrderId, now: Timestamp) -> Result<Stored, Error> {
        let void = bson::serialize_to_document(&VoidDocument::of(id, mongo::date(now)));
        let void = void.map_err(Error::internal)?;
        let Err(error) = self.all.insert_one(&void)?.await else {
            return Ok(Stored::Void(Void::unreleased(id)));
        };
        if !mongo::is_duplicate_key(&error) {
            return Err(error.into());
        }
        let stored = mongo::confirmed(self.find_stored(with_id(id))).await?;
        stored.ok_or_else(|| Error::unavailable("a duplicate key, but no document that has it"))
    }

    /// Finds an order by ID.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find(&self, id: OrderId) -> Result<Option<Order>, Error> {
        Ok(match self.find_stored(with_id(id)).await? {
            Some(Stored::Order(order)) => Some(*order),
            Some(Stored::Void(_)) | None => None,
        })
    }

    async fn find_stored(&self, filter: Document) -> Result<Option<Stored>, Error> {
        Ok(self.stored().find_one(filter).await?.map(Stored::read).transpose()?)
    }

    /// The whole collection, as MongoDB sends it.
    fn stored(&self) -> FencedCollection<RawDocumentBuf> {
        self.all.clone_with_type()
    }

    /// Reads the documents with these IDs. An unreadable one gives an error in its place.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_many(&self, ids: &[OrderId]) -> Result<Vec<(OrderId, Result<Stored, Error>)>, Error> {
        let stored = self.stored();
        let documents: Vec<RawDocumentBuf> = stored.find(with_ids(ids)).await?.try_collect().await?;
        documents
            .into_iter()
            .map(|document| Ok((id_of(&document)?, Stored::read(document).map_err(Error::from))))
            .collect()
    }

    /// Finds the order that was placed under a key, and the documents with these IDs. Just after an election one may
    /// be missing: the insert decides.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn find_placed(
        &self,
        idempotency: &IdempotencyRef,
        ids: &[OrderId],
    ) -> Result<Vec<Stored>, Error> {
        let of_attempts = if let [id] = ids { with_id(*id) } else { with_ids(ids) };
        let filter = doc! { "$or": [placed_under(idempotency), of_attempts] };
        let documents: Vec<RawDocumentBuf> = self.stored().find(filter).await?.try_collect().await?;
        // All of them are of this request: an unreadable one may be its answer.
        Ok(documents.into_iter().map(Stored::read).collect::<Result<_, _>>()?)
    }

    /// True if the order still has this version, as of all acknowledged writes.
    ///
    /// # Errors
    /// Fails when MongoDB is unavailable.
    pub async fn is_at_version(&self, id: OrderId, version: i64) -> Result<bool, Error> {
        let filter = doc! { "_id": mongo::uuid(id), "version": version };
        let found = self.all.find_one(filter).projection(doc! { "_id": 1 });
        Ok(mongo::confirmed(found).await?.is_some())
    }

    /// Writes a decision about an order, in one conditional write.
    ///
    /// It sets only what the decision changed. A field of a later build stays, also in items that stay.
    ///
    /// # Errors
    /// Fails when it is unknown whether the decision was written.
    pub async fn write(&self, before: &Order, decision: &Decision) -> Result<Written, Error> {
        let filter = doc! { "_id": mongo::uuid(before.id), "version": before.version };
        let update = documents::update(before, decision)?;
        match self.orders.update_one(filter, vec![update]).await {
            Ok(written) if written.matched_count == 1 => Ok(Written::Done),
            Ok(_) => Ok(Written::Conflict),
            // A duplicate key only means "look": the write that met it may be rolled back.
            Err(error) if mongo::is_duplicate_key(&error) => {
                let other = documents::with_its_references(before, decision);
                let found = self.all.find_one(other).projection(doc! { "_id": 1 });
                let taken = mongo::confirmed(found).await?.is_some();
                Ok(if taken { Written::ReferenceTaken } else { Written::Conflict })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the tasks up to this revision, which are done, and records the time: a second call of them may still be
    /// on its way. Newer tasks stay.
    ///
    /// # Errors
    /// Fails when it is unknown whether they were removed. They will run again then, which is safe.
    pub async fn finish(&self, id: OrderId, revision: i64, now: Timestamp) -> Result<(), Error> {
        let done = doc! {
            "$pull": { "tasks": { "revision": { "$lte": revision } } },
            "$max": { "task_ended_at": mongo::date(now) },
        };
        let mut complete = with_id(id);
        complete.insert(WRITER, doc! { "$gte": upgrade::COMPLETE });
        if self.orders.update_one(complete, done.clone()).await?.matched_count == 0 {
            // This write signs the document, and hides from the upgrade that an older build has written it.
            if let Some(Stored::Order(order)) = self.find_stored(with_id(id)).await? {
                self.upgrade_one(&order).await?;
            }
            self.orders.update_one(with_id(id), done).await?;
        }
        Ok(())
    }
}

/// Filter for one ID. MongoDB answers it without planning, as it does not for a list of one.
fn with_id(id: OrderId) -> Document {
    doc! { "_id": mongo::uuid(id) }
}

fn with_ids(ids: &[OrderId]) -> Document {
    let ids: Vec<bson::Uuid> = ids.iter().map(|id| mongo::uuid(*id)).collect();
    doc! { "_id": { "$in": ids } }
}

fn placed_under(idempotency: &IdempotencyRef) -> Document {
    let key = idempotency.request_key.key.as_str();
    doc! { "placed_under.caller": mongo::uuid(idempotency.caller), "placed_under.key": key }
}

fn id_of(document: &impl StoredDocument) -> Result<OrderId, Error> {
    let id = unreadable::id_of(document).map(OrderId::from_uuid);
    id.ok_or_else(|| Unreadable::of(ORDERS, document).into())
}
