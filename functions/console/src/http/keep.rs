//! The session of a request: opened and refreshed before its handler, kept or cleared after it.
//!
//! A refresh spends the refresh token, and users forgive its second use for 10 s only. So the browser must soon have
//! the new one. A request that refreshes is answered at once, before its handler, by a redirect to itself with the
//! new cookie: a page by 303, and a form by 307, at which the browser sends it again. `Origin`, the token of the
//! session and the key of the form stay the same.
//!
//! While the access token is good, a refresh that fails changes nothing. Another request may have refreshed already,
//! and its cookie must not be cleared by this one.
//!
//! The cookie is cleared only if it was opened and its session has ended. One that cannot be opened stays: during a
//! rotation or a deployment another environment may open it. A sign-in replaces it, and a sign-out clears it.
//!
//! The poll of a list is no use of the session, and never ends it: see [`live`].

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
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
use super::visit::{Visit, page, redirect, resend};
use crate::layout::{self, Place};
use crate::session::{self, Session};
use crate::{Console, pages, texts};

/// Time before the end of an access token from which on a request exchanges it. It outlives the deadline of a request.
///
/// It is the same for pages, forms and polls. So after a lost answer the next request exchanges at once, while users
/// forgives that.
const REFRESH: Duration = Duration::from_secs(60);

/// Time before the end of an access token from which on no use is noted in the cookie.
///
/// No answer takes as long as its difference to [`REFRESH`]. So no note brings back a token that is spent already.
const NO_NOTE: Duration = Duration::from_secs(90);

/// Bytes of a form that are read before its session is opened. It is more than the largest form.
const READ_FIRST: usize = 1_100_000;

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
    /// True if the cookie was opened, and not used for too long.
    is_idle: bool,
}

/// Opens the session of a request, and puts its cookie on the response. Errors become pages here.
pub(super) async fn keep(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (mut parts, mut body) = request.into_parts();
    if !is_page(&parts.method) && session::has_cookie(&parts.headers) {
        body = received(body).await;
    }
    let (arrival, refreshed) = Arrival::of(console, &mut parts).await;
    if let Some(again) = refreshed.as_ref().and_then(|change| arrival.again(change)) {
        return again;
    }
    parts.extensions.insert(arrival.state.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let mut change = response.extensions_mut().remove::<SessionChange>().or(refreshed);
    if let Some(Refusal(error)) = response.extensions_mut().remove::<Refusal>() {
        if error.kind() == Kind::Unauthenticated && arrival.is_idle && !arrival.is_poll {
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
        let opened = Session::of(&parts.headers, &console.seal);
        let is_idle = opened.as_ref().is_some_and(|session| session.is_idle(console.clock.now()));
        let is_poll = live::is_poll(&parts.method, &parts.headers);
        let (state, change) = match opened.filter(|_| !is_idle && !needs_none) {
            None => (SessionState::Absent, None),
            Some(session) => current(&console, &context, session, is_poll).await,
        };
        let target = parts.uri.path_and_query().map_or(parts.uri.path(), |target| target.as_str());
        let (method, target) = (parts.method.clone(), target.to_owned());
        (Self { console, context, base_path, method, is_poll, target, state, is_idle }, change)
    }

    /// Redirects a page or a form with a new cookie to itself. `None` if that could go on for ever.
    fn again(&self, change: &SessionChange) -> Option<Response> {
        let SessionChange::Begin(session) = change else { return None };
        if session.ends_within(REFRESH, self.console.clock.now()) {
            return None;
        }
        let cookie = self.cookie(change)?;
        let mut response = if is_page(&self.method) { redirect(&self.target) } else { resend(&self.target) };
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

/// Reads a form before anything is done for it. A browser that is still sending can miss an answer, and its cookie.
async fn received(body: Body) -> Body {
    let mut rest = body.into_data_stream();
    let (mut chunks, mut bytes) = (Vec::new(), 0);
    while bytes <= READ_FIRST {
        let Some(chunk) = rest.next().await else { return Body::from_stream(stream::iter(chunks)) };
        // Nothing is read after an error.
        bytes += chunk.as_ref().map_or(READ_FIRST + 1, |chunk| chunk.len());
        chunks.push(chunk);
    }
    Body::from_stream(stream::iter(chunks).chain(rest))
}

/// Refreshes the access token of a session if it ends soon. Else a use of the session is noted, if that is due.
///
/// Only a token that has ended ends its session, by a refusal of users. A poll is no use, and ends none.
async fn current(
    console: &Console,
    context: &Context,
    session: Session,
    is_poll: bool,
) -> (SessionState, Option<SessionChange>) {
    let now = console.clock.now();
    if !session.ends_within(REFRESH, now) {
        let may_note = !is_poll && !session.ends_within(NO_NOTE, now);
        return match session.used(now).filter(|_| may_note) {
            Some(used) => begun(used),
            None => (SessionState::Open(Arc::new(session)), None),
        };
    }
    match refresh(console, context, &session).await {
        Ok(Some(renewed)) if is_poll => begun(renewed.last_used_as(&session)),
        Ok(Some(renewed)) => begun(renewed),
        // The token is good for some seconds more, so the next request may refresh it.
        Ok(None) | Err(_) if !session.has_expired(console.clock.now()) => {
            (SessionState::Open(Arc::new(session)), None)
        }
        Ok(None) => (SessionState::Absent, (!is_poll).then_some(SessionChange::End)),
        Err(error) => (SessionState::Unavailable(Arc::new(error)), None),
    }
}

/// State with this session, whose cookie is new.
fn begun(session: Session) -> (SessionState, Option<SessionChange>) {
    let session = Arc::new(session);
    (SessionState::Open(session.clone()), Some(SessionChange::Begin(session)))
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
