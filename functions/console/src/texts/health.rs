//! Texts of the health of the shop.
