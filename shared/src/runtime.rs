//! Process around a function: configuration, secrets, logs, and the host that delivers requests.

#[cfg(feature = "lambda")]
pub mod aws;
pub mod config;
pub mod context;
pub(crate) mod crypto;
#[cfg(feature = "socket")]
pub mod health;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "listener")]
pub mod listener;
pub mod metrics;
pub mod run;
#[cfg(feature = "lambda")]
mod runtime_api;
pub mod secrets;
#[cfg(feature = "socket")]
pub mod socket;
pub mod spans;
mod switch;
#[cfg(feature = "lambda")]
pub mod task;
pub mod telemetry;
pub mod trace;
