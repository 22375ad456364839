//! Use cases of orders, one method each. Authorization and the sequence of I/O live here and nowhere else.
//!
//! - [`place`](OrderService::place): places an order
//! - [`update`](OrderService::update): changes status, items and details
//! - `payments`: records payments and refunds
//! - `parts`: records fulfillments, cancellations and returns
//! - `entries`: a request that records or changes an entry of an order
//! - [`reconcile`]: finishes what crashes leave undone
//! - [`consistency`]: compares orders with stock

use std::time::Duration;

use shared::auth::Caller;
use shared::error::Error;
use shared::input::page::{Page, PageRequest, PageRows};
use shared::mongo;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use shared::values::ids::OrderId;

use crate::CustomerLimits;
use crate::listing::Listing;
use crate::order::Order;
use crate::products::Products;
use crate::store::OrderStore;
use crate::users::Users;

pub mod consistency;
mod entries;
mod limits;
mod parts;
mod payments;
mod place;
pub mod reconcile;
mod signals;
mod update;

pub use entries::Recorded;

/// Use cases of orders.
pub struct OrderService {
    pub(crate) store: OrderStore,
    pub(crate) products: Products,
    pub(crate) users: Users,
    pub(crate) payment_window: Duration,
    pub(crate) return_window: Duration,
    pub(crate) limits: CustomerLimits,
    pub(crate) clock: Clock,
}

impl OrderService {
    /// Reads an order.
    ///
    /// # Errors
    /// 404 for an order that the caller may not see.
    pub async fn get(&self, context: &Context, id: OrderId) -> Result<Order, Error> {
        mongo::confirm_refusals(|| self.visible(context, id)).await
    }

    async fn visible(&self, context: &Context, id: OrderId) -> Result<Order, Error> {
        if context.caller == Caller::Anonymous {
            context.caller.signed_in()?;
        }
        self.store
            .find(id)
            .await?
            .filter(|order| context.caller.is_staff() || context.caller.user_id() == Some(order.user_id))
            .ok_or_else(|| Error::not_found("order"))
    }

    /// Lists orders: all of them for staff, their own for customers.
    ///
    /// # Errors
    /// 400 for a bad cursor.
    pub async fn list(
        &self,
        context: &Context,
        listing: Listing,
        page: PageRequest,
    ) -> Result<Page<Order>, Error> {
        let scope = format!("orders|{}|{listing:?}", context.caller);
        let after = page.after(&scope, listing.sort.by.of())?;
        let own = match context.caller {
            caller if caller.is_staff() => None,
            caller => Some(caller.signed_in()?),
        };
        // Orders that the caller may not see are treated as absent.
        if own.is_some() && listing.user_id.is_some_and(|user| own != Some(user)) {
            return Ok(page.page(PageRows::nothing(), &scope));
        }
        let mut of = own.or(listing.user_id);
        if let Some(email) = &listing.email {
            let user = self.users.find_by_email(context, email).await?;
            if user.is_none() || of.is_some_and(|of| user != Some(of)) {
                return Ok(page.page(PageRows::nothing(), &scope));
            }
            of = user;
        }
        let found = self.store.list(&listing, of, &page, after.as_ref());
        let found = mongo::bounded_list(context, found).await?;
        Ok(page.page(found, &scope))
    }
}
