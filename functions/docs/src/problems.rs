//! Catalogue of problem types: the meaning of each, its members, and the remedy.
//!
//! Its source is [`Kind`], from which every error of the API is made: type, title, status, headers and
//! example come from there. All other texts are in one match over all kinds, so a type without its entry does
//! not compile. The texts are here and not beside the kinds, since the other functions do not need them.

use serde::Serialize;
use serde_json::{Value, json};
use shared::error::{Error, Kind};
use shared::input::validation::FieldError;

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
    member("type", "string", "Which type of problem it is, for programs: the path of its entry here."),
    member("title", "string", "The type in a few words, the same for all problems of the type."),
    member("status", "integer", "The HTTP status."),
    member("detail", "string", "What is wrong this time, where, and what is allowed: for people."),
    member("instance", "string", "The path of the request."),
    member("request_id", "string", "The same as the header `X-Request-Id`; our log has it in every line."),
];

/// All types, sorted by status.
pub fn all() -> impl Iterator<Item = ProblemType> {
    Kind::ALL.into_iter().map(ProblemType::of)
}

impl ProblemType {
    /// Finds the type with this last segment of its path.
    pub fn named(slug: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.slug() == slug).map(Self::of)
    }

    /// Builds the type of this kind.
    pub fn of(kind: Kind) -> Self {
        let Entry { meaning, what_to_do, members, headers, example: (path, example) } = entry(kind);
        Self {
            r#type: kind.reference(),
            title: kind.title(),
            status: kind.status().as_u16(),
            meaning,
            what_to_do,
            members,
            headers,
            example: example.to_json(path, "01JQ4V9T2GZ6M8W3K5"),
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

const RETRY_AFTER: Header =
    Header { name: "Retry-After", meaning: "After how many seconds another try makes sense." };

const PRODUCT: &str = "product_01h455vb4pex5vsknk084sn02q";
const AN_ORDER: &str = "/orders/order_01h455vb4pex5vsknk084sn02q";
const A_PRODUCT: &str = "/products/product_01h455vb4pex5vsknk084sn02q";
const ITS_STOCK: &str = "/products/product_01h455vb4pex5vsknk084sn02q/stock";
const A_USER: &str = "/users/user_01h455vb4pex5vsknk084sn02q";

/// Declares the texts of all kinds, in one place.
fn entry(kind: Kind) -> Entry {
    let example = |path, detail: &str| (path, Error::new(kind, detail));
    match kind {
        Kind::MalformedRequest => Entry::new(
            "The request cannot be read: its body is not JSON, is empty, has a key twice in one object or is nested \
             more than 32 levels deep; or its Idempotency-Key is not 1 to 255 visible ASCII characters.",
            "Mend what `detail` names, and send it again. As it is, it will never be taken.",
            example("/orders", "The body cannot be read as JSON at line 1, column 18: expected `,` or `}`."),
        ),
        Kind::InvalidQuery => Entry::new(
            "A parameter in the query is unknown, empty, there twice or has a value that is not allowed; or a cursor \
             is not one of this list with these filters, this sort and this caller.",
            "Mend the parameter that `detail` names. For a cursor begin again without one.",
            example("/orders", "`limit` must be an integer of 1 to 100."),
        ),
        Kind::Unauthenticated => Entry::new(
            "The route wants to know who is calling, and there is no access token or a bad one: malformed, run out or \
             revoked. A bad token is told also where none is needed. From `/auth` it says that the e-mail address or \
             the password is wrong, or the user disabled; from `/auth/refresh`, that the refresh token is of no use \
             any more.",
            "Sign in with `POST /auth`, or get a new access token with `POST /auth/refresh`, and send the request \
             again with `Authorization: Bearer <access token>`.",
            example(
                "/orders",
                "Send `Authorization: Bearer` with an access token, which POST /auth gives for an e-mail address and a \
                 password.",
            ),
        )
        .header(Header { name: "WWW-Authenticate", meaning: "`Bearer`: what kind of token is wanted." }),
        Kind::Forbidden => Entry::new(
            "It is known who is calling, and this caller may not do this: the route, the field or the change of status \
             is for another role.",
            "Ask somebody who may; `detail` names the role. With the same token it will never be allowed.",
            example(A_PRODUCT, "Only staff and admins may do this, and you are signed in as customer."),
        ),
        Kind::NotFound => Entry::new(
            "There is nothing at this path, or nothing that this caller may see: what belongs to somebody else, and \
             drafts of products, answer the same as what does not exist. A malformed ID is such an ID too. Paths are \
             case-sensitive, and a slash at the end makes another path.",
            "Look at the ID and the path; sign in as somebody who may see it.",
            example(AN_ORDER, "There is no such order, or none that you may see."),
        ),
        Kind::MethodNotAllowed => Entry::new(
            "The path exists, and has no such method.",
            "Use one of the methods in the header `Allow`.",
            (
                "/products",
                Error::new(kind, "`DELETE` is not allowed here; allowed: GET, HEAD, POST.")
                    .allowing(http::HeaderValue::from_static("GET, HEAD, POST")),
            ),
        )
        .header(Header { name: "Allow", meaning: "The methods that the path has." }),
        Kind::EmailTaken => Entry::new(
            "Another user has this e-mail address. Large and small letters are the same.",
            "Sign in as that user, or use another address.",
            example("/users", "Another user has this `email`, in whatever case; each user needs one of their own."),
        ),
        Kind::SkuTaken => Entry::new(
            "Another product has this SKU, be it archived.",
            "Change that product, which `GET /products?sku=` finds, or use another SKU.",
            example("/products", "Another product has this `sku`; each product needs one of its own."),
        ),
        Kind::InsufficientStock => Entry::new(
            "Of some products less is available than the order asks for. Nothing was placed or changed, and nothing is \
             held.",
            "Order no more than `available`, leave the product out, or try later: stock comes back when orders are \
             cancelled, and when it is counted anew.",
            (
                "/orders",
                Error::new(
                    kind,
                    "Of some products less is available than was asked for: `items` names them, with what is \
                     available.",
                )
                .with("items", json!([{ "product_id": PRODUCT, "requested": 4, "available": 3 }])),
            ),
        )
        .members([
            member("items", "array", "Every product of which there is too little."),
            member("items[].product_id", "string", "The product."),
            member("items[].requested", "integer", "How many were asked for."),
            member("items[].available", "integer", "How many there are."),
        ]),
        Kind::StockBelowReserved => Entry::new(
            "The stock would fall below 0, or below what is held for orders that were placed.",
            "Count again, or cancel orders first. `on_hand` may be `reserved` at least.",
            (
                ITS_STOCK,
                Error::new(
                    kind,
                    "Of 5 on hand 2 are reserved for orders, and fewer than that cannot be on hand: `on_hand` may be 2 \
                     at least, or `delta` -3.",
                )
                .with("on_hand", json!(5))
                .with("reserved", json!(2)),
            ),
        )
        .members([
            member("on_hand", "integer", "How many there are, orders' included."),
            member("reserved", "integer", "How many of them are held for orders."),
        ]),
        Kind::TooManyHolds => Entry::new(
            "Some products are held for as many open orders as they can be: 5,000. Nothing was placed or changed.",
            "Try later: room comes when orders are shipped or cancelled.",
            (
                "/orders",
                Error::new(
                    kind,
                    "Some products are held for as many orders as they can be: `items` names them. Try again when \
                     some of those orders are shipped or cancelled.",
                )
                .with("items", json!([{ "product_id": PRODUCT }])),
            ),
        )
        .members([
            member("items", "array", "The products."),
            member("items[].product_id", "string", "The product."),
        ]),
        Kind::InvalidTransition => Entry::new(
            "The order cannot go from the status that it has to the one that was asked for.",
            "Choose one of `allowed`. If that is empty, the order stays as it is.",
            (
                AN_ORDER,
                Error::new(
                    kind,
                    "`status` cannot become cancelled: the order is shipped, from which delivered is allowed to you.",
                )
                .with("from", json!("shipped"))
                .with("to", json!("cancelled"))
                .with("allowed", json!(["delivered"])),
            ),
        )
        .members([
            member("from", "string", "The status of the order."),
            member("to", "string", "The status that was asked for."),
            member("allowed", "array", "Which statuses this caller may give it from here, each a string."),
        ]),
        Kind::OrderNotEditable => Entry::new(
            "The order's status does not allow this change any more: items are for placed orders, the address for \
             placed and, by staff, paid ones.",
            "Leave it as it is, or cancel the order and place another one.",
            example(AN_ORDER, "You may change `items` while the order is placed, and it is shipped."),
        ),
        Kind::LastAdmin => Entry::new(
            "This is the last active admin; nobody would be left who can administer.",
            "Make another user an admin first.",
            example(
                A_USER,
                "This is the last active admin, who cannot be deleted, disabled or given another role. Make another \
                 admin first.",
            ),
        ),
        Kind::VersionMismatch => Entry::new(
            "The request says in `If-Match` which version it means, and that is not the latest any more: somebody else \
             was faster. Nothing was changed.",
            "Get the resource again, look at what has changed, and send the request with the new `ETag` in `If-Match`.",
            (
                AN_ORDER,
                Error::new(
                    kind,
                    "The version is 4 now, and If-Match asks for another one. Read what is there, and send the change \
                     again with `If-Match: \"4\"` if it still makes sense.",
                )
                .with("current_version", json!(4)),
            ),
        )
        .members([member("current_version", "integer", "The latest version.")]),
        Kind::PayloadTooLarge => Entry::new(
            "The body is larger than 256 KiB.",
            "Send less: leave out what has not changed.",
            example("/products", "The body must have at most 256 KiB."),
        ),
        Kind::UnsupportedMediaType => Entry::new(
            "The body is not sent as JSON.",
            "Send `Content-Type: application/json`.",
            example("/products", "The body was sent as \"text/plain\"; send JSON, with `Content-Type: application/json`."),
        ),
        Kind::Validation => Entry::new(
            "The body is JSON, and says something that is not allowed: a field that is missing, unknown or read-only, \
             a value of the wrong type or out of its limits, a product or user that is not there. Nothing was changed.",
            "Mend every place in `errors`. A wrong type or an unknown field may be told alone; all others are told at \
             once.",
            (
                "/orders",
                Error::validation(vec![
                    FieldError { pointer: "/items/0/quantity".into(), detail: "must be 1 to 10000, and is 0".into() },
                    FieldError { pointer: "/shipping_address".into(), detail: "is required".into() },
                ]),
            ),
        )
        .members([
            member("errors", "array", "Every fault."),
            member("errors[].pointer", "string", "Where in the body: a JSON Pointer (RFC 6901)."),
            member("errors[].detail", "string", "What is wrong there, and what is allowed."),
        ]),
        Kind::IdempotencyKeyReused => Entry::new(
            "This Idempotency-Key was sent before with another body. Nothing was done.",
            "For another request use another key; for the same request send the same body.",
            example(
                "/orders",
                "This Idempotency-Key was used for a request with another body. Use a new key for a new request.",
            ),
        ),
        Kind::TooManyRequests => Entry::new(
            "Too many attempts for now: to sign in with one e-mail address, or from one network address.",
            "Wait for as many seconds as `Retry-After` says. Until then the right password is refused too.",
            (
                "/auth",
                Error::new(kind, "There were too many failed sign-ins for this e-mail address. Try again later.")
                    .retrying_after(540),
            ),
        )
        .header(RETRY_AFTER),
        Kind::Unavailable => Entry::new(
            "A part of the system did not answer in time. Whether anything was done is not known.",
            "Send the same request again, after as many seconds as `Retry-After` says. Where the route takes an \
             Idempotency-Key, send the same one: whatever became of the first attempt, there is one effect.",
            ("/orders", Error::unavailable("no cause is shown")),
        )
        .header(RETRY_AFTER),
        Kind::Internal => Entry::new(
            "A bug of ours. Whether anything was done is not known.",
            "Try once more, with the same Idempotency-Key. If it stays, tell us the `request_id`: the log has what \
             happened.",
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
            let told = ProblemType::of(kind);
            let common = COMMON.iter().map(|member| member.name);
            let own = told.members.iter().map(|member| member.name).filter(|name| !name.contains('['));
            let example: BTreeSet<&str> =
                told.example.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            assert_eq!(example, common.chain(own).collect(), "{}", told.r#type);

            let response = entry(kind).example.1.to_problem("/", "x");
            let told: BTreeSet<String> =
                told.headers.iter().map(|header| header.name.to_ascii_lowercase()).collect();
            let headers = response.headers().keys().map(|name| name.as_str().to_owned());
            assert_eq!(headers.filter(|name| name != "content-type").collect::<BTreeSet<_>>(), told);
        }
    }

    #[test]
    fn members_of_elements_are_told_where_the_example_has_them() {
        for told in all() {
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
