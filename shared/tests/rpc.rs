//! Tests of gRPC between functions: from a generated client to a generated server, through the envelope that
//! Lambda would carry. They check that valid calls arrive unchanged, and that invalid ones are refused, by
//! the right side.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::future::{Future, pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use proto::products::v1::GetProductRequest;
use proto::products::v1::product_service_client::ProductServiceClient;
use proto::users::v1 as wire;
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::user_service_server::{UserService, UserServiceServer};
use proto::users::v1::{CreateUserRequest, User};
use serde_json::{Value, json};
use shared::auth::{Caller, Role};
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::input::validation::{FieldError, NamedBy};
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::envelope::{self, Answer, Call, MAX_PAYLOAD};
use shared::rpc::metadata;
use shared::rpc::server::{MAX_MESSAGE, RpcServer};
use shared::runtime::context::{Context, DEFAULT_TIMEOUT, SourceAddress};
use shared::runtime::trace::Trace;
use shared::values::clock::{Clock, Timestamp};
use shared::values::ids::{OrderId, UserId};
use tokio::sync::{Notify, mpsc};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};
use tracing::instrument::WithSubscriber as _;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const CREATE_USER: &str = "/oms.users.v1.UserService/CreateUser";
const GET_USER: &str = "/oms.users.v1.UserService/GetUser";

/// Text with all that a header cannot carry unencoded, and all that could break its percent-encoding.
const TEXT: &str = "Öl für 漢字 🦀👩‍🚀: 100 %, %41 %\n\r\t\0\u{7f} \"{`<#?>`}\" + e\u{301}";

/// Deadline that a hanging call will meet; and one that only a bug can exceed.
const SOON: Duration = Duration::from_millis(100);
const FAR: Duration = Duration::from_secs(20);

// Fakes and helpers.

type Work =
    dyn Fn(Request<CreateUserRequest>) -> BoxFuture<'static, Result<Response<User>, Status>> + Send + Sync;

/// Users service with one method that anybody may call and one for functions, which do what a test says. It counts
/// their calls.
struct Users {
    work: Box<Work>,
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl UserService for Users {
    async fn create_user(&self, request: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (self.work)(request).await
    }

    async fn get_user(&self, request: Request<wire::GetUserRequest>) -> Result<Response<User>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (self.work)(request.map(|get| create(&get.id))).await
    }

    async fn update_user(&self, _: Request<wire::UpdateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::aborted("not this one"))
    }

    async fn delete_user(
        &self,
        _: Request<wire::DeleteUserRequest>,
    ) -> Result<Response<wire::DeleteUserResponse>, Status> {
        Err(Status::aborted("not this one"))
    }

    async fn list_users(
        &self,
        _: Request<wire::ListUsersRequest>,
    ) -> Result<Response<wire::ListUsersResponse>, Status> {
        Err(Status::aborted("not this one"))
    }

    async fn authenticate(
        &self,
        _: Request<wire::AuthenticateRequest>,
    ) -> Result<Response<wire::AuthenticateResponse>, Status> {
        Err(Status::aborted("not this one"))
    }

    async fn refresh_token(
        &self,
        _: Request<wire::RefreshTokenRequest>,
    ) -> Result<Response<wire::AuthenticateResponse>, Status> {
        Err(Status::aborted("not this one"))
    }

    async fn revoke_token(
        &self,
        _: Request<wire::RevokeTokenRequest>,
    ) -> Result<Response<wire::RevokeTokenResponse>, Status> {
        Err(Status::aborted("not this one"))
    }

    async fn get_signing_keys(
        &self,
        _: Request<wire::GetSigningKeysRequest>,
    ) -> Result<Response<wire::GetSigningKeysResponse>, Status> {
        Err(Status::aborted("not this one"))
    }
}

/// Function whose `CreateUser` and `GetUser` are `work`, and whose clock stands still at [`NOW`] unless a test sets another.
struct FakeFunction {
    rpc: RpcServer,
    calls: Arc<AtomicUsize>,
}

impl FakeFunction {
    fn new<W, A>(work: W) -> Self
    where
        W: Fn(Request<CreateUserRequest>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response<User>, Status>> + Send + 'static,
    {
        Self::with_clock(at(NOW), work)
    }

    fn with_clock<W, A>(clock: Clock, work: W) -> Self
    where
        W: Fn(Request<CreateUserRequest>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response<User>, Status>> + Send + 'static,
    {
        let calls = Arc::default();
        let users = Users { work: Box::new(move |request| work(request).boxed()), calls: Arc::clone(&calls) };
        let server = UserServiceServer::new(users).max_decoding_message_size(MAX_MESSAGE);
        Self { rpc: RpcServer::new(server, clock), calls }
    }

    /// Creates a function that answers with the name it was given.
    fn echo() -> Self {
        Self::new(|request| ready(Ok(Response::new(named(request.into_inner().name())))))
    }

    /// Creates a function that always fails with this status.
    fn failing(status: Status) -> Self {
        Self::new(move |_| ready(Err(status.clone())))
    }

    fn client(&self) -> UserServiceClient<Channel> {
        client(Arc::new(self.rpc.clone()))
    }

    async fn call(&self, request: impl tonic::IntoRequest<CreateUserRequest>) -> Result<User, Status> {
        in_time(self.client().create_user(request)).await.map(Response::into_inner)
    }

    /// Returns the client's result for the answer to this payload.
    async fn answer(&self, payload: impl AsRef<[u8]>) -> Result<User, Status> {
        received(in_time(self.rpc.handle(payload.as_ref())).await).await
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Transport that a test can observe, alter or cut.
struct FakeTransport<W>(W);

impl<W> Invoke for FakeTransport<W>
where
    W: Fn(Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> + Send + Sync,
{
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        (self.0)(payload)
    }
}

fn transport<W>(invoke: W) -> Arc<dyn Invoke>
where
    W: Fn(Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> + Send + Sync + 'static,
{
    Arc::new(FakeTransport(invoke))
}

fn client(target: Arc<dyn Invoke>) -> UserServiceClient<Channel> {
    client_at(at(NOW), target)
}

fn client_at(clock: Clock, target: Arc<dyn Invoke>) -> UserServiceClient<Channel> {
    UserServiceClient::new(Channel::new(target, clock)).max_decoding_message_size(MAX_MESSAGE)
}

fn at(now: Timestamp) -> Clock {
    Clock::from_fn(move || now)
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    Timestamp::from_millis(now.millis() - i64::try_from(duration.as_millis()).unwrap())
}

fn context(deadline: Timestamp) -> Context {
    Context { request_id: "Order-7_a.b".into(), ..Context::new(Caller::Anonymous, deadline) }
}

fn create(name: &str) -> CreateUserRequest {
    CreateUserRequest { name: Some(name.to_owned()), ..CreateUserRequest::default() }
}

fn named(name: &str) -> User {
    User { name: name.to_owned(), ..User::default() }
}

/// Fails a test that hangs, at the place where it hangs.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(FAR, future).await.expect("an answer in time")
}

/// Returns the envelope that a client sends for a request.
async fn envelope_of(request: Request<CreateUserRequest>) -> Value {
    let (sender, mut sent) = mpsc::unbounded_channel();
    let tap = transport(move |payload| {
        sender.send(payload).unwrap();
        ready(Err(Status::unavailable("recorded"))).boxed()
    });
    client(tap).create_user(request).await.unwrap_err();
    serde_json::from_slice(&sent.recv().await.unwrap()).unwrap()
}

/// Returns a valid envelope for tests to break.
async fn good_envelope() -> Value {
    envelope_of(metadata::request(create("Öle"), &context(NOW.after(FAR)))).await
}

/// Adds a header to an envelope.
fn with_header(envelope: &Value, name: &str, value: &str) -> Value {
    let mut envelope = envelope.clone();
    envelope["grpc"]["headers"].as_array_mut().unwrap().push(json!([name, value]));
    envelope
}

/// Makes an envelope the call of a function on its own behalf.
fn by_a_function(envelope: &Value, path: &str) -> String {
    let mut envelope = with_header(envelope, "oms-caller", "system");
    envelope["grpc"]["path"] = json!(path);
    envelope.to_string()
}

/// Removes the deadline from an envelope.
fn without_deadline(envelope: &Value) -> Value {
    let mut envelope = envelope.clone();
    envelope["grpc"]["headers"].as_array_mut().unwrap().retain(|pair| pair[0] != "oms-deadline");
    envelope
}

/// Replaces or removes one part of a call or an answer.
fn with_part(envelope: &Value, part: &str, value: impl Into<Option<Value>>) -> Vec<u8> {
    let mut envelope = envelope.clone();
    let parts = envelope["grpc"].as_object_mut().unwrap();
    match value.into() {
        Some(value) => parts.insert(part.to_owned(), value),
        None => parts.remove(part),
    };
    envelope.to_string().into_bytes()
}

/// Parses a sequence of JSON values.
fn json_values(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().unwrap()
}

fn frame_of(envelope: &Value) -> Vec<u8> {
    BASE64.decode(envelope["grpc"]["body"].as_str().unwrap()).unwrap()
}

/// Returns broken variants of a frame, each with the expected code.
fn broken_frames(frame: &[u8]) -> Vec<(String, Vec<u8>, Code)> {
    let length = u32::try_from(frame.len() - 5).unwrap();
    let mut broken: Vec<_> = (0..frame.len())
        .map(|cut| (format!("cut after {cut} bytes"), frame[..cut].to_vec(), Code::Internal))
        .collect();
    let lengths = [0, 1, length - 1, length + 1, 1_000_000]
        .map(|wrong| (wrong, Code::Internal))
        .into_iter()
        .chain([(u32::MAX, Code::OutOfRange)]);
    for (wrong, code) in lengths {
        let mut frame = frame.to_vec();
        frame[1..5].copy_from_slice(&wrong.to_be_bytes());
        broken.push((format!("length {wrong}"), frame, code));
    }
    for flag in [1, 2, 255] {
        let mut frame = frame.to_vec();
        frame[0] = flag;
        broken.push((format!("flag {flag}"), frame, Code::Internal));
    }
    let mut noise = frame.to_vec();
    noise[5..].fill(0xff);
    broken.push(("no protobuf inside".to_owned(), noise, Code::Internal));
    broken
}

/// Returns the client's result for this answer.
async fn received(answer: Vec<u8>) -> Result<User, Status> {
    let target = transport(move |_| ready(Ok(answer.clone())).boxed());
    in_time(client(target).create_user(create(""))).await.map(Response::into_inner)
}

/// Returns the answer of a function that echoes "Öle", as it is sent.
async fn good_answer() -> Value {
    let payload = good_envelope().await.to_string();
    serde_json::from_slice(&FakeFunction::echo().rpc.handle(payload.as_bytes()).await).unwrap()
}

fn assert_garbled(result: Result<User, Status>, what: &str) {
    let status = result.expect_err(what);
    assert_eq!(status.code(), Code::Internal, "{what}: {status:?}");
    assert!(status.message().starts_with("the envelope is garbled: "), "{what}: {status:?}");
}

// Round trips.

#[tokio::test]
async fn an_answer_comes_back_with_every_character_that_went_there() {
    let user = FakeFunction::echo().call(create(TEXT)).await.unwrap();
    assert_eq!(user.name, TEXT);
}

#[tokio::test]
async fn every_status_code_comes_back_with_its_message() {
    for code in (1..=16).map(Code::from_i32) {
        for message in ["", "plain", TEXT, &"漢".repeat(10_000)] {
            let status =
                FakeFunction::failing(Status::new(code, message)).call(create("")).await.unwrap_err();
            assert_eq!((status.code(), status.message()), (code, message));
        }
    }
}

#[tokio::test]
async fn metadata_and_details_of_a_status_come_back() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut metadata = MetadataMap::new();
    metadata.append("x-note", "one".parse().unwrap());
    metadata.append("x-note", "two, with commas; and \"quotes\"".parse().unwrap());
    metadata.append("x-empty", "".parse().unwrap());
    for bytes in [every_byte.as_slice(), b"", b"a", b"ab"] {
        metadata.append_bin("x-bytes-bin", MetadataValue::from_bytes(bytes));
    }
    let details = every_byte.clone().into();
    let sent = Status::with_details_and_metadata(Code::DataLoss, TEXT, details, metadata);

    let status = FakeFunction::failing(sent).call(create("")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, TEXT));
    assert_eq!(status.details(), every_byte);
    let notes: Vec<_> = status.metadata().get_all("x-note").iter().collect();
    assert_eq!(notes, ["one", "two, with commas; and \"quotes\""]);
    assert_eq!(status.metadata().get("x-empty").unwrap(), "");
    let bytes: Vec<_> =
        status.metadata().get_all_bin("x-bytes-bin").iter().map(|value| value.to_bytes().unwrap()).collect();
    assert_eq!(bytes, [every_byte.as_slice(), b"", b"a", b"ab"]);
}

#[tokio::test]
async fn metadata_of_a_request_and_of_its_answer_come_through() {
    let function = FakeFunction::new(|request| {
        let mut response = Response::new(User::default());
        let metadata = response.metadata_mut();
        metadata.insert("x-seen", request.metadata().get("x-note").unwrap().clone());
        metadata.insert_bin("x-seen-bin", request.metadata().get_bin("x-bytes-bin").unwrap().clone());
        ready(Ok(response))
    });
    let mut request = Request::new(create(""));
    request.metadata_mut().insert("x-note", "seen".parse().unwrap());
    request.metadata_mut().insert_bin("x-bytes-bin", MetadataValue::from_bytes(b"\0\xff"));

    let response = in_time(function.client().create_user(request)).await.unwrap();
    assert_eq!(response.metadata().get("x-seen").unwrap(), "seen");
    assert_eq!(response.metadata().get_bin("x-seen-bin").unwrap().to_bytes().unwrap(), &b"\0\xff"[..]);
}

/// Returns all that a REST client would see of an error.
async fn problem(error: &Error) -> (u16, Vec<(String, String)>, Value) {
    let (head, body) = error.to_problem(&BasePath::default(), "/users", "Order-7").into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let pairs =
        head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (head.status.as_u16(), pairs.collect(), serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn an_error_of_every_kind_is_the_same_error_at_the_other_end() {
    for kind in Kind::ALL {
        let error = || {
            Error::new(kind, TEXT)
                .with("items", json!([{"name": TEXT, "requested": 3, "available": null}]))
                .with(TEXT, json!({"deep": [1.5, true, ""]}))
                .caused_by("what only the log may say")
        };
        let status = FakeFunction::failing(error().into()).call(create("")).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (kind.code(), TEXT));

        let received = Error::from(status);
        assert_eq!(received.kind(), kind);
        assert_eq!(received.to_string(), error().to_string());
        assert_eq!(problem(&received).await, problem(&error()).await);
        assert!(!received.causes().contains("only the log"), "{}", received.causes());
    }
}

#[tokio::test]
async fn the_field_errors_of_an_error_come_back_in_order() {
    let errors: Vec<_> = ["", "/name", "/addresses/0/Straße~1漢"]
        // The log must not take names of another function for its own.
        .map(|pointer| FieldError::new(pointer, TEXT, NamedBy::Client))
        .into();
    let error = || Error::validation(errors.clone()).with("hint", json!(TEXT));

    let received = Error::from(FakeFunction::failing(error().into()).call(create("")).await.unwrap_err());
    assert_eq!(received.kind(), Kind::Validation);
    assert_eq!(received.errors(), errors);
    assert_eq!(received.member("hint"), Some(&json!(TEXT)));
    assert_eq!(problem(&received).await, problem(&error()).await);
}

#[tokio::test]
async fn caller_request_id_trace_and_deadline_arrive() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let function = FakeFunction::new(move |request| {
        sender.send(metadata::context_of(&request).unwrap()).unwrap();
        ready(Ok(Response::new(User::default())))
    });
    let users = Role::ALL.map(|role| Caller::User { id: UserId::new(), role });
    for caller in [Caller::Anonymous, Caller::System].into_iter().chain(users) {
        let context = Context { caller, ..context(NOW.after(Duration::from_millis(12_345))) };
        let get = wire::GetUserRequest::default();
        in_time(function.client().get_user(metadata::request(get, &context))).await.unwrap();

        let seen = seen.recv().await.unwrap();
        // A user is identified by an access token alone.
        let expected = if caller == Caller::System { caller } else { Caller::Anonymous };
        assert_eq!(seen.caller, expected);
        assert_eq!(seen.request_id, context.request_id);
        assert_eq!(seen.trace.id().to_string(), context.trace.id().to_string());
        assert_ne!(seen.trace.parent(), context.trace.parent(), "its span is its own");
        assert_eq!(seen.deadline, context.deadline);
    }
}

#[tokio::test]
async fn the_address_of_a_client_arrives_where_it_is_sent_along() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let function = FakeFunction::new(move |request| {
        let of_context = metadata::context_of(&request).unwrap().source;
        sender.send((of_context, request.extensions().get::<SourceAddress>().copied())).unwrap();
        ready(Ok(Response::new(User::default())))
    });
    for address in ["192.0.2.7", "2001:db8::7"] {
        let source = Some(SourceAddress(address.parse().unwrap()));
        let context = Context { source, ..context(NOW.after(FAR)) };
        function.call(metadata::request_for_client(create(""), &context)).await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), (source, source));
        function.call(metadata::request(create(""), &context)).await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), (None, None));
    }
    let envelope = with_header(&good_envelope().await, "oms-source-address", "no address");
    function.answer(envelope.to_string()).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), (None, None));
}

#[tokio::test]
async fn a_call_without_metadata_gets_the_default_context() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let function = FakeFunction::new(move |request| {
        sender.send(metadata::context_of(&request).unwrap()).unwrap();
        ready(Ok(Response::new(User::default())))
    });
    function.call(create("")).await.unwrap();
    function.call(create("")).await.unwrap();

    let (first, second) = (seen.recv().await.unwrap(), seen.recv().await.unwrap());
    assert_eq!((first.caller, first.deadline), (Caller::Anonymous, NOW.after(DEFAULT_TIMEOUT)));
    assert_eq!(first.request_id.len(), 32);
    assert_ne!(first.request_id, second.request_id);
    assert_ne!(first.trace.id().to_string(), second.trace.id().to_string());
}

#[tokio::test]
async fn the_state_of_a_trace_goes_along() {
    let mut headers = http::HeaderMap::new();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    headers.insert("traceparent", parent.parse().unwrap());
    headers.insert("tracestate", "congo=t61rcWkgMzE,rojo=1".parse().unwrap());
    let trace = Trace::of(&headers, None);
    let (sender, mut seen) = mpsc::unbounded_channel();
    let function = FakeFunction::new(move |request| {
        sender.send(metadata::context_of(&request).unwrap().trace).unwrap();
        ready(Ok(Response::new(User::default())))
    });
    let context = Context { trace, ..context(NOW.after(FAR)) };
    function.call(metadata::request(create(""), &context)).await.unwrap();
    let seen = seen.recv().await.unwrap();
    assert_eq!(seen.state(), Some("congo=t61rcWkgMzE,rojo=1"));
    assert!(seen.parent().ends_with("-01"), "sampled as before");
}

/// Log lines in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_of_the_callee_has_the_cause_that_nobody_else_is_told() {
    let function = FakeFunction::new(|_| ready(Err(Error::unavailable("10.0.0.7 is away").into())));
    let payload = by_a_function(&good_envelope().await, GET_USER);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = shared::runtime::telemetry::json_lines(move || writer.clone());
    let answer = function.rpc.handle(payload.as_bytes()).with_subscriber(subscriber).await;
    assert!(!String::from_utf8(answer).unwrap().contains("10.0.0.7"));
    let line: Value = serde_json::from_slice(&log.0.lock().unwrap()).unwrap();
    assert_eq!((&line["level"], &line["causes"]), (&json!("ERROR"), &json!("10.0.0.7 is away")));
    assert_eq!((&line["role"], &line["span"]["request_id"]), (&json!("system"), &json!("Order-7_a.b")));
}

#[tokio::test]
async fn a_request_not_from_the_rpc_server_has_no_context() {
    let status = metadata::context_of(&metadata::request((), &context(NOW))).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}

// Identity.

#[tokio::test]
async fn an_unreadable_identity_is_unauthenticated_and_not_run() {
    let function = FakeFunction::echo();
    let user = UserId::new().to_string();
    let order = OrderId::new().to_string();
    let anyone = Context { caller: Caller::Anonymous, ..context(NOW.after(FAR)) };
    let envelope = envelope_of(metadata::request(create(""), &anyone)).await;
    for (caller, role) in [
        ("", None),
        ("anyone", None),
        ("System", None),
        ("system ", None),
        ("sÿstem", None),
        (user.as_str(), None),
        (user.as_str(), Some("")),
        (user.as_str(), Some("root")),
        (user.as_str(), Some("Admin")),
        (user.as_str(), Some("admin,staff")),
        (user.as_str(), Some("ädmin")),
        (order.as_str(), Some("admin")),
        (user.to_uppercase().as_str(), Some("admin")),
        (&user[1..], Some("admin")),
    ] {
        let mut envelope = with_header(&envelope, "oms-caller", caller);
        if let Some(role) = role {
            envelope = with_header(&envelope, "oms-caller-role", role);
        }
        let status = function.answer(envelope.to_string()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{caller:?} {role:?}: {status:?}");
    }
    assert_eq!(function.calls(), 0);
}

#[tokio::test]
async fn a_function_may_not_call_what_does_not_list_it() {
    let function = FakeFunction::echo();
    let envelope = good_envelope().await;
    let status = function.answer(by_a_function(&envelope, CREATE_USER)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let user = with_header(&envelope, "oms-caller", &UserId::new().to_string());
    let user = with_header(&user, "oms-caller-role", "admin");
    let status = function.answer(user.to_string()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(function.calls(), 0);
    function.answer(by_a_function(&envelope, GET_USER)).await.unwrap();
    function.answer(with_header(&envelope, "oms-caller-function", "orders").to_string()).await.unwrap();
    assert_eq!(function.calls(), 2);
}

#[tokio::test]
async fn a_role_without_a_user_gives_no_rights() {
    let function = FakeFunction::new(|request| {
        assert_eq!(metadata::context_of(&request).unwrap().caller, Caller::Anonymous);
        ready(Ok(Response::new(User::default())))
    });
    let anyone = Context { caller: Caller::Anonymous, ..context(NOW.after(FAR)) };
    let envelope = envelope_of(metadata::request(create(""), &anyone)).await;
    function.answer(with_header(&envelope, "oms-caller-role", "admin").to_string()).await.unwrap();
}

// Deadlines.

#[tokio::test]
async fn a_hanging_callee_costs_no_more_than_the_deadline() {
    let function = FakeFunction::with_clock(Clock::system(), |_| pending());
    let mut client = client_at(Clock::system(), Arc::new(function.rpc.clone()));
    let started = Instant::now();
    let context = context(Clock::system().now().after(SOON));
    let status = in_time(client.create_user(metadata::request(create(""), &context))).await.unwrap_err();

    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    // The bound is wide for busy machines; without the deadline the call would never end.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_silent_function_costs_no_more_than_the_deadline() {
    let silent = transport(|_| pending().boxed());
    let request = metadata::request(create(""), &context(NOW.after(SOON)));
    let status = in_time(client(silent).create_user(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "no answer within the 100 ms that were left");
}

/// Sends a message when it is dropped.
struct Alarm(mpsc::UnboundedSender<()>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

#[tokio::test]
async fn the_callee_ends_a_call_at_its_deadline() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let function = FakeFunction::new(move |_| {
        let alarm = Alarm(sender.clone());
        async move {
            let _alarm = alarm;
            pending().await
        }
    });
    let envelope = envelope_of(metadata::request(create(""), &context(NOW.after(SOON)))).await;
    let status = function.answer(envelope.to_string()).await.unwrap_err();

    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "the call was not done by its deadline");
    in_time(ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_call_after_its_deadline_is_refused_and_not_run() {
    let function = FakeFunction::echo();
    let envelope = without_deadline(&good_envelope().await);
    let deadline = |millis: i64| with_header(&envelope, "oms-deadline", &millis.to_string()).to_string();
    for late in [i64::MIN, -1, 0, NOW.millis() - 60_000, NOW.millis() - 1, NOW.millis()] {
        let status = function.answer(deadline(late)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{late}: {status:?}");
        assert_eq!(status.message(), "the call arrived after its deadline; nothing was done");
    }
    assert_eq!(function.calls(), 0);

    for early in [NOW.millis() + 20_000, i64::MAX] {
        assert_eq!(function.answer(deadline(early)).await.unwrap().name, "Öle");
    }
    assert_eq!(function.calls(), 2);
}

#[tokio::test]
async fn a_late_call_is_refused_before_its_caller_is_identified() {
    let function = FakeFunction::echo();
    // Where no tokens are taken, this one is refused as soon as it is looked at.
    let envelope = with_header(&without_deadline(&good_envelope().await), "authorization", "Bearer x");
    let late = with_header(&envelope, "oms-deadline", &NOW.millis().to_string());
    let status = function.answer(late.to_string()).await.unwrap_err();
    assert_eq!(status.message(), "the call arrived after its deadline; nothing was done");
    #[cfg(feature = "socket")]
    for (name, value) in [("oms-deadline", "0"), ("grpc-timeout", "0n")] {
        let status = over_socket(&function, &with_header(&envelope, name, value)).await;
        assert_eq!(status.message(), "the call arrived after its deadline; nothing was done", "{name}");
    }
    assert_eq!(function.calls(), 0);
}

/// Returns the status of a call over a socket.
#[cfg(feature = "socket")]
async fn over_socket(function: &FakeFunction, envelope: &Value) -> Status {
    let request = envelope::read_call(envelope.to_string().as_bytes()).unwrap();
    let request = request.map(|body| tonic::body::Body::new(http_body_util::Full::new(body)));
    let (head, body) = in_time(function.rpc.answer_http2(request)).await.into_parts();
    let trailers = in_time(body.collect()).await.unwrap().trailers().cloned().unwrap_or_default();
    Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers)).unwrap()
}

#[cfg(feature = "socket")]
#[tokio::test]
async fn a_client_on_a_socket_ends_its_wait_and_not_the_work() {
    let [go, done] = [(); 2].map(|()| Arc::new(Notify::new()));
    let (sender, mut seen) = mpsc::unbounded_channel();
    let function = FakeFunction::new({
        let (go, done) = (Arc::clone(&go), Arc::clone(&done));
        move |request| {
            sender.send(metadata::context_of(&request).unwrap().deadline).unwrap();
            let (go, done) = (Arc::clone(&go), Arc::clone(&done));
            async move {
                go.notified().await;
                done.notify_one();
                Ok(Response::new(User::default()))
            }
        }
    });
    let envelope = without_deadline(&good_envelope().await);
    let soon = NOW.after(SOON).millis().to_string();
    for (name, value) in [("grpc-timeout", "100m"), ("oms-deadline", &soon)] {
        let status = over_socket(&function, &with_header(&envelope, name, value)).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{name}");
        assert_eq!(status.message(), "the call was not done by its deadline");
        assert_eq!(seen.recv().await.unwrap(), NOW.after(DEFAULT_TIMEOUT), "of the work");
        go.notify_one();
        in_time(done.notified()).await;
    }
    go.notify_one();
    assert_eq!(over_socket(&function, &envelope).await.code(), Code::Ok);
}

#[tokio::test]
async fn a_call_delivered_after_its_deadline_is_not_run() {
    let an_hour_later = at(NOW.after(Duration::from_secs(3600)));
    let function = FakeFunction::with_clock(an_hour_later, |_| ready(Ok(Response::new(User::default()))));
    let request = metadata::request(create(""), &context(NOW.after(FAR)));
    let status = function.call(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(function.calls(), 0);
}

/// Checks that late calls are refused with every form of deadline: none, and gRPC's own timeout.
#[tokio::test]
async fn a_late_call_without_a_context_is_refused_too() {
    let an_hour_later = at(NOW.after(Duration::from_secs(3600)));
    let function = FakeFunction::with_clock(an_hour_later, |_| ready(Ok(Response::new(User::default()))));
    let mut timed = Request::new(create(""));
    timed.set_timeout(Duration::from_secs(7));
    for request in [timed, Request::new(create(""))] {
        let status = function.call(request).await.expect_err("it is an hour too late");
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }
    assert_eq!(function.calls(), 0);
}

#[tokio::test]
async fn a_caller_whose_time_is_up_does_not_even_send() {
    for deadline in [NOW, before(NOW, Duration::from_millis(1)), Timestamp::from_millis(i64::MIN)] {
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&reached);
        let target = transport(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            pending().boxed()
        });
        let request = metadata::request(create(""), &context(deadline));
        let status = in_time(client(target).create_user(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_grpc_timeout_ends_the_wait_of_the_caller() {
    let silent = transport(|_| pending().boxed());
    let mut request = Request::new(create(""));
    request.set_timeout(SOON);
    let status = in_time(client(silent).create_user(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "no answer within the 100 ms that were left");
}

#[tokio::test]
async fn a_grpc_timeout_ends_the_work_of_the_callee() {
    let function = FakeFunction::new(|_| pending());
    let mut request = Request::new(create(""));
    request.set_timeout(SOON);
    let status = function.answer(envelope_of(request).await.to_string()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "the call was not done by its deadline");
    assert_eq!(function.calls(), 1);
}

#[tokio::test]
async fn a_grpc_timeout_of_nothing_is_refused_and_the_call_not_run() {
    let function = FakeFunction::echo();
    let envelope = without_deadline(&good_envelope().await);
    for timeout in ["0n", "0m", "0H", "00000000S"] {
        let envelope = with_header(&envelope, "grpc-timeout", timeout);
        let status = function.answer(envelope.to_string()).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{timeout}");
    }
    assert_eq!(function.calls(), 0);
}

#[tokio::test]
async fn of_two_deadlines_the_earlier_one_counts_at_both_ends() {
    let (short, long) = (Duration::from_secs(7), Duration::from_secs(15));
    let (sender, mut seen) = mpsc::unbounded_channel();
    let function = FakeFunction::new(move |request| {
        sender.send(metadata::context_of(&request).unwrap().deadline).unwrap();
        ready(Ok(Response::new(User::default())))
    });
    for (absolute, relative) in [(short, long), (long, short)] {
        let mut request = metadata::request(create(""), &context(NOW.after(absolute)));
        request.set_timeout(relative);
        function.call(request).await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), NOW.after(short));
    }

    for (absolute, relative) in [(SOON, long), (long, SOON)] {
        let mut request = metadata::request(create(""), &context(NOW.after(absolute)));
        request.set_timeout(relative);
        let status =
            in_time(client(transport(|_| pending().boxed())).create_user(request)).await.unwrap_err();
        assert_eq!(status.message(), "no answer within the 100 ms that were left");
    }
}

#[tokio::test]
async fn what_has_begun_goes_on_when_the_caller_gives_up() {
    let [begun, go, done] = [(); 3].map(|()| Arc::new(Notify::new()));
    let function = FakeFunction::new({
        let (begun, go, done) = (Arc::clone(&begun), Arc::clone(&go), Arc::clone(&done));
        move |_| {
            let (begun, go, done) = (Arc::clone(&begun), Arc::clone(&go), Arc::clone(&done));
            async move {
                begun.notify_one();
                go.notified().await;
                done.notify_one();
                Ok(Response::new(User::default()))
            }
        }
    });
    let mut client = function.client();
    let call = tokio::spawn(async move { client.create_user(create("")).await });
    in_time(begun.notified()).await;
    call.abort();
    assert!(in_time(call).await.unwrap_err().is_cancelled());

    go.notify_one();
    in_time(done.notified()).await;
    assert_eq!(function.calls(), 1);
}

// Sizes.

#[tokio::test]
async fn a_message_larger_than_tonics_own_limit_goes_there_and_back() {
    let name = "a".repeat(4_300_000);
    let user = FakeFunction::echo().call(create(&name)).await.unwrap();
    assert!(user.name == name, "{} bytes came back", user.name.len());
}

#[tokio::test]
async fn without_our_limit_both_ends_would_refuse_such_a_message() {
    let function = FakeFunction::new(|_| ready(Ok(Response::new(named(&"a".repeat(4_300_000))))));
    let users = Users {
        work: Box::new(|_| ready(Ok(Response::new(User::default()))).boxed()),
        calls: Arc::default(),
    };
    let calls = Arc::clone(&users.calls);
    let careless = RpcServer::new(UserServiceServer::new(users), at(NOW));
    let large = create(&"a".repeat(4_300_000));
    let status = in_time(client(Arc::new(careless)).create_user(large)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(calls.load(Ordering::SeqCst), 0);

    let target = Arc::new(function.rpc.clone());
    let mut careless = UserServiceClient::new(Channel::new(target, at(NOW)));
    let status = in_time(careless.create_user(create(""))).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
}

/// Checks that a status names the size of the envelope and the limit.
fn assert_says_the_sizes(status: &Status, what: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let message = status.message();
    let sizes: Vec<usize> = message.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(message.starts_with(what), "{message}");
    assert!(matches!(sizes[..], [size, MAX_PAYLOAD] if size > MAX_PAYLOAD), "{message}");
}

#[tokio::test]
async fn a_request_that_is_too_large_says_so_and_is_not_sent() {
    let function = FakeFunction::echo();
    let status = function.call(create(&"a".repeat(4_800_000))).await.unwrap_err();
    assert_says_the_sizes(&status, "the request has ");
    assert_eq!(function.calls(), 0);
}

#[tokio::test]
async fn an_answer_that_is_too_large_says_so() {
    let function = FakeFunction::new(|_| ready(Ok(Response::new(named(&"a".repeat(4_800_000))))));
    let status = function.call(create("")).await.unwrap_err();
    assert_says_the_sizes(&status, "the answer has ");
    assert_eq!(function.calls(), 1);
}

#[tokio::test]
async fn a_status_that_is_too_large_says_so() {
    let status = Status::not_found("a".repeat(MAX_PAYLOAD));
    let status = FakeFunction::failing(status).call(create("")).await.unwrap_err();
    assert_says_the_sizes(&status, "the answer has ");
}

#[test]
fn an_envelope_may_be_just_as_large_as_lambda_takes() {
    let envelope = |path: usize| {
        let (path, headers) = ("a".repeat(path), HeaderMap::new());
        Call { path: &path, headers: &headers, body: b"body" }.write()
    };
    let empty = envelope(0).unwrap().len();
    assert_eq!(envelope(MAX_PAYLOAD - empty).unwrap().len(), MAX_PAYLOAD);
    assert_says_the_sizes(&envelope(MAX_PAYLOAD - empty + 1).unwrap_err(), "the request has ");
}

// Invalid calls.

#[tokio::test]
async fn a_method_that_there_is_not_is_unimplemented() {
    let function = FakeFunction::echo();
    let envelope = good_envelope().await;
    for path in [
        "/oms.users.v1.UserService/DropTables",
        "/oms.users.v1.UserService/createuser",
        "/oms.users.v1.UserService/CreateUser/",
        "/oms.users.v1.UserService",
        "/oms.users.v2.UserService/CreateUser",
        "/CreateUser",
        "//oms.users.v1.UserService/CreateUser",
        "/",
        "*",
    ] {
        let status = function.answer(with_part(&envelope, "path", json!(path))).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
        let status = function.answer(by_a_function(&envelope, path)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path} by a function: {status:?}");
    }
    assert_eq!(function.calls(), 0);
}

#[tokio::test]
async fn a_service_that_the_function_does_not_have_is_unimplemented() {
    let channel = Channel::new(Arc::new(FakeFunction::echo().rpc), at(NOW));
    let request = GetProductRequest::default();
    let status = in_time(ProductServiceClient::new(channel).get_product(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
}

#[tokio::test]
async fn an_envelope_that_is_not_one_is_refused_and_nothing_run() {
    let function = FakeFunction::echo();
    let good = good_envelope().await;
    let text = good.to_string();
    let twice = format!(r#"{{"grpc":{0},"grpc":{0}}}"#, good["grpc"]);
    for bad in [
        "",
        " ",
        "not JSON",
        "null",
        "true",
        "7",
        "\"\"",
        "[]",
        "{}",
        "\0",
        "\u{feff}{}",
        "{\"grpc\"",
        r#"{"grpc":null}"#,
        r#"{"grpc":7}"#,
        r#"{"grpc":"call"}"#,
        r#"{"grpc":[]}"#,
        r#"{"grpc":{}}"#,
        r#"{"Grpc":{}}"#,
        r#"{"grpc":{"grpc":{}}}"#,
        &twice,
        &text[..text.len() - 1],
        &format!("{text}x"),
        &format!("{text}{text}"),
        &"[".repeat(100_000),
        &json!({ "body": text }).to_string(),
        &json!(text).to_string(),
    ] {
        assert_garbled(function.answer(bad).await, bad.get(..100).unwrap_or(bad));
    }
    let mut not_utf8 = text.into_bytes();
    not_utf8[20] = 0xff;
    assert_garbled(function.answer(not_utf8).await, "not UTF-8");
    assert_eq!(function.calls(), 0);
}

#[tokio::test]
async fn a_call_with_a_missing_or_invalid_part_is_not_run() {
    let function = FakeFunction::echo();
    let good = good_envelope().await;
    let long = json!("/".repeat(70_000)).to_string();
    let cases = [
        ("path", r#" null 1 ["/"] "" "no slash" "a/b" "/ /" "/\n" "/ö\u0000" "http://" "#),
        ("path", &long),
        ("headers", r#" null {} "te: trailers" [["te"]] [["te", "a", "b"]] [["te", 1]] [["te", null]] "#),
        ("headers", r#" [["", "a"]] [["a b", "c"]] [["ö", "a"]] [["a:", "b"]] [[":path", "/"]] "#),
        ("headers", r#" [["a\n", "b"]] [["a", "b\nc"]] [["a", "b\r\noms-caller: system"]] "#),
        ("headers", r#" [["a", "\u0000"]] [["a", "\u007f"]] "#),
        ("headers", &format!("[[{long}, \"a\"]]")),
        ("body", r#" null 1 [0] "!" "AAA" "AA A" "AAAA\n" "_-__" "ÖÖÖÖ" "=AAA" "AAAA====" "#),
    ];
    for (part, values) in cases {
        assert_garbled(function.answer(with_part(&good, part, None)).await, part);
        for value in json_values(values) {
            let what = format!("{part}: {:.100}", value.to_string());
            assert_garbled(function.answer(with_part(&good, part, value)).await, &what);
        }
    }
    assert_eq!(function.calls(), 0);
}

#[tokio::test]
async fn a_call_with_a_broken_frame_is_refused_and_not_run() {
    let function = FakeFunction::echo();
    let good = good_envelope().await;
    for (what, frame, code) in broken_frames(&frame_of(&good)) {
        let status = function.answer(with_part(&good, "body", json!(BASE64.encode(frame)))).await;
        let status = status.expect_err(&what);
        assert_eq!(status.code(), code, "{what}: {status:?}");
    }
    assert_eq!(function.calls(), 0);
}

#[tokio::test]
async fn more_headers_than_a_map_can_hold_are_refused_and_nothing_run() {
    let function = FakeFunction::echo();
    let good = good_envelope().await;
    for headers in [30_000, 100_000] {
        let same: Vec<_> = (0..headers).map(|_| json!(["a", ""])).collect();
        assert_garbled(function.answer(with_part(&good, "headers", json!(same))).await, "the same name");
        let many: Vec<_> = (0..headers).map(|number| json!([format!("a{number}"), ""])).collect();
        assert_garbled(function.answer(with_part(&good, "headers", json!(many))).await, "many names");
    }
    assert_eq!(function.calls(), 0);
}

/// Builds API Gateway's event for a client's POST (HTTP API, payload format 2.0).
fn api_gateway_event(body: &str, base64: bool) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "POST /users",
        "rawPath": "/users",
        "rawQueryString": "grpc=1&grpc=2",
        "cookies": ["grpc=1"],
        "headers": {
            "accept": "*/*",
            "content-length": body.len().to_string(),
            "content-type": "application/grpc",
            "grpc": body,
            "host": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "oms-caller": "system",
            "user-agent": "curl/8.7.1",
            "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https"
        },
        "queryStringParameters": {"grpc": body},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": "/users",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "curl/8.7.1"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /users",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1_773_342_238_000_i64
        },
        "pathParameters": {"grpc": body},
        "stageVariables": {"grpc": body},
        "body": body,
        "isBase64Encoded": base64
    })
}

#[tokio::test]
async fn a_request_through_api_gateway_never_counts_as_a_call() {
    let function = FakeFunction::echo();
    let envelope = good_envelope().await.to_string();
    let closing = format!(r#""}},"grpc":{envelope},"x":{{"y":""#);
    for body in [envelope.as_str(), &closing, "", "{}", r#"{"name":"Öle"}"#] {
        for event in
            [api_gateway_event(body, false), api_gateway_event(&BASE64.encode(body.as_bytes()), true)]
        {
            let event = event.to_string();
            assert!(envelope::read_call(event.as_bytes()).is_err());
            assert_garbled(function.answer(event).await, body);
        }
    }
    assert_eq!(function.calls(), 0);
}

// Unreadable answers.

#[tokio::test]
async fn the_answer_that_the_tests_garble_is_good() {
    assert_eq!(received(good_answer().await.to_string().into_bytes()).await.unwrap().name, "Öle");
}

#[tokio::test]
async fn an_answer_that_is_not_one_is_a_status_for_the_caller() {
    let text = good_answer().await.to_string();
    for bad in [
        "",
        "not JSON",
        "null",
        "7",
        "\"\"",
        "[]",
        "{}",
        r#"{"grpc":null}"#,
        r#"{"grpc":{}}"#,
        r#"{"errorMessage":"Task timed out after 3.00 seconds","errorType":"Sandbox.Timedout"}"#,
        r#"{"statusCode":200,"headers":{},"body":"{}"}"#,
        &text[..text.len() - 1],
        &format!("{text}}}"),
        &good_envelope().await.to_string(),
        &"[".repeat(100_000),
    ] {
        assert_garbled(received(bad.into()).await, bad.get(..100).unwrap_or(bad));
    }
    assert_garbled(received(vec![0xff, 0xfe, 0]).await, "not UTF-8");
}

#[tokio::test]
async fn an_answer_with_a_missing_or_invalid_part_is_a_status() {
    let good = good_answer().await;
    let pairs = r#" null {} [["a"]] [["a", 1]] [["", "a"]] [["a b", ""]] [["ö", ""]] [["a", "\u0000"]]
        [["a", "b\r\ngrpc-status: 0"]] "#;
    let cases = [
        ("status", r#" null "200" -1 0 99 1000 65535 65536 200.5 1e300 "#),
        ("headers", pairs),
        ("trailers", pairs),
        ("body", r#" null 1 "!" "AAA" "_-__" "AAAA\n" "#),
    ];
    for (part, values) in cases {
        assert_garbled(received(with_part(&good, part, None)).await, part);
        for value in json_values(values) {
            let what = format!("{part}: {value}");
            assert_garbled(received(with_part(&good, part, value)).await, &what);
        }
    }
}

#[tokio::test]
async fn an_answer_frame_that_is_broken_is_a_status_for_the_caller() {
    let good = good_answer().await;
    for (what, frame, code) in broken_frames(&frame_of(&good)) {
        let status = received(with_part(&good, "body", json!(BASE64.encode(frame)))).await.expect_err(&what);
        assert_eq!(status.code(), code, "{what}: {status:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_say_how_the_call_went_is_no_success() {
    let good = good_answer().await;
    let status = received(with_part(&good, "trailers", json!([]))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown, "{status:?}");
    for code in ["", "17", "-1", "zero", "00", "ö"] {
        let answer = with_part(&good, "trailers", json!([["grpc-status", code]]));
        let status = received(answer).await.expect_err(code);
        assert_eq!(status.code(), Code::Unknown, "{code}: {status:?}");
    }
}

#[tokio::test]
async fn an_unreadable_status_message_is_a_status_for_the_caller() {
    let good = good_answer().await;
    for message in ["%ff%fe", "%f0%9f"] {
        let trailers = json!([["grpc-status", "5"], ["grpc-message", message]]);
        received(with_part(&good, "trailers", trailers)).await.expect_err(message);
    }
    // An invalid escape sequence stands for itself.
    let trailers = json!([["grpc-status", "5"], ["grpc-message", "100 % %4 %zz"]]);
    let status = received(with_part(&good, "trailers", trailers)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "100 % %4 %zz"));
}

#[tokio::test]
async fn unreadable_status_details_are_a_status_for_the_caller() {
    let good = good_answer().await;
    let pairs = json!([["grpc-status", "5"], ["grpc-status-details-bin", "!"]]);
    for part in ["headers", "trailers"] {
        let status = received(with_part(&good, part, pairs.clone())).await.expect_err(part);
        assert_eq!(status.code(), Code::Internal, "{part}: {status:?}");
    }
}

#[tokio::test]
async fn too_many_headers_in_an_answer_are_a_status() {
    let good = good_answer().await;
    let many: Vec<_> = (0..30_000).map(|number| json!([format!("a{number}"), ""])).collect();
    for part in ["headers", "trailers"] {
        assert_garbled(received(with_part(&good, part, json!(many))).await, part);
    }
}

#[tokio::test]
async fn an_unreachable_function_is_the_status_of_its_transport() {
    let mut sent = Status::unavailable(TEXT);
    sent.metadata_mut().insert("x-note", "throttled".parse().unwrap());
    let target = transport(move |_| ready(Err(sent.clone())).boxed());
    let status = in_time(client(target).create_user(create(""))).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, TEXT));
    assert_eq!(status.metadata().get("x-note").unwrap(), "throttled");
}

// Panics and noise.

#[tokio::test]
async fn a_panic_is_internal_and_the_next_call_is_answered() {
    let function = FakeFunction::new(|request| {
        let name = request.into_inner().name().to_owned();
        async move {
            tokio::task::yield_now().await;
            assert_ne!(name, "panic", "a secret of the function");
            Ok(Response::new(named(&name)))
        }
    });
    let panicking = envelope_of(Request::new(create("panic"))).await.to_string();
    for _ in 0..3 {
        // Through the client, and through the RPC server alone: Lambda runs no task around it that would
        // catch panics.
        let statuses =
            [function.call(create("panic")).await, function.answer(&panicking).await].map(Result::unwrap_err);
        for status in statuses {
            assert_eq!((status.code(), status.message()), (Code::Internal, "the function failed"));
        }
        assert_eq!(function.call(create("Öle")).await.unwrap().name, "Öle");
    }
}

/// Generates one of these texts or any other.
fn often(these: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![2 => prop::sample::select(these).prop_map(str::to_owned), 1 => any::<String>()]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = often(&[
        "content-type",
        "grpc-encoding",
        "grpc-message",
        "grpc-status",
        "grpc-timeout",
        "authorization",
        "oms-caller",
        "oms-caller-function",
        "oms-caller-role",
        "oms-deadline",
        "oms-problem-bin",
        "te",
        "x-request-id",
    ]);
    let values = prop_oneof![
        often(&["", "0", "5", "system", "admin", "1S", "application/grpc", "gzip", "1800000010000"]),
        any::<i64>().prop_map(|number| number.to_string()),
        "[0-9]{0,9}[HMSmun]?",
        "user_[0-7][0-9a-hjkmnp-tv-z]{25}",
    ];
    prop::collection::vec((names, values), 0..6)
}

/// Generates bodies, mostly in base64: noise, or a frame around noise.
fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        any::<Vec<u8>>().prop_map(|bytes| BASE64.encode(bytes)),
        any::<Vec<u8>>().prop_map(|bytes| {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            BASE64.encode([&[0], &length[..], &bytes].concat())
        }),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let keys = || often(&["grpc", "path", "headers", "body", "status", "trailers"]);
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((keys(), inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_call() -> impl Strategy<Value = Value> {
    (often(&[CREATE_USER, "/"]), headers(), body())
        .prop_map(|(path, headers, body)| json!({"grpc": {"path": path, "headers": headers, "body": body}}))
}

fn any_answer() -> impl Strategy<Value = Value> {
    let status = prop_oneof![3 => Just(200), 1 => any::<u16>()];
    (status, headers(), body(), headers()).prop_map(|(status, headers, body, trailers)| {
        json!({"grpc": {"status": status, "headers": headers, "body": body, "trailers": trailers}})
    })
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![any::<Vec<u8>>(), any_json().prop_map(|json| json.to_string().into_bytes())]
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Checks that there is a readable answer with exactly one status.
fn answer_to(payload: &[u8]) {
    block_on(async {
        let answer = in_time(FakeFunction::echo().rpc.handle(payload)).await;
        let Answer { status, headers, trailers, .. } = Answer::read(&answer).expect("an answer");
        let codes: Vec<u8> = headers
            .iter()
            .chain(&trailers)
            .filter(|(name, _)| *name == "grpc-status")
            .map(|(_, code)| code.to_str().unwrap().parse().expect("a code"))
            .collect();
        assert_eq!(status, 200);
        assert!(matches!(codes[..], [0..=16]), "{codes:?}");
        let received = received(answer).await;
        assert_eq!(received.map_or_else(|status| status.code() as u8, |_| 0), codes[0]);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_answered_readably(payload in noise()) {
        answer_to(&payload);
    }

    #[test]
    fn any_call_is_answered_readably(call in any_call()) {
        answer_to(call.to_string().as_bytes());
    }

    #[test]
    fn whatever_is_answered_the_caller_gets_a_result(
        answer in prop_oneof![noise(), any_answer().prop_map(|json| json.to_string().into_bytes())],
    ) {
        // Other tests check the result; here it must exist, and its content must be readable.
        if let Err(status) = block_on(received(answer)) {
            let _ = Error::from(status);
        }
    }

    #[test]
    fn any_text_comes_through_in_a_payload_and_in_a_status(text in any::<String>(), code in 1..=16) {
        block_on(async {
            assert_eq!(FakeFunction::echo().call(create(&text)).await.unwrap().name, text);
            let code = Code::from_i32(code);
            let status = FakeFunction::failing(Status::new(code, &text)).call(create("")).await.unwrap_err();
            assert_eq!((status.code(), status.message()), (code, text.as_str()));
        });
    }
}
