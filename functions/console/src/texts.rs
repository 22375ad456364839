//! All texts of the console, in English. Texts of one page are in the module of its name.

pub(crate) mod health;
pub(crate) mod live;
pub(crate) mod order;
pub(crate) mod orders;
pub(crate) mod pasted;
pub(crate) mod product;
pub(crate) mod products;
pub(crate) mod shipping;
pub(crate) mod sign_in;
pub(crate) mod slips;
pub(crate) mod user;
pub(crate) mod users;

/// Language of all texts, for `<html lang>`.
pub(crate) const LANGUAGE: &str = "en";
/// Name of the console, in the header and after each title.
pub(crate) const CONSOLE: &str = "Console";
/// Link at the top of each page, for keyboards and screen readers.
pub(crate) const SKIP: &str = "Skip to content";
/// Name of the navigation for screen readers.
pub(crate) const NAVIGATION: &str = "Main";
/// Link to the list of orders.
pub(crate) const ORDERS: &str = "Orders";
/// Link to the list of products.
pub(crate) const PRODUCTS: &str = "Products";
/// Link to the list of users.
pub(crate) const USERS: &str = "Users";
/// Link to the health of the shop.
pub(crate) const HEALTH: &str = "Health";
/// Words before the name of the user, for screen readers.
pub(crate) const SIGNED_IN_AS: &str = "Signed in as";
/// Mark of an admin.
pub(crate) const ADMIN: &str = "admin";
/// Button that ends the session.
pub(crate) const SIGN_OUT: &str = "Sign out";
/// Placeholder of an absent value.
pub(crate) const NONE: &str = "–";
/// Words before the request ID of an error page.
pub(crate) const REQUEST_ID: &str = "Request ID";
/// Link of an error page.
pub(crate) const TO_START: &str = "To the orders";
/// Detail of a path without a page.
pub(crate) const NO_SUCH_PAGE: &str = "There is no page at this address.";
/// Detail of a method that a path does not have.
pub(crate) const NO_SUCH_METHOD: &str = "This address takes no request of this kind.";
/// Detail of a form from another site.
pub(crate) const FOREIGN_FORM: &str =
    "The form was not sent from a page of this console. Nothing was changed.";
/// Detail of a form of another session.
pub(crate) const OLD_FORM: &str =
    "The form belongs to another session. This time nothing was changed. Open the page again.";
/// Detail of a body of another type.
pub(crate) const NO_FORM: &str = "The body must be sent as application/x-www-form-urlencoded.";
/// Detail of a form above the limit.
pub(crate) const LARGE_FORM: &str = "The form must be at most 1 MB.";
/// Detail of a form with too many fields.
pub(crate) const MANY_FIELDS: &str = "The form must have at most 2,000 fields.";
/// Detail of a form that was interrupted.
pub(crate) const BROKEN_FORM: &str = "The form did not arrive whole. Nothing was changed.";
/// Fault of a field that must be a number.
pub(crate) const NO_NUMBER: &str = "must be a whole number";
/// Place of a fault of the form as a whole.
pub(crate) const FORM: &str = "The form";
