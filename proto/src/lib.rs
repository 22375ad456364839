//! Protocol between the functions: messages, clients and servers generated from `oms/**/*.proto`.
//!
//! The messages are documented in their .proto files.

/// Money, addresses, pages and problems.
pub mod common {
    /// Version 1 of `oms.common`.
    #[allow(missing_docs, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod v1 {
        tonic::include_proto!("oms.common.v1");
    }
}

/// Orders, from placing to delivery, return and refund.
pub mod orders {
    /// Version 1 of `oms.orders`.
    #[allow(missing_docs, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod v1 {
        tonic::include_proto!("oms.orders.v1");
    }
}

/// Products and their stock.
pub mod products {
    /// Version 1 of `oms.products`.
    #[allow(missing_docs, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod v1 {
        tonic::include_proto!("oms.products.v1");
    }
}

/// Users, sign-in and signing keys.
pub mod users {
    /// Version 1 of `oms.users`.
    #[allow(missing_docs, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod v1 {
        tonic::include_proto!("oms.users.v1");
    }
}

/// Compiled .proto files, for gRPC reflection.
#[cfg(feature = "descriptors")]
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("oms");

/// Paths of the methods that may be repeated, by their `idempotency_level`.
const REPEATABLE: &[&str] = include!(concat!(env!("OUT_DIR"), "/repeatable.rs"));

/// Returns true if a call of the method at this path, `/package.Service/Method`, may be repeated. False for
/// unknown methods.
pub fn may_be_repeated(path: &str) -> bool {
    REPEATABLE.contains(&path)
}

/// Functions that may call each method on their own behalf, by the option `callers`.
const CALLERS: &[(&str, &[&str])] = include!(concat!(env!("OUT_DIR"), "/callers.rs"));

/// Returns the functions that may call the method at this path, `/package.Service/Method`, on their own behalf.
/// `None` for unknown methods.
pub fn callers(path: &str) -> Option<&'static [&'static str]> {
    CALLERS.iter().find(|(method, _)| *method == path).map(|(_, callers)| *callers)
}

/// Returns the paths of all methods.
pub fn methods() -> impl Iterator<Item = &'static str> {
    CALLERS.iter().map(|(path, _)| *path)
}

/// Google's protobuf types that the messages use.
pub use prost_types::{FieldMask, Timestamp};
