//! gRPC between functions, with tonic clients and servers. On Lambda, whose Invoke API takes only JSON, calls
//! travel in a JSON envelope. Between ordinary services they travel over HTTP/2.
//!
//! [`channel`] is the transport of tonic clients, [`server`] receives the calls, and [`envelope`] is the
//! format in between. [`convert`] converts the messages that all services share. `retry` repeats calls that
//! may be repeated. `signature` proves to a function on a socket that a function calls. `lambda` carries envelopes to deployed functions, and `http2` carries calls to functions
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
#[cfg(feature = "socket")]
pub mod signature;
