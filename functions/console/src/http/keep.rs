//! The session of a request: opened and refreshed before its handler, kept or cleared after it.

use std::sync::Arc;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::middleware::Next;
use axum::response::Response;
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
use super::visit::{Visit, page, redirect};
use crate::layout::{self, Place};
use crate::session::{self, Session};
use crate::{Console, pages, texts};

/// Session of a request: an extension of the request.
#[derive(Clone)]
pub(super) enum SessionState {
    /// No session, or one that has ended.
    Absent,
    /// Session with a good access token.
    Open(Arc<Session>),
    /// Session whose access token has ended, while users is unavailable.
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
    /// Path and query, without the base path.
    target: String,
    state: SessionState,
}

/// Opens the session of a request, and puts its cookie on the response. Errors become pages here.
pub(super) async fn keep(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let had_cookie = session::has_cookie(&parts.headers);
    let (arrival, refreshed) = Arrival::of(console, &mut parts).await;
    parts.extensions.insert(arrival.state.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let mut change = response.extensions_mut().remove::<SessionChange>().or(refreshed);
    if let Some(Refusal(error)) = response.extensions_mut().remove::<Refusal>() {
        if error.kind() == Kind::Unauthenticated {
            change = had_cookie.then_some(SessionChange::End);
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
        let opened = Session::of(&parts.headers, &console.seal, console.clock.now());
        let (state, change) = match opened {
            None => (SessionState::Absent, None),
            Some(session) => current(&console, &context, session).await,
        };
        let target = parts.uri.path_and_query().map_or(parts.uri.path(), |target| target.as_str());
        let (method, target) = (parts.method.clone(), target.to_owned());
        (Self { console, context, base_path, method, target, state }, change)
    }

    /// Answers with the page of an error. Without a session that is the sign-in page.
    fn refuse(&self, error: &Error) -> Response {
        if error.kind() == Kind::Unauthenticated {
            // The answer to a form cannot be shown later, so only a page is returned to.
            let next = (self.method == Method::GET).then_some(self.target.as_str());
            return redirect(&pages::sign_in::path(next));
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

/// Refreshes the access token of a session if it ends soon.
async fn current(
    console: &Console,
    context: &Context,
    session: Session,
) -> (SessionState, Option<SessionChange>) {
    if !session.must_refresh(console.clock.now()) {
        return (SessionState::Open(Arc::new(session)), None);
    }
    match refresh(console, context, &session).await {
        Ok(Some(renewed)) => {
            let renewed = Arc::new(renewed);
            (SessionState::Open(renewed.clone()), Some(SessionChange::Begin(renewed)))
        }
        Ok(None) => (SessionState::Absent, Some(SessionChange::End)),
        // The token is good for some seconds more, so the next request may refresh it.
        Err(_) if !session.has_expired(console.clock.now()) => (SessionState::Open(Arc::new(session)), None),
        Err(error) => (SessionState::Unavailable(Arc::new(error)), None),
    }
}

/// Exchanges the refresh token. `None` if it is refused, or if its user is no staff any more.
///
/// # Errors
/// Any other failure of users.
async fn refresh(console: &Console, context: &Context, session: &Session) -> Result<Option<Session>, Error> {
    let message = RefreshTokenRequest { refresh_token: Some(session.refresh_token().to_owned()) };
    let mut users = UserServiceClient::new(console.users.clone());
    match users.refresh_token(metadata::request_for_client(message, context)).await {
        Ok(tokens) => Ok(session.renewed(tokens.into_inner(), console.clock.now())),
        Err(status) => match Error::from(status) {
            error if matches!(error.kind(), Kind::Unauthenticated | Kind::Validation) => Ok(None),
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
