//! The use cases around products: one method each, the only place that orders I/O and decides who may.

use serde_json::json;
use shared::auth::Access;
use shared::clock::Clock;
use shared::contention::Contention;
use shared::context::Context;
use shared::error::{Error, Kind};
use shared::faults::Faults;
use shared::ids::ProductId;
use shared::page::{Page, PageRequest, Position};

use crate::product::{NewProduct, Product, ProductChange, Status};
use crate::stock::{Declaration, MAX_ON_HAND, Refusal, Shortage, StockChange, Unorderable};
use crate::store::{ProductStore, StockWritten};

/// The use cases around products.
pub struct ProductService {
    store: ProductStore,
    clock: Clock,
}

/// Why a declaration was not applied.
#[derive(Debug)]
pub enum NotDeclared {
    /// A later one has been applied already: this one arrived too late to matter.
    Superseded,
    /// Everything else.
    Failed(Error),
}

impl From<Error> for NotDeclared {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl ProductService {
    /// The use cases over this store.
    pub fn new(store: ProductStore, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Adds a product.
    ///
    /// # Errors
    /// 403 but for staff, 409 for a SKU that is taken.
    pub async fn create(&self, context: &Context, new: NewProduct) -> Result<Product, Error> {
        Access::Staff.check(context.caller)?;
        let product = new.into_product(ProductId::new(), self.clock.now());
        self.store.insert(&product).await?;
        Ok(product)
    }

    /// A product.
    ///
    /// # Errors
    /// 404 for a product that the caller may not see.
    pub async fn get(&self, context: &Context, id: ProductId) -> Result<Product, Error> {
        self.store
            .find(id)
            .await?
            .filter(|product| context.caller.is_staff() || product.status == Status::Active)
            .ok_or_else(|| Error::not_found("product"))
    }

    /// A page of products, newest first.
    ///
    /// # Errors
    /// 400 for a bad cursor.
    pub async fn list(
        &self,
        context: &Context,
        status: Option<Status>,
        page: PageRequest,
    ) -> Result<Page<Product>, Error> {
        let scope = format!("products|{}|{status:?}", context.caller);
        let after = page.after(&scope)?;
        let products = match status {
            // What the caller may not see is as if it were not there.
            Some(Status::Draft | Status::Archived) if !context.caller.is_staff() => Vec::new(),
            None if !context.caller.is_staff() => self.store.list(Some(Status::Active), &page, after).await?,
            status => self.store.list(status, &page, after).await?,
        };
        Ok(page.page(products, &scope, |product| Position { at: product.created_at, id: product.id.uuid() }))
    }

    /// Changes all of a product but its stock.
    ///
    /// # Errors
    /// 403 but for staff, 404, 409 for a SKU that is taken.
    pub async fn update(
        &self,
        context: &Context,
        id: ProductId,
        change: ProductChange,
    ) -> Result<Product, Error> {
        Access::Staff.check(context.caller)?;
        let mut contention = Contention::default();
        loop {
            let product = self.get(context, id).await?;
            let Some(changed) = product.changed(change.clone(), self.clock.now()) else { return Ok(product) };
            if let Some(written) = self.store.replace(&changed).await? {
                return Ok(written);
            }
            contention.lost(id).await?;
        }
    }

    /// Sets or moves the on-hand count.
    ///
    /// # Errors
    /// 403 but for staff, 404, 409 when fewer would be on hand than are reserved.
    pub async fn update_stock(
        &self,
        context: &Context,
        id: ProductId,
        change: StockChange,
    ) -> Result<Product, Error> {
        Access::Staff.check(context.caller)?;
        match self.store.change_stock(id, change, self.clock.now()).await? {
            StockWritten::Done(product) => Ok(product),
            StockWritten::NotFound => Err(Error::not_found("product")),
            StockWritten::BelowReserved(stock) => Err(Error::new(
                Kind::StockBelowReserved,
                format!(
                    "Of {} on hand {} are reserved for orders; fewer than that cannot be on hand.",
                    stock.on_hand, stock.reserved
                ),
            )
            .with("on_hand", json!(stock.on_hand))
            .with("reserved", json!(stock.reserved))),
            StockWritten::TooMany => {
                let mut faults = Faults::default();
                faults.add("/delta", format!("would take on_hand above {MAX_ON_HAND}"));
                Err(faults.into_error())
            }
        }
    }

    /// Applies what another function declares about an order's stock, all of it or nothing, and answers the
    /// products of its lines, in the lines' order.
    ///
    /// # Errors
    /// 403 but for functions; superseded; 422 for lines that cannot be ordered; 409 with every shortage.
    pub async fn declare(
        &self,
        context: &Context,
        declaration: Declaration,
    ) -> Result<Vec<Product>, NotDeclared> {
        context.caller.another_function().map_err(NotDeclared::Failed)?;
        let refusal = match self.store.declare(&declaration).await? {
            Ok(products) => return Ok(products),
            Err(refusal) => refusal,
        };
        Err(match refusal {
            Refusal::Superseded => NotDeclared::Superseded,
            Refusal::Unorderable(lines) => NotDeclared::Failed(unorderable(lines)),
            Refusal::Short(shortages) => NotDeclared::Failed(insufficient_stock(&shortages)),
            Refusal::Impossible(product) => NotDeclared::Failed(Error::internal(format!(
                "the order {} at revision {} cannot take from {product}",
                declaration.order, declaration.revision
            ))),
        })
    }
}

fn unorderable(lines: Vec<(usize, Unorderable)>) -> Error {
    let mut faults = Faults::default();
    for (place, why) in lines {
        let detail = match why {
            Unorderable::NotActive => "is not the ID of a product that can be ordered".to_owned(),
            Unorderable::OtherCurrency { this, first } => {
                format!(
                    "is priced in {this:?}, and the first product in {first:?}; an order has one currency"
                )
            }
        };
        faults.add(&format!("/lines/{place}/product_id"), detail);
    }
    faults.into_error()
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
    Error::new(Kind::InsufficientStock, "Of some products less is available than was asked for; see items.")
        .with("items", items.into())
}
