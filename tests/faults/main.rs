//! Campaigns: what goes wrong at every place where it can, one place after the other, and what is left of it.
//!
//! `cargo test --test faults -- --nocapture` prints a table. Variables:
//!
//! | | |
//! | --- | --- |
//! | `OMS_LONG=1` | goes through everything several times, with other choices of what is left to chance, and has whoever asks again crash too |
//! | `OMS_SEED` | makes the choices that a failed run has made |
//! | `OMS_CASE` | runs this case alone, as a failed run names it |

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crashes;
mod deliveries;
mod fixture;
mod freezes;
mod report;
