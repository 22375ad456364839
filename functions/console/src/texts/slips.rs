//! Texts of packing slips.
