//! Campaigns: what goes wrong at every place where it can, one place after the other, and what is left of it.
//!
//! `cargo test --test faults -- --nocapture` prints a table. Variables:
//!
//! | | |
//! | --- | --- |
//! | `OMS_LONG=1` | goes through all cases several times, with other choices of what is left to chance, and has repeated requests crash too; without it a third of the cases is run |
//! | `OMS_SEED` | chooses that third, and makes the choices that a failed run has made |
//! | `OMS_SHARE` | goes through one of so many cases |
//! | `OMS_CASE` | runs this case alone, as a failed run names it |

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crashes;
mod deliveries;
mod fixture;
mod freezes;
mod migration;
mod report;
mod silence;
