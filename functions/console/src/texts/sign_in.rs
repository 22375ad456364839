//! Texts of the sign-in page.

/// Title of the page.
pub(crate) const TITLE: &str = "Sign in";
/// Label of the e-mail address.
pub(crate) const EMAIL: &str = "E-mail address";
/// Label of the password.
pub(crate) const PASSWORD: &str = "Password";
/// Button of the form.
pub(crate) const SIGN_IN: &str = "Sign in";
/// Refusal of a customer.
pub(crate) const STAFF_ONLY: &str = "The console is for staff. This account is a customer's.";
/// Refusal of a wrong address or password.
pub(crate) const WRONG: &str = "Wrong e-mail address or password, or the user is disabled.";
/// Link for a browser that has a session, and did not send it.
pub(crate) const CONTINUE: &str = "Already signed in? Continue";
/// Warning after a sign-out whose session could not be ended.
pub(crate) const ENDED_HERE: &str =
    "You are signed out here. The session could not be ended everywhere; it ends by itself.";
