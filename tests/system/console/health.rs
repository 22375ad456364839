//! Health of the shop.
