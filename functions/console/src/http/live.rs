//! Lists that refresh by themselves.
//!
//! A page with a list is asked for again every 3 s while its tab is visible, by htmx (`HX-Request`). Such a poll is
//! answered by the list and its pager alone. Its `ETag` is a hash of them, without the tokens and keys of forms, so
//! an unchanged list is a 304. The page itself carries the tag of what it shows.
//!
//! **A poll is no use of the session.** A session ends 12 hours after its last use, whatever tabs stay open. So a
//! poll may exchange tokens, but keeps the time of the last use; a page or a form writes that time anew. All of them
//! exchange tokens in the last 60 s of one, and note a use only before its last 90 s. No answer takes as long as the
//! difference, so no page brings back a token that a poll has spent. A poll never clears the cookie, and is never led
//! to the sign-in page: without a session it is 401.
//!
//! **Rates.** A visible tab sends 20 polls a minute, and each costs one call to a function. At the 200 requests a
//! second of a route, 600 tabs may be visible at once. A hidden tab sends none, and a failing server is asked every
//! 30 s at last. Reads have no limit for each user.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CONTENT_TYPE, ETAG, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use maud::{Markup, html};
use ring::digest;
use shared::http::conditional::IfNoneMatch;

use super::visit::Visit;
use crate::layout::Place;
use crate::pages::sign_in;
use crate::texts::live as texts;

/// Header of the requests of htmx.
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");

/// Beginnings of values that are new at each rendering. `Visit::form` writes them so.
const RENEWED: [&str; 2] = ["name=\"csrf\" value=\"", "name=\"key\" value=\""];

/// True for the poll of a list.
pub(super) fn is_poll(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET && headers.get(HX_REQUEST).is_some_and(|value| value == "true")
}

/// Parts of a request that a page with a live list needs.
pub(crate) struct Live {
    is_poll: bool,
    known: IfNoneMatch,
    /// Path and query, without the base path.
    target: String,
}

impl Live {
    /// Answers a poll with the list, or with 304; all others with the page that `around` renders around the list.
    pub(crate) fn answer(
        &self,
        visit: &Visit,
        title: &str,
        here: Place,
        list: &Markup,
        around: impl FnOnce(&Markup) -> Markup,
    ) -> Response {
        let tag = tag(&list.0);
        let mut response = if self.is_poll {
            self.fragment(&tag, list)
        } else {
            visit.page(title, here, around(&self.region(visit, &tag, list)))
        };
        response.headers_mut().insert(VARY, HeaderValue::from_name(HX_REQUEST));
        response
    }

    fn fragment(&self, tag: &str, list: &Markup) -> Response {
        let mut response = if self.known.names(tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            ([(CONTENT_TYPE, html)], list.0.clone()).into_response()
        };
        if let Ok(tag) = HeaderValue::from_str(tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }

    /// Renders the list with what its script needs. The sentences are hidden until the script shows one.
    fn region(&self, visit: &Visit, tag: &str, list: &Markup) -> Markup {
        let own = visit.path(&self.target);
        html! {
            div #live data-live data-tag=(tag) hx-get=(own) hx-trigger="live" hx-ext="morph"
                hx-swap="morph:innerHTML" {
                (list)
            }
            p #live-news .visually-hidden role="status" data-text=(texts::NEWS) {}
            p #live-over .live-note role="alert" hidden {
                (texts::OVER) " " a href=(visit.path(&sign_in::path(Some(&self.target)))) { (texts::SIGN_IN) }
            }
            p #live-away .live-note role="status" hidden {
                (texts::AWAY) " " a href=(own) { (texts::RELOAD) }
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Live {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let target = parts.uri.path_and_query().map_or(parts.uri.path(), |target| target.as_str());
        Ok(Self {
            is_poll: is_poll(&parts.method, &parts.headers),
            known: IfNoneMatch::of_headers(&parts.headers),
            target: target.to_owned(),
        })
    }
}

/// Strong tag of a rendered list: a SHA-256 of it.
fn tag(list: &str) -> String {
    let hash = digest::digest(&digest::SHA256, without_renewed(list).as_bytes());
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash))
}

/// The same HTML, with empty values of what is new at each rendering. A text of a person has no bare `"`.
fn without_renewed(html: &str) -> String {
    let mut kept = html.to_owned();
    for beginning in RENEWED {
        let mut parts = kept.split(beginning);
        let mut stable = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            stable.push_str(beginning);
            stable.push_str(part.find('"').and_then(|end| part.get(end..)).unwrap_or_default());
        }
        kept = stable;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, value: &'static str) -> bool {
        let headers = HeaderMap::from_iter([(HX_REQUEST, HeaderValue::from_static(value))]);
        is_poll(&method, &headers)
    }

    #[test]
    fn a_poll_is_a_get_of_htmx() {
        assert!(request(Method::GET, "true"));
        assert!(!request(Method::GET, "1") && !request(Method::POST, "true"));
        assert!(!is_poll(&Method::GET, &HeaderMap::new()));
    }

    #[test]
    fn a_tag_is_of_the_content_without_tokens_and_keys() {
        let list = |csrf: &str, key: &str, text: &str| {
            let list = html! {
                form {
                    input type="hidden" name="csrf" value=(csrf);
                    input type="hidden" name="key" value=(key);
                }
                p { (text) }
            };
            list.into_string()
        };
        let first = tag(&list("a", "b", "text"));
        assert_eq!(first, tag(&list("c", "d", "text")));
        assert_ne!(first, tag(&list("a", "b", "other")));
        // In a text that beginning is no beginning: it is escaped.
        let text = |value: u8| tag(&list("a", "b", &format!("name=\"key\" value=\"{value}\"")));
        assert_ne!(text(1), text(2));
        // 256 bits in quotes.
        assert_eq!(first.len(), 45);
    }

    #[test]
    fn only_values_that_are_renewed_are_left_out() {
        for (html, expected) in [
            ("", ""),
            ("<p>a</p>", "<p>a</p>"),
            (
                "<i name=\"key\" value=\"1\"><i name=\"sku\" value=\"2\">",
                "<i name=\"key\" value=\"\"><i name=\"sku\" value=\"2\">",
            ),
            ("<i name=\"csrf\" value=\"☕", "<i name=\"csrf\" value=\""),
        ] {
            assert_eq!(without_renewed(html), expected);
        }
    }
}
