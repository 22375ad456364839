//! Limits of what a product has. Forms check them, the OpenAPI document and `$jsonSchema` read them.

use shared::values::integer::Integer;
use shared::values::text::Prose;

use crate::stock::MAX_ON_HAND;

/// Description of a product.
pub type Description = Prose<10_000>;

/// Units of a product in one order.
pub type MaxPerOrder = Integer<1, 10_000>;

/// Units on hand.
pub type OnHand = Integer<0, MAX_ON_HAND>;

/// Units that are added, or below 0 taken away; never 0.
pub enum Delta {}

#[cfg(feature = "openapi")]
shared::value_schema!(
    Delta,
    utoipa::openapi::OneOfBuilder::new()
        .item(shared::openapi::values::integer(-MAX_ON_HAND, -1))
        .item(shared::openapi::values::integer(1, MAX_ON_HAND))
);

impl Delta {
    /// A rule for [`shared::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// The range, and the number that is out of it.
    pub fn parse(delta: i64) -> Result<i64, String> {
        if delta != 0 && (-MAX_ON_HAND..=MAX_ON_HAND).contains(&delta) {
            Ok(delta)
        } else {
            Err(format!("must be -{MAX_ON_HAND} to {MAX_ON_HAND} and not 0; got {delta}"))
        }
    }
}
