//! Cargo, run by a program that cargo itself has run.

use std::ffi::OsString;

/// The variables by which cargo tells a test or a program of its package. A cargo that is run from there must not
/// see them: `ring` would be built again, and once more by the next one that does not.
pub fn own_variables() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    let starts = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    names.filter(|name| starts.iter().any(|start| name.to_string_lossy().starts_with(start))).collect()
}
