//! HTTP as every function speaks it: routes, conditional requests and idempotency keys.

pub mod conditional;
pub mod idempotency;
pub mod routes;
