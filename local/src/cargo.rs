//! Environment for a cargo that is run by a program under cargo.

use std::ffi::OsString;

/// Lists the variables by which cargo describes a package to its test or program.
///
/// They must be removed for an inner cargo. Otherwise `ring` is built again, and once more by the next cargo
/// without them.
pub fn own_variables() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    let starts = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    names.filter(|name| starts.iter().any(|start| name.to_string_lossy().starts_with(start))).collect()
}
