//! Campaigns: many at once, and a database that fails, against what the shop promises. Each prints its figures.
//!
//! - [`oversell`]: more is asked for than there is
//! - [`sale`]: a hot product, whose buyers cancel while staff correct its count
//! - [`twins`]: the same request many times at once
//! - [`money`]: payments, refunds and edits of the same orders, with crashes and lost answers
//! - [`parts`]: units of the same orders that are shipped, cancelled and returned, with crashes and late calls
//! - [`enumeration`]: whoever measures sign-ins, known and unknown
//! - [`brute_force`]: guesses over many connections at once
//! - [`commands`]: a fault at every command that an operation sends to MongoDB
//! - [`elections`]: a replica set whose primary steps down and is killed
//! - [`memory`]: what the consistency check needs of it
//! - [`backlog`]: Reconcile, with thousands of orders due and a part of them broken
//! - [`open_orders`]: a product with very many open orders
//! - [`ledger`]: a product with very many movements
//! - [`jobs`]: what the queries of Reconcile cost where there is much
//! - [`explains`]: what a page of each list costs, of a shop that was loaded in bulk
//!
//! They take a minute or more, so `cargo test` leaves them out; `--ignored` runs them. `OMS_LONG=1` gives them their
//! full size, `OMS_SEED` the seed of another run.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails in a test fails the test")]

mod backlog;
mod brute_force;
mod campaign;
mod clients;
mod commands;
mod elections;
mod enumeration;
mod explains;
mod fault;
mod jobs;
mod ledger;
mod lists;
mod memory;
mod money;
mod open_orders;
mod operations;
mod oversell;
mod parts;
mod process;
mod profile;
mod recovery;
mod replica_set;
mod sale;
mod twins;
