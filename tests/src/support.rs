//! Requests and checks that several tests share, by resource.

pub mod conditional;
pub mod idempotency;
pub mod lists;
pub mod messages;
pub mod orders;
pub mod products;
pub mod raw;
pub mod sign_in;
pub mod user_values;
pub mod users;
