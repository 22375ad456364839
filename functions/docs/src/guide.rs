//! Introduction on the docs page: the basics for a first request.

use maud::{Markup, html};

use crate::pages::{code, text};

/// Section of the introduction.
pub(crate) struct Section {
    /// Anchor of the section.
    pub(crate) id: &'static str,
    /// Heading of the section.
    pub(crate) title: &'static str,
    paragraphs: &'static [&'static str],
    example: &'static str,
}

/// Sections, in reading order.
pub(crate) const SECTIONS: [Section; 6] = [
    Section {
        id: "sign-in-first",
        title: "Sign in",
        paragraphs: &[
            "Sign in at the top of this page, and every request that you try here carries your access token. \
             Programs get theirs from `POST /auth`; it is good for 15 minutes, and `POST /auth/refresh` gives the \
             next one.",
            "Products can be read without. A customer sees and changes what is their own; staff run the shop; admins \
             also manage users.",
        ],
        example: r#"
curl $API/auth -H 'content-type: application/json' \
  -d '{"email": "ada@example.com", "password": "…"}'

curl $API/orders -H "authorization: Bearer $TOKEN"
"#,
    },
    Section {
        id: "twice",
        title: "Send it twice",
        paragraphs: &[
            "When an answer is lost, nobody knows whether the order was placed. Send an `Idempotency-Key` of your \
             choice with `POST /orders`, and you may send the same request again as often as you like: there is one \
             order, and you are told which, with `Idempotency-Replayed: true`.",
            "It also works for `POST /products`, `POST /users` and `PUT /products/{id}/stock`, there for 24 hours.",
        ],
        example: r#"
POST /orders
Idempotency-Key: 2f1c7a9e

→ 201 Created
  Location: /orders/order_…
"#,
    },
    Section {
        id: "versions",
        title: "Versions",
        paragraphs: &[
            "Orders, products and users carry a `version`, and their answers it as `ETag`. Send it back in `If-Match` \
             with a `PUT` or `DELETE`, and the change is made only if nobody was faster; else it is 412. Without \
             `If-Match` the change applies to the latest version.",
            "Orders and users also know `If-None-Match`: 304 says that yours is the latest.",
        ],
        example: r#"
PUT /orders/order_…
If-Match: "3"

→ 412 Precondition Failed
  somebody has changed it meanwhile
"#,
    },
    Section {
        id: "errors",
        title: "Errors",
        paragraphs: &[
            "Every error has the same form (RFC 9457). Its `type` is for programs and leads to a page that says what \
             to do; its `detail` is for people; a 422 names all errors of a body at once, each with its place.",
            "503 and 429 say with `Retry-After` when to come again. Tell us the `request_id` if you need help.",
        ],
        example: r#"
{
  "type": "/problems/validation",
  "title": "The request is not valid",
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
            "A list is `data` and `next_cursor`, newest first, 20 at a time; `limit` takes 1 to 100. For the next \
             page send `next_cursor` as `cursor`, with the same filters, until it is `null`; or follow the header \
             `Link`.",
            "What stands still is neither repeated nor skipped while others add and remove. A page may be shorter \
             than its limit.",
        ],
        example: r#"
GET /products?limit=2

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
            "Money is an integer in the currency's minor unit: 1299 is 12.99 EUR. Times are UTC with milliseconds \
             (RFC 3339). IDs are opaque and begin with what they are of: `order_…`, `product_…`, `user_…`.",
            "Answers carry every field, `null` where empty. A `PUT` changes what it names and leaves the rest; \
             unknown fields are refused, so that a typo is seen.",
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
pub(crate) fn introduction() -> Markup {
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
                    (code(section.example))
                    @if section.id == "errors" { p { a href="/problems" { "All problems, and what to do" } } }
                }
            }
        }
    }
}
