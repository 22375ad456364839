//! Forms of the page and their handlers: edit, role and status, new password.

use axum::extract::Path;
use maud::{Markup, html};
use proto::FieldMask;
use proto::users::v1::{UpdateUserRequest, User};
use shared::error::Error;

use super::field::{EMAIL, Form, Inputs, NAME, PHONE, Sent};
use super::{address, below, body, card, expected_version, fetch, in_words, is_own, password, without_user};
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::texts::user as texts;
use crate::texts::users::{ROLES, STATUSES};

/// Renders the forms that the caller may send, one of them with what was sent.
pub(super) fn cards(visit: &Visit, user: &User, sent: Option<&Sent<'_>>) -> Markup {
    html! {
        (edit_card(visit, user, Inputs::of(Form::Edit, sent)))
        @if visit.is_admin() { (access_card(visit, user, Inputs::of(Form::Access, sent))) }
        (password_card(visit, user, Inputs::of(Form::Password, sent)))
        (card(texts::DELETE, &html! {
            p { a href=(visit.path(&below(user, "/delete"))) { (texts::DELETE_LINK) } }
        }))
    }
}

fn edit_card(visit: &Visit, user: &User, inputs: Inputs<'_>) -> Markup {
    let fields = html! {
        (inputs.version(user.version))
        (inputs.text(&NAME, &user.name))
        (inputs.text(&EMAIL, &user.email))
        // Admins need no password for others.
        @if is_own(visit, user) { (inputs.password("current_password", texts::CURRENT_FOR_EMAIL, false)) }
        (inputs.text(&PHONE, user.phone.as_deref().unwrap_or_default()))
        (address::fields(inputs, user.address.as_ref()))
        div.actions { button { (texts::EDIT_BUTTON) } }
    };
    card(texts::EDIT, &visit.form(&below(user, ""), fields))
}

fn access_card(visit: &Visit, user: &User, inputs: Inputs<'_>) -> Markup {
    let hint = if is_own(visit, user) { texts::ACCESS_HINT_OWN } else { texts::ACCESS_HINT };
    let fields = html! {
        (inputs.version(user.version))
        (inputs.choice("role", texts::ROLE, &ROLES, &user.role))
        (inputs.choice("status", texts::STATUS, &STATUSES, &user.status))
        div.actions { button { (texts::ACCESS_BUTTON) } }
    };
    let content = html! {
        p.muted { (hint) }
        // Who disables their own user cannot undo it.
        @if !is_own(visit, user) { p.muted { (texts::SESSIONS_HINT) } }
        (visit.form(&below(user, "/access"), fields))
    };
    card(texts::ACCESS, &content)
}

fn password_card(visit: &Visit, user: &User, inputs: Inputs<'_>) -> Markup {
    let is_own = is_own(visit, user);
    let fields = html! {
        (inputs.version(user.version))
        @if is_own { (inputs.password("current_password", texts::CURRENT_PASSWORD, true)) }
        (inputs.password("password", texts::NEW_PASSWORD, true))
        div.actions { button { (texts::PASSWORD_BUTTON) } }
    };
    let content = html! {
        p.muted { (if is_own { texts::PASSWORD_HINT_OWN } else { texts::PASSWORD_HINT }) }
        (visit.form(&below(user, "/password"), fields))
    };
    card(texts::PASSWORD, &content)
}

/// Changes name, e-mail address, phone and address.
pub(super) async fn edit(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    answer(&visit, &id, Form::Edit, &fields, edited(&id, &fields)).await
}

/// Changes role and status.
pub(super) async fn change_access(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    answer(&visit, &id, Form::Access, &fields, with_access(&id, &fields)).await
}

/// Sets a new password.
pub(super) async fn set_password(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    answer(&visit, &id, Form::Password, &fields, with_password(&id, &fields)).await
}

/// Sends a change. Redirects to the changed user, or shows the form again with the reason for its refusal.
async fn answer(
    visit: &Visit,
    id: &str,
    form: Form,
    fields: &Fields,
    request: Result<UpdateUserRequest, Error>,
) -> Answer {
    let changed = match request {
        Ok(request) => update(visit, request).await,
        Err(error) => Err(error),
    };
    let error = match changed {
        Ok(user) => {
            let done = match form {
                Form::New => "created",
                Form::Edit => "saved",
                Form::Access => "access",
                Form::Password => "password",
            };
            // Without their session, who changed their own user comes to the sign-in page.
            return Ok(visit.redirect(&below(&user, &format!("?done={done}"))));
        }
        Err(error) => error,
    };
    let note = html! {
        (layout::problem(&error))
        // A change of a user has no key.
        (layout::unknown(&error, false))
    };
    // The user as they are now, beside the fields as they were sent.
    match fetch(visit, id).await {
        Ok(user) => {
            let sent = Sent { form, fields, error: &error };
            let body = body(visit, &user, &note, Some(&sent));
            Ok(visit.refused(&error, &user.name, Place::Users, body))
        }
        Err(missing) => without_user(visit, &error, &note, missing),
    }
}

async fn update(visit: &Visit, request: UpdateUserRequest) -> Result<User, Error> {
    let sent = visit.users().update_user(visit.request(request)).await;
    Ok(sent.map_err(|status| in_words(status.into(), texts::STALE))?.into_inner())
}

/// Change of name, e-mail address, phone and address. Empty fields clear the last two.
fn edited(id: &str, fields: &Fields) -> Result<UpdateUserRequest, Error> {
    let text = |name: &str| fields.get(name).map(str::to_owned);
    Ok(UpdateUserRequest {
        id: id.to_owned(),
        // An absent one would stay as it is. An empty one is refused, with the API's own words.
        name: Some(text("name").unwrap_or_default()),
        email: Some(text("email").unwrap_or_default()),
        phone: text("phone"),
        address: address::sent(fields),
        current_password: password(fields, "current_password"),
        update_mask: Some(FieldMask { paths: vec!["phone".to_owned(), "address".to_owned()] }),
        expected_version: Some(expected_version(fields)?),
        ..Default::default()
    })
}

/// Change of role and status.
fn with_access(id: &str, fields: &Fields) -> Result<UpdateUserRequest, Error> {
    Ok(UpdateUserRequest {
        id: id.to_owned(),
        role: fields.get("role").map(str::to_owned),
        status: fields.get("status").map(str::to_owned),
        expected_version: Some(expected_version(fields)?),
        ..Default::default()
    })
}

/// Change of the password.
fn with_password(id: &str, fields: &Fields) -> Result<UpdateUserRequest, Error> {
    Ok(UpdateUserRequest {
        id: id.to_owned(),
        password: Some(password(fields, "password").unwrap_or_default()),
        current_password: password(fields, "current_password"),
        expected_version: Some(expected_version(fields)?),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_clear_phone_and_address() {
        let change = edited("u", &Fields::of("/x", "name=Ada&email=&phone=+&version=3")).unwrap();
        assert_eq!((change.name.as_deref(), change.email.as_deref()), (Some("Ada"), Some("")));
        assert_eq!((change.phone, change.address, change.current_password), (None, None, None));
        assert_eq!(change.update_mask.unwrap().paths, ["phone", "address"]);
        assert_eq!(change.expected_version, Some(3));
    }

    #[test]
    fn each_form_changes_its_own_fields_alone() {
        let all = "name=Ada&role=admin&status=active&password=secret&version=3";
        let fields = Fields::of("/x", all);
        let edited = edited("u", &fields).unwrap();
        assert_eq!((edited.role, edited.status, edited.password), (None, None, None));
        let access = with_access("u", &fields).unwrap();
        assert_eq!((access.name, access.password), (None, None));
        assert_eq!((access.role.as_deref(), access.status.as_deref()), (Some("admin"), Some("active")));
        let password = with_password("u", &fields).unwrap();
        assert_eq!((password.name, password.role, password.status), (None, None, None));
        assert_eq!(password.password.as_deref(), Some("secret"));
    }
}
