//! Tests of the router: headers, sessions and forms, without functions behind it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request};
use shared::error::{Error, Kind};
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::envelope::{self, Answer};
use shared::runtime::context::SourceAddress;
use shared::values::clock::{Clock, Timestamp};
use tonic::Status;
use tower::ServiceExt as _;

use crate::session::{SealKey, Session, tests as sessions};
use crate::{Console, OwnOrigin, assets};

const NOW: Timestamp = Timestamp::from_millis(1_796_117_400_000);
const FORM: &str = "application/x-www-form-urlencoded";
const OWN: &str = "https://shop.example";

/// Functions that all fail with this status.
struct Broken(fn() -> Status);

impl Invoke for Broken {
    fn invoke(&self, _: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        ready(Err((self.0)())).boxed()
    }
}

/// Functions that are away, and keep what they were sent.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Invoke for Recorder {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        self.0.lock().unwrap().push(String::from_utf8_lossy(&payload).into_owned());
        ready(Err(Status::internal("broken"))).boxed()
    }
}

/// Functions that exchange every refresh token, and fail at all else. They keep the methods that were called.
struct Exchanging {
    /// Life of the new access tokens in seconds.
    expires_in: usize,
    called: Mutex<Vec<String>>,
}

impl Exchanging {
    fn new(expires_in: usize) -> Arc<Self> {
        Arc::new(Self { expires_in, called: Mutex::default() })
    }

    fn called(&self) -> Vec<String> {
        self.called.lock().unwrap().clone()
    }
}

impl Invoke for Exchanging {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let call = envelope::read_call(&payload).unwrap();
        let method = call.uri().path().rsplit('/').next().unwrap().to_owned();
        let answer = match method.as_str() {
            "RefreshToken" => exchanged(self.expires_in).write(),
            _ => Err(Status::internal("broken")),
        };
        self.called.lock().unwrap().push(method);
        ready(answer).boxed()
    }
}

/// Answer with new tokens: one message and its status.
fn exchanged(expires_in: usize) -> Answer {
    let tokens = sessions::tokens("staff");
    let text = |field: u8, text: &str| [vec![(field << 3) | 2], varint(text.len()), text.into()].concat();
    let message = [
        text(1, &tokens.access_token),
        text(2, &tokens.token_type),
        vec![3 << 3],
        varint(expires_in),
        text(4, &tokens.refresh_token),
    ]
    .concat();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body: Vec<u8> = [[0_u8].as_slice(), length.as_slice(), message.as_slice()].concat();
    Answer {
        status: StatusCode::OK,
        headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]),
        body: body.into(),
        trailers: HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]),
    }
}

/// Number as Protobuf writes it.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push((number % 128) as u8 | 128);
        number /= 128;
    }
    bytes.push(number as u8);
    bytes
}

fn key() -> SealKey {
    SealKey::from_secret([7_u8; 32]).unwrap()
}

/// The console, whose calls all fail with this status.
fn console(status: fn() -> Status) -> Router {
    console_on(Arc::new(Broken(status)))
}

/// The console, whose calls all go there.
fn console_on(functions: Arc<dyn Invoke>) -> Router {
    let clock = Clock::from_fn(|| NOW);
    let channel = Channel::new(functions, clock.clone());
    let (users, products, orders) = (channel.clone(), channel.clone(), channel);
    super::router(Arc::new(Console {
        users,
        products,
        orders,
        seal: key(),
        origin: OwnOrigin::OfHost,
        clock,
    }))
}

fn internal() -> Status {
    Status::internal("broken")
}

async fn answer(request: request::Builder, body: impl Into<Body>) -> Response {
    console(internal).oneshot(request.body(body.into()).unwrap()).await.unwrap()
}

/// Session that began so long ago.
fn session(ago: Duration) -> Session {
    sessions::session(NOW.before(ago))
}

/// Request with the cookie of a session.
fn with(session: &Session, request: request::Builder) -> request::Builder {
    let headers = sessions::sent_back(&session.cookie(&key()).unwrap());
    request.header(COOKIE, headers[COOKIE].clone())
}

/// Form for counting stock, of a page of this origin.
fn counting(session: &Session, origin: &str) -> request::Builder {
    form(session, "/console/stock", origin)
}

/// Form for signing out, of a page of this origin.
fn sign_out(session: &Session, origin: &str) -> request::Builder {
    form(session, "/console/sign-out", origin)
}

fn form(session: &Session, path: &str, origin: &str) -> request::Builder {
    with(session, Request::post(path))
        .header(HOST, "shop.example")
        .header(ORIGIN, origin)
        .header(CONTENT_TYPE, FORM)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn html(response: Response) -> String {
    assert_eq!(text(response.headers(), "content-type"), "text/html; charset=utf-8");
    String::from_utf8(to_bytes(response.into_body(), 1_000_000).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let session = session(Duration::ZERO);
    for (request, status) in [
        (Request::get("/console"), 303),
        (Request::get("/console/"), 303),
        (Request::get("/console/orders"), 303),
        (Request::get("/console/sign-in"), 200),
        (Request::get("/console/nothing"), 404),
        (Request::delete("/console/sign-in"), 405),
        (Request::get("/console/sign-out"), 405),
        (Request::get(assets::styles()), 200),
        (Request::get("/console/assets/console.0123456789abcdef.css"), 200),
        (Request::get("/console/assets/other.css"), 404),
        (with(&session, Request::get("/console/orders")), 500),
        (with(&session, Request::post("/console/sign-out")), 403),
    ] {
        let uri = request.uri_ref().unwrap().clone();
        let response = answer(request, Body::empty()).await;
        assert_eq!(response.status(), status, "{uri}");
        let headers = response.headers();
        assert_eq!(text(headers, "x-content-type-options"), "nosniff", "{uri}");
        assert_eq!(text(headers, "x-request-id").len(), 32, "{uri}");
        assert!(text(headers, "content-security-policy").contains("frame-ancestors 'none'"), "{uri}");
        let is_asset = uri.path() == assets::styles();
        assert_eq!(text(headers, "cache-control") == "no-store", !is_asset, "{uri}");
    }
}

#[tokio::test]
async fn a_page_may_load_what_is_its_own_alone() {
    let response = answer(Request::get("/console/sign-in"), Body::empty()).await;
    let headers = response.headers();
    let policy = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; \
                  form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    assert_eq!(text(headers, "content-security-policy"), policy);
    assert_eq!(text(headers, "referrer-policy"), "same-origin");
    assert_eq!(text(headers, "cross-origin-opener-policy"), "same-origin");
    let page = html(response).await;
    assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("<style"), "{page}");
}

#[tokio::test]
async fn a_style_sheet_is_kept_for_good_and_is_no_session() {
    let request = with(&session(Duration::from_secs(1_000)), Request::get(assets::styles()));
    let response = answer(request, Body::empty()).await;
    assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(response.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
    assert!(!response.headers().contains_key(SET_COOKIE));
}

#[tokio::test]
async fn a_file_of_another_version_is_the_own_one_and_not_kept() {
    for (own, other) in [
        (assets::styles(), "/console/assets/console.0123456789abcdef.css"),
        (assets::icon(), "/console/assets/icon.0123456789abcdef.svg"),
        (assets::scripts()[2].path.as_str(), "/console/assets/live.0123456789abcdef.js"),
    ] {
        let mut contents = Vec::new();
        for (path, keep) in [(own, "public, max-age=31536000, immutable"), (other, "no-store")] {
            let response = answer(Request::get(path), Body::empty()).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[CACHE_CONTROL], keep, "{path}");
            let content_type = response.headers()[CONTENT_TYPE].clone();
            contents.push((content_type, to_bytes(response.into_body(), 1_000_000).await.unwrap()));
        }
        assert_eq!(contents[0], contents[1]);
    }
    for none in [
        "console.css",
        "console..css",
        "console.0123.css",
        "console.0123456789abcdeg.css",
        "console.0123456789abcdef.js",
        "other.0123456789abcdef.css",
    ] {
        let response = answer(Request::get(format!("/console/assets/{none}")), Body::empty()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{none}");
    }
}

#[tokio::test]
async fn without_a_session_a_page_leads_to_the_sign_in_and_back() {
    let response = answer(Request::get("/console/orders?status=paid"), Body::empty()).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let next = "/console/sign-in?next=%2Fconsole%2Forders%3Fstatus%3Dpaid";
    assert_eq!(response.headers()[LOCATION], next);
    assert!(!response.headers().contains_key(SET_COOKIE));
    // A form leads back to its page.
    let form = Request::post("/console/orders/order_1/notes").header(CONTENT_TYPE, FORM);
    let next = "/console/sign-in?next=%2Fconsole%2Forders%2Forder_1";
    assert_eq!(answer(form, "csrf=x").await.headers()[LOCATION], next);
}

#[tokio::test]
async fn a_cookie_that_cannot_be_opened_is_left_alone() {
    let of_another_key = session(Duration::ZERO).cookie(&SealKey::random()).unwrap();
    let of_another_key = sessions::sent_back(&of_another_key)[COOKIE].to_str().unwrap().to_owned();
    for cookie in
        ["__Host-oms-console=", "__Host-oms-console=AAAA", "a=b; __Host-oms-console=x y", &of_another_key]
    {
        let response = answer(Request::get("/console/orders").header(COOKIE, cookie), Body::empty()).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{cookie}");
        assert_eq!(response.headers()[LOCATION], "/console/sign-in?next=%2Fconsole%2Forders", "{cookie}");
        assert!(!response.headers().contains_key(SET_COOKIE), "{cookie}");
    }
}

#[tokio::test]
async fn the_cookie_of_an_idle_session_is_cleared() {
    let idle = session(Duration::from_secs(12 * 60 * 60));
    let page = with(&idle, Request::get("/console/orders"));
    for (request, page) in [(page, "orders"), (counting(&idle, OWN), "stock")] {
        let response = answer(request, "csrf=x").await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()[LOCATION], format!("/console/sign-in?next=%2Fconsole%2F{page}"));
        let set = text(response.headers(), "set-cookie");
        assert!(set.starts_with("__Host-oms-console=;") && set.ends_with("Max-Age=0"), "{set}");
    }
}

#[tokio::test]
async fn only_a_form_with_the_token_of_its_session_is_taken() {
    let session = session(Duration::ZERO);
    let another = sessions::session(NOW);
    let right = format!("csrf={}&key=k", session.csrf());
    // It has no lines.
    let response = answer(counting(&session, OWN), right).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    for wrong in [
        String::new(),
        "csrf=".to_owned(),
        "csrf=x".to_owned(),
        format!("csrf={}x", session.csrf()),
        format!("csrf=x&csrf={}", session.csrf()),
        format!("csrf={}", another.csrf()),
    ] {
        let response = answer(counting(&session, OWN), wrong.clone()).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{wrong}");
        assert!(!response.headers().contains_key(SET_COOKIE), "{wrong}");
    }
}

#[tokio::test]
async fn a_sign_out_clears_the_cookie_in_every_state() {
    // While the token is good, near its end, after it, and after the session itself.
    for ago in [0, 899, 900, 12 * 60 * 60] {
        let session = session(Duration::from_secs(ago));
        let response = answer(sign_out(&session, OWN), "csrf=x").await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{ago}");
        assert_eq!(response.headers()[LOCATION], "/console/sign-in?signed-out=here", "{ago}");
        assert!(text(response.headers(), "set-cookie").ends_with("Max-Age=0"), "{ago}");
    }
    // Without a session, and with one that cannot be opened.
    for (cookie, path) in
        [("a=b", "/console/sign-in"), ("__Host-oms-console=AAAA", "/console/sign-in?signed-out=here")]
    {
        let request = Request::post("/console/sign-out").header(COOKIE, cookie).header(CONTENT_TYPE, FORM);
        let response = answer(request.header("sec-fetch-site", "same-origin"), "").await;
        assert_eq!(response.headers()[LOCATION], path, "{cookie}");
        assert!(text(response.headers(), "set-cookie").ends_with("Max-Age=0"), "{cookie}");
    }
    let page = html(answer(Request::get("/console/sign-in?signed-out=here"), Body::empty()).await).await;
    assert!(page.contains("The session could not be ended everywhere; it ends by itself."), "{page}");
    let page = html(answer(Request::get("/console/sign-in"), Body::empty()).await).await;
    assert!(!page.contains("ended everywhere"), "{page}");
}

#[tokio::test]
async fn a_form_of_another_origin_changes_nothing() {
    let session = session(Duration::ZERO);
    for origin in ["null", "https://evil.example", "https://shop.example:444", ""] {
        let right = format!("csrf={}", session.csrf());
        let response = answer(sign_out(&session, origin), right).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{origin}");
        assert!(!response.headers().contains_key(SET_COOKIE), "{origin}");
    }
    let sign_in = Request::post("/console/sign-in").header(CONTENT_TYPE, FORM);
    let sign_in = sign_in.header(HOST, "shop.example").header(ORIGIN, "https://evil.example");
    let response = answer(sign_in, "email=a&password=b").await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_of_another_type_or_size_is_refused() {
    let session = session(Duration::ZERO);
    let request = |content_type: &'static str| {
        with(&session, Request::post("/console/sign-out"))
            .header("sec-fetch-site", "same-origin")
            .header(CONTENT_TYPE, content_type)
    };
    let csrf = format!("csrf={}", session.csrf());
    for (content_type, padding, status) in [
        ("application/x-www-form-urlencoded; charset=UTF-8", 0, 303),
        (FORM, 999_000, 303),
        (FORM, 1_000_000, 413),
        ("text/plain", 0, 415),
        ("application/json", 0, 415),
    ] {
        let body = format!("{csrf}&padding={}", "x".repeat(padding));
        let response = answer(request(content_type), body).await;
        assert_eq!(response.status(), status, "{content_type} {padding}");
    }
}

#[tokio::test]
async fn an_error_is_a_page_with_its_request_id() {
    let request = with(&session(Duration::ZERO), Request::get("/console/orders"));
    let response = answer(request.header("x-request-id", "r-7"), Body::empty()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let page = html(response).await;
    assert!(page.contains("Internal error") && page.contains("<code>r-7</code>"), "{page}");
    assert!(page.contains("grace@example.com") && !page.contains("broken"), "{page}");
}

#[tokio::test]
async fn an_unknown_path_is_a_page_for_everyone() {
    let response = answer(Request::get("/console/%3Cb%3E"), Body::empty()).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let page = html(response).await;
    assert!(page.contains("Not found") && !page.contains("<nav"), "{page}");
}

#[tokio::test]
async fn a_head_has_the_headers_of_its_page() {
    let head = Request::builder().method(Method::HEAD).uri("/console/sign-in");
    let response = answer(head, Body::empty()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(to_bytes(response.into_body(), 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn while_users_is_away_a_token_is_used_to_its_end() {
    let console = console(|| Status::unavailable("away"));
    let page = async |ago| {
        let request = with(&session(Duration::from_secs(ago)), Request::get("/console/nothing"));
        let request = request.body(Body::empty()).unwrap();
        html(console.clone().oneshot(request).await.unwrap()).await
    };
    assert!(page(899).await.contains("grace@example.com"));
    assert!(!page(900).await.contains("grace@example.com"));
    let request = with(&session(Duration::from_secs(900)), Request::get("/console/orders"));
    let response = console.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!response.headers().contains_key(SET_COOKIE));
}

#[tokio::test]
async fn a_refused_refresh_ends_no_session_whose_token_is_good() {
    fn too_many() -> Status {
        Error::too_many_requests("Too many.", Duration::from_secs(9)).into()
    }
    fn refused() -> Status {
        Error::new(Kind::Unauthenticated, "Refused.").into()
    }
    let refusals: [fn() -> Status; 2] = [too_many, refused];
    for refuse in refusals {
        let request = with(&session(Duration::from_secs(899)), Request::get("/console/nothing"));
        let response = console(refuse).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(!response.headers().contains_key(SET_COOKIE));
        assert!(html(response).await.contains("grace@example.com"));
    }
    let ended = |status: fn() -> Status| {
        let request = with(&session(Duration::from_secs(900)), Request::get("/console/orders"));
        console(status).oneshot(request.body(Body::empty()).unwrap())
    };
    let response = ended(too_many).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(!response.headers().contains_key(SET_COOKIE));
    let response = ended(refused).await.unwrap();
    assert_eq!(response.headers()[LOCATION], "/console/sign-in?next=%2Fconsole%2Forders");
    assert!(text(response.headers(), "set-cookie").ends_with("Max-Age=0"));
}

#[tokio::test]
async fn every_request_exchanges_a_token_in_its_last_minute() {
    for (ago, calls) in [(840, 0), (841, 1)] {
        let session = session(Duration::from_secs(ago));
        let request = |method: Method| {
            let request = Request::builder().method(method).uri("/console/nothing");
            with(&session, request).body(Body::empty()).unwrap()
        };
        for request in [request(Method::GET), request(Method::POST), poll(&session, "/console/nothing")] {
            let functions = Arc::new(Recorder::default());
            let described = format!("{} {ago}", request.method());
            console_on(functions.clone()).oneshot(request).await.unwrap();
            assert_eq!(functions.0.lock().unwrap().len(), calls, "{described}");
        }
    }
}

#[tokio::test]
async fn a_form_near_the_end_of_the_token_is_answered_by_a_307() {
    const PATH: &str = "/console/stock?x=a%20b";
    let users = Exchanging::new(900);
    let console = console_on(users.clone());
    let session = session(Duration::from_secs(850));
    let body = format!("csrf={}&key=k&lines=A-1,5", session.csrf());
    let filled = |form: request::Builder| form.body(Body::from(body.clone())).unwrap();
    let first = console.clone().oneshot(filled(form(&session, PATH, OWN))).await.unwrap();
    assert_eq!(first.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(first.headers()[LOCATION], PATH);
    assert_eq!(users.called(), ["RefreshToken"]);
    // The browser sends the same form, with the new cookie.
    let cookie = sessions::sent_back(&first.headers()[SET_COOKIE])[COOKIE].clone();
    let again = Request::post(PATH).header(COOKIE, cookie).header(HOST, "shop.example");
    let again = again.header(ORIGIN, OWN).header(CONTENT_TYPE, FORM);
    let second = console.oneshot(filled(again)).await.unwrap();
    // Its lookup fails.
    assert_eq!(second.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!second.headers().contains_key(SET_COOKIE));
    assert_eq!(users.called(), ["RefreshToken", "ListProducts"]);
}

#[tokio::test]
async fn tokens_of_a_short_life_cause_no_loop() {
    let session = session(Duration::from_secs(850));
    let page = with(&session, Request::get("/console/nothing")).body(Body::empty()).unwrap();
    let form = counting(&session, OWN).body(Body::from(format!("csrf={}", session.csrf()))).unwrap();
    for (request, status) in [(page, 404), (form, 422)] {
        let users = Exchanging::new(59);
        let response = console_on(users.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        assert!(text(response.headers(), "set-cookie").ends_with("SameSite=Strict"));
        assert_eq!(users.called(), ["RefreshToken"]);
    }
}

#[tokio::test]
async fn a_use_is_noted_only_far_from_the_end_of_the_token() {
    // Polls have exchanged the token since the last use.
    let begun = session(Duration::from_secs(2_000));
    for (ago, is_noted) in [(0, true), (810, true), (811, false), (840, false)] {
        let exchanged = begun.renewed(sessions::tokens("staff"), NOW.before(Duration::from_secs(ago)));
        let session = exchanged.unwrap().last_used_as(&begun);
        let response = answer(with(&session, Request::get("/console/nothing")), Body::empty()).await;
        assert_eq!(response.headers().contains_key(SET_COOKIE), is_noted, "{ago}");
        let response = answer(form(&session, "/console/nothing", OWN), "").await;
        assert_eq!(response.headers().contains_key(SET_COOKIE), is_noted, "{ago}");
        let response = console(internal).oneshot(poll(&session, "/console/nothing")).await.unwrap();
        assert!(!response.headers().contains_key(SET_COOKIE), "{ago}");
    }
}

/// Poll of a list at this path, with this session.
fn poll(session: &Session, path: &str) -> Request {
    let request = with(session, Request::get(path)).header("hx-request", "true");
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_poll_without_a_session_is_refused_and_ends_none() {
    fn refused() -> Status {
        Error::new(Kind::Unauthenticated, "Refused.").into()
    }
    let day = Duration::from_secs(24 * 60 * 60);
    type Answering = fn() -> Status;
    let cases: [(Duration, Answering, u16); 5] = [
        (Duration::from_secs(900), refused, 401),
        (Duration::from_secs(900), internal, 500),
        (Duration::ZERO, refused, 401),
        (Duration::ZERO, internal, 500),
        (day, internal, 401),
    ];
    for (ago, status, expected) in cases {
        let response = console(status).oneshot(poll(&session(ago), "/console/orders")).await.unwrap();
        assert_eq!(response.status(), expected, "{ago:?}");
        let headers = response.headers();
        assert!(!headers.contains_key(SET_COOKIE) && !headers.contains_key(LOCATION), "{headers:?}");
        assert_eq!(text(headers, "cache-control"), "no-store");
        assert!(to_bytes(response.into_body(), 1).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_refresh_does_not_count_for_the_address_of_the_client() {
    let address = SourceAddress([192_u8, 0, 2, 7].into());
    let refresh = with(&session(Duration::from_secs(850)), Request::get("/console/nothing"));
    let sign_in = Request::post("/console/sign-in").header(CONTENT_TYPE, FORM);
    let sign_in = sign_in.header("sec-fetch-site", "same-origin");
    for (request, is_counted) in [(refresh, false), (sign_in, true)] {
        let functions = Arc::new(Recorder::default());
        let request = request.extension(address).body(Body::from("email=a&password=b")).unwrap();
        console_on(functions.clone()).oneshot(request).await.unwrap();
        let calls = functions.0.lock().unwrap().clone();
        assert_eq!(calls.len(), 1);
        assert!(calls.iter().all(|call| call.contains("192.0.2.7") == is_counted), "{calls:?}");
    }
}
