//! Orders in MongoDB. The only file of this function that knows BSON.

use futures::TryStreamExt as _;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::{Collection, Database};
use serde::{Deserialize, Serialize};
use shared::address::Address;
use shared::error::Error;
use shared::ids::{OrderId, UserId};
use shared::money::{Currency, Money};
use shared::mongo::{self, Index};
use shared::page::{PageRequest, Position};

use crate::number::Number;
use crate::order::{Decision, Item, Order, Payment, StatusChange, Task, TaskKind, Tracking};
use crate::status::Status;

/// The version of what `ensure_schema` makes: raised with every change of it that this build cannot do without.
pub const SCHEMA_VERSION: i32 = 1;

const ORDERS: &str = "orders";

/// An order on disk.
#[derive(Debug, Serialize, Deserialize)]
struct OrderDocument {
    _id: bson::Uuid,
    number: String,
    user_id: bson::Uuid,
    status: String,
    items: Vec<ItemDocument>,
    currency: String,
    /// Minor units; follows from the items, and is here to be sorted by.
    total: i64,
    shipping_address: Address,
    note: Option<String>,
    metadata: Vec<mongo::Entry>,
    payment: PaymentDocument,
    tracking: Option<TrackingDocument>,
    history: Vec<StatusChangeDocument>,
    tasks: Vec<TaskDocument>,
    expires_at: Option<bson::DateTime>,
    version: i64,
    created_at: bson::DateTime,
    updated_at: bson::DateTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct ItemDocument {
    product_id: bson::Uuid,
    sku: String,
    name: String,
    /// Minor units.
    unit_price: i64,
    quantity: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct PaymentDocument {
    reference: Option<String>,
    method: Option<String>,
    refund_reference: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TrackingDocument {
    carrier: String,
    number: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct StatusChangeDocument {
    at: bson::DateTime,
    from: Option<String>,
    to: String,
    by: Option<bson::Uuid>,
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TaskDocument {
    revision: i64,
    kind: TaskKindDocument,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TaskKindDocument {
    Release,
    Ship,
    Restock,
}

impl From<&StatusChange> for StatusChangeDocument {
    fn from(change: &StatusChange) -> Self {
        Self {
            at: mongo::date(change.at),
            from: change.from.map(|status| status.name().to_owned()),
            to: change.to.name().to_owned(),
            by: change.by.map(mongo::uuid),
            reason: change.reason.clone(),
        }
    }
}

impl TryFrom<StatusChangeDocument> for StatusChange {
    type Error = String;

    fn try_from(document: StatusChangeDocument) -> Result<Self, String> {
        Ok(Self {
            at: mongo::timestamp(document.at),
            from: document.from.as_deref().map(Status::parse).transpose()?,
            to: Status::parse(&document.to)?,
            by: document.by.map(mongo::id),
            reason: document.reason,
        })
    }
}

impl From<Task> for TaskDocument {
    fn from(task: Task) -> Self {
        let kind = match task.kind {
            TaskKind::Release => TaskKindDocument::Release,
            TaskKind::Ship => TaskKindDocument::Ship,
            TaskKind::Restock => TaskKindDocument::Restock,
        };
        Self { revision: task.revision, kind }
    }
}

impl From<TaskDocument> for Task {
    fn from(document: TaskDocument) -> Self {
        let kind = match document.kind {
            TaskKindDocument::Release => TaskKind::Release,
            TaskKindDocument::Ship => TaskKind::Ship,
            TaskKindDocument::Restock => TaskKind::Restock,
        };
        Self { revision: document.revision, kind }
    }
}

impl OrderDocument {
    fn of(order: &Order) -> Self {
        Self {
            _id: mongo::uuid(order.id),
            number: order.number.to_string(),
            user_id: mongo::uuid(order.user_id),
            status: order.status.name().to_owned(),
            items: order
                .items
                .iter()
                .map(|item| ItemDocument {
                    product_id: mongo::uuid(item.product_id),
                    sku: item.sku.clone(),
                    name: item.name.clone(),
                    unit_price: item.unit_price.amount(),
                    quantity: item.quantity,
                })
                .collect(),
            currency: order.currency.code().to_owned(),
            total: order.total(),
            shipping_address: order.shipping_address.clone(),
            note: order.note.clone(),
            metadata: mongo::entries(&order.metadata),
            payment: PaymentDocument {
                reference: order.payment.reference.clone(),
                method: order.payment.method.clone(),
                refund_reference: order.payment.refund_reference.clone(),
            },
            tracking: order.tracking.as_ref().map(|tracking| TrackingDocument {
                carrier: tracking.carrier.clone(),
                number: tracking.number.clone(),
            }),
            history: order.history.iter().map(StatusChangeDocument::from).collect(),
            tasks: order.tasks.iter().copied().map(TaskDocument::from).collect(),
            expires_at: order.expires_at.map(mongo::date),
            version: order.version,
            created_at: mongo::date(order.created_at),
            updated_at: mongo::date(order.updated_at),
        }
    }

    fn into_order(self) -> Result<Order, String> {
        let currency = Currency::parse(self.currency)?;
        let item = |item: ItemDocument| {
            Ok(Item {
                product_id: mongo::id(item.product_id),
                sku: item.sku,
                name: item.name,
                unit_price: Money::new(item.unit_price, currency)?,
                quantity: item.quantity,
            })
        };
        Ok(Order {
            id: mongo::id(self._id),
            number: Number::parse(&self.number)?,
            user_id: mongo::id(self.user_id),
            status: Status::parse(&self.status)?,
            items: self.items.into_iter().map(item).collect::<Result<_, String>>()?,
            currency,
            shipping_address: self.shipping_address,
            note: self.note,
            metadata: mongo::map(self.metadata),
            payment: Payment {
                reference: self.payment.reference,
                method: self.payment.method,
                refund_reference: self.payment.refund_reference,
            },
            tracking: self
                .tracking
                .map(|tracking| Tracking { carrier: tracking.carrier, number: tracking.number }),
            history: self.history.into_iter().map(StatusChange::try_from).collect::<Result<_, _>>()?,
            tasks: self.tasks.into_iter().map(Task::from).collect(),
            expires_at: self.expires_at.map(mongo::timestamp),
            version: self.version,
            created_at: mongo::timestamp(self.created_at),
            updated_at: mongo::timestamp(self.updated_at),
        })
    }
}

impl TryFrom<OrderDocument> for Order {
    type Error = Error;

    fn try_from(document: OrderDocument) -> Result<Self, Error> {
        let id = document._id;
        document.into_order().map_err(|what| Error::internal(format!("the order {id}: {what}")))
    }
}

/// How an insert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The order is there.
    Done,
    /// Another order has the number.
    NumberTaken,
}

/// Which orders to list.
#[derive(Clone, Copy, Debug)]
pub struct OrderFilter {
    /// Of this status.
    pub status: Option<Status>,
    /// Of this user.
    pub user_id: Option<UserId>,
}

/// Where the orders are.
#[derive(Clone)]
pub struct OrderStore {
    database: Database,
    orders: Collection<OrderDocument>,
}

impl OrderStore {
    /// The orders of this database.
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), orders: database.collection(ORDERS) }
    }

    /// Makes collections and indexes; may be run again at any time.
    ///
    /// # Errors
    /// When MongoDB refuses or is away.
    pub async fn ensure_schema(&self) -> Result<(), Error> {
        let newest = |mut keys: Document| {
            keys.extend(doc! { "created_at": -1, "_id": -1 });
            keys
        };
        let orders = mongo::Collection {
            name: ORDERS,
            indexes: vec![
                Index::unique("number", doc! { "number": 1 }),
                Index::plain("newest", newest(doc! {})),
                Index::plain("status_newest", newest(doc! { "status": 1 })),
                Index::plain("user_newest", newest(doc! { "user_id": 1 })),
                Index::plain("user_status_newest", newest(doc! { "user_id": 1, "status": 1 })),
            ],
            validator: doc! { "version": { "$gte": 1 }, "total": { "$gte": 0 }, "items.0": { "$exists": true } },
        };
        orders.ensure(&self.database).await?;
        Ok(mongo::note_schema(&self.database, "orders", SCHEMA_VERSION).await?)
    }

    /// Adds an order.
    ///
    /// # Errors
    /// When it is not known whether it is there.
    pub async fn insert(&self, order: &Order) -> Result<Inserted, Error> {
        let Err(error) = self.orders.insert_one(OrderDocument::of(order)).await else {
            return Ok(Inserted::Done);
        };
        if !mongo::is_duplicate_key(&error) {
            return Err(error.into());
        }
        // A duplicate key says only "look": the driver may have sent the insert twice.
        match self.find(order.id).await? {
            Some(_) => Ok(Inserted::Done),
            None => Ok(Inserted::NumberTaken),
        }
    }

    /// The order with this ID.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn find(&self, id: OrderId) -> Result<Option<Order>, Error> {
        self.orders.find_one(doc! { "_id": mongo::uuid(id) }).await?.map(Order::try_from).transpose()
    }

    /// Up to a page and one more, newest first.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn list(
        &self,
        filter: OrderFilter,
        page: &PageRequest,
        after: Option<Position>,
    ) -> Result<Vec<Order>, Error> {
        let mut query = Document::new();
        if let Some(status) = filter.status {
            query.insert("status", status.name());
        }
        if let Some(user) = filter.user_id {
            query.insert("user_id", mongo::uuid(user));
        }
        if let Some(position) = after {
            query.extend(mongo::before("created_at", position));
        }
        let documents: Vec<OrderDocument> = self
            .orders
            .find(query)
            .sort(doc! { "created_at": -1, "_id": -1 })
            .limit(page.fetch())
            .await?
            .try_collect()
            .await?;
        documents.into_iter().map(Order::try_from).collect()
    }

    /// Writes a decision, in one conditional write. `false`: somebody else was faster.
    ///
    /// # Errors
    /// When it is not known whether it is written.
    pub async fn write(&self, decision: &Decision) -> Result<bool, Error> {
        let after = OrderDocument::of(&decision.order);
        let id = after._id;
        let version = decision.order.version;
        let mut set = bson::serialize_to_document(&after).map_err(Error::internal)?;
        // History and tasks are appended to: a task may be taken off at the same time.
        for untouched in ["_id", "number", "user_id", "created_at", "history", "tasks"] {
            set.remove(untouched);
        }
        let mut update = doc! { "$set": set };
        let mut push = Document::new();
        if let Some(change) = &decision.status_change {
            push.insert("history", to_bson(&StatusChangeDocument::from(change))?);
        }
        if let Some(task) = decision.task {
            push.insert("tasks", to_bson(&TaskDocument::from(task))?);
        }
        if !push.is_empty() {
            update.insert("$push", push);
        }
        let result = self.orders.update_one(doc! { "_id": id, "version": version - 1 }, update).await?;
        Ok(result.matched_count == 1)
    }

    /// Takes off a task that is done.
    ///
    /// # Errors
    /// When it is not known whether it is off; then it will be done again, which does no harm.
    pub async fn finish(&self, id: OrderId, task: Task) -> Result<(), Error> {
        let done = doc! { "$pull": { "tasks": { "revision": task.revision } } };
        self.orders.update_one(doc! { "_id": mongo::uuid(id) }, done).await?;
        Ok(())
    }
}

fn to_bson(value: &impl Serialize) -> Result<Bson, Error> {
    bson::serialize_to_bson(value).map_err(Error::internal)
}
