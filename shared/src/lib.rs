//! Building blocks shared by two or more functions. Business rules do not live here.
//!
//! From the bottom up: a folder uses those above it in this list, and [`error`] and [`runtime::context`]
//! everywhere.
//!
//! - [`values`]: IDs, money, addresses, times and text, checked on construction
//! - [`input`]: validation of bodies and queries, pages and cursors
//! - [`error`]: the application error, as problem details (RFC 9457) and as gRPC status
//! - [`auth`]: roles, access rules, access tokens and their verification
//! - [`mongo`]: connection, transactions, schema, keyset pagination
//! - [`rpc`]: gRPC between functions, in JSON envelopes or over HTTP/2
//! - [`http`]: routes, conditional requests, idempotency keys
//! - [`runtime`]: configuration, secrets, telemetry, and the hosts: Lambda or a socket
//! - `openapi`: schemas and operations of the OpenAPI document, behind the feature of that name

pub mod auth;
pub mod error;
pub mod http;
pub mod input;
pub mod mongo;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod rpc;
pub mod runtime;
pub mod values;
