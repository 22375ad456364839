//! CORS: answers to pages of allowed and of other origins.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use shared::http::routes::Cors;
use tests::in_process::InProcess;
use tower::ServiceExt as _;

const SHOP: &str = "https://shop.example.com";

/// The functions, with these origins allowed.
struct Site(Router);

impl Site {
    async fn allowing(origins: &str) -> Self {
        let shop = InProcess::open().await;
        let cors = Cors::parse(origins).unwrap_or_else(|error| panic!("{error}"));
        Self(cors.around(shop.backend.router()))
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap_or_else(|error| panic!("{error}"));
        self.0.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    async fn preflight(&self, path: &str, origin: &str, method: &str) -> Response<Body> {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        self.ask(Method::OPTIONS, path, &headers).await
    }
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    assert!(headers.get_all(name).iter().count() <= 1, "{name} stands twice: {headers:?}");
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_gets_the_paths_methods() {
    let site = Site::allowing("http://localhost:5173, https://shop.example.com").await;
    for (path, methods) in [
        ("/orders", vec!["GET", "HEAD", "POST"]),
        ("/orders/order_01h455vb4pex5vsknk084sn02q", vec!["GET", "HEAD", "PUT"]),
        ("/users/x", vec!["DELETE", "GET", "HEAD", "PUT"]),
        ("/products/x/stock", vec!["PUT"]),
        ("/auth", vec!["POST"]),
        ("/health", vec!["GET", "HEAD"]),
    ] {
        let answer = site.preflight(path, SHOP, "PUT").await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
        let headers = answer.headers();
        let mut allowed: Vec<_> =
            said(headers, "access-control-allow-methods").unwrap_or_default().split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, methods, "{path}");
        assert_eq!(said(headers, "access-control-allow-origin"), Some(SHOP));
        let names = said(headers, "access-control-allow-headers").unwrap_or_default().to_lowercase();
        for name in ["authorization", "content-type", "idempotency-key", "if-match", "if-none-match"] {
            assert!(names.split(", ").any(|it| it == name), "{name} in {names}");
        }
        assert!(said(headers, "vary").is_some_and(|vary| vary.contains("Origin")), "{headers:?}");
        assert_eq!(said(headers, "access-control-allow-credentials"), None);
        assert_eq!(said(headers, "content-type"), None);
        assert!(headers.contains_key("x-request-id"));
    }
    // A path that is not there is not there for a page either.
    let answer = site.preflight("/nothing", SHOP, "GET").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_reads_every_answer_errors_too() {
    let site = Site::allowing(SHOP).await;
    for (path, status) in [("/products", 200), ("/orders", 401), ("/nothing", 404), ("/products?x=1", 400)] {
        let answer = site.ask(Method::GET, path, &[("origin", SHOP)]).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let headers = answer.headers();
        assert_eq!(said(headers, "access-control-allow-origin"), Some(SHOP), "{path}");
        let exposed = said(headers, "access-control-expose-headers").unwrap_or_default();
        for name in [
            "ETag",
            "Location",
            "Link",
            "Idempotency-Replayed",
            "Retry-After",
            "X-Request-Id",
            "WWW-Authenticate",
        ] {
            assert!(exposed.split(", ").any(|it| it == name), "{name} in {exposed}");
        }
        assert_eq!(said(headers, "vary"), Some("Origin"), "{path}");
        assert_eq!(said(headers, "access-control-allow-credentials"), None);
    }
    // Whoever is no page is told that the answer depends on it, for caches.
    let answer = site.ask(Method::GET, "/products", &[]).await;
    assert_eq!(said(answer.headers(), "vary"), Some("Origin"));
    assert_eq!(said(answer.headers(), "access-control-allow-origin"), None);
}

#[tokio::test]
async fn pages_of_other_origins_are_told_nothing() {
    for (origins, asking) in [
        (
            SHOP,
            vec![
                "null",
                "https://shop.example.com.evil.example",
                "http://shop.example.com",
                "https://a.shop.example.com",
            ],
        ),
        // Closed unless it is said.
        ("", vec![SHOP, "null", "http://localhost:5173"]),
    ] {
        let site = match origins {
            "" => Site(InProcess::open().await.backend.router()),
            origins => Site::allowing(origins).await,
        };
        for origin in asking {
            let preflight = site.preflight("/orders", origin, "POST").await;
            assert_eq!(preflight.status(), StatusCode::METHOD_NOT_ALLOWED, "{origin}");
            assert!(preflight.headers().contains_key(header::ALLOW));
            let answer = site.ask(Method::GET, "/products", &[("origin", origin)]).await;
            for answer in [preflight, answer] {
                let names = answer.headers().keys();
                assert!(!names.into_iter().any(|it| it.as_str().starts_with("access-control")), "{origin}");
            }
        }
    }
}

#[tokio::test]
async fn with_a_star_every_page_reads_and_a_plain_options_is_the_same() {
    let site = Site::allowing("*").await;
    let answer = site.ask(Method::GET, "/products", &[("origin", "https://any.example")]).await;
    assert_eq!(said(answer.headers(), "access-control-allow-origin"), Some("*"));
    assert_eq!(said(answer.headers(), "access-control-allow-credentials"), None);
    assert_eq!(
        site.preflight("/orders", "https://any.example", "POST").await.status(),
        StatusCode::NO_CONTENT
    );
    let answer = site.ask(Method::OPTIONS, "/orders", &[("origin", "https://any.example")]).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.headers().contains_key(header::ALLOW));
}
