//! Products: their invariants and changes. No I/O, no clock.

use std::collections::BTreeMap;

use shared::input::validation::Patch;
use shared::values::clock::Timestamp;
use shared::values::ids::ProductId;
use shared::values::money::Money;
use shared::values::text::MAX_SKU;

use crate::stock::Stock;

/// Product of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// Product ID.
    pub id: ProductId,
    /// Stock keeping unit of the shop; unique among products.
    pub sku: Sku,
    /// Name shown to customers.
    pub name: String,
    /// Description shown to customers.
    pub description: Option<String>,
    /// Price of one unit.
    pub price: Money,
    /// Attributes such as colour and size.
    pub attributes: BTreeMap<String, String>,
    /// Status: only active products can be ordered.
    pub status: Status,
    /// Most units in one order, if it has a limit of its own.
    pub max_per_order: Option<i64>,
    /// Stock counts.
    pub stock: Stock,
    /// Version: rises by one when people change the product or its stock; not with holds and shipping.
    pub version: i64,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change by people, of the product or its stock.
    pub updated_at: Timestamp,
}

shared::stored_names! {
    /// Status of a product: only active ones can be ordered.
    pub enum Status ("ProductStatus", "Status of a product: only active ones can be ordered.") {
        /// Not yet for sale: only staff see it.
        Draft = "draft",
        /// Visible to everybody, and can be ordered.
        Active = "active",
        /// No longer for sale: only staff see it.
        Archived = "archived",
    }
    /// Status of a newer build, by its name: only staff see it.
    Unknown
}

/// A stock keeping unit: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sku(String);

#[cfg(feature = "openapi")]
impl Sku {
    /// The schema of a SKU.
    pub(crate) fn text() -> utoipa::openapi::ObjectBuilder {
        shared::openapi::values::matching(&Self::pattern()).min_length(Some(1)).max_length(Some(MAX_SKU))
    }
}

#[cfg(feature = "openapi")]
shared::value_schema!(Sku, Self::text());

impl Sku {
    /// Regular expression of a SKU.
    pub(crate) fn pattern() -> String {
        format!("^[A-Za-z0-9._-]{{1,{MAX_SKU}}}$")
    }

    /// Validation rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// A message that says which characters are allowed.
    pub fn parse(text: String) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=MAX_SKU).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(format!("must have 1 to {MAX_SKU} characters of A-Z a-z 0-9 . _ -"))
        }
    }

    /// Reads a stored SKU, whatever today's rule is.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The SKU as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Product for which stock is declared, as far as an order keeps it.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of Product")]
pub struct HeldProduct {
    pub id: ProductId,
    pub sku: Sku,
    pub name: String,
    pub price: Money,
    pub status: Status,
    pub max_per_order: Option<i64>,
}

/// Product to be created.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of Product")]
pub struct NewProduct {
    pub sku: Sku,
    pub name: String,
    pub description: Option<String>,
    pub price: Money,
    pub attributes: BTreeMap<String, String>,
    pub status: Status,
    pub max_per_order: Option<i64>,
    /// Initial on-hand count.
    pub on_hand: i64,
}

impl NewProduct {
    /// Creates an active product with none of the optional fields.
    pub fn new(sku: Sku, name: String, price: Money) -> Self {
        Self {
            sku,
            name,
            description: None,
            price,
            attributes: BTreeMap::new(),
            status: Status::Active,
            max_per_order: None,
            on_hand: 0,
        }
    }

    /// Builds the product at its first version.
    pub fn into_product(self, id: ProductId, now: Timestamp) -> Product {
        Product {
            id,
            sku: self.sku,
            name: self.name,
            description: self.description,
            price: self.price,
            attributes: self.attributes,
            status: self.status,
            max_per_order: self.max_per_order,
            stock: Stock { on_hand: self.on_hand, reserved: 0 },
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Requested change of a product.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of Product")]
pub struct ProductChange {
    pub sku: Option<Sku>,
    pub name: Option<String>,
    pub description: Patch<String>,
    pub price: Option<Money>,
    pub attributes: Option<BTreeMap<String, String>>,
    pub status: Option<Status>,
    pub max_per_order: Patch<i64>,
}

impl Product {
    /// Applies a change, at the next version. `None` when nothing is different.
    pub fn changed(&self, change: ProductChange, now: Timestamp) -> Option<Self> {
        let product = Self {
            sku: change.sku.unwrap_or_else(|| self.sku.clone()),
            name: change.name.unwrap_or_else(|| self.name.clone()),
            description: change.description.apply(self.description.clone()),
            price: change.price.unwrap_or(self.price),
            attributes: change.attributes.unwrap_or_else(|| self.attributes.clone()),
            status: change.status.unwrap_or(self.status),
            max_per_order: change.max_per_order.apply(self.max_per_order),
            ..self.clone()
        };
        if product == *self {
            return None;
        }
        Some(Self { version: self.version.saturating_add(1), updated_at: now, ..product })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skus_have_a_narrow_alphabet() {
        for good in ["A", "mug-01.b_C", &"x".repeat(64)] {
            assert!(Sku::parse(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a/b", "ä", "a\0", &"x".repeat(65)] {
            assert!(Sku::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
