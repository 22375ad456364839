//! Values that are valid once they exist: constructors check, the rest of the code relies on it.

pub mod address;
pub mod clock;
pub mod ids;
pub mod money;
pub mod text;
