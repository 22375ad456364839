//! The part of the harness that works against any target, and all that the tests of `api` can name of it.

pub use tests::{answer, declared, emulator_quirks, person, shop, support};
