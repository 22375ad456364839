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

/// Prints progress to standard error.
pub(crate) fn report(line: &str) {
    eprint_ignoring_epipe(line);
}

/// Quotes a word for a POSIX shell.
pub(crate) fn shell_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_value_as_it_is() {
        assert_eq!(shell_quoted("mongodb://a/?b=c&d=$e"), "'mongodb://a/?b=c&d=$e'");
        assert_eq!(shell_quoted("it's"), r"'it'\''s'");
    }
}
