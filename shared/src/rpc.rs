//! gRPC between functions: tonic clients and servers over a JSON envelope, since Lambda's Invoke API takes
//! JSON alone, or over HTTP/2 where functions are ordinary services.
//!
//! [`channel`] is what a tonic client talks to, [`server`] where such a call arrives, [`envelope`] the
//! form in between, [`convert`] the messages that all services share. `retry` repeats the calls that may be
//! repeated. `lambda` carries envelopes to functions that are deployed, `http2` calls to those that listen on a
//! socket; [`services`] chooses.

pub mod channel;
pub mod convert;
pub mod envelope;
#[cfg(feature = "socket")]
pub mod http2;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod metadata;
mod retry;
pub mod server;
pub mod services;
