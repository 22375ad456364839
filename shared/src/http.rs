//! HTTP parts common to all functions: routes, conditional requests and idempotency keys.

pub mod conditional;
pub mod idempotency;
pub mod routes;
