//! Texts of the list of users.

pub(crate) const TITLE: &str = "Users";
pub(crate) const NEW: &str = "Create a user";

pub(crate) const SEARCH: &str = "E-mail address";
pub(crate) const SEARCH_HINT: &str = "Whole address, in any case";
pub(crate) const FILTERS: &str = "Filters";
pub(crate) const APPLY: &str = "Apply";
pub(crate) const CLEAR: &str = "Clear all filters";
pub(crate) const NAME: &str = "Name";
pub(crate) const EMAIL: &str = "E-mail address";
pub(crate) const ROLE: &str = "Role";
pub(crate) const STATUS: &str = "Status";
pub(crate) const UPDATED_FROM: &str = "Changed from, in UTC";
pub(crate) const UPDATED_TO: &str = "Changed before, in UTC";
pub(crate) const SORT: &str = "Sort by";
pub(crate) const CREATED_AT: &str = "Created";
pub(crate) const UPDATED_AT: &str = "Changed";

/// Roles of a user, by the API's names.
pub(crate) const ROLES: [(&str, &str); 3] =
    [("customer", "Customer"), ("staff", "Staff"), ("admin", "Admin")];

/// Statuses of a user, by the API's names.
pub(crate) const STATUSES: [(&str, &str); 2] = [("active", "Active"), ("disabled", "Disabled")];

/// Orders of the list, by the API's names. The first is the default.
pub(crate) const SORTS: [(&str, &str); 4] = [
    ("-created_at", "Created, newest first"),
    ("created_at", "Created, oldest first"),
    ("-updated_at", "Changed, newest first"),
    ("updated_at", "Changed, oldest first"),
];

pub(crate) const PAGES: &str = "Pages";
pub(crate) const FIRST_PAGE: &str = "First page";
pub(crate) const MORE: &str = "More";

pub(crate) const NONE_MATCH: &str = "No user matches these filters.";
pub(crate) const NO_MORE: &str = "There are no more users.";
pub(crate) const ALL_USERS: &str = "Show all users";

/// Fault of a filter that must be a time.
pub(crate) const NO_TIME: &str = "must be a date, or a date and time in UTC, such as 2026-11-22T19:22";

/// Text for the word of a change that succeeded.
pub(crate) fn done(word: &str) -> Option<&'static str> {
    match word {
        "deleted" => Some("The user is deleted."),
        _ => None,
    }
}

/// Label of a role or status. An unknown one is shown as it is.
pub(crate) fn label<'a>(known: &[(&str, &'a str)], name: &'a str) -> &'a str {
    known.iter().find(|(known, _)| *known == name).map_or(name, |(_, label)| *label)
}
