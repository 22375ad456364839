//! Page that creates a user.

use maud::{Markup, html};
use proto::users::v1::{CreateUserRequest, User};
use shared::error::Error;

use super::field::{EMAIL, Form, Inputs, NAME, PHONE, Sent};
use super::{NEW, address, below, in_words, password};
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::texts::user as texts;
use crate::texts::users::ROLES;

/// Shows the empty form.
pub(super) async fn show(visit: Visit) -> Answer {
    check(&visit)?;
    let body = body(&visit, &html! {}, None);
    Ok(visit.page(texts::NEW, Place::Users, body))
}

/// Creates a user. Redirects to their page, or shows the form again with the reason for its refusal.
pub(super) async fn send(visit: Visit, fields: Fields) -> Answer {
    check(&visit)?;
    let error = match create(&visit, &fields).await {
        Ok(user) => return Ok(visit.redirect(&below(&user, "?done=created"))),
        Err(error) => error,
    };
    let visit = visit.after(&error, &fields);
    let note = html! {
        (layout::problem(&error))
        (layout::unknown(&error, true))
    };
    let sent = Sent { form: Form::New, fields: &fields, error: &error };
    let body = body(&visit, &note, Some(&sent));
    Ok(visit.refused(&error, texts::NEW, Place::Users, body))
}

/// Refuses all but admins.
fn check(visit: &Visit) -> Result<(), Error> {
    if visit.is_admin() { Ok(()) } else { Err(Error::forbidden(texts::MAY_NOT_CREATE)) }
}

fn body(visit: &Visit, note: &Markup, sent: Option<&Sent<'_>>) -> Markup {
    let inputs = Inputs::of(Form::New, sent);
    let fields = html! {
        (inputs.text(&NAME, ""))
        (inputs.text(&EMAIL, ""))
        (inputs.password("password", texts::NEW_PASSWORD, true))
        (inputs.choice("role", texts::ROLE, &ROLES, "customer"))
        (inputs.text(&PHONE, ""))
        (address::fields(inputs, None))
        div.actions { button { (texts::NEW_BUTTON) } }
    };
    html! {
        h1 { (texts::NEW) }
        (note)
        section.card {
            p.muted { (texts::NEW_HINT) }
            (visit.form(NEW, fields))
        }
    }
}

async fn create(visit: &Visit, fields: &Fields) -> Result<User, Error> {
    let sent = visit.users().create_user(visit.request_once(request(fields), fields)).await;
    Ok(sent.map_err(|status| in_words(status.into(), texts::STALE))?.into_inner())
}

fn request(fields: &Fields) -> CreateUserRequest {
    let text = |name: &str| fields.get(name).map(str::to_owned);
    CreateUserRequest {
        email: text("email"),
        password: password(fields, "password"),
        name: text("name"),
        phone: text("phone"),
        address: address::sent(fields),
        role: text("role"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_all_fields_of_the_form() {
        let body = "email=a%40example.com&password=+x+&name=Ada&phone=&role=staff&address%2Fline1=1+Way";
        let request = request(&Fields::of(NEW, body));
        assert_eq!(request.email.as_deref(), Some("a@example.com"));
        assert_eq!(request.password.as_deref(), Some(" x "));
        assert_eq!((request.name.as_deref(), request.phone), (Some("Ada"), None));
        assert_eq!(request.role.as_deref(), Some("staff"));
        assert_eq!(request.address.map(|address| address.line1).as_deref(), Some("1 Way"));
    }
}
