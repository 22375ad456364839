//! The protocol between the functions: messages, clients and servers generated from `oms/**/*.proto`.
//!
//! The comments that explain a message stand in its .proto file.

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

/// The compiled .proto files, as gRPC's reflection tells them.
#[cfg(feature = "descriptors")]
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("oms");

/// The paths of the methods that may be repeated: their `idempotency_level` says so.
const REPEATABLE: &[&str] = include!(concat!(env!("OUT_DIR"), "/repeatable.rs"));

/// Whether a call of the method at this path, `/package.Service/Method`, may be repeated. Of a method that is not
/// known it may not.
pub fn may_be_repeated(path: &str) -> bool {
    REPEATABLE.contains(&path)
}

/// The protobuf types of Google that the messages use.
pub use prost_types::{FieldMask, Timestamp};
