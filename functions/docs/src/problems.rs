//! Catalogue of problem types: the meaning of each, its members, and the remedy.
//!
//! Its source is [`Kind`], from which every error of the API is made: type, title, status, headers and
//! example come from there. All other texts are in one match over all kinds, so a type without its entry does
//! not compile. The texts are here and not beside the kinds, since the other functions do not need them.

use serde::Serialize;
use serde_json::{Value, json};
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::input::validation::{FieldError, NamedBy};

/// Type of problem, an entry of the catalogue.
#[derive(Debug, Serialize)]
pub struct ProblemType {
    /// The `type` of its problems, and the path of this entry.
    pub r#type: String,
    /// The `title` of its problems.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Circumstances in which it is answered.
    pub meaning: &'static str,
    /// Remedy for the client.
    pub what_to_do: &'static str,
    /// Members of its problems, beside the common ones.
    pub members: Vec<Member>,
    /// Headers of its responses, beside the common ones.
    pub headers: Vec<Header>,
    /// Example of a problem of this type.
    pub example: Value,
}

/// Member of a problem.
#[derive(Debug, Serialize)]
pub struct Member {
    /// Name; `items[].product_id` is one of each element.
    pub name: &'static str,
    /// Type in JSON.
    pub r#type: &'static str,
    /// Meaning of the member.
    pub meaning: &'static str,
}

/// Header of a response.
#[derive(Debug, Serialize)]
pub struct Header {
    /// Name.
    pub name: &'static str,
    /// Meaning of the header.
    pub meaning: &'static str,
}

/// Members of every problem (RFC 9457, section 3.1; `request_id` is an extension).
pub const COMMON: [Member; 6] = [
    member("type", "string", "Type of the problem, for programs: the path of its page."),
    member("title", "string", "Short summary of the type."),
    member("status", "integer", "The HTTP status."),
    member("detail", "string", "Explanation of this occurrence, for people."),
    member("instance", "string", "The path of the request."),
    member("request_id", "string", "Request ID, as in the header `X-Request-Id` and in the log."),
];

/// All types of an API at this base path, sorted by status.
pub fn all(base_path: &BasePath) -> impl Iterator<Item = ProblemType> {
    Kind::ALL.into_iter().map(|kind| ProblemType::of(kind, base_path))
}

impl ProblemType {
    /// Finds the type with this last segment of its path.
    pub fn named(slug: &str, base_path: &BasePath) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.slug() == slug)?;
        Some(Self::of(kind, base_path))
    }

    /// Builds the type of this kind.
    pub fn of(kind: Kind, base_path: &BasePath) -> Self {
        let Entry { meaning, what_to_do, members, headers, example: (path, example) } = entry(kind);
        Self {
            r#type: base_path.of(&kind.reference()),
            title: kind.title(),
            status: kind.status().as_u16(),
            meaning,
            what_to_do,
            members,
            headers,
            example: example.to_json(base_path, &base_path.of(path), "01JQ4V9T2GZ6M8W3K5"),
        }
    }

    /// Last segment of its path.
    pub fn slug(&self) -> &str {
        self.r#type.rsplit('/').next().unwrap_or_default()
    }
}

const fn member(name: &'static str, r#type: &'static str, meaning: &'static str) -> Member {
    Member { name, r#type, meaning }
}

/// Texts and example of a kind.
struct Entry {
    meaning: &'static str,
    what_to_do: &'static str,
    members: Vec<Member>,
    headers: Vec<Header>,
    /// Path of a request, and its error.
    example: (&'static str, Error),
}

impl Entry {
    fn new(meaning: &'static str, what_to_do: &'static str, example: (&'static str, Error)) -> Self {
        Self { meaning, what_to_do, members: Vec::new(), headers: Vec::new(), example }
    }

    fn members<const N: usize>(self, members: [Member; N]) -> Self {
        Self { members: members.into(), ..self }
    }

    fn header(self, header: Header) -> Self {
        Self { headers: vec![header], ..self }
    }
}

const RETRY_AFTER: Header = Header { name: "Retry-After", meaning: "Seconds to wait before a retry." };

const PRODUCT: &str = "product_01h455vb4pex5vsknk084sn02q";
const AN_ORDER: &str = "/orders/order_01h455vb4pex5vsknk084sn02q";
const A_PRODUCT: &str = "/products/product_01h455vb4pex5vsknk084sn02q";
const ITS_PAYMENTS: &str = "/orders/order_01h455vb4pex5vsknk084sn02q/payments";
const ITS_REFUNDS: &str = "/orders/order_01h455vb4pex5vsknk084sn02q/refunds";
const ITS_FULFILLMENTS: &str = "/orders/order_01h455vb4pex5vsknk084sn02q/fulfillments";
const ITS_STOCK: &str = "/products/product_01h455vb4pex5vsknk084sn02q/stock";
const A_USER: &str = "/users/user_01h455vb4pex5vsknk084sn02q";

/// Declares the texts of all kinds, in one place.
fn entry(kind: Kind) -> Entry {
    let example = |path, detail: &str| (path, Error::new(kind, detail));
    match kind {
        Kind::MalformedRequest => Entry::new(
            "The request cannot be read. The body is empty, is not JSON, repeats a key in an object or is nested more than 32 levels deep; or `Idempotency-Key` is not 1 to 255 visible ASCII characters.",
            "Fix the problem named in `detail` and resend.",
            example("/orders", "Malformed JSON at line 1, column 18: expected `,` or `}`."),
        ),
        Kind::InvalidQuery => Entry::new(
            "A query parameter is unknown, empty, repeated or invalid; or a cursor belongs to another list, filter, sort or caller.",
            "Fix the parameter named in `detail`. For a cursor, start again without one.",
            example("/orders", "`limit` must be an integer from 1 to 100."),
        ),
        Kind::Unauthenticated => Entry::new(
            "The access token is missing, malformed, expired or revoked. A bad token is refused on routes that need none, too. `POST /auth`: wrong e-mail address or password, or the user is disabled. `POST /auth/refresh`: the refresh token is no longer valid.",
            "Sign in with `POST /auth` or refresh with `POST /auth/refresh`, then resend with `Authorization: Bearer <access token>`.",
            example(
                "/orders",
                "Send `Authorization: Bearer <access token>`; `POST /auth` issues access tokens.",
            ),
        )
        .header(Header { name: "WWW-Authenticate", meaning: "`Bearer`: the expected scheme." }),
        Kind::Forbidden => Entry::new(
            "The caller's role does not permit this route, field or change of status.",
            "Use an account with the role named in `detail`.",
            example(A_PRODUCT, "Only staff and admins may do this; you are signed in as customer."),
        ),
        Kind::NotFound => Entry::new(
            "The resource does not exist, or the caller may not see it: other customers' orders and draft products answer the same. Malformed IDs are 404, too. Paths are case-sensitive and have no trailing slash.",
            "Check the ID and the path, or sign in as a user with access.",
            example(AN_ORDER, "Order not found."),
        ),
        Kind::MethodNotAllowed => Entry::new(
            "The path does not have this method.",
            "Use a method from the `Allow` header.",
            (
                "/products",
                Error::new(kind, "Method `DELETE` not allowed. Allowed: GET, HEAD, POST.")
                    .allowing(http::HeaderValue::from_static("GET, HEAD, POST")),
            ),
        )
        .header(Header { name: "Allow", meaning: "The methods of the path." }),
        Kind::RequestTimeout => Entry::new(
            "The body of the request did not arrive in time. Nothing was changed. The connection is closed.",
            "Send the request again, on another connection.",
            example("/orders", "The body did not arrive in time. Nothing was changed."),
        ),
        Kind::EmailTaken => Entry::new(
            "Another user has this e-mail address. Case is ignored.",
            "Sign in as that user, or use another address.",
            example("/users", "Another user has this `email` (case is ignored)."),
        ),
        Kind::SkuTaken => Entry::new(
            "Another product has this SKU, possibly an archived one.",
            "Find that product with `GET /products?sku=` and change it, or use another SKU.",
            example("/products", "Another product has this `sku`."),
        ),
        Kind::InsufficientStock => Entry::new(
            "Some products have less available than requested. Nothing was placed, changed or held.",
            "Order at most `available`, remove the product, or retry later.",
            (
                "/orders",
                Error::new(
                    kind,
                    "Not enough stock; `items` lists what is available.",
                )
                .with("items", json!([{ "product_id": PRODUCT, "requested": 4, "available": 3 }])),
            ),
        )
        .members([
            member("items", "array", "The products that are short."),
            member("items[].product_id", "string", "The product."),
            member("items[].requested", "integer", "Requested quantity."),
            member("items[].available", "integer", "Available quantity."),
        ]),
        Kind::StockBelowReserved => Entry::new(
            "The stock would fall below 0 or below the reserved quantity.",
            "Keep `on_hand` at or above `reserved`, or cancel orders first.",
            (
                ITS_STOCK,
                Error::new(
                    kind,
                    "5 on hand, 2 reserved: `on_hand` must be at least 2 (`delta` at least -3).",
                )
                .with("on_hand", json!(5))
                .with("reserved", json!(2)),
            ),
        )
        .members([
            member("on_hand", "integer", "Units in the warehouse, reserved ones included."),
            member("reserved", "integer", "Units reserved for orders."),
        ]),
        Kind::TooManyOpenOrders => Entry::new(
            "The customer has as many unpaid orders as the shop allows. Nothing was placed or held.",
            "Pay or cancel an order, or wait until one expires.",
            (
                "/orders",
                Error::new(
                    kind,
                    "The limit of 20 unpaid orders is reached. Pay or cancel one first.",
                )
                .with("limit", json!(20)),
            ),
        )
        .members([member("limit", "integer", "Maximum number of unpaid orders.")]),
        Kind::PaymentReferenceTaken => Entry::new(
            "Another payment of the same provider has this reference, with another order or amount. Nothing was recorded.",
            "Look the payment up at the provider. Send its own order and amount, or another reference.",
            (ITS_PAYMENTS, Error::new(kind, "Another payment of this provider has this reference.")),
        ),
        Kind::AmountExceeded => Entry::new(
            "The refund is more than what was paid and not refunded, or than the units that were ordered. Or the order has \
             as many payments or refunds as it may have. Nothing was recorded.",
            "Refund at most `available`; for too many units, `items` has the quantity that is left of each. To see an amount \
             before, preview the refund.",
            (
                ITS_REFUNDS,
                Error::new(kind, "More units than were ordered and not refunded.")
                    .with("available", json!(1000))
                    .with(
                        "items",
                        json!([{ "id": "item_01h455vb4pex5vsknk084sn02q", "requested": 2, "available": 1 }]),
                    ),
            ),
        )
        .members([
            member("available", "integer", "Amount that can be refunded, in minor units."),
            member("items", "array", "The items of which too many units were requested."),
            member("items[].id", "string", "The item."),
            member("items[].requested", "integer", "Requested quantity."),
            member("items[].available", "integer", "Quantity that can be refunded."),
        ]),
        Kind::QuantityExceeded => Entry::new(
            "More units of an item than are left to be shipped, cancelled or returned. Or returns need units: a fulfillment \
             of theirs cannot be cancelled, and the order not be returned as a whole while one is open. `items` names \
             the items. Or a list of the order is full; then `items` is empty. It has at most 50 fulfillments, 50 \
             cancellations and 50 returns, 750 items in all of a kind, and 200 changes of tracking. Its customer has half \
             of the places of returns. Nothing was changed.",
            "Ask for at most `left` of each item. Before a fulfillment is cancelled, cancel or reject the open returns of its \
             units. Before an order is returned as a whole, receive, reject or cancel them. A full list stays full.",
            (
                ITS_FULFILLMENTS,
                Error::new(kind, "More units than can be shipped; `items` names them, with what is left of each.")
                    .with("items", json!([{ "id": "item_01h455vb4pex5vsknk084sn02q", "requested": 2, "left": 1 }])),
            ),
        )
        .members([
            member("items", "array", "The items of which units are missing; empty if a list is full."),
            member("items[].id", "string", "The item."),
            member("items[].requested", "integer", "Requested quantity."),
            member("items[].left", "integer", "Quantity that is left."),
        ]),
        Kind::ExternalNumberTaken => Entry::new(
            "Another order has this `external_number`. Nothing was placed or held.",
            "Look that order up with `GET /orders?external_number=…`, or place this one with another number.",
            ("/orders", Error::new(kind, "Another order has this `external_number`.")),
        ),
        Kind::InvalidTransition => Entry::new(
            "The order, or a part of it, cannot change from its status to the requested one. Or no such part can be added now, \
             such as a return before the delivery or after the time for it.",
            "Choose a status from `allowed`. If it is empty, no change is possible.",
            (
                AN_ORDER,
                Error::new(
                    kind,
                    "Cannot change status from shipped to cancelled. Allowed: delivered, returned.",
                )
                .with("from", json!("shipped"))
                .with("to", json!("cancelled"))
                .with("allowed", json!(["delivered", "returned"])),
            ),
        )
        .members([
            member("from", "string", "Status of the order, or of the part."),
            member("to", "string", "Requested status."),
            member("allowed", "array", "Statuses that this caller may set, as strings."),
        ]),
        Kind::OrderNotEditable => Entry::new(
            "The order's status does not permit this change. Items can be changed while placed; the address while placed or, by staff, paid.",
            "Cancel the order and place another, or leave it unchanged.",
            example(AN_ORDER, "`items` can be changed while the order is placed; it is shipped."),
        ),
        Kind::LastAdmin => Entry::new(
            "The change would leave no active admin.",
            "Make another user an admin first.",
            example(
                A_USER,
                "The last active admin cannot be deleted, disabled or demoted. Make another user an admin first.",
            ),
        ),
        Kind::VersionMismatch => Entry::new(
            "`If-Match` names an older version: the resource has changed since. Nothing was changed by this request.",
            "Read the resource again, check the changes, and resend with the new `ETag` in `If-Match`.",
            (
                AN_ORDER,
                Error::new(
                    kind,
                    "The current version is 4; `If-Match` names another. Read the resource, then resend with `If-Match: \"4\"`.",
                )
                .with("current_version", json!(4)),
            ),
        )
        .members([member("current_version", "integer", "Current version.")]),
        Kind::PayloadTooLarge => Entry::new(
            "The body is larger than 256 KiB.",
            "Send less, such as only the fields that change.",
            example("/products", "The body must be at most 256 KiB."),
        ),
        Kind::UnsupportedMediaType => Entry::new(
            "The body is not sent as JSON.",
            "Send `Content-Type: application/json`.",
            example("/products", "The body was sent as \"text/plain\"; send JSON with `Content-Type: application/json`."),
        ),
        Kind::MisdirectedRequest => Entry::new(
            "The request is for a host that this server does not serve. Only a server on a loopback address answers this.",
            "Use `localhost` or a loopback address, or let the operator add the host to `ALLOWED_HOSTS`.",
            example(
                "/products",
                "The request is for another host. This address serves localhost and loopback addresses; ALLOWED_HOSTS adds others.",
            ),
        ),
        Kind::Validation => Entry::new(
            "The body has missing, unknown, read-only or invalid fields, or names a product or user that does not exist. Nothing was changed.",
            "Fix every entry of `errors`. A wrong type or an unknown field may be reported alone; all others are reported together.",
            (
                "/orders",
                Error::validation(vec![
                    FieldError::new("/items/0/quantity", "must be 1 to 10000; got 0", NamedBy::Code),
                    FieldError::new("/shipping_address", "is required", NamedBy::Code),
                ]),
            ),
        )
        .members([
            member("errors", "array", "Every error of the body."),
            member("errors[].pointer", "string", "Place in the body: a JSON Pointer (RFC 6901)."),
            member("errors[].detail", "string", "The problem, and the allowed values."),
        ]),
        Kind::IdempotencyKeyReused => Entry::new(
            "The `Idempotency-Key` was used before with another body. Nothing was done.",
            "Use a new key for a new request, or resend the original body.",
            example(
                "/orders",
                "This `Idempotency-Key` was used with another body. Use a new key for a new request.",
            ),
        ),
        Kind::TooManyRequests => Entry::new(
            "Too many sign-in attempts for one e-mail address, or too many requests from one network address or of one customer.",
            "Wait the seconds in `Retry-After`. Until then the right password is refused, too.",
            (
                "/auth",
                Error::new(kind, "Too many failed sign-ins for this e-mail address. Try again later.")
                    .retrying_after(540),
            ),
        )
        .header(RETRY_AFTER),
        Kind::Unavailable => Entry::new(
            "A part of the system did not answer in time. It is unknown whether the request took effect.",
            "Resend the same request after the seconds in `Retry-After`, with the same `Idempotency-Key` where the route takes one: it takes effect once.",
            ("/orders", Error::unavailable("no cause is shown")),
        )
        .header(RETRY_AFTER),
        Kind::Internal => Entry::new(
            "A bug in the server. It is unknown whether the request took effect.",
            "Retry once with the same `Idempotency-Key`. If it fails again, report the `request_id`.",
            ("/orders", Error::internal("no cause is shown")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_example_has_just_the_members_and_headers_that_are_told() {
        for kind in Kind::ALL {
            let told = ProblemType::of(kind, &BasePath::default());
            let common = COMMON.iter().map(|member| member.name);
            let own = told.members.iter().map(|member| member.name).filter(|name| !name.contains('['));
            let example: BTreeSet<&str> =
                told.example.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            assert_eq!(example, common.chain(own).collect(), "{}", told.r#type);

            let response = entry(kind).example.1.to_problem(&BasePath::default(), "/", "x");
            let told: BTreeSet<String> =
                told.headers.iter().map(|header| header.name.to_ascii_lowercase()).collect();
            let headers = response.headers().keys().map(|name| name.as_str().to_owned());
            assert_eq!(headers.filter(|name| name != "content-type").collect::<BTreeSet<_>>(), told);
        }
    }

    #[test]
    fn members_of_elements_are_told_where_the_example_has_them() {
        for told in all(&BasePath::default()) {
            for (name, value) in told.example.as_object().into_iter().flatten() {
                let elements = value.as_array().into_iter().flatten();
                for (inner, value) in elements.filter_map(Value::as_object).flatten() {
                    let inner = format!("{name}[].{inner}");
                    let member = told.members.iter().find(|member| member.name == inner);
                    let expected = if value.is_string() { "string" } else { "integer" };
                    assert_eq!(member.map(|member| member.r#type), Some(expected), "{} {inner}", told.r#type);
                }
            }
        }
    }
}
