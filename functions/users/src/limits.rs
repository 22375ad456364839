//! Limits of what a user has. Forms check them, the OpenAPI document and `$jsonSchema` read them.

use shared::values::text::Line;

pub use shared::values::address::Phone;

/// New password, after Unicode's normalisation NFKC.
pub type PasswordText = Line<12, 128>;
