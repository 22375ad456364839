//! Use cases of products, one method each. Authorization and the sequence of I/O live here and nowhere else.

use std::time::Duration;

use serde_json::json;
use shared::auth::Access;
use shared::error::{Error, Kind};
use shared::http::conditional::IfMatch;
use shared::http::idempotency::{Idempotent, KeyOrigin, KeyRecord, ScopedKey};
use shared::input::page::{Page, PageRequest, PageRows, SortType};
use shared::input::validation::ValidationErrors;
use shared::mongo;
use shared::mongo::conflict_retry::ConflictRetry;
use shared::runtime::context::Context;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, ProductId};

use crate::holds::{AuditedHolds, AuditedProduct, Hold, HoldList, HoldWalk};
use crate::ledger::StockMovement;
use crate::listing::Listing;
use crate::product::{HeldProduct, NewProduct, Product, ProductChange, Status};
use crate::stock::{
    Declaration, ItemError, MAX_ON_HAND, MAX_PRODUCTS, Rejection, Shortage, Stock, StockCount,
};
use crate::store::{self, Folded, Inserted, ProductStore, StockWrite, StockWritten};

/// Number of holds after which an answer ends. One has some 100 bytes in a message.
const MAX_HOLDS: usize = 15_000;

/// Number of orders whose holds are read at once.
pub const HOLDS_AT_ONCE: usize = 50;

/// Use cases of products.
pub struct ProductService {
    store: ProductStore,
    clock: Clock,
}

/// Reason why a declaration was not applied.
#[derive(Debug)]
pub enum DeclareError {
    /// A later declaration has been applied already; this one arrived too late to matter.
    Superseded,
    /// Any other error.
    Failed(Error),
}

impl From<Error> for DeclareError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl ProductService {
    /// Creates the use cases over this store.
    pub fn new(store: ProductStore, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Creates a product, once for all requests under one key.
    ///
    /// # Errors
    /// 403 unless the caller is staff, 422 for a key of another request, 409 for a taken SKU.
    pub async fn create(
        &self,
        context: &Context,
        new: NewProduct,
        request: ScopedKey,
    ) -> Result<Idempotent<Product>, Error> {
        Access::Staff.check(context.caller)?;
        let by = context.caller.to_string();
        let key_record = request.by(&by);
        if let Some(made) = self.find_replay(&key_record).await? {
            return Ok(made);
        }
        let product = new.into_product(ProductId::new(), self.clock.now());
        match self.store.insert(&product, &by, &key_record).await? {
            Inserted::Done => Ok(Idempotent::Created(product)),
            Inserted::SkuTaken => self.replay_or(&key_record, store::sku_taken()).await,
            Inserted::KeyTaken => self.replay_or(&key_record, key_taken()).await,
        }
    }

    /// Finds the product that an earlier request under this key created or changed.
    async fn find_replay(&self, key_record: &KeyRecord) -> Result<Option<Idempotent<Product>>, Error> {
        // An event that runs again is rare: its write meets the key.
        if key_record.origin == KeyOrigin::Invocation {
            return Ok(None);
        }
        match self.store.keys().find(key_record, self.clock.now()).await? {
            Some(id) => self.existing(id).await.map(|product| Some(Idempotent::Replayed(product))),
            None => Ok(None),
        }
    }

    /// The conflict may come from a concurrent duplicate of this request: if so returns its product,
    /// otherwise the rejection.
    async fn replay_or(
        &self,
        key_record: &KeyRecord,
        rejection: Error,
    ) -> Result<Idempotent<Product>, Error> {
        match mongo::confirmed(self.store.keys().find(key_record, self.clock.now())).await? {
            Some(id) => {
                self.existing(id).await.map(|product| Idempotent::replayed(product, key_record.origin))
            }
            None => Err(rejection),
        }
    }

    async fn existing(&self, id: ProductId) -> Result<Product, Error> {
        let find = || async { self.store.find(id).await?.ok_or_else(|| Error::not_found("product")) };
        mongo::confirm_refusals(find).await
    }

    /// Reads a product.
    ///
    /// # Errors
    /// 404 for a product that the caller may not see.
    pub async fn get(&self, context: &Context, id: ProductId) -> Result<Product, Error> {
        mongo::confirm_refusals(|| self.visible(context, id)).await
    }

    async fn visible(&self, context: &Context, id: ProductId) -> Result<Product, Error> {
        self.store
            .find(id)
            .await?
            .filter(|product| context.caller.is_staff() || product.status == Status::Active)
            .ok_or_else(|| Error::not_found("product"))
    }

    /// Lists products: all for staff, active ones for everybody else.
    ///
    /// # Errors
    /// 400 for a bad cursor.
    pub async fn list(
        &self,
        context: &Context,
        listing: Listing,
        page: PageRequest,
    ) -> Result<Page<Product>, Error> {
        let scope = format!("products|{}|{listing:?}", context.caller);
        let after = page.after(&scope, listing.sort.by.of())?;
        let mut statuses =
            if context.caller.is_staff() { Status::ALL.to_vec() } else { vec![Status::Active] };
        statuses.retain(|status| listing.status.as_ref().is_none_or(|asked| asked.contains(status)));
        // Products that the caller may not see are treated as absent.
        if statuses.is_empty() {
            return Ok(page.page(PageRows::nothing(), &scope));
        }
        let found = self.store.list(&listing, &statuses, &page, after.as_ref());
        let found = mongo::bounded_list(context, found).await?;
        Ok(page.page(found, &scope))
    }

    /// Changes a product, except its stock.
    ///
    /// # Errors
    /// 403 unless the caller is staff, 404, 412 for a version that `If-Match` does not name, 409 for a taken
    /// SKU.
    pub async fn update(
        &self,
        context: &Context,
        id: ProductId,
        if_match: &IfMatch,
        change: ProductChange,
    ) -> Result<Product, Error> {
        Access::Staff.check(context.caller)?;
        let mut retry = ConflictRetry::default();
        let decide = || async {
            let product = self.visible(context, id).await?;
            if_match.check(product.version)?;
            let changed = product.changed(change.clone(), self.clock.now());
            Ok((product, changed))
        };
        loop {
            let (product, changed) = retry.decide(decide).await?;
            let Some(changed) = changed else { return Ok(product) };
            if let Some(written) = self.store.write(&product, &changed).await? {
                return Ok(written);
            }
            retry.conflict(id).await?;
        }
    }

    /// Sets or moves the on-hand count, once for all requests under one key.
    ///
    /// # Errors
    /// 403 unless the caller is staff, 404, 422 for a key of another request. 412 for a version that
    /// `If-Match` does not name, 409 when fewer would be on hand than are reserved.
    pub async fn update_stock(
        &self,
        context: &Context,
        id: ProductId,
        if_match: IfMatch,
        count: StockCount,
        request: ScopedKey,
    ) -> Result<Idempotent<Product>, Error> {
        Access::Staff.check(context.caller)?;
        let by = context.caller.to_string();
        let key_record = request.by(&by);
        if let Some(made) = self.find_replay(&key_record).await? {
            return Ok(made);
        }
        let write = StockWrite { product: id, if_match, count, by, now: self.clock.now(), key_record };
        let rejection = match self.store.change_stock(&write).await? {
            StockWritten::Done(product) => return Ok(Idempotent::Created(product)),
            StockWritten::NotFound => return Err(Error::not_found("product")),
            // The conflicting write may be a concurrent duplicate of this request.
            StockWritten::Outdated(current) => IfMatch::mismatch(current),
            StockWritten::BelowReserved(stock) => below_reserved(stock),
            StockWritten::TooMany => too_many(),
            StockWritten::KeyTaken => key_taken(),
        };
        self.replay_or(&key_record, rejection).await
    }

    /// Lists a product's ledger, newest first.
    ///
    /// # Errors
    /// 403 unless the caller is staff, 400 for a bad cursor, 404.
    pub async fn list_stock_movements(
        &self,
        context: &Context,
        id: ProductId,
        page: PageRequest,
    ) -> Result<Page<StockMovement>, Error> {
        Access::Staff.check(context.caller)?;
        let scope = format!("stock_movements|{}|{id}", context.caller);
        let after = page.after(&scope, SortType::Integer)?;
        self.existing(id).await?;
        let found = self.store.movements(id, &page, after.as_ref());
        Ok(page.page(mongo::bounded_list(context, found).await?, &scope))
    }

    /// Applies a declaration of another function about an order's stock, all of it or nothing. Returns the
    /// products of its items, in the items' order.
    ///
    /// # Errors
    /// 403 unless the caller is a function; superseded; 422 for items that cannot be ordered; 409 with every
    /// shortage.
    pub async fn declare(
        &self,
        context: &Context,
        declaration: Declaration,
    ) -> Result<Vec<HeldProduct>, DeclareError> {
        context.caller.require_system().map_err(DeclareError::Failed)?;
        let rejection = match self.store.declare(&declaration, self.clock.now()).await? {
            Ok(products) => return Ok(products),
            Err(rejection) => rejection,
        };
        Err(match rejection {
            Rejection::Superseded => DeclareError::Superseded,
            Rejection::ItemError(items) => DeclareError::Failed(unorderable(items)),
            Rejection::Short(shortages) => DeclareError::Failed(insufficient_stock(&shortages)),
            Rejection::TooManyProducts => DeclareError::Failed(too_many_products()),
            Rejection::Impossible(product) => DeclareError::Failed(Error::internal(format!(
                "the order {} at revision {} cannot take from {product}",
                declaration.order, declaration.revision
            ))),
        })
    }

    /// Reads a page of holds.
    ///
    /// # Errors
    /// 403 unless the caller is a function.
    pub async fn list_holds(&self, context: &Context, walk: HoldWalk) -> Result<HoldList, Error> {
        context.caller.require_system()?;
        self.store.list_holds(&walk).await
    }

    /// Holds of these orders, live or ended, and the orders whose holds were not read. An answer has a limited
    /// size, and at least the first [`HOLDS_AT_ONCE`] orders.
    ///
    /// # Errors
    /// 403 unless the caller is a function.
    pub async fn holds_of<'a>(
        &self,
        context: &Context,
        orders: &'a [OrderId],
    ) -> Result<(Vec<Hold>, &'a [OrderId]), Error> {
        context.caller.require_system()?;
        let (mut holds, mut left) = (Vec::new(), orders);
        while holds.len() < MAX_HOLDS
            && let Some((next, rest)) = left.split_at_checked(HOLDS_AT_ONCE.min(left.len()))
            && !next.is_empty()
        {
            holds.extend(self.store.find_holds(next).await?);
            left = rest;
        }
        Ok((holds, left))
    }

    /// Deletes the holds of these orders that have ended and have at least this age. Returns their number.
    ///
    /// # Errors
    /// 403 unless the caller is a function.
    pub async fn prune_holds(
        &self,
        context: &Context,
        orders: &[OrderId],
        min_age: Duration,
    ) -> Result<usize, Error> {
        context.caller.require_system()?;
        self.store.prune_holds(orders, min_age).await
    }

    /// Moves the entries of journals into holds, for a page of products.
    ///
    /// # Errors
    /// 403 unless the caller is a function.
    pub async fn fold_journals(
        &self,
        context: &Context,
        after: Option<ProductId>,
        limit: i64,
    ) -> Result<Folded, Error> {
        context.caller.require_system()?;
        self.store.fold_journals(after, limit).await
    }

    /// Finds the time of the oldest entry of the journals.
    ///
    /// # Errors
    /// 403 unless the caller is a function.
    pub async fn oldest_entry(&self, context: &Context) -> Result<Option<Timestamp>, Error> {
        context.caller.require_system()?;
        self.store.oldest_entry().await
    }

    /// Reads a page of live holds for the consistency check.
    ///
    /// # Errors
    /// 403 unless the caller is a function.
    pub async fn audit_holds(
        &self,
        context: &Context,
        after: Option<OrderId>,
        limit: i64,
    ) -> Result<AuditedHolds, Error> {
        context.caller.require_system()?;
        self.store.audit_holds(after, limit).await
    }

    /// Reads a page of products for the consistency check. The flag is true if there are more.
    ///
    /// # Errors
    /// 403 unless the caller is a function.
    pub async fn audit_stock(
        &self,
        context: &Context,
        after: Option<ProductId>,
        limit: i64,
    ) -> Result<(Vec<AuditedProduct>, bool), Error> {
        context.caller.require_system()?;
        self.store.audit(after, limit).await
    }
}

/// Only a duplicate of the request can have the key, and the lookup did not find it: the key has just
/// expired.
fn key_taken() -> Error {
    Error::unavailable("an idempotency key is taken, but its record is gone")
}

fn below_reserved(stock: Stock) -> Error {
    Error::new(
        Kind::StockBelowReserved,
        format!(
            "{} on hand, {} reserved: `on_hand` must be at least {} (`delta` at least {}).",
            stock.on_hand,
            stock.reserved,
            stock.reserved,
            -stock.available()
        ),
    )
    .with("on_hand", json!(stock.on_hand))
    .with("reserved", json!(stock.reserved))
}

fn too_many() -> Error {
    let mut errors = ValidationErrors::default();
    errors.add("/delta", format!("would exceed the maximum on_hand of {MAX_ON_HAND}"));
    errors.into_error()
}

fn too_many_products() -> Error {
    let mut errors = ValidationErrors::default();
    errors.add(
        "/items",
        format!("must not have more than {MAX_PRODUCTS} products over time; place another order"),
    );
    errors.into_error()
}

fn unorderable(items: Vec<(usize, ItemError)>) -> Error {
    let mut errors = ValidationErrors::default();
    for (index, reason) in items {
        let (field, detail) = match reason {
            ItemError::NotActive => ("product_id", "must be the ID of an active product".to_owned()),
            ItemError::OtherCurrency { this, first } => (
                "product_id",
                format!("is priced in {this:?}, the first product in {first:?}; an order has one currency"),
            ),
            ItemError::AboveMax(max) => {
                ("quantity", format!("must be at most {max}: no order may have more of this product"))
            }
        };
        errors.add(&format!("/items/{index}/{field}"), detail);
    }
    errors.into_error()
}

fn insufficient_stock(shortages: &[Shortage]) -> Error {
    let items: Vec<_> = shortages
        .iter()
        .map(|short| {
            json!({
                "product_id": short.product.to_string(),
                "requested": short.requested,
                "available": short.available,
            })
        })
        .collect();
    Error::new(Kind::InsufficientStock, "Not enough stock; `items` lists what is available.")
        .with("items", items.into())
}
