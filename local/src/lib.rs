//! The whole system on this machine: `cargo local`, and the backend that the tests run.
//!
//! - [`backend`]: the functions in one process, connected as they are on Lambda
//! - [`gateway`]: routing of paths to functions, as API Gateway does it
//! - [`settings`]: secrets and the first admin, from the environment or kept with the data
//! - [`demo`]: demo data, a small shop
//! - [`provider`]: sample of a payment provider, and the handler of its webhooks
//! - [`run`]: `cargo local` from start to stop
//! - `database`: MongoDB of a run, started here or given
//! - `announce`: text that says how to use what is running
//! - `schedule`: Reconcile every minute
//! - [`check`]: `cargo local check`, the comparison of products and orders
//! - [`seed`]: `cargo local seed`, a large shop with years of history
//! - [`bench`](mod@bench): `cargo local bench`, the cost of the functions beside floors
//! - [`cost`]: `cargo local cost`, the bill of a month on AWS
//! - [`schema`]: `cargo local schema`, the preparation of a database for a deployment
//! - [`containers`]: secrets, MongoDB and demo data of the system in containers
//! - [`lambda`]: `cargo local lambda`, the deployed programs under `cargo lambda watch`
//! - [`sam`]: `cargo local sam`, the same under `sam local start-api`
//! - [`cargo`]: environment for a cargo that runs inside cargo
//! - `emulator`: common part of `lambda` and `sam`
//! - `docker`: the network and the image that `sam local` needs
//! - [`env`](mod@env): `cargo local env`, the environment of those programs
//! - [`events`]: samples for `cargo lambda invoke`
//! - `api_doc`: the tables of limits in `docs/api.md`
//! - `openapi`: `cargo openapi`, the one document of the whole API
//! - [`error`]: errors of a command, with advice
//! - [`waterfall`]: `cargo local --trace`, the spans of each request in the terminal
//! - [`terminal`]: lines of output, also into a closed pipe

mod announce;
#[cfg(feature = "openapi")]
pub mod api_doc;
pub mod backend;
pub mod bench;
pub mod cargo;
pub mod check;
pub mod containers;
pub mod cost;
mod database;
pub mod demo;
mod docker;
mod emulator;
pub mod env;
pub mod error;
pub mod events;
pub mod gateway;
pub mod lambda;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod provider;
pub mod roles;
pub mod run;
pub mod sam;
mod schedule;
pub mod schema;
pub mod seed;
pub mod settings;
pub mod terminal;
pub mod waterfall;
