//! Requests that wait for their clients: what they cost, and that it costs others nothing.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioExecutor;

use super::*;

type Sent = UnsyncBoxBody<Bytes, Infallible>;
type Answer = hyper::Result<Response<Incoming>>;

/// Client over HTTP/2. It hangs up when it is dropped.
struct Client2 {
    send: SendRequest<Sent>,
    task: JoinHandle<()>,
}

impl Drop for Client2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bench {
    /// Connects over HTTP/2 with this window for an answer.
    async fn http2_from(&self, peer: &str, window: u32) -> Client2 {
        let Client { stream, .. } = self.connect_from(peer, 64 * 1024);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window).initial_connection_window_size(8 * 1024 * 1024);
        let (send, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        Client2 { send, task: tokio::spawn(async { drop(connection.await) }) }
    }

    async fn http2(&self) -> Client2 {
        self.http2_from("127.0.0.1", 64 * 1024).await
    }

    /// Bytes of requests that wait, by the count that makes room.
    fn waiting_bytes(&self) -> usize {
        self.server.connections.waiting_bytes()
    }

    /// Bytes that are in memory, also of requests that were broken off.
    fn kept_bytes(&self) -> usize {
        self.server.connections.kept_bytes()
    }

    /// Checks that a newcomer is served.
    async fn serves_another(&self) {
        let mut client = self.connect_from("127.0.0.1", 1024);
        client.send(GET).await;
        assert_eq!(client.status().await, (200, true));
    }
}

impl Client2 {
    /// Begins a request. Its answer, or the reset of it, is the result of the task.
    fn begins(&self, method: &str, path: &str, length: usize, body: Sent) -> JoinHandle<Answer> {
        let mut request = Request::builder().method(method).uri(format!("http://localhost{path}"));
        if length > 0 {
            request = request
                .header("content-type", "application/json")
                .header("content-length", length.to_string());
        }
        let mut send = self.send.clone();
        let request = request.body(body).unwrap();
        tokio::spawn(async move {
            send.ready().await?;
            send.send_request(request).await
        })
    }

    fn gets(&self, path: &str) -> JoinHandle<Answer> {
        self.begins("GET", path, 0, Full::default().boxed_unsync())
    }

    /// Begins to send a body of 1,000 bytes to a handler that reads it.
    fn posts(&self) -> (JoinHandle<Answer>, UnboundedSender<Bytes>) {
        let (sender, pieces) = unbounded();
        let body = StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync();
        (self.begins("POST", "/json", 1000, body), sender)
    }
}

async fn status(answer: JoinHandle<Answer>) -> u16 {
    answer.await.unwrap().unwrap().status().as_u16()
}

/// Waits until everything else waits.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn bodies_that_stay_away_take_no_place_of_others() {
    let bench = Bench::of(router(), Limits { connections: 20, ..Limits::DEFAULT });
    let (hostile, begin) = (bench.http2().await, Instant::now());
    let mut posts = Vec::new();
    for _ in 0..10 {
        posts.extend((0..10).map(|_| hostile.posts()));
        settled().await;
    }
    bench.serves_another().await;
    // A slow one still gets its answer.
    let (answer, body) = posts.pop().unwrap();
    tokio::time::sleep(24 * SECOND).await;
    body.unbounded_send(vec![b' '; 1000].into()).unwrap();
    drop(body);
    assert_eq!(status(answer).await, 400);
    for (answer, _body) in posts {
        assert_eq!(status(answer).await, 408);
    }
    within(25, begin);
    settled().await;
    assert_eq!(bench.waiting_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_for_which_no_place_is_left_is_a_503() {
    let (router, go, has_begun, _is_done) = slow();
    let limits = Limits { connections: 1, ..Limits::DEFAULT };
    let bench = Bench::of(router.merge(json_router()), limits);
    let client = bench.http2().await;
    let (answer, body) = client.posts();
    settled().await;
    let working = client.gets("/");
    timeout(SECOND, has_begun).await.unwrap().unwrap();
    body.unbounded_send(vec![b' '; 1000].into()).unwrap();
    drop(body);
    assert_eq!(status(answer).await, 503);
    go.notify_one();
    assert_eq!(status(working).await, 200);
}

#[tokio::test(start_paused = true)]
async fn bodies_in_receipt_have_a_limit_in_bytes() {
    let limits = Limits { waiting_bytes: 800 * 1024, ..Limits::DEFAULT };
    let bench = Bench::of(router(), limits);
    let (hostile, slow) = (bench.http2().await, bench.http2().await);
    let (slow_answer, slow_body) = slow.posts();
    settled().await;
    let mut posts = Vec::new();
    for _ in 0..10 {
        posts.extend((0..10).map(|_| hostile.posts()));
        tokio::time::sleep(SECOND).await;
        assert!(bench.waiting_bytes() <= limits.waiting_bytes, "{}", bench.waiting_bytes());
    }
    let mut refused = 0;
    for (answer, body) in posts {
        refused += usize::from(answer.is_finished());
        if answer.is_finished() {
            assert_eq!(status(answer).await, 503);
        }
        drop(body);
    }
    assert!((50..=60).contains(&refused), "{refused}");
    // Another connection, with one that waits for longer.
    slow_body.unbounded_send(vec![b' '; 1000].into()).unwrap();
    drop(slow_body);
    assert_eq!(status(slow_answer).await, 400);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_taken_have_a_limit_in_bytes() {
    let (slow_router, go, has_begun, _is_done) = slow();
    let limits = Limits { waiting_bytes: 100_000_000, ..Limits::DEFAULT };
    let bench = Bench::of(slow_router.merge(large_router()), limits);
    let honest = bench.http2().await;
    let mut taken = honest.gets("/large").await.unwrap().unwrap().into_body();
    // One that takes nothing at all, and one that takes all but the last piece.
    let hostile = [bench.http2_from("127.0.0.1", 1).await, bench.http2_from("127.0.0.1", 3_950_000).await];
    let working = hostile[0].gets("/");
    has_begun.await.unwrap();
    let answers: Vec<_> = (0..80).map(|number| hostile[number % 2].gets("/large")).collect();
    let mut untaken = Vec::new();
    for answer in answers {
        untaken.extend(answer.await.unwrap());
        settled().await;
        assert!(bench.waiting_bytes() <= limits.waiting_bytes, "{}", bench.waiting_bytes());
        assert!(bench.kept_bytes() <= limits.waiting_bytes, "{}", bench.kept_bytes());
    }
    // A reset is no end of the connection, and work on it goes on.
    go.notify_one();
    assert_eq!(status(working).await, 200);
    assert!(bench.waiting_bytes() > limits.waiting_bytes / 2);
    let mut bytes = 0;
    while let Some(frame) = taken.frame().await {
        bytes += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    assert_eq!(bytes, 4_000_000);
    drop((untaken, hostile));
    settled().await;
    assert_eq!(bench.waiting_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_takes_slowly_is_spared_while_others_take_nothing() {
    let limits = Limits { waiting_bytes: 30_000_000, answer: 1_000 * SECOND, ..Limits::DEFAULT };
    let bench = Bench::of(router(), limits);
    let honest = bench.http2_from("127.0.0.1", 64 * 1024).await;
    let mut taken = honest.gets("/large").await.unwrap().unwrap().into_body();
    let mut hostile = Vec::new();
    let mut bytes = 0;
    while let Some(frame) = taken.frame().await {
        bytes += frame.unwrap().data_ref().map_or(0, Bytes::len);
        // Each on a connection of its own, as behind a proxy over HTTP/1.1.
        if bytes / 100_000 > hostile.len() {
            let mut client = bench.connect_from("127.0.0.1", 1024);
            client.send("GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            hostile.push(client);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(bytes, 4_000_000);
    assert!(hostile.iter().filter(|client| client.task.is_finished()).count() > 20);
}

#[tokio::test(start_paused = true)]
async fn the_source_that_keeps_most_loses_first() {
    let limits = Limits { waiting_bytes: 20_000_000, ..Limits::DEFAULT };
    let bench = Bench::of(router(), limits);
    let few = bench.http2_from("192.0.2.1", 64 * 1024).await;
    let first = few.gets("/large").await.unwrap().unwrap();
    tokio::time::sleep(30 * SECOND).await;
    let many = bench.http2_from("198.51.100.1", 1).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.extend(many.gets("/large").await.unwrap());
        settled().await;
    }
    assert!(bench.waiting_bytes() <= limits.waiting_bytes);
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes().len(), 4_000_000);
}

#[tokio::test(start_paused = true)]
async fn work_without_a_client_is_bounded_by_connection() {
    let begun = Arc::new(Notify::new());
    let signal = begun.clone();
    let handler = async move || {
        signal.notify_one();
        std::future::pending::<()>().await;
    };
    let never = Router::new().route("/never", any(handler)).merge(router());
    let bench = Bench::of(never, Limits { streams: 3, ..Limits::DEFAULT });
    let client = bench.http2().await;
    for _ in 0..3 {
        let answer = client.begins("POST", "/never", 0, Full::default().boxed_unsync());
        begun.notified().await;
        answer.abort();
        settled().await;
    }
    assert_eq!(status(client.gets("/")).await, 503);
    bench.serves_another().await;
}

#[tokio::test(start_paused = true)]
async fn pongs_that_are_not_read_keep_no_connection() {
    let bench = Bench::of(router(), Limits { ping: 1_000 * SECOND, ..Limits::DEFAULT });
    let mut client = bench.connect_from("127.0.0.1", 64);
    client.begins_http2().await;
    let begin = Instant::now();
    // Now the socket takes nothing, now it takes all.
    while begin.elapsed() < 300 * SECOND && !client.task.is_finished() {
        for _ in 0..10 {
            let _ = timeout(SECOND, client.stream.write_all(&frame(PING, 0, &[0; 8]))).await;
            tokio::time::sleep(SECOND / 2).await;
        }
        let _ = timeout(SECOND, client.stream.read(&mut [0; 100])).await;
    }
    assert!(begin.elapsed() < 80 * SECOND, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn answers_over_http2_are_whole() {
    let sizes = [0, 1, 255, 65_535, 65_536, 65_537, 131_072, 1_000_000];
    let handler = async |axum::extract::Path(size): axum::extract::Path<usize>| vec![b'x'; size];
    let bench = Bench::of(Router::new().route("/{size}", get(handler)), Limits::DEFAULT);
    // With an open window, and with one that an answer fills to the last byte.
    for window in [65_535, 65_536, 1 << 20] {
        let client = bench.http2_from("127.0.0.1", window).await;
        for size in sizes {
            let answer = client.gets(&format!("/{size}")).await.unwrap().unwrap();
            assert_eq!(answer.headers()["content-length"], size.to_string());
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), size);
        }
    }
    settled().await;
    assert_eq!(bench.waiting_bytes(), 0);
}
