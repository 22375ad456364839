//! Lists that refresh by themselves.
