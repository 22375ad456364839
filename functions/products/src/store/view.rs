//! Reads of a declaration: the hold of its order, the stocks that it covers, and the products that it names,
//! all as of one moment.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use mongodb::ClientSession;
use mongodb::bson::{self, Document, RawDocumentBuf, doc};
use mongodb::options::ReadConcern;
use shared::mongo;
use shared::mongo::unreadable::{self, Unreadable};
use shared::values::ids::ProductId;

use super::arrays::Copied;
use super::documents::{
    EntryDocument, HoldDocument, ItemDocument, SnapshotDocument, StockDocument, held_fields, held_product,
    is_of, of_order,
};
use super::{ProductStore, STOCK};
use crate::product::{HeldProduct, Status};
use crate::stock::{Declaration, Item, ProductState, StockUpdate};

/// Moment as of which a view is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum AsOf {
    /// The latest state of a majority, in a session of a snapshot.
    Snapshot,
    /// The latest state, in a transaction that commits.
    Transaction,
}

impl AsOf {
    /// Read concern that each read must ask for. A transaction has its own.
    fn read_concern(self) -> Option<ReadConcern> {
        match self {
            Self::Snapshot => Some(ReadConcern::snapshot()),
            Self::Transaction => None,
        }
    }
}

/// Result of a read for a declaration.
pub(super) enum Found {
    /// All that it needs.
    View(View),
    /// The order's hold is in arrays alone: it must be copied first.
    InArrays(Copied),
}

/// State of an order's hold and of the products concerned.
#[derive(Debug)]
pub(super) struct View {
    /// Revision of the order's hold, if it has one.
    pub(super) revision: Option<i64>,
    /// Items of the hold as they are stored, ended ones too.
    pub(super) items: Vec<Document>,
    /// Products that the hold covers or the declaration names, in the order of their IDs.
    pub(super) products: Vec<Viewed>,
}

/// Product with which a declaration is concerned.
#[derive(Debug)]
pub(super) struct Viewed {
    pub(super) state: ProductState,
    /// Number of marks that were ever left.
    pub(super) folds: i64,
    /// The product as it is in the catalogue, if it was read and can be read. Without it a hold can still end.
    pub(super) current: Option<HeldProduct>,
    /// The product as the order holds it.
    pub(super) snapshot: Option<SnapshotDocument>,
}

impl View {
    pub(super) fn states(&self) -> Vec<ProductState> {
        self.products.iter().map(|viewed| viewed.state.clone()).collect()
    }

    pub(super) fn product(&self, product: ProductId) -> Option<&Viewed> {
        self.products.iter().find(|viewed| viewed.state.product == product)
    }

    /// Products of these items as they are held, in the items' order.
    pub(super) fn answer(&self, items: &[Item]) -> Vec<HeldProduct> {
        items.iter().filter_map(|item| self.product(item.product)?.held_as()).collect()
    }
}

impl Viewed {
    /// The product as the order holds it, or else as it is now.
    fn held_as(&self) -> Option<HeldProduct> {
        self.as_in(self.snapshot.clone())
    }

    /// The product as in this snapshot, or else as it is now.
    pub(super) fn as_in(&self, snapshot: Option<SnapshotDocument>) -> Option<HeldProduct> {
        let max = self.state.max_per_order;
        let kept = snapshot.and_then(|it| it.into_product(self.state.product, max).ok());
        kept.or_else(|| self.current.clone())
    }

    /// Snapshot to keep after an update: that of what the order had, unless it gets more.
    pub(super) fn snapshot_for(&self, update: &StockUpdate) -> Option<SnapshotDocument> {
        if update.held == 0 {
            // Shipped units may be held again.
            return self.snapshot.clone().filter(|_| update.counts.is_some());
        }
        let kept = self.snapshot.clone().filter(|_| !update.takes_more());
        let now =
            || Some(SnapshotDocument::of(self.current.as_ref()?).with_further_of(self.snapshot.as_ref()));
        kept.or_else(now)
    }
}

/// Content of an order by its hold and the journals, whichever has the highest revision.
struct Content {
    revision: Option<i64>,
    items: Vec<Document>,
    held: HashMap<ProductId, ItemDocument>,
}

impl ProductStore {
    /// Reads all that a declaration needs.
    pub(super) async fn view_in(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
        as_of: AsOf,
        arrays_gone: bool,
    ) -> mongodb::error::Result<Result<Found, Unreadable>> {
        let order = declaration.order;
        let mut find = self.holds.find_one(doc! { "_id": mongo::uuid(order) });
        if let Some(concern) = as_of.read_concern() {
            find = find.read_concern(concern);
        }
        let hold = find.session(&mut *session).await?;
        if hold.is_none() && !arrays_gone {
            match self.find_in_arrays(session, order, as_of.read_concern()).await? {
                Ok(Some(copied)) => return Ok(Ok(Found::InArrays(copied))),
                Ok(None) => {}
                Err(unreadable) => return Ok(Err(unreadable)),
            }
        }
        let read = |hold: Document| {
            let hold = HoldDocument::read(hold)?;
            Ok((hold.items()?, hold))
        };
        let hold = match hold.map(read).transpose() {
            Ok(hold) => hold,
            Err(unreadable) => return Ok(Err(unreadable)),
        };
        let mut ids: Vec<bson::Uuid> = declaration.items.iter().map(|it| mongo::uuid(it.product)).collect();
        ids.extend(hold.iter().flat_map(|(items, _)| items.iter().map(|item| item.p)));
        let stocks = self.find_stocks(session, declaration, ids, as_of).await?;
        let catalogue = self.find_catalogue(session, declaration, as_of).await?;
        Ok(build(declaration, hold, stocks, catalogue).map(Found::View))
    }

    /// Finds the stocks of these products, and those with an entry of the order.
    async fn find_stocks(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
        ids: Vec<bson::Uuid>,
        as_of: AsOf,
    ) -> mongodb::error::Result<Vec<Document>> {
        let order = mongo::uuid(declaration.order);
        let fields = doc! {
            "on_hand": 1, "reserved": 1, "movements": 1, "moved_at": 1, "folds": 1,
            "pending": of_order("$pending", declaration.order),
            "folded": of_order("$folded", declaration.order),
        };
        let concerned = doc! { "$or": [{ "_id": { "$in": ids } }, { "pending.o": order }] };
        let mut find = self.stocks.find(concerned).projection(fields).sort(doc! { "_id": 1 });
        if let Some(concern) = as_of.read_concern() {
            find = find.read_concern(concern);
        }
        let mut found = find.session(&mut *session).await?;
        found.stream(session).try_collect().await
    }

    /// Finds the products that a declaration names, if it may hold more of them.
    async fn find_catalogue(
        &self,
        session: &mut ClientSession,
        declaration: &Declaration,
        as_of: AsOf,
    ) -> mongodb::error::Result<HashMap<ProductId, HeldProduct>> {
        if !declaration.kind.may_take() || declaration.items.is_empty() {
            return Ok(HashMap::new());
        }
        let named: Vec<bson::Uuid> = declaration.items.iter().map(|it| mongo::uuid(it.product)).collect();
        let stored = self.stored();
        let mut find = stored.find(doc! { "_id": { "$in": named } }).projection(held_fields());
        if let Some(concern) = as_of.read_concern() {
            find = find.read_concern(concern);
        }
        let mut found = find.session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
        Ok(catalogue(found))
    }
}

/// Reads products of the catalogue. Those that cannot be read are logged and left out: nothing more may be held of
/// them.
pub(super) fn catalogue(found: Vec<RawDocumentBuf>) -> HashMap<ProductId, HeldProduct> {
    let (mut products, mut left_out) = (HashMap::new(), Vec::new());
    for document in found {
        match held_product(document) {
            Ok(product) => drop(products.insert(product.id, product)),
            Err(unreadable) => left_out.push(unreadable),
        }
    }
    unreadable::log(&left_out);
    products
}

fn build(
    declaration: &Declaration,
    hold: Option<(Vec<ItemDocument>, HoldDocument)>,
    stocks: Vec<Document>,
    mut catalogue: HashMap<ProductId, HeldProduct>,
) -> Result<View, Unreadable> {
    let stocks: Vec<StockDocument> = stocks.into_iter().map(StockDocument::read).collect::<Result<_, _>>()?;
    let Content { revision, items, mut held } = content(hold, &stocks);
    let products: Vec<Viewed> = stocks
        .into_iter()
        .filter_map(|stock| {
            let product = stock.product();
            let item = held.remove(&product);
            let is_covered = item.is_some() || !stock.pending.is_empty();
            if !is_covered && !declaration.items.iter().any(|named| named.product == product) {
                return None;
            }
            let current = catalogue.remove(&product);
            let state = ProductState {
                product,
                stock: stock.counts(),
                active: current.as_ref().is_some_and(|it| it.status == Status::Active),
                currency: current.as_ref().map(|it| it.price.currency()),
                max_per_order: current.as_ref().and_then(|it| it.max_per_order),
                held: is_covered.then(|| item.as_ref().map_or(0, |item| item.q)),
                counts: item.as_ref().and_then(ItemDocument::counts),
            };
            Some(Viewed { state, folds: stock.folds, current, snapshot: item.and_then(|item| item.s) })
        })
        .collect();
    // The units would be forgotten, and stay reserved once the stock is repaired. So would the counts.
    let is_lost = |(_, item): &(ProductId, ItemDocument)| item.q > 0 || item.counts().is_some();
    if let Some((product, _)) = held.into_iter().find(is_lost) {
        return Err(Unreadable { collection: STOCK, id: Some(product.uuid()) });
    }
    Ok(View { revision, items, products })
}

/// Item of a hold that has the fields of an entry, and those that a later build has given to either.
fn as_item(product: bson::Uuid, entry: &EntryDocument, items: &[Document]) -> Document {
    let mut item = items.iter().find(|item| is_of(item, product)).cloned().unwrap_or_default();
    item.extend(entry.further.clone());
    item.insert("p", product);
    item
}

/// Combines the hold with the entries and marks of the order. At the same revision the hold has all items.
fn content(hold: Option<(Vec<ItemDocument>, HoldDocument)>, stocks: &[StockDocument]) -> Content {
    let by_product = |items: Vec<ItemDocument>| items.into_iter().map(|it| (mongo::id(it.p), it)).collect();
    let mut content = match hold {
        Some((read, hold)) => Content { revision: Some(hold.r), items: hold.items, held: by_product(read) },
        None => Content { revision: None, items: Vec::new(), held: HashMap::new() },
    };
    let entries = || stocks.iter().flat_map(|stock| stock.pending.iter().map(|entry| (stock._id, entry)));
    let newest = entries().map(|(_, entry)| entry.r).max();
    if newest > content.revision {
        // Entries have no counts: those of the hold stay.
        let counts = |product: ProductId| content.held.get(&product).and_then(ItemDocument::counts);
        let item = |(p, entry): (bson::Uuid, &EntryDocument)| {
            ItemDocument::new(p, entry.q, entry.s.clone(), counts(mongo::id(p)))
        };
        let newest_entries = || entries().filter(|(_, it)| Some(it.r) == newest);
        content.held = by_product(newest_entries().map(item).collect());
        content.items = newest_entries().map(|(p, entry)| as_item(p, entry, &content.items)).collect();
        content.revision = newest;
    }
    // The hold of a mark is there, unless it was a tombstone that was pruned.
    let mark = stocks.iter().flat_map(|stock| &stock.folded).map(|mark| mark.r).max();
    if mark > content.revision {
        content.revision = mark;
        // It was pruned with its counts.
        for item in content.held.values_mut() {
            *item = ItemDocument::new(item.p, 0, item.s.take(), None);
        }
    }
    content
}
