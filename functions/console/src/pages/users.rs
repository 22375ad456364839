//! List of users: search by e-mail address, and filters.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::{Markup, html};
use proto::users::v1::{ListUsersRequest, ListUsersResponse, User};
use shared::error::{Error, Kind};
use shared::values::email::Email;

use crate::Console;
use crate::http::{Answer, Live, Place, Query, Visit};
use crate::layout;
use crate::texts::users as texts;

mod filters;

use filters::{Filters, PATH, field_value};

/// Path of the list.
pub(super) const LIST: &str = PATH;

/// Routes of the list.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(list))
}

/// Path of a user's page.
pub(crate) fn path(id: &str) -> String {
    format!("{PATH}/{id}")
}

/// Shows the users that the parameters of the URL select: one call, at most 50 users.
async fn list(visit: Visit, query: Query, live: Live) -> Answer {
    let filters = Filters::from_query(&query);
    let done = query.get("done").and_then(texts::done);
    let found = match filters.request() {
        Ok(request) => fetch(&visit, request).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => {
            let results = results(&visit, &filters, &found);
            let around = |list: &Markup| {
                let content = html! {
                    @if let Some(text) = done { (layout::done(text)) }
                    (list)
                };
                page(&visit, &filters, &content)
            };
            Ok(live.answer(&visit, texts::TITLE, Place::Users, &results, around))
        }
        // The caller's own filter is at fault: the form keeps it, to be corrected.
        Err(error) if matches!(error.kind(), Kind::InvalidQuery | Kind::Validation) => {
            let body = page(&visit, &filters, &layout::problem(&error));
            Ok(visit.refused(&error, texts::TITLE, Place::Users, body))
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks the users function for a page.
async fn fetch(visit: &Visit, request: ListUsersRequest) -> Result<ListUsersResponse, Error> {
    Ok(visit.users().list_users(visit.request(request)).await?.into_inner())
}

/// Renders the page around a list or a problem.
fn page(visit: &Visit, filters: &Filters, content: &Markup) -> Markup {
    html! {
        h1 { (texts::TITLE) }
        @if visit.is_admin() {
            p.actions { a href=(visit.path(super::user::NEW)) { (texts::NEW) } }
        }
        (form(visit, filters))
        (content)
    }
}

/// Renders search and filters. They are sent by GET, so that their URLs can be bookmarked.
fn form(visit: &Visit, filters: &Filters) -> Markup {
    let folded = ["role", "status", "updated_from", "updated_to", "sort"];
    let is_open = folded.into_iter().any(|name| filters.get(name).is_some());
    html! {
        form.filters role="search" method="get" action=(visit.path(PATH)) {
            (layout::field(texts::SEARCH, html! {
                input type="search" name="email" value=[filters.get("email")] placeholder=(texts::SEARCH_HINT)
                    inputmode="email" maxlength=(Email::MAX) autocomplete="off";
            }))
            details open[is_open] {
                summary { (texts::FILTERS) }
                (choices("role", texts::ROLE, &texts::ROLES, filters))
                (choices("status", texts::STATUS, &texts::STATUSES, filters))
                div.fields {
                    (layout::field(texts::UPDATED_FROM, time("updated_from", filters)))
                    (layout::field(texts::UPDATED_TO, time("updated_to", filters)))
                    (layout::field(texts::SORT, sort(filters)))
                }
            }
            div.actions {
                button { (texts::APPLY) }
                a href=(visit.path(PATH)) { (texts::CLEAR) }
            }
        }
    }
}

fn choices(name: &str, legend: &str, known: &[(&str, &str)], filters: &Filters) -> Markup {
    html! {
        fieldset.choices {
            legend { (legend) }
            @for (value, label) in known {
                label {
                    input type="checkbox" name=(name) value=(value) checked[filters.has(name, value)];
                    " " (label)
                }
            }
        }
    }
}

/// Renders a field for a time. One that cannot be read is kept as text, to be corrected.
fn time(name: &str, filters: &Filters) -> Markup {
    let known = filters.get(name).map(|text| (field_value(text), text));
    html! {
        @match known {
            Some((None, text)) => { input type="text" name=(name) value=(text) autocomplete="off"; }
            Some((Some(time), _)) => { input type="datetime-local" name=(name) step="any" value=(time); }
            None => { input type="datetime-local" name=(name) step="any"; }
        }
    }
}

fn sort(filters: &Filters) -> Markup {
    let chosen = filters.get("sort");
    html! {
        select name="sort" {
            // The default has no value, so that it does not open the filters.
            @for (place, (sort, label)) in texts::SORTS.into_iter().enumerate() {
                @let value = if place == 0 { "" } else { sort };
                option value=(value) selected[chosen == Some(sort)] { (label) }
            }
        }
    }
}

/// Renders a page of the list, or a sentence if it is empty.
fn results(visit: &Visit, filters: &Filters, found: &ListUsersResponse) -> Markup {
    let is_later = filters.get("cursor").is_some();
    html! {
        @if found.data.is_empty() {
            p { (if is_later { texts::NO_MORE } else { texts::NONE_MATCH }) }
            @if !filters.are_none() {
                p { a href=(visit.path(PATH)) { (texts::ALL_USERS) } }
            }
        } @else {
            (table(visit, &found.data))
        }
        (pager(visit, filters, found.next_cursor.as_deref()))
    }
}

const COLUMNS: [&str; 6] =
    [texts::NAME, texts::EMAIL, texts::ROLE, texts::STATUS, texts::CREATED_AT, texts::UPDATED_AT];

fn table(visit: &Visit, users: &[User]) -> Markup {
    html! {
        table.list {
            caption.visually-hidden { (texts::TITLE) }
            thead {
                tr {
                    @for heading in COLUMNS { th scope="col" { (heading) } }
                }
            }
            tbody {
                @for user in users { (row(visit, user)) }
            }
        }
    }
}

fn row(visit: &Visit, user: &User) -> Markup {
    html! {
        tr id=(user.id) {
            td data-label=(texts::NAME) { a href=(visit.path(&path(&user.id))) { bdi { (user.name) } } }
            td data-label=(texts::EMAIL) { (user.email) }
            td data-label=(texts::ROLE) { (texts::label(&texts::ROLES, &user.role)) }
            td data-label=(texts::STATUS) { (layout::badge(&user.status)) }
            td data-label=(texts::CREATED_AT) { (layout::time(user.created_at.as_ref())) }
            td data-label=(texts::UPDATED_AT) { (layout::time(user.updated_at.as_ref())) }
        }
    }
}

/// Renders the links to other pages. The API has no cursor of the previous page: the browser goes back by itself.
fn pager(visit: &Visit, filters: &Filters, next_cursor: Option<&str>) -> Markup {
    let is_later = filters.get("cursor").is_some();
    html! {
        @if is_later || next_cursor.is_some() {
            nav.pager aria-label=(texts::PAGES) {
                @if is_later {
                    a href=(visit.path(&filters.first_page())) { (texts::FIRST_PAGE) }
                }
                @if let Some(cursor) = next_cursor {
                    a rel="next" href=(visit.path(&filters.page_at(cursor))) { (texts::MORE) }
                }
            }
        }
    }
}
