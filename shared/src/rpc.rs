//! gRPC between functions: tonic clients and servers, over a JSON envelope on Lambda, whose Invoke API takes
//! only JSON, or over HTTP/2 between ordinary services.
//!
//! [`channel`] is the transport of tonic clients, [`server`] receives the calls, and [`envelope`] is the
//! format in between. [`convert`] converts the messages that all services share. `retry` repeats calls that
//! may be repeated. `lambda` carries envelopes to deployed functions, and `http2` carries calls to functions
//! that listen on a socket. [`services`] chooses between the two.

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
