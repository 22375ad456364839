//! gRPC between functions: tonic clients and servers over a JSON envelope, since Lambda's Invoke API takes
//! JSON alone.
//!
//! [`channel`] is what a tonic client talks to, [`entrance`] where such a call arrives, [`envelope`] the
//! form in between, [`convert`] the messages that all services share. `lambda` carries envelopes to functions
//! that are deployed.

pub mod channel;
pub mod convert;
pub mod entrance;
pub mod envelope;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod metadata;
