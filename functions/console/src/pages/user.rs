//! Page of one user, and the pages that create and delete one.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use maud::{Markup, html};
use proto::users::v1::{GetUserRequest, User};
use shared::error::{Error, Kind};

use crate::http::{Answer, Fields, Place, Query, Visit};
use crate::pages::users;
use crate::texts::user as texts;
use crate::texts::users::{ROLES, label};
use crate::{Console, layout};

mod address;
mod create;
mod delete;
mod field;
mod forms;

use field::Sent;

/// Path of the page that creates a user.
pub(super) const NEW: &str = "/console/users/new";

/// Routes of the pages.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(NEW, get(create::show).post(create::send))
        .route("/console/users/{id}", get(show).post(forms::edit))
        .route("/console/users/{id}/access", post(forms::change_access))
        .route("/console/users/{id}/password", post(forms::set_password))
        .route("/console/users/{id}/delete", get(delete::ask).post(delete::send))
}

/// Shows a user: one call.
async fn show(visit: Visit, Path(id): Path<String>, query: Query) -> Answer {
    let user = fetch(&visit, &id).await?;
    let done = query.get("done").and_then(texts::done);
    let note = html! { @if let Some(text) = done { (layout::done(text)) } };
    let body = body(&visit, &user, &note, None);
    Ok(visit.page(&user.name, Place::Users, body))
}

/// Asks for a user.
async fn fetch(visit: &Visit, id: &str) -> Result<User, Error> {
    let request = visit.request(GetUserRequest { id: id.to_owned(), email: None });
    Ok(visit.users().get_user(request).await?.into_inner())
}

/// True for the user who is signed in.
fn is_own(visit: &Visit, user: &User) -> bool {
    visit.user_id() == user.id
}

/// True if the caller may change and delete this user. The users function decides; this only offers.
fn may_change(visit: &Visit, user: &User) -> bool {
    visit.is_admin() || is_own(visit, user)
}

/// Renders the page. `note` is the outcome of a form, and `sent` one that is shown again.
fn body(visit: &Visit, user: &User, note: &Markup, sent: Option<&Sent<'_>>) -> Markup {
    html! {
        h1 { bdi { (user.name) } " " (layout::badge(&user.status)) }
        (note)
        div.cards {
            (facts(visit, user))
            @if may_change(visit, user) { (forms::cards(visit, user, sent)) }
        }
    }
}

fn facts(visit: &Visit, user: &User) -> Markup {
    let orders = visit.path(&format!("/console/orders?user_id={}", user.id));
    html! {
        section.card {
            h2 { (texts::FACTS) }
            dl.facts {
                dt { (texts::NAME) } dd { bdi { (user.name) } }
                dt { (texts::EMAIL) } dd { (user.email) }
                @if let Some(phone) = &user.phone { dt { (texts::PHONE) } dd { bdi { (phone) } } }
                @if let Some(address) = &user.address { dt { (texts::ADDRESS) } dd { (layout::address(address)) } }
                dt { (texts::ROLE) } dd { (label(&ROLES, &user.role)) }
                dt { (texts::STATUS) } dd { (layout::badge(&user.status)) }
                dt { (texts::CREATED_AT) } dd { (layout::time(user.created_at.as_ref())) }
                dt { (texts::UPDATED_AT) } dd { (layout::time(user.updated_at.as_ref())) }
                dt { (texts::ID) } dd { code { (user.id) } }
            }
            p { a href=(orders) { (texts::ORDERS) } }
            @if !may_change(visit, user) { p.muted { (texts::VIEW_ONLY) } }
        }
    }
}

/// Version that the page showed. No user has version 0: a form without a version changes nothing.
fn expected_version(fields: &Fields) -> Result<i64, Error> {
    Ok(fields.number("version")?.unwrap_or(0))
}

/// Password of a field as it was sent. `None` if it is absent or empty.
fn password(fields: &Fields, name: &str) -> Option<String> {
    fields.exact(name).filter(|password| !password.is_empty()).map(str::to_owned)
}

/// Error with a detail for people instead of programs. `stale` is for a page that is an old one.
fn in_words(error: Error, stale: &str) -> Error {
    match error.kind() {
        Kind::VersionMismatch => Error::new(Kind::VersionMismatch, stale),
        Kind::IdempotencyKeyReused => Error::new(Kind::IdempotencyKeyReused, texts::SENT_BEFORE),
        _ => error,
    }
}

/// Answers with a page about a refusal for which there is no user to show.
///
/// # Errors
/// The error of the missing user, unless the outcome of the form is unknown, which must be told.
fn without_user(visit: &Visit, error: &Error, note: &Markup, missing: Error) -> Answer {
    if !layout::is_unknown(error) {
        return Err(missing.into());
    }
    let title = error.kind().title();
    let body = html! { h1 { (title) } (note) };
    Ok(visit.refused(error, title, Place::Users, body))
}

/// Card with a heading and what it holds.
fn card(title: &str, content: &Markup) -> Markup {
    html! {
        section.card {
            h2 { (title) }
            (content)
        }
    }
}

/// Path of a form or page below that of the user.
fn below(user: &User, rest: &str) -> String {
    format!("{}{rest}", users::path(&user.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_without_a_version_changes_nothing() {
        assert_eq!(expected_version(&Fields::of("/x", "version=7")).unwrap(), 7);
        assert_eq!(expected_version(&Fields::of("/x", "")).unwrap(), 0);
        assert!(expected_version(&Fields::of("/x", "version=x")).is_err());
    }

    #[test]
    fn a_password_is_taken_as_it_was_sent() {
        let fields = Fields::of("/x", "one=+a+b+&two=");
        assert_eq!(password(&fields, "one").as_deref(), Some(" a b "));
        assert_eq!((password(&fields, "two"), password(&fields, "three")), (None, None));
    }

    #[test]
    fn a_stale_page_is_explained_in_words() {
        let stale = in_words(Error::new(Kind::VersionMismatch, "`If-Match` …"), texts::STALE);
        assert_eq!((stale.kind(), stale.detail()), (Kind::VersionMismatch, texts::STALE));
        let other = in_words(Error::new(Kind::LastAdmin, "The last one."), texts::STALE);
        assert_eq!(other.detail(), "The last one.");
    }
}
