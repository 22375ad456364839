//! The harness of the end-to-end tests: a shop of their own, and people who use it over HTTP.
//!
//! Test binaries are of two kinds. `api` runs against any target: it sees the package `portable`, which has of this
//! one only the modules of the first list. `system`, `lambda`, `stress` and `faults` look inside, and see all of it.
//! So the compiler knows which tests a target can run: a test of `api` cannot name [`in_process`] or a database.
//!
//! - [`shop`]: the whole system, as its users see it
//! - [`target`]: the system that [`Shop::open`](shop::Shop::open) finds, in this process or elsewhere
//! - [`emulator_quirks`]: where an emulator is not like API Gateway
//! - [`person`]: somebody who sends requests
//! - [`answer`]: what came back, and what a test can ask of it
//! - [`support`]: requests and checks that several tests share, by resource
//! - [`declared`]: rows of the route tables, and fields of request bodies
//!
//! For tests that look inside:
//!
//! - [`in_process`]: a shop in this process, with its database, clock and limits
//! - [`on_lambda`]: a shop on a small Lambda
//! - [`holds`]: holds that a test puts into the database
//! - [`lambda`]: a small Lambda that runs the functions' own programs, and the faults that it can have
//! - [`meter`]: processor time and memory of processes
//! - [`cpu_limit`]: a program that gets a part of one processor
//! - [`mongo_tap`]: counts the commands that the functions in this process send to MongoDB, and loses answers
//! - [`proxy`]: a line between a function and MongoDB that stops at any command
//! - [`secrets`]: secrets in every place of a request, to look for in logs
//! - [`port`]: a port where a server can start later
//!
//! The feature `in-process` needs `shared/socket`, which must not reach the deployed binaries when the workspace is
//! built. Therefore the feature is off in a plain build, and the dev-dependencies turn it on.

#![expect(clippy::panic, reason = "this crate is for tests alone: a panic is how one fails")]

pub mod answer;
pub mod cpu_limit;
pub mod declared;
pub mod emulator_quirks;
pub mod holds;
#[cfg(feature = "in-process")]
pub mod in_process;
pub mod lambda;
pub mod meter;
pub mod mongo_tap;
pub mod on_lambda;
pub mod person;
pub mod port;
pub mod proxy;
pub mod secrets;
pub mod shop;
pub mod support;
pub mod target;

/// Signs the tokens of all tests.
pub const JWT_SECRET: &str = "a secret of the tests, 32 bytes or more";

/// Secret of the console in tests.
pub const CONSOLE_SECRET: &str = "a secret of the console in tests, 32 bytes or more";

/// Signs the calls between functions on sockets.
pub const CALLERS_SECRET: &str = "a secret of callers in tests, 32 bytes or more";
