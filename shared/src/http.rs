//! HTTP parts common to all functions: routes, conditional requests and idempotency keys.

pub mod base_path;
pub mod conditional;
pub mod edge;
pub mod idempotency;
pub mod routes;
