//! The signed-in member of staff at a request, and the answers.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::products::v1::product_service_client::ProductServiceClient;
use proto::users::v1::user_service_client::UserServiceClient;
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::rpc::server::MAX_MESSAGE;
use shared::runtime::context::Context;
use shared::values::clock::Timestamp;
use tonic::metadata::{Ascii, MetadataValue};

use super::START;
use super::failure::Failure;
use super::fields::Fields;
use super::keep::SessionState;
use crate::layout::{self, Place};
use crate::session::Session;
use crate::{Console, texts};

/// Metadata that makes a repeated call take effect once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Request of a signed-in member of staff. As an extractor it redirects all others to the sign-in page.
#[derive(Clone)]
pub(crate) struct Visit {
    console: Arc<Console>,
    session: Arc<Session>,
    context: Context,
    base_path: BasePath,
    /// Action and key of a form whose outcome is unknown.
    kept: Option<(String, String)>,
}

impl Visit {
    /// Creates the visit of this session.
    pub(super) fn new(
        console: Arc<Console>,
        session: Arc<Session>,
        context: Context,
        base_path: BasePath,
    ) -> Self {
        Self { console, session, context, base_path, kept: None }
    }

    /// Client of orders.
    pub(crate) fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.console.orders.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Client of products.
    pub(crate) fn products(&self) -> ProductServiceClient<Channel> {
        ProductServiceClient::new(self.console.products.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Client of users.
    pub(crate) fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.console.users.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Request with the caller's token, and with the deadline, ID and trace of this request.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = metadata::request(message, &self.context);
        let token = format!("Bearer {}", self.session.access_token());
        // A token that is no text of a header is left out, and the call refused.
        if let Ok(token) = token.parse::<MetadataValue<Ascii>>() {
            request.metadata_mut().insert("authorization", token);
        }
        request
    }

    /// The same, with the key of the form. A form that is sent twice then takes effect once.
    pub(crate) fn request_once<T>(&self, message: T, fields: &Fields) -> tonic::Request<T> {
        let mut request = self.request(message);
        if let Some(key) = fields.key().and_then(|key| key.parse::<MetadataValue<Ascii>>().ok()) {
            request.metadata_mut().insert(IDEMPOTENCY_KEY, key);
        }
        request
    }

    /// True for admins; all others are staff.
    pub(crate) fn is_admin(&self) -> bool {
        self.session.is_admin()
    }

    /// ID of the signed-in user.
    pub(crate) fn user_id(&self) -> &str {
        self.session.user()
    }

    /// Current time.
    pub(crate) fn now(&self) -> Timestamp {
        self.console.clock.now()
    }

    /// Path from outside of a path of the console: `/v1/console/orders` of `/console/orders`.
    pub(crate) fn path(&self, path: &str) -> String {
        self.base_path.of(path)
    }

    /// Renders a form that is sent by POST to `action`, a path as `/console/orders`, without the base path.
    ///
    /// It carries the token of the session, and a key that is new for each rendered form.
    pub(crate) fn form(&self, action: &str, body: Markup) -> Markup {
        let kept = self.kept.as_ref().filter(|(of, _)| of == action).map(|(_, key)| key.clone());
        let key = kept.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        html! {
            form method="post" action=(self.path(action)) {
                input type="hidden" name="csrf" value=(self.session.csrf());
                input type="hidden" name="key" value=(key);
                (body)
            }
        }
    }

    /// The same visit after this error. If the outcome of the form is unknown, it keeps its key.
    ///
    /// So the form can be sent again, and takes effect once.
    pub(crate) fn after(&self, error: &Error, fields: &Fields) -> Self {
        let is_unknown = matches!(error.kind(), Kind::Unavailable | Kind::Internal);
        let key = fields.key().filter(|_| is_unknown);
        let kept = key.map(|key| (fields.action().to_owned(), key.to_owned()));
        Self { kept, ..self.clone() }
    }

    /// Answers 200 with a page. Its body begins with an `h1`; the frame has none.
    pub(crate) fn page(&self, title: &str, here: Place, body: Markup) -> Response {
        self.page_with(StatusCode::OK, title, here, body)
    }

    /// Answers with the page of a refusal: its status, and a title that says so.
    pub(crate) fn refused(&self, error: &Error, title: &str, here: Place, body: Markup) -> Response {
        self.page_with(error.kind().status(), &layout::title_of_refusal(title), here, body)
    }

    /// Answers with a page of this status. A 401 becomes a redirect to the sign-in page: the session has ended.
    pub(crate) fn page_with(&self, status: StatusCode, title: &str, here: Place, body: Markup) -> Response {
        if status == StatusCode::UNAUTHORIZED {
            return Failure::signed_out().into_response();
        }
        let account = html! {
            div.account {
                span.user {
                    span.visually-hidden { (texts::SIGNED_IN_AS) " " }
                    (self.session.email())
                    @if self.is_admin() { " (" (texts::ADMIN) ")" }
                }
                (self.form("/console/sign-out", html! { button.quiet type="submit" { (texts::SIGN_OUT) } }))
            }
        };
        page(status, layout::frame(&self.base_path, title, Some((here, account)), &body))
    }

    /// Redirects after a POST (303). The path is without the base path, which is put before it later.
    pub(crate) fn redirect(&self, path: &str) -> Response {
        redirect(path)
    }
}

/// Answers with a document.
pub(crate) fn page(status: StatusCode, document: Markup) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, html)], document.into_string()).into_response()
}

/// Redirects with 303 to a path without the base path.
pub(crate) fn redirect(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or_else(|_| HeaderValue::from_static(START));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Redirects a form with 307 to a path without the base path. The browser sends it there, with method and body.
pub(super) fn resend(path: &str) -> Response {
    let mut response = redirect(path);
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response
}

impl FromRequestParts<Arc<Console>> for Visit {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Failure> {
        let session = match parts.extensions.get::<SessionState>() {
            Some(SessionState::Open(session)) => session.clone(),
            Some(SessionState::Unavailable(error)) => return Err(error.clone().into()),
            Some(SessionState::Absent) | None => return Err(Failure::signed_out()),
        };
        let Ok(context) = Context::from_request_parts(parts, console).await;
        let Ok(base_path) = BasePath::from_request_parts(parts, console).await;
        Ok(Self::new(console.clone(), session, context, base_path))
    }
}
