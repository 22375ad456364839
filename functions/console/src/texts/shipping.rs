//! Texts of shipping many orders.
