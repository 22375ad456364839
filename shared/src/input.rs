//! Parsing of requests into values: JSON bodies, query parameters, pages, and the errors found in them.

pub mod json;
pub mod page;
pub mod query;
pub mod validation;
