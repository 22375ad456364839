//! What two functions really use: no business rule lives here.
//!
//! - [`ids`], [`money`], [`address`], [`clock`], [`text`]: values that cannot be wrong once they are made
//! - [`faults`], [`json`], [`query`], [`page`]: from what a client sends to those values
//! - [`version`]: which version is shown, and which one a change is meant for
//! - [`error`]: the one error, with its two faces: problem+json and gRPC status
//! - [`auth`], [`keys`], [`context`], [`trace`]: who is calling, and what a call carries along
//! - [`routes`]: the route table, its policy, and what every HTTP answer has
//! - [`rpc`]: gRPC between functions, in a JSON envelope or over HTTP/2
//! - [`contention`]: what to do when somebody else was faster
//! - [`secrets`], `aws`: what nobody else may know, and where it is
//! - [`validator`]: what MongoDB itself refuses
//! - [`config`], [`mongo`], [`telemetry`], [`run`], `lambda`, `socket`: the outside world

pub mod address;
pub mod auth;
#[cfg(feature = "lambda")]
pub mod aws;
pub mod clock;
pub mod config;
pub mod contention;
pub mod context;
mod crypto;
pub mod error;
pub mod faults;
pub mod idempotency;
pub mod ids;
pub mod json;
pub mod keys;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod money;
pub mod mongo;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod page;
pub mod query;
pub mod routes;
pub mod rpc;
pub mod run;
pub mod secrets;
#[cfg(feature = "socket")]
pub mod socket;
pub mod telemetry;
pub mod text;
pub mod trace;
pub mod validator;
pub mod version;
