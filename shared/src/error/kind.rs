//! Kinds of errors, with the HTTP and gRPC status of each.

use http::StatusCode;

/// Kind of an error, as far as clients can tell errors apart. The docs function's catalogue
/// (`functions/docs/src/problems.rs`) explains each kind to clients. The build fails until a new kind is
/// described there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes that HTTP or JSON do not allow.
    MalformedRequest,
    /// Query parameter that is unknown, repeated, empty or invalid.
    InvalidQuery,
    /// Missing or invalid access token.
    Unauthenticated,
    /// Caller without the permission.
    Forbidden,
    /// Resource that does not exist, or that the caller may not see.
    NotFound,
    /// Path that exists, with other methods.
    MethodNotAllowed,
    /// Body that did not arrive in time.
    RequestTimeout,
    /// E-mail address of another user.
    EmailTaken,
    /// SKU of another product.
    SkuTaken,
    /// Quantity above the available stock.
    InsufficientStock,
    /// Stock that would fall below the quantity held for orders.
    StockBelowReserved,
    /// Customer with the maximum number of open orders.
    TooManyOpenOrders,
    /// Payment reference that another payment has.
    PaymentReferenceTaken,
    /// Amount or quantity to refund above that which is left.
    AmountExceeded,
    /// Quantity to ship, cancel or send back above that which is left.
    QuantityExceeded,
    /// Number at another system that another order has.
    ExternalNumberTaken,
    /// Change of status that the order's status does not allow.
    InvalidTransition,
    /// Change that the order's status does not allow.
    OrderNotEditable,
    /// Change that would leave no active admin.
    LastAdmin,
    /// Version that is not the latest any more.
    VersionMismatch,
    /// Body that is too large.
    PayloadTooLarge,
    /// Body that is not sent as JSON.
    UnsupportedMediaType,
    /// Request for another host.
    MisdirectedRequest,
    /// JSON body with invalid values.
    Validation,
    /// Idempotency key of another request.
    IdempotencyKeyReused,
    /// Too many requests for now.
    TooManyRequests,
    /// Dependency that is unavailable; a retry may help.
    Unavailable,
    /// Bug in this code.
    Internal,
}

impl Kind {
    /// All kinds, sorted by status.
    pub const ALL: [Self; 28] = [
        Self::MalformedRequest,
        Self::InvalidQuery,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::EmailTaken,
        Self::SkuTaken,
        Self::InsufficientStock,
        Self::StockBelowReserved,
        Self::TooManyOpenOrders,
        Self::PaymentReferenceTaken,
        Self::AmountExceeded,
        Self::QuantityExceeded,
        Self::ExternalNumberTaken,
        Self::InvalidTransition,
        Self::OrderNotEditable,
        Self::LastAdmin,
        Self::VersionMismatch,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::MisdirectedRequest,
        Self::Validation,
        Self::IdempotencyKeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Last segment of the problem's `type`; stable, for programs.
    pub fn slug(self) -> &'static str {
        self.row().0
    }

    /// Problem `type`, without the base path: path of the page that explains it in the docs function's catalogue.
    pub fn reference(self) -> String {
        format!("/problems/{}", self.slug())
    }

    /// Problem `title`, the same for every problem of this kind.
    pub fn title(self) -> &'static str {
        self.row().1
    }

    /// HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().2
    }

    /// gRPC status code.
    pub fn code(self) -> tonic::Code {
        self.row().3
    }

    fn row(self) -> (&'static str, &'static str, StatusCode, tonic::Code) {
        use tonic::Code;
        match self {
            Self::MalformedRequest => {
                ("malformed-request", "Malformed request", StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Self::InvalidQuery => {
                ("invalid-query", "Invalid query", StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Self::Unauthenticated => (
                "unauthenticated",
                "Authentication required",
                StatusCode::UNAUTHORIZED,
                Code::Unauthenticated,
            ),
            Self::Forbidden => ("forbidden", "Forbidden", StatusCode::FORBIDDEN, Code::PermissionDenied),
            Self::NotFound => ("not-found", "Not found", StatusCode::NOT_FOUND, Code::NotFound),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                "Method not allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unimplemented,
            ),
            Self::RequestTimeout => {
                ("request-timeout", "Request timeout", StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded)
            }
            Self::EmailTaken => {
                ("email-taken", "E-mail address taken", StatusCode::CONFLICT, Code::AlreadyExists)
            }
            Self::SkuTaken => ("sku-taken", "SKU taken", StatusCode::CONFLICT, Code::AlreadyExists),
            Self::InsufficientStock => {
                ("insufficient-stock", "Insufficient stock", StatusCode::CONFLICT, Code::FailedPrecondition)
            }
            Self::StockBelowReserved => (
                "stock-below-reserved",
                "Stock below reserved",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::TooManyOpenOrders => (
                "too-many-open-orders",
                "Too many open orders",
                StatusCode::CONFLICT,
                Code::FailedPrecondition,
            ),
            Self::PaymentReferenceTaken => (
                "payment-reference-taken",
                "Payment reference taken",
                StatusCode::CONFLICT,
                Code::AlreadyExists,
            ),
            Self::AmountExceeded => {
                ("amount-exceeded", "Amount exceeded", StatusCode::CONFLICT, Code::FailedPrecondition)
            }
            Self::QuantityExceeded => {
                ("quantity-exceeded", "Quantity exceeded", StatusCode::CONFLICT, Code::FailedPrecondition)
            }
            Self::ExternalNumberTaken => {
                ("external-number-taken", "External number taken", StatusCode::CONFLICT, Code::AlreadyExists)
            }
            Self::InvalidTransition => {
                ("invalid-transition", "Invalid transition", StatusCode::CONFLICT, Code::FailedPrecondition)
            }
            Self::OrderNotEditable => {
                ("order-not-editable", "Order not editable", StatusCode::CONFLICT, Code::FailedPrecondition)
            }
            Self::LastAdmin => {
                ("last-admin", "Last active admin", StatusCode::CONFLICT, Code::FailedPrecondition)
            }
            Self::VersionMismatch => (
                "version-mismatch",
                "Version mismatch",
                StatusCode::PRECONDITION_FAILED,
                Code::FailedPrecondition,
            ),
            Self::PayloadTooLarge => (
                "payload-too-large",
                "Payload too large",
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::ResourceExhausted,
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                "Unsupported media type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::InvalidArgument,
            ),
            Self::MisdirectedRequest => (
                "misdirected-request",
                "Misdirected request",
                StatusCode::MISDIRECTED_REQUEST,
                Code::InvalidArgument,
            ),
            Self::Validation => {
                ("validation", "Validation failed", StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument)
            }
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                "Idempotency key reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                Code::InvalidArgument,
            ),
            Self::TooManyRequests => (
                "too-many-requests",
                "Too many requests",
                StatusCode::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
            ),
            Self::Unavailable => {
                ("unavailable", "Service unavailable", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::Internal => {
                ("internal", "Internal error", StatusCode::INTERNAL_SERVER_ERROR, Code::Internal)
            }
        }
    }
}
