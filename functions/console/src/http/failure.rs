//! Errors that become pages.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use shared::error::{Error, Kind};

/// Error of a request. It becomes a page with title, detail and request ID.
///
/// A handler does not know the frame of that page. So the response carries the error to the layer that does.
#[derive(Debug)]
pub(crate) struct Failure(Arc<Error>);

/// Answer of a handler.
pub(crate) type Answer = Result<Response, Failure>;

/// Error of a response whose page is still to be made: an extension of the response.
#[derive(Clone)]
pub(super) struct Refusal(pub(super) Arc<Error>);

impl Failure {
    /// Failure of a request without a session; it becomes a redirect to the sign-in page.
    pub(crate) fn signed_out() -> Self {
        Error::new(Kind::Unauthenticated, "Sign in first.").into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl From<Arc<Error>> for Failure {
    fn from(error: Arc<Error>) -> Self {
        Self(error)
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Error::from(status).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.0.kind().status().into_response();
        response.extensions_mut().insert(Refusal(self.0));
        response
    }
}
