//! What kinds of errors there are, and the status of each in HTTP and in gRPC.

use http::StatusCode;

/// What went wrong, as far as a client can tell errors apart. What each means to clients is in the catalogue of the
/// docs function (`functions/docs/src/problems.rs`), where a new one must be described before anything compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bytes are not what HTTP or JSON allow.
    MalformedRequest,
    /// A parameter in the query is unknown, repeated, empty or wrong.
    InvalidQuery,
    /// No token, or a bad one.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or none that the caller may see.
    NotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// Another user has this e-mail address.
    EmailTaken,
    /// Another product has this SKU.
    SkuTaken,
    /// More was asked for than is available.
    InsufficientStock,
    /// The stock would fall below what is held for orders.
    StockBelowReserved,
    /// The product is held for as many orders as it can be.
    TooManyHolds,
    /// The order's status does not allow this change of status.
    InvalidTransition,
    /// The order's status does not allow this change.
    OrderNotEditable,
    /// Nobody would be left who can administer.
    LastAdmin,
    /// What the client has seen is not the latest version any more.
    VersionMismatch,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The body is not sent as JSON.
    UnsupportedMediaType,
    /// The body is JSON, and says something that is not allowed.
    Validation,
    /// Another request was sent under the same idempotency key.
    IdempotencyKeyReused,
    /// Too often, for now.
    TooManyRequests,
    /// Something that this answer depends on is away; worth another try.
    Unavailable,
    /// A bug of ours.
    Internal,
}

impl Kind {
    /// Every kind, in the order of their status.
    pub const ALL: [Self; 22] = [
        Self::MalformedRequest,
        Self::InvalidQuery,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::EmailTaken,
        Self::SkuTaken,
        Self::InsufficientStock,
        Self::StockBelowReserved,
        Self::TooManyHolds,
        Self::InvalidTransition,
        Self::OrderNotEditable,
        Self::LastAdmin,
        Self::VersionMismatch,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::Validation,
        Self::IdempotencyKeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The last segment of the problem's `type`: stable, for programs.
    pub fn slug(self) -> &'static str {
        self.row().0
    }

    /// The problem's `type`: the page that explains it, in the docs function's catalogue.
    pub fn reference(self) -> String {
        format!("/problems/{}", self.slug())
    }

    /// A short summary, the same for every problem of this kind.
    pub fn title(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().2
    }

    /// The gRPC status code.
    pub fn code(self) -> tonic::Code {
        self.row().3
    }

    fn row(self) -> (&'static str, &'static str, StatusCode, tonic::Code) {
        use tonic::Code;
        match self {
            Self::MalformedRequest => (
                "malformed-request",
                "The request is malformed",
                StatusCode::BAD_REQUEST,
                Code::InvalidArgument,
            ),
            Self::InvalidQuery => {
                ("invalid-query", "The query is not valid", StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Self::Unauthenticated => {
                ("unauthenticated", "Sign in first", StatusCode::UNAUTHORIZED, Code::Unauthenticated)
            }
            Self::Forbidden => {
                ("forbidden", "This is not allowed to you", StatusCode::FORBIDDEN, Code::PermissionDenied)
            }
            Self::NotFound => ("not-found", "There is no such thing", StatusCode::NOT_FOUND, Code::NotFound),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                "The method is not allowed here",
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unimplemented,
            ),
            Self::EmailTaken => {
                ("email-taken", "The e-mail address is taken", StatusCode::CONFLICT, Code::AlreadyExists)
            }
            Self::SkuTaken => ("sku-taken", "The SKU is taken", StatusCode::CONFLICT, Code::AlreadyExists),
            Self::InsufficientStock => (
                "insufficient-stock",
                "There is not enough stock",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::StockBelowReserved => (
                "stock-below-reserved",
                "The stock would fall below what is reserved",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::TooManyHolds => (
                "too-many-holds",
                "The product is held for too many orders",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::InvalidTransition => (
                "invalid-transition",
                "The order's status cannot change like this",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::OrderNotEditable => (
                "order-not-editable",
                "The order can no longer be changed like this",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::LastAdmin => {
                ("last-admin", "The last admin must stay", StatusCode::CONFLICT, Code::FailedPrecondition)
            }
            Self::VersionMismatch => (
                "version-mismatch",
                "The resource has changed meanwhile",
                StatusCode::PRECONDITION_FAILED,
                Code::FailedPrecondition,
            ),
            Self::PayloadTooLarge => (
                "payload-too-large",
                "The body is too large",
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::ResourceExhausted,
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                "The body must be JSON",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::InvalidArgument,
            ),
            Self::Validation => (
                "validation",
                "The request is not valid",
                StatusCode::UNPROCESSABLE_ENTITY,
                Code::InvalidArgument,
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                "The idempotency key was used for another request",
                StatusCode::UNPROCESSABLE_ENTITY,
                Code::InvalidArgument,
            ),
            Self::TooManyRequests => (
                "too-many-requests",
                "Too many requests for now",
                StatusCode::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
            ),
            Self::Unavailable => {
                ("unavailable", "Try again", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::Internal => {
                ("internal", "Something went wrong", StatusCode::INTERNAL_SERVER_ERROR, Code::Internal)
            }
        }
    }
}
