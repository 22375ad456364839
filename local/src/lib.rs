//! The whole order system on this machine: `cargo local`, and what the tests run.
//!
//! - [`backend`]: the functions in one process, connected as they are on Lambda
//! - [`gateway`]: which function answers a path, as API Gateway decides it
//! - [`settings`]: secrets and the first admin, from the environment or kept with the data
//! - [`demo`]: a shop that one can imagine
//! - [`run`]: `cargo local` from start to stop
//! - `schedule`: has the orders function reconcile every minute
//! - [`check`]: `cargo local check`, whether products and orders agree
//! - [`seed`]: `cargo local seed`, a large shop with years of history
//! - [`schema`]: `cargo local schema`, for a database that is deployed to
//! - [`lambda`]: `cargo local lambda`, the functions' own programs under `cargo lambda watch`
//! - [`sam`]: `cargo local sam`, the same under `sam local start-api`
//! - [`cargo`]: cargo, run by a program that cargo has run
//! - `emulator`: what these two have in common
//! - `docker`: the network and the image that `sam local` needs
//! - [`env`](mod@env): `cargo local env`, what those programs need in their environment
//! - [`events`]: samples for `cargo lambda invoke`
//! - `openapi`: `cargo openapi`, the one document of the whole API
//! - [`error`]: failures of a command, with advice
//! - [`terminal`]: lines of output, also into a pipe that is closed

pub mod backend;
pub mod cargo;
pub mod check;
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
pub mod run;
pub mod sam;
mod schedule;
pub mod schema;
pub mod seed;
pub mod settings;
pub mod terminal;
