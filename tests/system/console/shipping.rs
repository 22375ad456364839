//! Shipping many orders, and packing slips.
