//! Sign-in and sign-out.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use form_urlencoded::byte_serialize;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use maud::{Markup, html};
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{AuthenticateRequest, AuthenticateResponse, RevokeTokenRequest};
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::rpc::metadata;
use shared::runtime::context::Context;

use crate::http::{self as web, Answer, Fields, OpenFields, Query, SessionChange};
use crate::session::{self, Session};
use crate::texts::sign_in as texts;
use crate::{Console, layout};

const SIGN_IN: &str = "/console/sign-in";
const SIGN_OUT: &str = "/console/sign-out";

/// Query of the page after a sign-out whose session could not be ended.
const HERE_ONLY: (&str, &str) = ("signed-out", "here");

/// Header that has the browser forget pages. The back button may otherwise show one that it keeps in memory, although
/// none may be stored.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Longest wait for the end of a session. The answer with the cookie must not wait for its request's deadline.
const REVOKE_WITHIN: Duration = Duration::from_secs(5);

/// Longest path that is returned to.
const MAX_NEXT: usize = 2_000;

/// Routes of the page.
pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new().route(SIGN_IN, get(show).post(sign_in)).route(SIGN_OUT, post(sign_out))
}

/// Path of the page, which leads to `next` afterwards.
pub(crate) fn path(next: Option<&str>) -> String {
    match next.and_then(own_path) {
        Some(next) => format!("{SIGN_IN}?next={}", byte_serialize(next.as_bytes()).collect::<String>()),
        None => SIGN_IN.to_owned(),
    }
}

/// True for the paths of signing in and out.
pub(crate) fn is_own(path: &str) -> bool {
    [SIGN_IN, SIGN_OUT].contains(&path)
}

/// Path of the page that has the form of this action. If it is unknown, that is the first page.
pub(crate) fn page_of_form(action: &str) -> String {
    let path = action.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["", "console", kind @ ("orders" | "products" | "users"), id, ..] if !id.is_empty() => {
            format!("/console/{kind}/{id}")
        }
        ["", "console", "stock" | "shipping"] => path.to_owned(),
        _ => web::START.to_owned(),
    }
}

/// Path of a page of the console. Anything else could lead to another site after a sign-in.
fn own_path(next: &str) -> Option<&str> {
    let path = next.split('?').next().unwrap_or_default();
    let is_plain = |segment: &str| !matches!(segment, "." | "..");
    let is_own = next.starts_with("/console/")
        && next.len() <= MAX_NEXT
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !next.contains("//")
        && !path.to_ascii_lowercase().contains("%2e")
        && path.split('/').all(is_plain)
        && !is_own(path);
    is_own.then_some(next)
}

/// Shows the form.
async fn show(base_path: BasePath, query: Query) -> Response {
    let form = Form { base_path, next: query.get("next").and_then(own_path), email: "" };
    let (name, value) = HERE_ONLY;
    let is_here_only = query.get(name) == Some(value);
    form.answer(StatusCode::OK, html! { @if is_here_only { (alert(texts::ENDED_HERE)) } })
}

/// Signs in, with a new session in any case: no value of an earlier one lives on, and it ends.
async fn sign_in(
    State(console): State<Arc<Console>>,
    context: Context,
    base_path: BasePath,
    headers: HeaderMap,
    OpenFields(fields): OpenFields,
) -> Answer {
    let next = fields.get("next").and_then(own_path);
    let email = fields.get("email").unwrap_or_default();
    let form = Form { base_path, next, email };
    let tokens = match authenticate(&console, &context, &fields).await {
        Ok(tokens) => tokens,
        Err(error) => return form.refuse(error),
    };
    let refresh_token = tokens.refresh_token.clone();
    let Some(session) = Session::begin(tokens, email, console.clock.now())? else {
        revoke(&console, &context, &refresh_token).await;
        return Ok(form.answer(StatusCode::FORBIDDEN, alert(texts::STAFF_ONLY)));
    };
    revoke_sent(&console, &context, &headers).await;
    let mut response = web::redirect(next.unwrap_or(web::START));
    response.extensions_mut().insert(SessionChange::Begin(Arc::new(session)));
    Ok(response)
}

/// Ends the session with all its tokens. The cookie goes in any case, also if users does not answer.
async fn sign_out(
    State(console): State<Arc<Console>>,
    context: Context,
    headers: HeaderMap,
    _: OpenFields,
) -> Response {
    let mut response = if revoke_sent(&console, &context, &headers).await {
        web::redirect(SIGN_IN)
    } else {
        let (name, value) = HERE_ONLY;
        web::redirect(&format!("{SIGN_IN}?{name}={value}"))
    };
    response.extensions_mut().insert(SessionChange::End);
    response.headers_mut().insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
    response
}

/// Exchanges e-mail address and password for tokens. Limits count for the network of the browser.
async fn authenticate(
    console: &Console,
    context: &Context,
    fields: &Fields,
) -> Result<AuthenticateResponse, Error> {
    let message = AuthenticateRequest {
        email: fields.get("email").map(str::to_owned),
        password: fields.exact("password").map(str::to_owned),
    };
    let request = metadata::request_for_client(message, context);
    Ok(UserServiceClient::new(console.users.clone()).authenticate(request).await?.into_inner())
}

/// Ends the session that the browser has sent, if there is one, also an idle one: its tokens live on.
///
/// False if it could not be ended, or if its cookie cannot be opened.
async fn revoke_sent(console: &Console, context: &Context, headers: &HeaderMap) -> bool {
    match Session::of(headers, &console.seal) {
        Some(session) => revoke(console, context, session.refresh_token()).await,
        None => !session::has_cookie(headers),
    }
}

/// Ends the session of a refresh token, spent or not. False after a failure, which is logged.
async fn revoke(console: &Console, context: &Context, refresh_token: &str) -> bool {
    let deadline = context.deadline.min(console.clock.now().after(REVOKE_WITHIN));
    let context = Context { deadline, ..context.clone() };
    let message = RevokeTokenRequest { refresh_token: Some(refresh_token.to_owned()) };
    let mut users = UserServiceClient::new(console.users.clone());
    let revoked = users.revoke_token(metadata::request(message, &context)).await;
    if let Err(status) = revoked {
        tracing::warn!(causes = Error::from(status).causes(), "a session was not revoked");
        return false;
    }
    true
}

/// Form for signing in.
struct Form<'a> {
    base_path: BasePath,
    next: Option<&'a str>,
    email: &'a str,
}

impl Form<'_> {
    /// Shows the form again, with the refusal of users.
    ///
    /// # Errors
    /// Error that is not the caller's.
    fn refuse(&self, error: Error) -> Answer {
        match error.kind() {
            // A 401 would need a challenge, and the browser would have none to answer (RFC 9110, section 11.6.1).
            Kind::Unauthenticated => Ok(self.answer(StatusCode::FORBIDDEN, alert(texts::WRONG))),
            // A refused number of attempts has the time until the next one in its detail.
            Kind::Validation | Kind::TooManyRequests => {
                Ok(self.answer(error.kind().status(), layout::problem(&error)))
            }
            _ => Err(error.into()),
        }
    }

    fn answer(&self, status: StatusCode, problem: Markup) -> Response {
        let body = html! {
            h1 { (texts::TITLE) }
            (problem)
            section.card {
                form.fields method="post" action=(self.base_path.of(SIGN_IN)) {
                    @if let Some(next) = self.next { input type="hidden" name="next" value=(next); }
                    (layout::field(texts::EMAIL, html! {
                        input type="email" name="email" value=(self.email) autocomplete="username" required
                            autofocus[self.email.is_empty()];
                    }))
                    (layout::field(texts::PASSWORD, html! {
                        input type="password" name="password" autocomplete="current-password" required
                            autofocus[!self.email.is_empty()];
                    }))
                    div.actions { button type="submit" { (texts::SIGN_IN) } }
                }
            }
            // After a link from another site the browser withholds the cookie, and sends it from here on.
            @if let Some(next) = self.next {
                p.muted { a href=(self.base_path.of(next)) { (texts::CONTINUE) } }
            }
        };
        web::page(status, layout::frame(&self.base_path, texts::TITLE, None, &body))
    }
}

fn alert(text: &str) -> Markup {
    html! { div.problem role="alert" { p { (text) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_console_are_returned_to() {
        for good in [
            "/console/orders",
            "/console/orders/order_01h455vb4pex5vsknk084sn02q",
            "/console/orders?status=paid&q=a%20b",
            "/console/products?q=a..b",
        ] {
            assert_eq!(own_path(good), Some(good));
        }
        for bad in [
            "",
            "/",
            "/console",
            "/consoles/orders",
            "//evil.example/console/",
            "/console//evil.example",
            "/console/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/console/",
            "javascript:alert(1)",
            "/console/../docs",
            "/console/..",
            "/console/./orders",
            "/console/%2e%2E/docs",
            "/console/orders\r\nSet-Cookie: a=b",
            "/console/orders\0",
            "/console/ orders",
            "/console/\u{e4}",
            " /console/orders",
            "/console/sign-in",
            "/console/sign-in?next=/console/orders",
            "/console/sign-out",
            &format!("/console/{}", "x".repeat(MAX_NEXT)),
        ] {
            assert_eq!(own_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_form_leads_back_to_its_page() {
        for (action, page) in [
            ("/console/orders/order_1/refunds/preview?x=1", "/console/orders/order_1"),
            ("/console/orders/order_1/returns/return_1", "/console/orders/order_1"),
            ("/console/products/product_1", "/console/products/product_1"),
            ("/console/products/product_1/stock/delta", "/console/products/product_1"),
            ("/console/stock", "/console/stock"),
            ("/console/shipping", "/console/shipping"),
            ("/console/users/new", "/console/users/new"),
            ("/console/users/user_1/password", "/console/users/user_1"),
            ("/console/orders/", "/console/orders"),
            ("/console/orders//x", "/console/orders"),
            ("/console/other/x", "/console/orders"),
            ("/other", "/console/orders"),
            ("", "/console/orders"),
        ] {
            assert_eq!(page_of_form(action), page, "{action}");
        }
    }

    #[test]
    fn the_path_of_the_page_has_the_next_one_encoded() {
        assert_eq!(path(None), "/console/sign-in");
        assert_eq!(path(Some("//evil.example")), "/console/sign-in");
        let next = path(Some("/console/orders?status=paid&q=a"));
        assert_eq!(next, "/console/sign-in?next=%2Fconsole%2Forders%3Fstatus%3Dpaid%26q%3Da");
    }

    #[test]
    fn the_form_keeps_the_address_and_never_the_password() {
        let form = Form { base_path: BasePath::default(), next: None, email: "\"><b>@example.com" };
        let response = form.refuse(Error::new(Kind::Unauthenticated, "x")).unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let again = form.refuse(Error::new(Kind::TooManyRequests, "Try again in 9 s.")).unwrap();
        assert_eq!(again.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(form.refuse(Error::unavailable("away")).is_err());
    }
}
