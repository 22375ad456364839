//! Page of one product: what it is, what is on hand and why, for whom it is reserved, and its forms.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use futures::future::try_join3;
use maud::{Markup, html};
use proto::orders::v1::ListOrdersResponse;
use proto::products::v1::{GetProductRequest, ListStockMovementsResponse, Product};
use shared::error::Error;

use crate::Console;
use crate::http::{Answer, Place, Query, Visit};
use crate::layout;
use crate::texts::product as texts;

mod explanation;
mod field;
mod forms;
mod holds;
mod ledger;

use field::Sent;
pub(crate) use forms::moved_since;

/// Routes of the page.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/products/{id}", get(show).post(forms::edit))
        .route("/console/products/{id}/stock", post(forms::count))
        .route("/console/products/{id}/stock/delta", post(forms::add))
}

async fn show(visit: Visit, Path(id): Path<String>, query: Query) -> Answer {
    let shown = Shown::fetch(&visit, &id, query.get("cursor")).await?;
    let done = query.get("done").and_then(texts::done);
    let note = html! { @if let Some(text) = done { (layout::done(text)) } };
    let body = shown.body(&visit, &note, None);
    Ok(visit.page(&shown.product.name, Place::Products, body))
}

/// Data of the page.
struct Shown {
    product: Product,
    ledger: ListStockMovementsResponse,
    /// True for the newest page of the ledger.
    is_newest: bool,
    /// Orders that may hold units of the product.
    orders: ListOrdersResponse,
}

impl Shown {
    /// Asks for all data at once. `cursor` is that of a page of the ledger.
    async fn fetch(visit: &Visit, id: &str, cursor: Option<&str>) -> Result<Self, Error> {
        let (product, ledger, orders) =
            try_join3(product(visit, id), ledger::fetch(visit, id, cursor), holds::fetch(visit, id)).await?;
        Ok(Self { product, ledger, is_newest: cursor.is_none(), orders })
    }

    /// Renders the page. `note` is the outcome of a form, and `sent` one that is shown again.
    fn body(&self, visit: &Visit, note: &Markup, sent: Option<&Sent<'_>>) -> Markup {
        let product = &self.product;
        html! {
            h1 { (product.name) " " (layout::badge(&product.status)) }
            (note)
            div.cards {
                (facts(product))
                (self.stock())
                (holds::card(visit, product, &self.orders))
            }
            (ledger::section(visit, &product.id, &self.ledger, self.is_newest))
            div.cards { (forms::cards(visit, product, sent)) }
        }
    }

    fn stock(&self) -> Markup {
        let stock = self.product.stock.unwrap_or_default();
        html! {
            section.card {
                h2 { (texts::STOCK) }
                dl.facts {
                    dt { (texts::ON_HAND) } dd { (stock.on_hand) }
                    dt { (texts::RESERVED) } dd { (stock.reserved) }
                    dt { (texts::AVAILABLE) } dd { (stock.available) }
                }
                @if self.is_newest { p { (ledger::explained(&self.ledger, stock.on_hand)) } }
            }
        }
    }
}

/// Asks for a product.
async fn product(visit: &Visit, id: &str) -> Result<Product, Error> {
    let request = visit.request(GetProductRequest { id: id.to_owned() });
    Ok(visit.products().get_product(request).await?.into_inner())
}

fn facts(product: &Product) -> Markup {
    html! {
        section.card {
            h2 { (texts::FACTS) }
            dl.facts {
                dt { (texts::SKU) } dd { (product.sku) }
                dt { (texts::PRICE) } dd { (layout::money_of(product.price.as_ref())) }
                @if let Some(most) = product.max_per_order { dt { (texts::MAX_PER_ORDER) } dd { (most) } }
                dt { (texts::CREATED_AT) } dd { (layout::time(product.created_at.as_ref())) }
                dt { (texts::UPDATED_AT) } dd { (layout::time(product.updated_at.as_ref())) }
                dt { (texts::ID) } dd { code { (product.id) } }
            }
            @if let Some(description) = &product.description {
                h3 { (texts::DESCRIPTION) }
                p.lines { (description) }
            }
            @if !product.attributes.is_empty() {
                h3 { (texts::ATTRIBUTES) }
                dl.facts {
                    @for (name, value) in &product.attributes { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}
