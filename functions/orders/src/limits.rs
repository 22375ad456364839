//! Limits of what an order has. Forms check them, the OpenAPI document and `$jsonSchema` read them.

use shared::values::integer::Integer;
use shared::values::text::{Line, Prose};

/// The most items of an order.
pub const MAX_ITEMS: usize = 100;

/// Units of an item.
pub type Quantity = Integer<1, 10_000>;

/// Note of an order.
pub type Note = Prose<2_000>;

/// Reference or method of a payment, carrier or number of a parcel.
pub type Reference = Line<1, 100>;
