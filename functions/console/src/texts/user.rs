//! Texts of one user.
