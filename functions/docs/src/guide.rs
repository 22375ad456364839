//! Introduction on the docs page: the basics for a first request.

use maud::{Markup, html};
use shared::http::base_path::BasePath;

use crate::pages::{code, text};

/// Section of the introduction.
pub(crate) struct Section {
    /// Anchor of the section.
    pub(crate) id: &'static str,
    /// Heading of the section.
    pub(crate) title: &'static str,
    paragraphs: &'static [&'static str],
    /// Block of code. `{base}` stands for the base path.
    example: &'static str,
}

/// Sections, in reading order.
pub(crate) const SECTIONS: [Section; 6] = [
    Section {
        id: "sign-in-first",
        title: "Sign in",
        paragraphs: &[
            "Sign in at the top of this page; requests that you try here then carry your access token. Programs get one from `POST /auth`. It is valid for 15 minutes; `POST /auth/refresh` gives the next.",
            "Products can be read without a token. Customers see and change their own data; staff run the shop; admins also manage users.",
        ],
        example: r#"
curl $API/auth -H 'content-type: application/json' \
  -d '{"email": "ada@example.com", "password": "…"}'

curl $API/orders -H "authorization: Bearer $TOKEN"
"#,
    },
    Section {
        id: "twice",
        title: "Safe retries",
        paragraphs: &[
            "When an answer is lost, resend the request. With an `Idempotency-Key` on `POST /orders` a request takes effect once, however often it is sent; repeats answer the same order with `Idempotency-Replayed: true`.",
            "`POST /products`, `POST /users` and `PUT /products/{id}/stock` take a key, too; it lasts 24 hours.",
        ],
        example: r#"
POST {base}/orders
Idempotency-Key: 2f1c7a9e

→ 201 Created
  Location: {base}/orders/order_…
"#,
    },
    Section {
        id: "versions",
        title: "Versions",
        paragraphs: &[
            "Orders, products and users have a `version`, which answers carry as `ETag`. With `If-Match` a `PUT` or `DELETE` changes only that version and is 412 otherwise. Without it, the change applies to the latest version.",
            "Orders and users also take `If-None-Match`: 304 means that your copy is current.",
        ],
        example: r#"
PUT {base}/orders/order_…
If-Match: "3"

→ 412 Precondition Failed
  it has changed since version 3
"#,
    },
    Section {
        id: "errors",
        title: "Errors",
        paragraphs: &[
            "Every error has the same form (RFC 9457). `type` is for programs and links to a page with advice; `detail` is for people. A 422 lists all errors of the body with their places.",
            "503 and 429 carry `Retry-After`. Quote the `request_id` when you report a problem.",
        ],
        example: r#"
{
  "type": "{base}/problems/validation",
  "title": "Validation failed",
  "status": 422,
  "detail": "/items/0/quantity must be 1 to 10000.",
  "errors": [{
    "pointer": "/items/0/quantity",
    "detail": "must be 1 to 10000"
  }], …
}
"#,
    },
    Section {
        id: "lists",
        title: "Lists",
        paragraphs: &[
            "A list has `data` and `next_cursor`, newest first, 20 elements a page; `limit` is 1 to 100. For the next page send `next_cursor` as `cursor` with the same filters until it is `null`, or follow the `Link` header.",
            "Elements that do not change are neither repeated nor skipped while others come and go. A page may be shorter than its limit.",
        ],
        example: r#"
GET {base}/products?limit=2

{
  "data": [{ … }, { … }],
  "next_cursor": "eyJ2IjoxLCJh…"
}
"#,
    },
    Section {
        id: "values",
        title: "Values",
        paragraphs: &[
            "Money is an integer in the currency's minor unit: 1299 is 12.99 EUR. Times are UTC with milliseconds (RFC 3339). IDs are opaque and begin with their type: `order_…`, `product_…`, `user_…`.",
            "Answers carry every field, `null` where empty. A `PUT` changes the fields that it names; unknown fields are refused, so that typos show.",
        ],
        example: r#"
{
  "price": { "amount": 1299, "currency": "EUR" },
  "created_at": "2026-11-25T16:20:00.000Z"
}
"#,
    },
];

/// Renders the introduction.
pub(crate) fn introduction(base_path: &BasePath) -> Markup {
    html! {
        section.hero {
            h1 { "Order management API" }
            p.lead {
                "Orders, products with stock, users and sign-in, over plain JSON. No acknowledged order is lost, and no \
                 stock is sold twice."
            }
            p.demo #demo hidden {
                "On your own machine, with demo data: sign in as "
                button type="button" data-email="ada@example.com" { "Ada, a customer" } " or "
                button type="button" data-email="staff@example.com" { "Grace, of the staff" } "."
            }
        }
        div.guide {
            @for section in SECTIONS {
                section #(section.id) {
                    h2 { (section.title) }
                    @for paragraph in section.paragraphs { p { (text(paragraph)) } }
                    (code(&section.example.replace("{base}", base_path.as_str())))
                    @if section.id == "errors" { p { a href=(base_path.of("/problems")) { "All problems" } } }
                }
            }
        }
    }
}
