//! Texts of the page of one user, and of those that create and delete one.

pub(crate) const FACTS: &str = "User";
pub(crate) const NAME: &str = "Name";
pub(crate) const EMAIL: &str = "E-mail address";
pub(crate) const PHONE: &str = "Phone";
pub(crate) const ROLE: &str = "Role";
pub(crate) const STATUS: &str = "Status";
pub(crate) const CREATED_AT: &str = "Created";
pub(crate) const UPDATED_AT: &str = "Changed";
pub(crate) const ID: &str = "ID";
pub(crate) const ORDERS: &str = "Orders of this user";
pub(crate) const VIEW_ONLY: &str = "Only admins may change other users.";

pub(crate) const ADDRESS: &str = "Address";
pub(crate) const RECIPIENT: &str = "Recipient";
pub(crate) const COMPANY: &str = "Company";
pub(crate) const LINE1: &str = "Street and number";
pub(crate) const LINE2: &str = "Flat, floor or care of";
pub(crate) const POSTAL_CODE: &str = "Postal code";
pub(crate) const CITY: &str = "City";
pub(crate) const REGION: &str = "State or region";
pub(crate) const COUNTRY: &str = "Country code";
pub(crate) const ADDRESS_PHONE: &str = "Phone of the recipient";
pub(crate) const ADDRESS_HINT: &str = "Leave all of these fields empty for no address. Otherwise the street, the city \
     and a country code such as DE are required.";

pub(crate) const EDIT: &str = "Edit";
pub(crate) const EDIT_BUTTON: &str = "Save";
pub(crate) const CURRENT_PASSWORD: &str = "Current password";
pub(crate) const CURRENT_FOR_EMAIL: &str = "Current password, for a new e-mail address";

pub(crate) const ACCESS: &str = "Role and status";
pub(crate) const ACCESS_HINT: &str = "Only active users can sign in. A change of role or status ends all sessions of \
     this user at once.";
pub(crate) const ACCESS_HINT_OWN: &str = "This is your own user. A change of role or status ends all of your sessions, \
     this one too.";
pub(crate) const SESSIONS_HINT: &str = "To end all sessions and change nothing else, disable the user, then make them \
     active again.";
pub(crate) const ACCESS_BUTTON: &str = "Save role and status";

pub(crate) const PASSWORD: &str = "Set a new password";
pub(crate) const PASSWORD_HINT: &str = "A new password ends all sessions of this user at once. It is not sent to \
     them: tell them by another way.";
pub(crate) const PASSWORD_HINT_OWN: &str = "A new password ends all of your sessions, this one too. Then sign in with \
     the new one.";
pub(crate) const NEW_PASSWORD: &str = "New password, 12 to 128 characters";
pub(crate) const PASSWORD_BUTTON: &str = "Set password";

pub(crate) const DELETE: &str = "Delete";
pub(crate) const DELETE_LINK: &str = "Delete this user…";
pub(crate) const DELETE_TITLE: &str = "Delete a user";
pub(crate) const DELETE_BUTTON: &str = "Delete this user for good";
pub(crate) const KEEP: &str = "Keep this user";
pub(crate) const CONSEQUENCES: [&str; 4] = [
    "All of their sessions end at once, and they cannot sign in again.",
    "Name, e-mail address, phone, address and password are removed. This cannot be undone.",
    "Their orders stay and go on, with the ID of the user and their addresses.",
    "Another user can have the e-mail address afterwards.",
];
pub(crate) const DELETE_OWN: &str = "This is your own user. Deleting it also signs you out.";
pub(crate) const MAY_NOT_DELETE: &str = "Only admins may delete another user.";

pub(crate) const NEW: &str = "Create a user";
pub(crate) const NEW_HINT: &str = "Nothing is sent to the user: tell them their password by another way.";
pub(crate) const NEW_BUTTON: &str = "Create user";
pub(crate) const MAY_NOT_CREATE: &str = "Only admins may create users here.";

pub(crate) const STALE: &str = "It was changed since you opened this page, by somebody else or by sending this form \
     twice. Look whether your change is there, then send it again if not. The page shows it as it is now; your fields \
     are kept, but for passwords.";
pub(crate) const STALE_DELETE: &str = "The user was changed since you opened this page, and is not deleted. The page \
     shows the user as it is now. Do you still want to delete it?";
pub(crate) const SENT_BEFORE: &str = "This form was sent before with other values, so a user may have been created. \
     Look for the e-mail address in the list of users first.";

/// Text for the word of a change that succeeded.
pub(crate) fn done(word: &str) -> Option<&'static str> {
    match word {
        "created" => Some("The user is created."),
        "saved" => Some("The user is saved."),
        "access" => Some("Role and status are saved."),
        "password" => Some("The new password is set, and all earlier sessions have ended."),
        _ => None,
    }
}
