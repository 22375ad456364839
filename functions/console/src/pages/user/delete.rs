//! Page that asks before a user is deleted.

use axum::extract::Path;
use maud::{Markup, html};
use proto::users::v1::{DeleteUserRequest, User};
use shared::error::Error;

use super::field::hidden;
use super::{below, expected_version, fetch, in_words, is_own, may_change, without_user};
use crate::http::{Answer, Fields, Place, Visit};
use crate::layout;
use crate::pages::users;
use crate::texts::user as texts;
use crate::texts::users::{ROLES, label};

/// Asks, and says the consequences.
pub(super) async fn ask(visit: Visit, Path(id): Path<String>) -> Answer {
    let user = fetch(&visit, &id).await?;
    if !may_change(&visit, &user) {
        return Err(Error::forbidden(texts::MAY_NOT_DELETE).into());
    }
    let body = body(&visit, &user, &html! {});
    Ok(visit.page(texts::DELETE_TITLE, Place::Users, body))
}

/// Deletes the user. Redirects to the list, or asks again with the reason for the refusal.
pub(super) async fn send(visit: Visit, Path(id): Path<String>, fields: Fields) -> Answer {
    let error = match delete(&visit, &id, &fields).await {
        Ok(()) => return Ok(visit.redirect(&format!("{}?done=deleted", users::LIST))),
        Err(error) => error,
    };
    let note = html! {
        (layout::problem(&error))
        (layout::unknown(&error, false))
    };
    match fetch(&visit, &id).await {
        Ok(user) => {
            let body = body(&visit, &user, &note);
            Ok(visit.refused(&error, texts::DELETE_TITLE, Place::Users, body))
        }
        Err(missing) => without_user(&visit, &error, &note, missing),
    }
}

async fn delete(visit: &Visit, id: &str, fields: &Fields) -> Result<(), Error> {
    let expected_version = Some(expected_version(fields)?);
    let request = DeleteUserRequest { id: id.to_owned(), expected_version };
    let sent = visit.users().delete_user(visit.request(request)).await;
    sent.map_err(|status| in_words(status.into(), texts::STALE_DELETE))?;
    Ok(())
}

fn body(visit: &Visit, user: &User, note: &Markup) -> Markup {
    let fields = html! {
        (hidden("version", &user.version.to_string()))
        div.actions {
            button.danger { (texts::DELETE_BUTTON) }
            a href=(visit.path(&below(user, ""))) { (texts::KEEP) }
        }
    };
    html! {
        h1 { (texts::DELETE_TITLE) }
        (note)
        section.card {
            dl.facts {
                dt { (texts::NAME) } dd { bdi { (user.name) } }
                dt { (texts::EMAIL) } dd { (user.email) }
                dt { (texts::ROLE) } dd { (label(&ROLES, &user.role)) }
                dt { (texts::STATUS) } dd { (layout::badge(&user.status)) }
                dt { (texts::UPDATED_AT) } dd { (layout::time(user.updated_at.as_ref())) }
            }
            @if is_own(visit, user) { p { strong { (texts::DELETE_OWN) } } }
            ul {
                @for consequence in texts::CONSEQUENCES { li { (consequence) } }
            }
            @if may_change(visit, user) { (visit.form(&below(user, "/delete"), fields)) }
        }
    }
}
