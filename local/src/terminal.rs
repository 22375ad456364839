//! Lines for the person at the terminal, or for the program that reads them.

use std::fmt::Display;
use std::io::Write as _;

/// Writes a line to standard output, as [`println!`] does, but without its panic at a closed pipe.
///
/// A reader may end early, as in `cargo local check | head`. That is no error of the command.
pub fn print_ignoring_epipe(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes a line to standard error in the same way.
pub fn eprint_ignoring_epipe(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
