//! Names that only stored documents have: withdrawn currencies, statuses that a newer build knows.
//!
//! A rule for input says which names clients may send. Rules become stricter, and documents outlive them. So
//! what is read from the database or from another function keeps its name, even if no rule allows it today.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Maximum number of unknown names that a process keeps. A shop has a handful.
const MAX_NAMES: usize = 1_000;

/// Maximum length of an unknown name, in bytes.
const MAX_LENGTH: usize = 64;

/// Returns the same name with an unlimited lifetime, so that values that have names are copied cheaply.
///
/// Each distinct name is kept once, for the life of the process.
///
/// # Errors
/// A message if the name is too long, or if the process has met too many of them.
pub fn name(text: &str) -> Result<&'static str, String> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if text.len() > MAX_LENGTH {
        return Err(format!("a name of {} bytes", text.len()));
    }
    // A set stays whole even if its holder panicked.
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(text) {
        return Ok(known);
    }
    if names.len() == MAX_NAMES {
        return Err("one unknown name too many".to_owned());
    }
    let kept: &'static str = Box::leak(Box::from(text));
    names.insert(kept);
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_kept_once() {
        let first = name("archived").unwrap();
        let again = name(&String::from("archived")).unwrap();
        assert_eq!(first, "archived");
        assert!(std::ptr::eq(first, again));
    }

    #[test]
    fn a_name_without_end_is_refused() {
        assert!(name(&"x".repeat(MAX_LENGTH)).is_ok());
        assert!(name(&"x".repeat(MAX_LENGTH + 1)).is_err());
    }
}
