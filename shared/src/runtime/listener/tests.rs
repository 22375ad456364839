//! Connections without a network, and times by a clock that stands still until everything waits.

use std::net::Ipv6Addr;
use std::sync::Mutex;

use axum::Extension;
use axum::routing::{any, get, post};
use tokio::io::DuplexStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::input::json::{self, Json};

#[cfg(feature = "socket")]
mod calls;
mod proxied;
mod waiting;

const SECOND: Duration = Duration::from_secs(1);

/// Listener without a socket, whose signal to stop is the sender.
struct Bench {
    server: Arc<Server>,
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<Infallible>,
}

/// Connection to it.
struct Client {
    stream: DuplexStream,
    task: JoinHandle<()>,
    since: Instant,
}

impl Bench {
    fn of(router: Router, limits: Limits) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = mpsc::channel(1);
        let settings = Settings { limits, ..Settings::default() };
        Self { server: Server::new(router, settings, true, stopped, alive), stop, ended }
    }

    fn connect_from(&self, peer: &str, buffer: usize) -> Client {
        let (stream, other) = tokio::io::duplex(buffer);
        let (connection, socket) = Connection::begin(peer.parse().unwrap(), self.server.clone());
        let mut stopped = self.server.stopped.clone();
        let task = tokio::spawn(async move {
            let _socket = socket;
            connection.serve(other, async { drop(stopped.wait_for(|stopped| *stopped).await) }).await;
        });
        Client { stream, task, since: Instant::now() }
    }

    fn connect(&self) -> Client {
        self.connect_from("127.0.0.1", 1024 * 1024)
    }

    /// Stops, and waits until all has ended.
    async fn stops(self) {
        self.stop.send_replace(true);
        drop(self.server);
        let mut ended = self.ended;
        assert!(ended.recv().await.is_none());
    }
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a request with a body.
    async fn request(&mut self, line: &str, body: &[u8]) {
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.send([head.as_bytes(), body].concat()).await;
    }

    /// Reads an answer: its head in lower case, and its body.
    async fn answer(&mut self) -> (String, Vec<u8>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        self.stream.read_exact(&mut body).await.unwrap();
        (head, body)
    }

    /// The status of a GET on a connection that is for it alone.
    async fn status_of_get(mut self) -> (u16, bool) {
        self.send(GET).await;
        self.status().await
    }

    /// The status of the next answer, and whether the connection goes on.
    async fn status(&mut self) -> (u16, bool) {
        let (head, _) = self.answer().await;
        (head[9..12].parse().unwrap(), !head.contains("connection: close"))
    }

    /// Reads until the other side closes.
    async fn is_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // It may be broken off, too.
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }

    /// Sends one byte each second until the other side closes. Returns the seconds since then.
    async fn drips(&mut self) -> u64 {
        let begin = Instant::now();
        loop {
            let mut next = [0];
            match timeout(SECOND, self.stream.read(&mut next)).await {
                Ok(Ok(0) | Err(_)) => return begin.elapsed().as_secs(),
                Ok(Ok(_)) => {}
                Err(_) => drop(self.stream.write_all(b"a").await),
            }
        }
    }
}

/// A router with an answer at once, one after a signal, a large one, and one that reads its body.
fn router() -> Router {
    Router::new()
        .route("/", get("hello").post("not read"))
        .route("/panic", get(async || -> &'static str { panic!("planned") }))
        .merge(json_router())
        .merge(large_router())
}

fn json_router() -> Router {
    let echo = async |Json(body): Json<serde_json::Value>| json::answer(StatusCode::OK, &body);
    Router::new().route("/json", post(echo))
}

fn large_router() -> Router {
    Router::new().route("/large", get(async || vec![b'x'; 4_000_000]))
}

/// A router whose one handler waits for a signal, and notes that it has ended.
fn slow() -> (Router, Arc<Notify>, oneshot::Receiver<()>, oneshot::Receiver<()>) {
    let go = Arc::new(Notify::new());
    let (begun, has_begun) = oneshot::channel();
    let (done, is_done) = oneshot::channel();
    let senders = Arc::new(Mutex::new(Some((begun, done))));
    let signal = go.clone();
    let handler = async move || {
        let senders = senders.lock().unwrap().take();
        if let Some((begun, done)) = senders {
            begun.send(()).unwrap();
            signal.notified().await;
            let _ = done.send(());
        }
        "done"
    };
    (Router::new().route("/", any(handler)), go, has_begun, is_done)
}

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

const POST: &str = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";

fn within(seconds: u64, begin: Instant) {
    assert_eq!(begin.elapsed().as_secs(), seconds);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_after_10_s() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    assert!(client.is_closed().await.is_empty());
    within(10, client.since);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_cut_off_after_10_s() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nx: ").await;
    assert_eq!(client.drips().await, 10);

    // From its first byte on, also where other requests came before it.
    let mut client = bench.connect();
    client.send(GET).await;
    assert_eq!(client.status().await, (200, true));
    tokio::time::sleep(60 * SECOND).await;
    client.send("GET / HT").await;
    assert_eq!(client.drips().await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_after_75_s_without_a_request() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    for _ in 0..3 {
        client.send(GET).await;
        assert_eq!(client.status().await, (200, true));
        tokio::time::sleep(74 * SECOND).await;
    }
    client.send(GET).await;
    assert_eq!(client.status().await, (200, true));
    let begin = Instant::now();
    client.is_closed().await;
    within(75, begin);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_answered_408_after_25_s() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let (mut client, begin) = (bench.connect(), Instant::now());
    client
        .send("POST /json HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n")
        .await;
    for _ in 0..24 {
        tokio::time::sleep(SECOND).await;
        client.send(" ").await;
    }
    assert_eq!(client.status().await, (408, false));
    within(25, begin);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_ends_after_60_s() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let begin = Instant::now();
    let mut client = bench.connect_from("127.0.0.1", 1024);
    client.send("GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    (&mut client.task).await.unwrap();
    within(60, begin);
    // One that is taken too slowly, too.
    let begin = Instant::now();
    let mut client = bench.connect_from("127.0.0.1", 1024);
    client.send("GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut piece = [0; 100];
    while client.stream.read(&mut piece).await.is_ok_and(|read| read > 0) {
        tokio::time::sleep(SECOND).await;
    }
    assert!(begin.elapsed() < 75 * SECOND);
}

/// An empty frame of HTTP/2 of this type, with these flags.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, 0], payload].concat()
}

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

impl Client {
    async fn begins_http2(&mut self) {
        self.send(PREFACE).await;
        self.send(frame(SETTINGS, 0, &[])).await;
    }

    /// Reads frames, and answers pings if `pongs`, until the other side closes. Returns the types of the frames.
    async fn frames(&mut self, pongs: bool) -> Vec<u8> {
        let mut kinds = Vec::new();
        let mut head = [0; 9];
        while self.stream.read_exact(&mut head).await.is_ok() {
            let [_, high, low, kind, flags, ..] = head;
            let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            self.stream.read_exact(&mut payload).await.unwrap();
            kinds.push(kind);
            if pongs && kind == PING && flags & ACK == 0 {
                // It may be closed already.
                let _ = self.stream.write_all(&frame(PING, ACK, &payload)).await;
            }
        }
        kinds
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_of_http2_is_cut_off_after_10_s() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    client.send(&PREFACE[..10]).await;
    client.is_closed().await;
    within(10, client.since);
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_keep_a_connection_without_requests() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    client.begins_http2().await;
    let kinds = client.frames(true).await;
    assert!(kinds.contains(&PING) && kinds.contains(&GOAWAY), "{kinds:?}");
    within(75, client.since);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_given_up_after_40_s() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    client.begins_http2().await;
    client.frames(false).await;
    within(40, client.since);
}

#[tokio::test]
async fn an_answer_before_the_body_leaves_the_connection_usable() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    for length in [0, 2_000, 65_536, 300_000, 1_000_000] {
        for path in ["/", "/nothing"] {
            client.request(&format!("POST {path}"), &vec![b' '; length]).await;
            assert_eq!(client.status().await, (if path == "/" { 200 } else { 404 }, true), "{length}");
        }
        // A body that its handler gives up half-way.
        client.request("POST /json", &vec![b' '; length]).await;
        let (status, goes_on) = client.status().await;
        assert!(goes_on && (400..=413).contains(&status), "{length}: {status}");
    }
    let chunk = [&b"10000\r\n"[..], &[b' '; 65_536], b"\r\n"].concat();
    let chunks = [
        &b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"[..],
        &chunk,
        &chunk,
        b"0\r\n\r\n",
    ];
    client.send(chunks.concat()).await;
    assert_eq!(client.status().await, (200, true));
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_too_long_or_too_slow_closes_and_says_so() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\n";
    let endless = [&b"80000\r\n"[..], &[b' '; 0x8_0000], b"\r\n"].concat();
    for (what, bytes) in [
        ("longer than the bound", format!("{head}content-length: 10000000\r\n\r\n").into_bytes()),
        ("slower than the bound", format!("{head}content-length: 10\r\n\r\nx").into_bytes()),
        (
            "asked for consent",
            format!("{head}expect: 100-continue\r\ncontent-length: 10\r\n\r\n").into_bytes(),
        ),
        (
            "chunks beyond the bound",
            [format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes(), &endless, &endless, &endless]
                .concat(),
        ),
    ] {
        let mut client = bench.connect_from("127.0.0.1", 4 * 1024 * 1024);
        client.send(bytes).await;
        assert_eq!(client.status().await, (200, false), "{what}");
        // Who goes on to send is not reset at once.
        client.send(vec![b'x'; 1_000_000]).await;
        assert!(client.is_closed().await.is_empty());
        client.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_asks_is_told_to_send_what_is_read() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    client
        .send("POST /json HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .await;
    assert!(client.answer().await.0.starts_with("http/1.1 100 "));
    client.send("{}").await;
    assert_eq!(client.status().await, (200, true));
}

#[tokio::test]
async fn pipelined_requests_are_all_answered_in_their_order() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    let post = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello";
    let none = "GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.send([GET, post, none, post, GET].concat()).await;
    for status in [200, 200, 404, 200, 200] {
        assert_eq!(client.status().await, (status, true));
    }
}

#[tokio::test]
async fn a_handler_that_panics_costs_one_answer() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    client.send("GET /panic HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(client.status().await, (500, true));
    client.send(GET).await;
    assert_eq!(client.status().await, (200, true));
}

#[tokio::test]
async fn work_is_finished_when_its_client_hangs_up() {
    // A read, too: its command would be dropped, and with it a connection to MongoDB.
    for request in [POST, GET] {
        let (router, go, has_begun, is_done) = slow();
        let bench = Bench::of(router, Limits::DEFAULT);
        let mut client = bench.connect();
        client.send(request).await;
        has_begun.await.unwrap();
        drop(client.stream);
        client.task.await.unwrap();
        // The stop waits for it, too.
        let stopped = tokio::spawn(bench.stops());
        go.notify_one();
        is_done.await.unwrap();
        stopped.await.unwrap();
    }
}

#[tokio::test]
async fn work_that_outlives_its_answer_counts_until_it_ends() {
    let go = Arc::new(Notify::new());
    let signal = go.clone();
    let handler = async move |Extension(in_progress): Extension<InProgress>| {
        tokio::spawn(async move {
            signal.notified().await;
            drop(in_progress);
        });
        "goes on"
    };
    let bench =
        Bench::of(Router::new().route("/", get(handler)), Limits { connections: 1, ..Limits::DEFAULT });
    goes_on_after_its_answer(bench, GET, &go).await;
}

/// Checks that the work on this request is work in progress of its connection until the signal.
async fn goes_on_after_its_answer(bench: Bench, request: &str, go: &Notify) {
    let mut client = bench.connect();
    client.send(request).await;
    assert_eq!(client.status().await, (200, true));
    assert_eq!(bench.connect().status_of_get().await, (503, false), "its connection makes no room");
    client.send(GET).await;
    assert_eq!(client.status().await, (503, true), "it has its place");
    let mut stopped = tokio::spawn(bench.stops());
    assert!(client.is_closed().await.is_empty());
    client.task.await.unwrap();
    assert!(timeout(Duration::from_millis(50), &mut stopped).await.is_err(), "the stop waits for it");
    go.notify_one();
    stopped.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_silence_at_once_and_waits_for_work() {
    let (router, go, has_begun, _is_done) = slow();
    let bench = Bench::of(router, Limits::DEFAULT);
    let (mut silent, mut heading, mut working) = (bench.connect(), bench.connect(), bench.connect());
    heading.send("GET / HT").await;
    working.send(GET).await;
    has_begun.await.unwrap();
    let mut kept = bench.connect();
    kept.send(GET).await;
    assert_eq!(kept.status().await, (200, true));
    let mut over_http2 = bench.connect();
    over_http2.begins_http2().await;
    let mut unanswered = bench.connect();
    unanswered.begins_http2().await;
    // Both have begun when the first has.
    let mut settings = [0; 9];
    over_http2.stream.read_exact(&mut settings).await.unwrap();
    unanswered.stream.read_exact(&mut settings).await.unwrap();

    let begin = Instant::now();
    let stopped = tokio::spawn(bench.stops());
    for client in [&mut silent, &mut heading, &mut kept] {
        assert!(client.is_closed().await.is_empty());
    }
    within(0, begin);
    let mut rest = vec![0; usize::from(settings[2])];
    over_http2.stream.read_exact(&mut rest).await.unwrap();
    assert!(over_http2.frames(true).await.contains(&GOAWAY));
    within(0, begin);
    go.notify_one();
    assert_eq!(working.status().await, (200, false));
    drop(working);
    within(0, begin);
    // One that answers nothing is given up soon.
    stopped.await.unwrap();
    within(Limits::DEFAULT.linger.as_secs(), begin);
}

#[tokio::test]
async fn a_full_listener_closes_the_oldest_silent_connection() {
    let limits = Limits { connections: 3, ..Limits::DEFAULT };
    let (router, go, has_begun, _is_done) = slow();
    let bench = Bench::of(router, limits);
    let mut working = bench.connect();
    working.send(GET).await;
    has_begun.await.unwrap();
    let (mut oldest, mut newer) = (bench.connect(), bench.connect());
    newer.send(GET).await;
    assert_eq!(newer.status().await, (200, true));
    let mut newest = bench.connect();
    assert!(oldest.is_closed().await.is_empty());
    newest.send(GET).await;
    assert_eq!(newest.status().await, (200, true));
    for client in [&mut newer, &mut newest] {
        client.send(GET).await;
        assert_eq!(client.status().await, (200, true));
    }
    go.notify_one();
    assert_eq!(working.status().await, (200, true));
}

#[tokio::test]
async fn a_connection_beyond_those_that_work_is_answered_503() {
    let limits = Limits { connections: 1, ..Limits::DEFAULT };
    let (router, go, has_begun, _is_done) = slow();
    let bench = Bench::of(router, limits);
    let mut working = bench.connect();
    working.send(GET).await;
    has_begun.await.unwrap();
    let mut refused = bench.connect();
    refused.request("POST /", &[b'x'; 10_000]).await;
    let (head, body) = refused.answer().await;
    for part in
        ["http/1.1 503 ", "retry-after: 1", "connection: close", "x-request-id: ", "application/problem+json"]
    {
        assert!(head.contains(part), "{head}");
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["type"], "/problems/unavailable");
    go.notify_one();
    assert_eq!(working.status().await, (200, true));
    // Now it is silent, and makes room.
    let mut next = bench.connect();
    next.send(GET).await;
    assert_eq!(next.status().await, (200, true));
    assert!(working.is_closed().await.is_empty());
}

#[tokio::test]
async fn requests_without_a_client_count_as_requests_at_work() {
    let limits = Limits { connections: 2, ..Limits::DEFAULT };
    let begun = Arc::new(Notify::new());
    let signal = begun.clone();
    let handler = async move || {
        signal.notify_one();
        std::future::pending::<()>().await;
    };
    let never = Router::new().route("/never", any(handler)).merge(router());
    let bench = Bench::of(never, limits);
    for _ in 0..2 {
        let mut client = bench.connect();
        client.send("POST /never HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
        begun.notified().await;
        drop(client.stream);
        client.task.await.unwrap();
    }
    let mut client = bench.connect();
    client.send(GET).await;
    assert_eq!(client.status().await, (503, true));
}

#[tokio::test]
async fn an_address_has_its_share_and_this_machine_has_all() {
    let limits = Limits { connections: 10, connections_per_address: 2, ..Limits::DEFAULT };
    for (name, addresses, has_limit) in [
        ("one IPv4 address", ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], true),
        ("one /64", ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::"], true),
        ("two /64", ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"], false),
        ("this machine", ["127.0.0.1", "127.0.0.1", "::1"], false),
    ] {
        let bench = Bench::of(router(), limits);
        let mut oldest = bench.connect_from(addresses[0], 1024);
        oldest.send(GET).await;
        assert_eq!(oldest.status().await, (200, true));
        for address in &addresses[1..] {
            let mut client = bench.connect_from(address, 1024);
            client.send(GET).await;
            assert_eq!(client.status().await, (200, true), "{name}");
            // It is kept.
            std::mem::forget(client.stream);
        }
        // Not awaited: whether it is closed is known at once.
        assert_eq!(bench.server.connections.number(), if has_limit { 2 } else { 3 }, "{name}");
    }
}

#[tokio::test]
async fn a_flood_from_one_address_closes_its_own_connections() {
    let limits = Limits { connections: 4, ..Limits::DEFAULT };
    let bench = Bench::of(router(), limits);
    let mut honest = bench.connect_from("192.0.2.1", 1024);
    let flood: Vec<_> = (0..50).map(|_| bench.connect_from("198.51.100.1", 1024)).collect();
    honest.send(GET).await;
    assert_eq!(honest.status().await, (200, true));
    assert_eq!(bench.server.connections.number(), 4);
    drop(flood);
}

#[tokio::test]
async fn a_foreign_host_is_answered_421_as_a_problem() {
    let bench = Bench::of(router(), Limits::DEFAULT);
    let mut client = bench.connect();
    for (host, status) in [
        ("host: evil.example:8080\r\n", 421),
        ("host: localhost:1\r\n", 200),
        ("", 400),
        ("host: localhost\r\nhost: localhost\r\n", 400),
        ("host: 127.0.0.1\r\n", 200),
    ] {
        client.send(format!("GET / HTTP/1.1\r\n{host}\r\n")).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{host}: {head}");
        if status != 200 {
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&problem["status"], &problem["instance"]), (&status.into(), &"/".into()));
            assert!(head.contains("x-request-id: ") && head.contains("x-content-type-options"), "{head}");
        }
    }
}

#[test]
fn addresses_of_one_source_are_counted_together() {
    let source = |address: &str| Source::of(address.parse().unwrap());
    assert_eq!(source("127.0.0.1"), source("::1"));
    assert_eq!(source("127.9.9.9"), source("::ffff:127.0.0.1"));
    assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    assert_ne!(source("192.0.2.2"), source("192.0.2.1"));
    assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:1"));
    assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
    assert_ne!(source("2001:db8::1"), Source::of(Ipv6Addr::UNSPECIFIED.into()));
}
