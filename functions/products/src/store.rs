//! Products in MongoDB. The only file of this function that knows BSON.

use futures::TryStreamExt as _;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::options::ReturnDocument;
use mongodb::{ClientSession, Collection, Database};
use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::error::{Error, Kind};
use shared::ids::{OrderId, ProductId};
use shared::money::{Currency, Money};
use shared::mongo::{self, Ending, Index};
use shared::page::{PageRequest, Position};

use crate::product::{Product, Sku, Status};
use crate::stock::{
    self, Declaration, Entry, Line, MAX_ON_HAND, Movement, Refusal, Shelf, ShelfWrite, Stock, StockChange,
};

/// The version of what `ensure_schema` makes: raised with every change of it that this build cannot do without.
pub const SCHEMA_VERSION: i32 = 1;

const PRODUCTS: &str = "products";

/// A product on disk, without its holds: those are read one order's at a time.
#[derive(Debug, Serialize, Deserialize)]
struct ProductDocument {
    _id: bson::Uuid,
    sku: String,
    name: String,
    description: Option<String>,
    price: PriceDocument,
    attributes: Vec<mongo::Entry>,
    status: String,
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

/// What a product keeps of an order. There may be thousands in one product: hence the one-letter keys.
#[derive(Debug, Serialize, Deserialize)]
struct HoldDocument {
    /// The order.
    o: bson::Uuid,
    /// The quantity.
    q: i64,
    /// The revision.
    r: i64,
}

/// A product with what it keeps of one order.
#[derive(Debug, Deserialize)]
struct ShelfDocument {
    #[serde(flatten)]
    product: ProductDocument,
    #[serde(default)]
    holds: Vec<HoldDocument>,
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
            on_hand: product.stock.on_hand,
            reserved: product.stock.reserved,
            version: product.version,
            created_at: mongo::date(product.created_at),
            updated_at: mongo::date(product.updated_at),
        }
    }
}

impl TryFrom<ProductDocument> for Product {
    type Error = Error;

    fn try_from(document: ProductDocument) -> Result<Self, Error> {
        let damaged = |what: String| Error::internal(format!("the product {}: {what}", document._id));
        let currency = Currency::parse(document.price.currency).map_err(damaged)?;
        Ok(Self {
            id: mongo::id(document._id),
            sku: Sku::parse(document.sku).map_err(damaged)?,
            name: document.name,
            description: document.description,
            price: Money::new(document.price.amount, currency).map_err(damaged)?,
            attributes: mongo::map(document.attributes),
            status: Status::parse(&document.status).map_err(damaged)?,
            stock: Stock { on_hand: document.on_hand, reserved: document.reserved },
            version: document.version,
            created_at: mongo::timestamp(document.created_at),
            updated_at: mongo::timestamp(document.updated_at),
        })
    }
}

/// How a change of the on-hand count ended.
#[derive(Debug)]
pub enum StockWritten {
    /// The product after it; the same as before when nothing was to change.
    Done(Product),
    /// There is no such product.
    NotFound,
    /// Fewer would be on hand than are reserved.
    BelowReserved(Stock),
    /// More would be on hand than can be counted.
    TooMany,
}

/// Where the products are.
#[derive(Clone)]
pub struct ProductStore {
    database: Database,
    products: Collection<ProductDocument>,
}

impl ProductStore {
    /// The products of this database.
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), products: database.collection(PRODUCTS) }
    }

    /// Makes collections and indexes; may be run again at any time.
    ///
    /// # Errors
    /// When MongoDB refuses or is away.
    pub async fn ensure_schema(&self) -> Result<(), Error> {
        let products = mongo::Collection {
            name: PRODUCTS,
            indexes: vec![
                Index::unique("sku", doc! { "sku": 1 }),
                Index::plain("newest", doc! { "created_at": -1, "_id": -1 }),
                Index::plain("status_newest", doc! { "status": 1, "created_at": -1, "_id": -1 }),
                Index::plain("holds_of_order", doc! { "holds.o": 1 }),
            ],
            obsolete: Vec::new(),
            // The second lock on stock: no bug of ours can sell what is not there.
            validator: doc! {
                "version": { "$gte": 1 },
                "on_hand": { "$gte": 0 },
                "reserved": { "$gte": 0 },
                "$expr": { "$lte": ["$reserved", "$on_hand"] },
            },
        };
        products.ensure(&self.database).await?;
        Ok(mongo::note_schema(&self.database, "products", SCHEMA_VERSION).await?)
    }

    /// Adds a product.
    ///
    /// # Errors
    /// 409 when another product has the SKU.
    pub async fn insert(&self, product: &Product) -> Result<(), Error> {
        let mut document =
            bson::serialize_to_document(&ProductDocument::of(product)).map_err(Error::internal)?;
        document.insert("holds", Bson::Array(Vec::new()));
        self.products.clone_with_type::<Document>().insert_one(document).await.map_err(sku_taken)?;
        Ok(())
    }

    /// The product with this ID.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn find(&self, id: ProductId) -> Result<Option<Product>, Error> {
        let found =
            self.products.find_one(doc! { "_id": mongo::uuid(id) }).projection(without_holds()).await?;
        found.map(Product::try_from).transpose()
    }

    /// Up to a page and one more, newest first, of one status or of all.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn list(
        &self,
        status: Option<Status>,
        page: &PageRequest,
        after: Option<Position>,
    ) -> Result<Vec<Product>, Error> {
        let mut filter = Document::new();
        if let Some(status) = status {
            filter.insert("status", status.name());
        }
        if let Some(position) = after {
            filter.extend(mongo::before("created_at", position));
        }
        let documents: Vec<ProductDocument> = self
            .products
            .find(filter)
            .projection(without_holds())
            .sort(doc! { "created_at": -1, "_id": -1 })
            .limit(page.fetch())
            .await?
            .try_collect()
            .await?;
        documents.into_iter().map(Product::try_from).collect()
    }

    /// Writes all but the stock of a product that is at the version before. `None`: somebody else was faster.
    ///
    /// # Errors
    /// 409 when another product has the SKU.
    pub async fn replace(&self, product: &Product) -> Result<Option<Product>, Error> {
        let mut fields =
            bson::serialize_to_document(&ProductDocument::of(product)).map_err(Error::internal)?;
        for untouched in ["_id", "on_hand", "reserved", "created_at"] {
            fields.remove(untouched);
        }
        self.products
            .find_one_and_update(
                doc! { "_id": mongo::uuid(product.id), "version": product.version - 1 },
                doc! { "$set": fields },
            )
            .projection(without_holds())
            .return_document(ReturnDocument::After)
            .await
            .map_err(sku_taken)?
            .map(Product::try_from)
            .transpose()
    }

    /// Changes the on-hand count in one conditional write.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn change_stock(
        &self,
        id: ProductId,
        change: StockChange,
        now: Timestamp,
    ) -> Result<StockWritten, Error> {
        let (condition, on_hand) = match change {
            StockChange::Set(count) => (doc! { "reserved": { "$lte": count } }, Bson::Int64(count)),
            StockChange::Move(delta) => {
                let moved = doc! { "$add": ["$on_hand", delta] };
                let possible = doc! { "$and": [
                    { "$gte": [moved.clone(), "$reserved"] },
                    { "$lte": [moved.clone(), MAX_ON_HAND] },
                ] };
                (doc! { "$expr": possible }, Bson::Document(moved))
            }
        };
        let mut filter = doc! { "_id": mongo::uuid(id) };
        filter.extend(condition);
        // The same count is no change. It is the write that decides: what is read later may be another's.
        let same = doc! { "$eq": ["$on_hand", on_hand.clone()] };
        let update = doc! { "$set": {
            "version": { "$cond": [same.clone(), "$version", { "$add": ["$version", 1_i64] }] },
            "updated_at": { "$cond": [same, "$updated_at", mongo::date(now)] },
            "on_hand": on_hand,
        } };
        let updated = self
            .products
            .find_one_and_update(filter, vec![update])
            .projection(without_holds())
            .return_document(ReturnDocument::After)
            .await?;
        if let Some(document) = updated {
            return Ok(StockWritten::Done(document.try_into()?));
        }
        // Not possible when it was tried; what is read now explains it.
        let Some(product) = self.find(id).await? else { return Ok(StockWritten::NotFound) };
        Ok(match change {
            StockChange::Move(delta) if delta > 0 => StockWritten::TooMany,
            StockChange::Set(_) | StockChange::Move(_) => StockWritten::BelowReserved(product.stock),
        })
    }

    /// Applies a declaration about an order's stock, all of it or nothing, and answers the products of its
    /// lines, in the lines' order. Their stock may be that of before or after.
    ///
    /// # Errors
    /// When MongoDB is away.
    pub async fn declare(&self, declaration: &Declaration) -> Result<Result<Vec<Product>, Refusal>, Error> {
        if let (Movement::Hold, 1, [line]) =
            (declaration.movement, declaration.revision, &declaration.lines[..])
            && let Some(product) = self.hold_first_line(declaration.order, *line).await?
        {
            return Ok(Ok(vec![product]));
        }
        let outcome = mongo::transaction(&self.database, |session| {
            let (store, declaration) = (self.clone(), declaration.clone());
            Box::pin(async move { store.declare_in(session, &declaration).await })
        });
        outcome.await?
    }

    /// The commonest case, a first hold of one line, in one conditional write. `None` when it is not that
    /// simple: the product is not active, has too little, or knows the order already.
    async fn hold_first_line(&self, order: OrderId, line: Line) -> Result<Option<Product>, Error> {
        let filter = doc! {
            "_id": mongo::uuid(line.product),
            "status": Status::Active.name(),
            "holds.o": { "$ne": mongo::uuid(order) },
            "$expr": { "$gte": [{ "$subtract": ["$on_hand", "$reserved"] }, line.quantity] },
        };
        let entry = hold(order, Entry { quantity: line.quantity, revision: 1 });
        let update = doc! { "$set": {
            "reserved": { "$add": ["$reserved", line.quantity] },
            "holds": { "$concatArrays": ["$holds", [entry]] },
        } };
        self.products
            .find_one_and_update(filter, vec![update])
            .projection(without_holds())
            .return_document(ReturnDocument::After)
            .await?
            .map(Product::try_from)
            .transpose()
    }

    async fn declare_in(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
    ) -> mongodb::error::Result<Ending<Result<Result<Vec<Product>, Refusal>, Error>>> {
        let found = self.find_concerned(session, declaration).await?;
        let shelves: Result<Vec<(Product, Shelf)>, Error> = found.into_iter().map(shelf_of).collect();
        let (products, shelves): (Vec<Product>, Vec<Shelf>) = match shelves {
            Ok(shelves) => shelves.into_iter().unzip(),
            Err(error) => return Ok(Ending::Abort(Err(error))),
        };
        let writes = match stock::decide(declaration, &shelves) {
            Ok(writes) => writes,
            Err(refusal) => return Ok(Ending::Abort(Ok(Err(refusal)))),
        };
        let named = |line: &Line| products.iter().find(|product| product.id == line.product).cloned();
        let answer = Ok(Ok(declaration.lines.iter().filter_map(named).collect()));
        if writes.is_empty() {
            return Ok(Ending::Abort(answer));
        }
        self.write(session, declaration.order, &writes).await?;
        Ok(Ending::Commit(answer))
    }

    /// The products that a declaration names, and all that keep an entry of its order.
    async fn find_concerned(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
    ) -> mongodb::error::Result<Vec<ShelfDocument>> {
        let order = mongo::uuid(declaration.order);
        let named: Vec<bson::Uuid> = declaration.lines.iter().map(|line| mongo::uuid(line.product)).collect();
        let mut projection = doc! { "holds": { "$elemMatch": { "o": order } } };
        for field in [
            "sku",
            "name",
            "description",
            "price",
            "attributes",
            "status",
            "on_hand",
            "reserved",
            "version",
            "created_at",
            "updated_at",
        ] {
            projection.insert(field, 1);
        }
        let mut cursor = self
            .products
            .clone_with_type::<ShelfDocument>()
            .find(doc! { "$or": [{ "_id": { "$in": named } }, { "holds.o": order }] })
            .projection(projection)
            .session(&mut *session)
            .await?;
        cursor.stream(session).try_collect().await
    }

    /// All writes of a declaration in one command.
    async fn write(
        &self,
        session: &mut ClientSession,
        order: OrderId,
        writes: &[ShelfWrite],
    ) -> mongodb::error::Result<()> {
        let others = doc! { "$filter": {
            "input": "$holds",
            "as": "hold",
            "cond": { "$ne": ["$$hold.o", mongo::uuid(order)] },
        } };
        let updates: Vec<Document> = writes
            .iter()
            .map(|write| {
                let set = doc! {
                    "on_hand": { "$add": ["$on_hand", write.on_hand] },
                    "reserved": { "$add": ["$reserved", write.reserved] },
                    "holds": { "$concatArrays": [others.clone(), [hold(order, write.entry)]] },
                };
                doc! { "q": { "_id": mongo::uuid(write.product) }, "u": [{ "$set": set }] }
            })
            .collect();
        let expected = writes.len();
        let answer = self
            .database
            .run_command(doc! { "update": PRODUCTS, "updates": updates, "ordered": true })
            .session(session)
            .await?;
        // The driver does not look into the answers of commands that it does not know.
        let matched = answer.get_i32("n").unwrap_or(-1);
        if answer.contains_key("writeErrors") || usize::try_from(matched) != Ok(expected) {
            return Err(mongodb::error::Error::custom(format!("{expected} stock writes: {answer}")));
        }
        Ok(())
    }
}

fn shelf_of(document: ShelfDocument) -> Result<(Product, Shelf), Error> {
    let entry = document.holds.first().map(|hold| Entry { quantity: hold.q, revision: hold.r });
    let product = Product::try_from(document.product)?;
    let shelf = Shelf {
        product: product.id,
        stock: product.stock,
        active: product.status == Status::Active,
        currency: product.price.currency(),
        entry,
    };
    Ok((product, shelf))
}

/// An order's entry, as an expression: its time is the database's, since clocks differ between machines.
fn hold(order: OrderId, entry: Entry) -> Document {
    doc! { "o": mongo::uuid(order), "q": entry.quantity, "r": entry.revision, "t": "$$NOW" }
}

fn without_holds() -> Document {
    doc! { "holds": 0 }
}

fn sku_taken(error: mongodb::error::Error) -> Error {
    if mongo::is_duplicate_key(&error) {
        Error::new(Kind::SkuTaken, "Another product has this SKU; SKUs are unique.")
    } else {
        error.into()
    }
}
