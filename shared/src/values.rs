//! Values that are checked on construction, so that all other code can rely on them.

pub mod address;
pub mod clock;
pub mod email;
pub mod ids;
pub mod integer;
pub mod money;
pub mod stored;
pub mod text;
