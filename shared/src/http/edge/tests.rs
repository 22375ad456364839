//! Requests from outside against the edge: base path, secret, and addresses of clients.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use http::{Request as HttpRequest, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::auth::Access;
use crate::http::routes::{Guard, RouteSpec, RouteTable};
use crate::runtime::context::Context;
use crate::runtime::secrets::Secret;

const SECRET: &str = "secret-of-the-edge-tests-0123456789abcdef";

static SOURCE: RouteSpec = RouteSpec::get("/source", "source").access(Access::Public);

/// Answers with all that a handler knows of its client.
async fn source(context: Context, headers: HeaderMap) -> String {
    let address = context.source.map(|SourceAddress(address)| address.to_string());
    json!({ "address": address, "secret": headers.contains_key(SECRET_HEADER) }).to_string()
}

fn router(edge: Edge) -> Router {
    edge.around(RouteTable::new().route(&SOURCE, source).into_router((), Guard::public(Clock::system())))
}

fn guarded() -> Router {
    let secret = EdgeSecret::new(Arc::new(Secret::new(SECRET)), None, Clock::system());
    router(Edge::default().with_base_path(v1()).with_secret(secret))
}

fn v1() -> BasePath {
    BasePath::parse("/v1").unwrap()
}

/// The header of the secret.
fn secret(value: &[u8]) -> (HeaderName, &[u8]) {
    (SECRET_HEADER, value)
}

/// Sends a request that API Gateway has got from 192.0.2.1.
async fn get(router: &Router, path: &str, headers: &[(HeaderName, &[u8])]) -> (StatusCode, Value) {
    let mut request = HttpRequest::get(path);
    for (name, value) in headers {
        request = request.header(name, HeaderValue::from_bytes(value).unwrap());
    }
    let gateway = SourceAddress("192.0.2.1".parse().unwrap());
    let request = request.extension(gateway).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert!(response.headers().contains_key("x-request-id"));
    let status = response.status();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn behind_cloudfront_the_client_has_the_viewers_address() {
    let router = guarded();
    for (sent, address) in [
        ("198.51.100.7:46532", "198.51.100.7"),
        ("2001:db8::7:46532", "2001:db8::7"),
        ("2001:0db8:0000:0000:0000:0000:0000:0007:1", "2001:db8::7"),
    ] {
        let headers = [(SECRET_HEADER, SECRET.as_bytes()), (VIEWER_ADDRESS, sent.as_bytes())];
        let (status, body) = get(&router, "/v1/source", &headers).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body, json!({ "address": address, "secret": false }));
    }
}

#[tokio::test]
async fn a_request_without_the_secret_is_refused_without_a_reason() {
    let (router, viewer) = (guarded(), (VIEWER_ADDRESS, &b"198.51.100.7:46532"[..]));
    let joined = format!("{SECRET},{SECRET}");
    let longer = format!("{SECRET} x");
    let elsewhere = HeaderName::from_static("authorization");
    for headers in [
        vec![viewer.clone()],
        vec![viewer.clone(), secret(b"")],
        vec![viewer.clone(), secret(b"wrong")],
        vec![viewer.clone(), secret(&[0xff; 40])],
        vec![viewer.clone(), secret(&SECRET.as_bytes()[1..])],
        vec![viewer.clone(), secret(longer.as_bytes())],
        vec![viewer.clone(), secret(joined.as_bytes())],
        vec![viewer.clone(), secret(SECRET.as_bytes()), secret(SECRET.as_bytes())],
        vec![viewer.clone(), secret(SECRET.as_bytes()), secret(b"wrong")],
        vec![viewer.clone(), (elsewhere, SECRET.as_bytes())],
    ] {
        for path in ["/v1/source", "/v1/nothing", "/source", "/v1"] {
            let (status, mut body) = get(&router, path, &headers).await;
            assert_eq!(
                (status, body["instance"].as_str()),
                (StatusCode::FORBIDDEN, Some(path)),
                "{headers:?}"
            );
            let body = body.as_object_mut().unwrap();
            body.retain(|name, _| !["instance", "request_id"].contains(&name.as_str()));
            let expected = json!({
                "type": "/v1/problems/forbidden",
                "title": "Forbidden",
                "status": 403,
                "detail": "Requests to this address are not allowed.",
            });
            assert_eq!(Value::Object(body.clone()), expected);
        }
    }
}

#[tokio::test]
async fn a_viewer_address_that_is_none_is_refused() {
    let router = guarded();
    let secret = (SECRET_HEADER, SECRET.as_bytes());
    for bad in [
        "",
        "198.51.100.7",
        "198.51.100.7:",
        "198.51.100.7:65536",
        "198.51.100.7:+1",
        "198.51.100.7:1 ",
        "198.51.100.700:1",
        ":1",
        "localhost:1",
        "[2001:db8::7]:1",
        "2001:db8::g:1",
        "198.51.100.7:1,198.51.100.8:1",
    ] {
        let headers = [secret.clone(), (VIEWER_ADDRESS, bad.as_bytes())];
        assert_eq!(get(&router, "/v1/source", &headers).await.0, StatusCode::FORBIDDEN, "{bad}");
    }
    let once = (VIEWER_ADDRESS, &b"198.51.100.7:1"[..]);
    assert_eq!(get(&router, "/v1/source", std::slice::from_ref(&secret)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(get(&router, "/v1/source", &[secret, once.clone(), once]).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_a_secret_what_a_client_says_of_itself_is_ignored() {
    let headers = [(SECRET_HEADER, SECRET.as_bytes()), (VIEWER_ADDRESS, &b"198.51.100.7:46532"[..])];
    for edge in [Edge::default(), Edge::default().with_base_path(v1())] {
        let path = edge.base_path().of("/source");
        let (status, body) = get(&router(edge), &path, &headers).await;
        assert_eq!((status, &body["address"]), (StatusCode::OK, &json!("192.0.2.1")));
    }
}

#[tokio::test]
async fn a_path_outside_the_base_path_is_a_404_that_names_it() {
    let router = router(Edge::default().with_base_path(v1()));
    for path in ["/source", "/", "/v1source", "/V1/source", "//v1/source", "/v2/v1/source", "/v1%2Fsource"] {
        let (status, body) = get(&router, path, &[]).await;
        assert_eq!((status, body["instance"].as_str()), (StatusCode::NOT_FOUND, Some(path)), "{body}");
        assert_eq!(body["type"], "/v1/problems/not-found");
        assert!(body["detail"].as_str().unwrap().contains("All begin with `/v1`"), "{body}");
    }
    for path in ["/v1/sources", "/v1//source", "/v1", "/v1/", "/v1/v1/source"] {
        let (status, body) = get(&router, path, &[]).await;
        assert_eq!((status, body["instance"].as_str()), (StatusCode::NOT_FOUND, Some(path)), "{body}");
        assert!(body["detail"].as_str().unwrap().contains("`GET /v1/docs`"), "{body}");
    }
    assert_eq!(get(&router, "/v1/source", &[]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_a_refusal() {
    let cors = Cors::parse("https://shop.example.com").unwrap();
    let secret = EdgeSecret::new(Arc::new(Secret::new(SECRET)), None, Clock::system());
    let router = router(Edge::default().with_cors(cors).with_secret(secret));
    let request = HttpRequest::get("/source").header("origin", "https://shop.example.com");
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://shop.example.com");
}

fn read(set: &'static [(&str, &str)]) -> Result<Edge, String> {
    let mut variables = Variables::from_fn(move |name| {
        set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
    });
    let clock = Clock::system();
    let edge = Edge::read(&mut variables, &mut Services::new(clock.clone()), &clock);
    variables.check().map_err(|problems| problems.to_string())?;
    edge.ok_or_else(|| "no edge, and no problem".to_owned())
}

#[test]
fn the_edge_is_open_unless_the_environment_closes_it() {
    for set in [&[][..], &[("BASE_PATH", ""), ("EDGE_SECRET", ""), ("EDGE_SECRET_PREVIOUS", "")]] {
        let edge = read(set).unwrap();
        assert!(edge.base_path().is_empty() && edge.secret.is_none());
    }
    let edge = read(&[("BASE_PATH", "/shop/v1"), ("EDGE_SECRET", SECRET)]).unwrap();
    assert!(edge.base_path().as_str() == "/shop/v1" && edge.secret.is_some());
}

#[test]
fn every_wrong_variable_of_the_edge_is_named() {
    let problems = |set| read(set).err().unwrap();
    let text = problems(&[
        ("BASE_PATH", "hunter2/"),
        ("EDGE_SECRET", "hunter3"),
        ("CORS_ALLOWED_ORIGINS", "hunter2"),
    ]);
    for name in ["BASE_PATH: must be", "EDGE_SECRET: must have", "CORS_ALLOWED_ORIGINS: must be"] {
        assert!(text.contains(name) && !text.contains("hunter3"), "{text}");
    }
    let text = problems(&[("EDGE_SECRET_PREVIOUS", SECRET)]);
    assert!(
        text.contains("EDGE_SECRET_PREVIOUS is set, and EDGE_SECRET is not") && !text.contains(SECRET),
        "{text}"
    );
}
