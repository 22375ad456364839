//! Documents of stock and of holds. What they mean, and the rules for each write, stand at the top of
//! `model/src/journal.rs`.

use mongodb::bson::{self, Bson, Document, doc};
use serde::{Deserialize, Serialize};
use shared::mongo::unreadable::{StoredDocument, Unreadable};
use shared::mongo::{self, Index, json_schema};
use shared::values::ids::{OrderId, ProductId};
use shared::values::money::{Currency, Money};

use super::{HOLDS, PRODUCTS, STOCK};
use crate::ledger::LedgerEnd;
use crate::product::{HeldProduct, Sku, Status};
use crate::stock::{Counts, Stock};

/// Index that finds the journals with an entry of an order.
pub(super) const PENDING_OF_ORDER: &str = "pending_of_order";

/// Index by which holds are walked over.
pub(super) const HOLDS_BY_TIME: &str = "by_time";

/// Index that finds the live holds of a product.
pub(super) const HOLDS_OF_PRODUCT: &str = "of_product";

/// Stock of a product on disk: its counters, the end of its ledger, and its journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StockDocument {
    pub(super) _id: bson::Uuid,
    pub(super) on_hand: i64,
    pub(super) reserved: i64,
    /// Number of the newest movement.
    pub(super) movements: i64,
    /// Time of the newest movement.
    pub(super) moved_at: Option<bson::DateTime>,
    /// Number of marks that were ever left.
    pub(super) folds: i64,
    /// Journal. A query may restrict it to the entry of one order.
    pub(super) pending: Vec<EntryDocument>,
    /// Newest marks. A query may restrict them to those of one order.
    pub(super) folded: Vec<MarkDocument>,
}

/// Entry of a journal on disk. The hot document has many: hence the one-letter keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct EntryDocument {
    /// Order ID.
    pub(super) o: bson::Uuid,
    /// Revision.
    pub(super) r: i64,
    /// Units held; 0 once the item has ended.
    pub(super) q: i64,
    /// Time of the declaration, by the database's clock.
    pub(super) t: bson::DateTime,
    /// Product as it was when this quantity was first held. Holds of earlier schema versions have none.
    #[serde(default)]
    pub(super) s: Option<SnapshotDocument>,
    /// Fields of a later build.
    #[serde(flatten)]
    pub(super) further: Document,
}

/// Mark of a declaration that is in the hold of its order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MarkDocument {
    /// Order ID.
    pub(super) o: bson::Uuid,
    /// Revision.
    pub(super) r: i64,
}

/// Hold of an order on disk.
#[derive(Debug, Deserialize)]
pub(super) struct HoldDocument {
    pub(super) _id: bson::Uuid,
    /// Revision.
    pub(super) r: i64,
    /// Items, ended ones too, as they are stored: a later build may have more fields.
    pub(super) items: Vec<Document>,
    /// Time at which this document was written, by the database's clock.
    pub(super) at: bson::DateTime,
}

/// Item of a hold on disk.
#[derive(Debug, Deserialize)]
pub(super) struct ItemDocument {
    /// Product ID.
    pub(super) p: bson::Uuid,
    /// Units held; 0 once the item has ended.
    pub(super) q: i64,
    /// As in [`EntryDocument`].
    #[serde(default)]
    pub(super) s: Option<SnapshotDocument>,
    /// Units that were ever shipped, once a declaration had counts. Entries of journals have none.
    #[serde(default)]
    shipped: Option<i64>,
    /// Units that were ever restocked, beside `shipped`.
    #[serde(default)]
    restocked: Option<i64>,
}

/// Fields of a product that an order keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SnapshotDocument {
    sku: String,
    name: String,
    price: SnapshotPrice,
    status: String,
    /// Fields of a later build.
    #[serde(flatten)]
    further: Document,
}

/// Price in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SnapshotPrice {
    amount: i64,
    currency: String,
    /// Fields of a later build.
    #[serde(flatten)]
    further: Document,
}

impl StockDocument {
    /// Reads the stock of a product.
    ///
    /// # Errors
    /// The document, if it cannot be read.
    pub(super) fn read(document: Document) -> Result<Self, Unreadable> {
        Unreadable::or_read(STOCK, document)
    }

    /// Counts of a new product, with an empty journal.
    pub(super) fn new(product: ProductId, stock: Stock, end: LedgerEnd) -> Self {
        Self {
            _id: mongo::uuid(product),
            on_hand: stock.on_hand,
            reserved: stock.reserved,
            movements: end.number,
            moved_at: end.at.map(mongo::date),
            folds: 0,
            pending: Vec::new(),
            folded: Vec::new(),
        }
    }

    pub(super) fn product(&self) -> ProductId {
        mongo::id(self._id)
    }

    pub(super) fn counts(&self) -> Stock {
        Stock { on_hand: self.on_hand, reserved: self.reserved }
    }

    pub(super) fn ledger_end(&self) -> LedgerEnd {
        LedgerEnd { number: self.movements, at: self.moved_at.map(mongo::timestamp) }
    }
}

impl HoldDocument {
    /// Reads the hold of an order.
    ///
    /// # Errors
    /// The document, if it cannot be read.
    pub(super) fn read(document: Document) -> Result<Self, Unreadable> {
        Unreadable::or_read(HOLDS, document)
    }

    /// Reads the items.
    ///
    /// # Errors
    /// The document, if one of them cannot be read.
    pub(super) fn items(&self) -> Result<Vec<ItemDocument>, Unreadable> {
        let read = |item: &Document| bson::deserialize_from_document(item.clone());
        let id = Some(uuid::Uuid::from_bytes(self._id.bytes()));
        self.items
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|_| Unreadable { collection: HOLDS, id })
    }
}

impl ItemDocument {
    /// Creates an item with the counts that its hold keeps.
    pub(super) fn new(p: bson::Uuid, q: i64, s: Option<SnapshotDocument>, counts: Option<Counts>) -> Self {
        let (shipped, restocked) = counts.map(|it| (it.shipped, it.restocked)).unzip();
        Self { p, q, s, shipped, restocked }
    }

    /// Counts that the hold keeps.
    pub(super) fn counts(&self) -> Option<Counts> {
        let shipped = self.shipped?;
        Some(Counts { shipped, restocked: self.restocked.unwrap_or(0) })
    }

    /// Returns the fields that a declaration sets. An item without a snapshot keeps the one that is stored, and
    /// one without counts these.
    pub(super) fn fields(&self) -> Document {
        let mut fields = doc! { "p": self.p, "q": self.q };
        if let Some(snapshot) = self.s.as_ref().and_then(|it| bson::serialize_to_document(it).ok()) {
            fields.insert("s", snapshot);
        }
        if let Some(Counts { shipped, restocked }) = self.counts() {
            fields.extend(doc! { "shipped": shipped, "restocked": restocked });
        }
        fields
    }
}

impl SnapshotDocument {
    /// Snapshot of a product as it is now.
    pub(super) fn of(product: &HeldProduct) -> Self {
        Self {
            sku: product.sku.as_str().to_owned(),
            name: product.name.clone(),
            price: SnapshotPrice {
                amount: product.price.amount(),
                currency: product.price.currency().code().to_owned(),
                further: Document::new(),
            },
            status: product.status.name().to_owned(),
            further: Document::new(),
        }
    }

    /// Keeps the fields of a later build that this snapshot has.
    pub(super) fn with_further_of(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            self.further.clone_from(&before.further);
            self.price.further.clone_from(&before.price.further);
        }
        self
    }

    /// Reads the product as it was held.
    ///
    /// # Errors
    /// A text if one of its fields cannot be read.
    pub(super) fn into_product(
        self,
        id: ProductId,
        max_per_order: Option<i64>,
    ) -> Result<HeldProduct, String> {
        let currency = Currency::from_stored(&self.price.currency)?;
        Ok(HeldProduct {
            id,
            sku: Sku::from_stored(self.sku),
            name: self.name,
            price: Money::from_stored(self.price.amount, currency),
            status: Status::from_stored(&self.status)?,
            max_per_order,
        })
    }
}

/// Reads the fields of the catalogue that an order keeps.
///
/// # Errors
/// The document, if it cannot be read.
pub(super) fn held_product(document: impl StoredDocument) -> Result<HeldProduct, Unreadable> {
    #[derive(Deserialize)]
    struct Fields {
        sku: String,
        name: String,
        price: Price,
        status: String,
        max_per_order: Option<i64>,
    }
    #[derive(Deserialize)]
    struct Price {
        amount: i64,
        currency: String,
    }
    let unreadable = Unreadable::of(PRODUCTS, &document);
    let id = unreadable.id.ok_or_else(|| unreadable.clone())?;
    let Fields { sku, name, price, status, max_per_order } = Unreadable::or_read(PRODUCTS, document)?;
    let further = Document::new;
    let price = SnapshotPrice { amount: price.amount, currency: price.currency, further: further() };
    let snapshot = SnapshotDocument { sku, name, price, status, further: further() };
    snapshot.into_product(ProductId::from_uuid(id), max_per_order).map_err(|_| unreadable)
}

/// Fields that [`held_product`] reads.
pub(super) fn held_fields() -> Document {
    doc! { "sku": 1, "name": 1, "price": 1, "status": 1, "max_per_order": 1 }
}

/// Returns true if an item of a hold is of this product.
pub(super) fn is_of(item: &Document, product: bson::Uuid) -> bool {
    item.get("p").is_some_and(|it| *it == Bson::from(product))
}

/// Filter for the journal's entries, and the marks, of one order, as a projection.
pub(super) fn of_order(list: &str, order: OrderId) -> Document {
    doc! { "$filter": { "input": list, "cond": { "$eq": ["$$this.o", mongo::uuid(order)] } } }
}

/// Collection of stocks.
pub(super) fn stock_collection() -> mongo::Collection {
    mongo::Collection {
        name: STOCK,
        indexes: vec![Index::plain(PENDING_OF_ORDER, doc! { "pending.o": 1 })],
        obsolete: Vec::new(),
        // Second safeguard of the stock: even a bug cannot sell units that are not there.
        validator: valid_stock(),
        append_only: false,
    }
}

/// Collection of holds.
pub(super) fn holds_collection() -> mongo::Collection {
    let counts = [("shipped", json_schema::whole(0)), ("restocked", json_schema::whole(0))];
    // No other field of an item is checked, as it is written at every hold.
    let mut items = json_schema::array();
    items.insert("items", json_schema::document(&[], &counts));
    let live = Index::plain(HOLDS_OF_PRODUCT, doc! { "items.p": 1 }).only(doc! { "live": true });
    mongo::Collection {
        name: HOLDS,
        indexes: vec![Index::plain(HOLDS_BY_TIME, doc! { "live": 1, "at": 1, "_id": 1 }), live],
        obsolete: Vec::new(),
        validator: json_schema::documents(
            &[
                ("_id", json_schema::bytes()),
                ("r", json_schema::whole(0)),
                ("items", items),
                ("live", json_schema::boolean()),
                ("at", json_schema::date()),
            ],
            &[],
        ),
        append_only: false,
    }
}

fn valid_stock() -> Document {
    let mut rule = doc! { "$jsonSchema": stock_rule() };
    rule.insert("$expr", doc! { "$lte": ["$reserved", "$on_hand"] });
    rule
}

/// Rule for the fields of a stock.
pub(super) fn stock_rule() -> Document {
    json_schema::document(
        &[
            ("_id", json_schema::bytes()),
            ("on_hand", json_schema::whole(0)),
            ("reserved", json_schema::whole(0)),
            ("movements", json_schema::whole(0)),
            ("folds", json_schema::whole(0)),
            ("pending", json_schema::array()),
            ("folded", json_schema::array()),
        ],
        &[("moved_at", json_schema::or_null(json_schema::date()))],
    )
}
