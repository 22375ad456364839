//! Lists that refresh by themselves.

/// Sentence for screen readers. The script puts both numbers in.
pub(crate) const NEWS: &str = "The list has changed. New rows: {added}. Changed rows: {changed}.";
/// Sentence after the end of the session, before the link.
pub(crate) const OVER: &str = "Your session has ended, so this list is not refreshed.";
/// Link to the sign-in page.
pub(crate) const SIGN_IN: &str = "Sign in again";
/// Sentence while the server fails, before the link.
pub(crate) const AWAY: &str = "This list is not up to date: the server does not answer. It is tried again.";
/// Link to the page itself.
pub(crate) const RELOAD: &str = "Reload the page";
