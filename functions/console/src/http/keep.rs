//! The session of a request: opened and refreshed before its handler, kept or cleared after it.
//!
//! A refresh spends the refresh token, and users forgive its second use for some seconds only. So the browser must
//! soon have the new one. A page is answered at once by a redirect to itself, with the new cookie. A form cannot be
//! sent twice, so it is refreshed only if the token could end before its answer.
//!
//! While the access token is good, a refresh that fails changes nothing. Another request may have refreshed already,
//! and its cookie must not be cleared by this one.
//!
//! The poll of a list is no use of the session, and never ends it: see [`live`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderValue, Method};
use maud::html;
use proto::users::v1::RefreshTokenRequest;
use proto::users::v1::user_service_client::UserServiceClient;
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::rpc::metadata;
use shared::runtime::context::Context;

use super::failure::Refusal;
use super::live;
use super::visit::{Visit, page, redirect};
use crate::layout::{self, Place};
use crate::session::{self, Session};
use crate::{Console, pages, texts};

/// Time before the end of an access token from which on a page exchanges it.
const REFRESH_PAGE: Duration = Duration::from_secs(60);

/// Time before the end of an access token from which on a form exchanges it. It outlives the deadline of a request.
const REFRESH_FORM: Duration = Duration::from_secs(30);

/// The same for the poll of a list. With [`REFRESH_PAGE`] it keeps the cookies of pages and polls apart.
const REFRESH_POLL: Duration = Duration::from_secs(30);

/// Session of a request: an extension of the request.
#[derive(Clone)]
pub(super) enum SessionState {
    /// No session, or one that has ended.
    Absent,
    /// Session with a good access token.
    Open(Arc<Session>),
    /// Session whose access token has ended, and whose refresh users neither granted nor refused.
    Unavailable(Arc<Error>),
}

/// Change of the session by a handler: an extension of the response.
#[derive(Clone)]
pub(crate) enum SessionChange {
    /// A session begins.
    Begin(Arc<Session>),
    /// The session ends.
    End,
}

/// Facts of a request that its error page needs.
struct Arrival {
    console: Arc<Console>,
    context: Context,
    base_path: BasePath,
    method: Method,
    /// True for the poll of a list.
    is_poll: bool,
    /// Path and query, without the base path.
    target: String,
    state: SessionState,
}

/// Opens the session of a request, and puts its cookie on the response. Errors become pages here.
pub(super) async fn keep(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let had_cookie = session::has_cookie(&parts.headers);
    let (arrival, refreshed) = Arrival::of(console, &mut parts).await;
    if let Some(again) = refreshed.as_ref().and_then(|change| arrival.again(change)) {
        return again;
    }
    parts.extensions.insert(arrival.state.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let mut change = response.extensions_mut().remove::<SessionChange>().or(refreshed);
    if let Some(Refusal(error)) = response.extensions_mut().remove::<Refusal>() {
        // Here the cookie is no session, or one that has ended for good.
        let is_over = matches!(arrival.state, SessionState::Absent);
        if error.kind() == Kind::Unauthenticated && had_cookie && is_over && !arrival.is_poll {
            change = Some(SessionChange::End);
        }
        response = arrival.refuse(&error);
    }
    if let Some(cookie) = change.and_then(|change| arrival.cookie(&change)) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

impl Arrival {
    /// Opens the session, with new tokens if the access token ends soon.
    async fn of(console: Arc<Console>, parts: &mut Parts) -> (Self, Option<SessionChange>) {
        let Ok(context) = Context::from_request_parts(parts, &()).await;
        let Ok(base_path) = BasePath::from_request_parts(parts, &()).await;
        // Signing in and out needs no access token.
        let needs_none = pages::sign_in::is_own(parts.uri.path());
        let opened = Session::of(&parts.headers, &console.seal, console.clock.now());
        let is_poll = live::is_poll(&parts.method, &parts.headers);
        let (state, change) = match opened.filter(|_| !needs_none) {
            None => (SessionState::Absent, None),
            Some(session) if is_poll => current_for_poll(&console, &context, session).await,
            Some(session) => {
                let before = if is_page(&parts.method) { REFRESH_PAGE } else { REFRESH_FORM };
                current(&console, &context, session, before).await
            }
        };
        let target = parts.uri.path_and_query().map_or(parts.uri.path(), |target| target.as_str());
        let (method, target) = (parts.method.clone(), target.to_owned());
        (Self { console, context, base_path, method, is_poll, target, state }, change)
    }

    /// Redirects a page with a new session to itself. `None` for a form, and if that could go on for ever.
    fn again(&self, change: &SessionChange) -> Option<Response> {
        let SessionChange::Begin(session) = change else { return None };
        if !is_page(&self.method) || session.ends_within(REFRESH_PAGE, self.console.clock.now()) {
            return None;
        }
        let cookie = self.cookie(change)?;
        let mut response = redirect(&self.target);
        response.headers_mut().append(SET_COOKIE, cookie);
        Some(response)
    }

    /// Answers with the page of an error. Without a session that is the sign-in page. A poll gets the status alone.
    fn refuse(&self, error: &Error) -> Response {
        if self.is_poll {
            log(error);
            return error.kind().status().into_response();
        }
        if error.kind() == Kind::Unauthenticated {
            // The answer to a form cannot be shown later, so its page is returned to.
            let next = if is_page(&self.method) {
                self.target.clone()
            } else {
                pages::sign_in::page_of_form(&self.target)
            };
            return redirect(&pages::sign_in::path(Some(&next)));
        }
        log(error);
        let title = error.kind().title();
        let body = html! {
            h1 { (title) }
            (layout::explanation(error))
            p.muted { (texts::REQUEST_ID) ": " code { (self.context.request_id) } }
            p { a href=(self.base_path.of(super::START)) { (texts::TO_START) } }
        };
        let status = error.kind().status();
        match &self.state {
            SessionState::Open(session) => self.visit(session).page_with(status, title, Place::None, body),
            _ => page(status, layout::frame(&self.base_path, title, None, &body)),
        }
    }

    fn visit(&self, session: &Arc<Session>) -> Visit {
        Visit::new(self.console.clone(), session.clone(), self.context.clone(), self.base_path.clone())
    }

    /// Value of `Set-Cookie`.
    fn cookie(&self, change: &SessionChange) -> Option<HeaderValue> {
        match change {
            SessionChange::Begin(session) => session.cookie(&self.console.seal),
            SessionChange::End => Some(session::cleared()),
        }
    }
}

/// True for a request that changes nothing, and may be sent again.
fn is_page(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Refreshes the access token of a session if it ends within this time.
///
/// Only a token that has ended ends its session, by a refusal of users.
async fn current(
    console: &Console,
    context: &Context,
    session: Session,
    before: Duration,
) -> (SessionState, Option<SessionChange>) {
    let now = console.clock.now();
    if !session.ends_within(before, now) {
        // Near its end the cookie is left alone: a poll may be replacing it.
        let used = session.used(now).filter(|session| !session.ends_within(REFRESH_PAGE, now)).map(Arc::new);
        return match used {
            Some(used) => (SessionState::Open(used.clone()), Some(SessionChange::Begin(used))),
            None => (SessionState::Open(Arc::new(session)), None),
        };
    }
    match refresh(console, context, &session).await {
        Ok(Some(renewed)) => {
            let renewed = Arc::new(renewed);
            (SessionState::Open(renewed.clone()), Some(SessionChange::Begin(renewed)))
        }
        // The token is good for some seconds more, so the next request may refresh it.
        Ok(None) | Err(_) if !session.has_expired(console.clock.now()) => {
            (SessionState::Open(Arc::new(session)), None)
        }
        Ok(None) => (SessionState::Absent, Some(SessionChange::End)),
        Err(error) => (SessionState::Unavailable(Arc::new(error)), None),
    }
}

/// Refreshes the access token of a session for the poll of a list. The last use of the session stays as it is.
async fn current_for_poll(
    console: &Console,
    context: &Context,
    session: Session,
) -> (SessionState, Option<SessionChange>) {
    if !session.ends_within(REFRESH_POLL, console.clock.now()) {
        return (SessionState::Open(Arc::new(session)), None);
    }
    match refresh(console, context, &session).await {
        Ok(Some(renewed)) => {
            let renewed = Arc::new(renewed.last_used_as(&session));
            (SessionState::Open(renewed.clone()), Some(SessionChange::Begin(renewed)))
        }
        Ok(None) | Err(_) if !session.has_expired(console.clock.now()) => {
            (SessionState::Open(Arc::new(session)), None)
        }
        Ok(None) => (SessionState::Absent, None),
        Err(error) => (SessionState::Unavailable(Arc::new(error)), None),
    }
}

/// Exchanges the refresh token. `None` if it is refused by 401, or if its user is no staff any more.
///
/// The address of the client stays out of the call: an office shares one, and its limit would sign all of it out.
///
/// # Errors
/// Any other failure of users.
async fn refresh(console: &Console, context: &Context, session: &Session) -> Result<Option<Session>, Error> {
    let message = RefreshTokenRequest { refresh_token: Some(session.refresh_token().to_owned()) };
    let mut users = UserServiceClient::new(console.users.clone());
    match users.refresh_token(metadata::request(message, context)).await {
        Ok(tokens) => Ok(session.renewed(tokens.into_inner(), console.clock.now())),
        Err(status) => match Error::from(status) {
            error if error.kind() == Kind::Unauthenticated => Ok(None),
            error => Err(error),
        },
    }
}

/// Writes the cause of an error page to the log. The line of the request has only its status.
fn log(error: &Error) {
    let causes = error.causes();
    match error.kind() {
        Kind::Internal => tracing::error!(causes, "a page failed: {error}"),
        Kind::Unavailable => tracing::warn!(causes, "a page failed: {error}"),
        _ => tracing::debug!(causes, "a page was refused: {error}"),
    }
}
