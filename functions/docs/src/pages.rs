//! HTML pages: the docs, and the catalogue of problems.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use maud::{DOCTYPE, Markup, html};
use shared::http::base_path::BasePath;

use crate::assets::{self, DOCS_CSS, DOCS_JS, ICON, SWAGGER_CSS, SWAGGER_JS};
use crate::guide;
use crate::problems::{COMMON, Header, Member, ProblemType};

/// Content security policy of the pages. It allows own scripts, styles and images, images in Swagger UI's
/// styles (`data:`), and requests to this API. It forbids inline scripts and styles, frames around the page,
/// and forms that are sent without the script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers with a page.
pub(crate) fn answer(request: &HeaderMap, page: Markup) -> Response {
    let mut response = assets::made(request, "text/html; charset=utf-8", page.into_string());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// Renders the layout around a page. `aside` stands at the right end of the bar. `docs.js` reads the base path.
fn page(base_path: &BasePath, title: &str, head: &Markup, aside: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-base-path=(base_path.as_str()) {
            head {
                meta charset="utf-8";
                title { (title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href=(base_path.of(ICON.path)) type="image/svg+xml";
                (head)
                link rel="stylesheet" href=(base_path.of(DOCS_CSS.path));
            }
            body {
                header.bar {
                    a.brand href=(base_path.of("/docs")) {
                        img src=(base_path.of(ICON.path)) alt="" width="28" height="28";
                        span { "Order management" }
                    }
                    nav.places aria-label="Pages" {
                        a href=(base_path.of("/docs")) { "API" }
                        a href=(base_path.of("/problems")) { "Problems" }
                        a href=(base_path.of("/openapi.json")) { "OpenAPI" }
                    }
                    (aside)
                }
                (body)
            }
        }
    }
}

/// Renders the page on which the API can be read and tried.
pub(crate) fn docs(base_path: &BasePath) -> Markup {
    let head = html! {
        meta name="description" content="Read and try the order management API.";
        link rel="stylesheet" href=(base_path.of(SWAGGER_CSS.path));
        script src=(base_path.of(SWAGGER_JS.path)) defer {}
        script src=(base_path.of(DOCS_JS.path)) defer {}
    };
    let body = html! {
        div.columns {
            details.contents open {
                summary { "Contents" }
                nav aria-label="Contents" {
                    h2 { "Guide" }
                    ul {
                        @for section in guide::SECTIONS {
                            li { a href={ "#" (section.id) } { (section.title) } }
                        }
                    }
                    div #routes {}
                }
            }
            div.content {
                (guide::introduction(base_path))
                section.reference aria-label="Routes" {
                    h2 #routes-heading { "All routes" }
                    p {
                        "Open a route, change what is filled in, and press " strong { "Execute" }
                        ": the request goes to this server, as the signed-in user."
                    }
                    noscript {
                        p {
                            "Without JavaScript there is "
                            a href=(base_path.of("/openapi.json")) { "openapi.json" } " alone."
                        }
                    }
                    div #api {}
                }
            }
        }
    };
    page(base_path, "Order management API", &head, &sign_in(), &body)
}

/// Renders the forms to sign in and out; `docs.js` shows one of the two.
fn sign_in() -> Markup {
    html! {
        form.sign-in #sign-in {
            input name="email" type="email" autocomplete="username" placeholder="E-mail address"
                aria-label="E-mail address" required;
            input name="password" type="password" autocomplete="current-password" placeholder="Password"
                aria-label="Password" required;
            button { "Sign in" }
            output #sign-in-message role="status" {}
        }
        div.sign-in #signed-in hidden {
            span { "Signed in as " strong #who {} }
            button #sign-out type="button" { "Sign out" }
        }
    }
}

/// Renders the index of the catalogue.
pub(crate) fn problems(base_path: &BasePath, all: &[ProblemType]) -> Markup {
    let body = html! {
        main.alone {
            h1 { "Problems" }
            p.lead {
                "Every error of the API is an " code { "application/problem+json" } " (RFC 9457). Its " code { "type" }
                " names one of these and links here. Programs should check the type, never the text."
            }
            div.table {
                table {
                    thead { tr { th { "Status" } th { "Type" } th { "Title" } } }
                    tbody {
                        @for problem in all {
                            tr {
                                td { (status(problem.status)) }
                                td { a href=(problem.r#type) { code { (problem.slug()) } } }
                                td { (problem.title) }
                            }
                        }
                    }
                }
            }
            h2 { "Common members" }
            (members(&COMMON))
            p {
                "Answers of API Gateway itself, such as throttling, are "
                code { "{\"message\": …}" } " with its status."
            }
        }
    };
    page(base_path, "Problems · Order management API", &html! {}, &html! {}, &body)
}

/// Renders the page of a type of problem.
pub(crate) fn problem(base_path: &BasePath, problem: &ProblemType) -> Markup {
    let example = serde_json::to_string_pretty(&problem.example).unwrap_or_default();
    let body = html! {
        main.alone {
            p.way { a href=(base_path.of("/problems")) { "Problems" } " / " code { (problem.slug()) } }
            h1 { (problem.title) }
            p { (status(problem.status)) " " code { (problem.r#type) } }
            p.lead { (text(problem.meaning)) }
            h2 { "What to do" }
            p { (text(problem.what_to_do)) }
            @if !problem.members.is_empty() {
                h2 { "Members beside " a href=(base_path.of("/problems")) { "the common ones" } }
                (members(&problem.members))
            }
            @if !problem.headers.is_empty() {
                h2 { "Headers" }
                (headers(&problem.headers))
            }
            h2 { "Example" }
            pre { code { (example) } }
        }
    };
    page(base_path, &format!("{} · Problems", problem.title), &html! {}, &html! {}, &body)
}

fn status(status: u16) -> Markup {
    let class = if status >= 500 { "status ours" } else { "status" };
    html! { span class=(class) { (status) } }
}

fn members(members: &[Member]) -> Markup {
    html! {
        dl {
            @for member in members {
                dt { code { (member.name) } " " span.type { (member.r#type) } }
                dd { (text(member.meaning)) }
            }
        }
    }
}

fn headers(headers: &[Header]) -> Markup {
    html! {
        dl {
            @for header in headers {
                dt { code { (header.name) } }
                dd { (text(header.meaning)) }
            }
        }
    }
}

/// Renders a text in which backticks mark code.
pub(crate) fn text(text: &str) -> Markup {
    html! {
        @for (place, piece) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

/// Renders a block of code.
pub(crate) fn code(code: &str) -> Markup {
    html! { pre { code { (code.trim()) } } }
}
