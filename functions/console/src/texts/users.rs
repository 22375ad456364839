//! Texts of the list of users.
