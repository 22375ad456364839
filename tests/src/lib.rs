//! What the end-to-end tests need: a shop of their own, and people who use it over HTTP.
//!
//! - [`shop`]: the whole system on a database of its own
//! - [`target`]: which system that is, this process or one elsewhere
//! - [`differences`]: where an emulator is not like API Gateway
//! - [`leaks`]: secrets in every place of a request, to look for in logs
//! - [`person`]: somebody who sends requests
//! - [`port`]: where a server can start later
//! - [`answer`]: what came back, and what a test can ask of it
//! - [`declared`]: the routes and fields that the functions' sources have
//! - [`tap`]: tells what the functions in this process ask of MongoDB, and loses answers
//! - [`lambda`]: a small Lambda that runs the functions' own programs, and what may go wrong there
//! - [`wire`]: a line between a function and MongoDB that stops at any command

#![expect(clippy::panic, reason = "this crate is for tests alone: a panic is how one fails")]

pub mod answer;
pub mod declared;
pub mod differences;
pub mod lambda;
pub mod leaks;
pub mod person;
pub mod port;
pub mod shop;
pub mod tap;
pub mod target;
pub mod wire;
