//! Texts of lists that refresh by themselves.
