//! HTTP listener of plain services and of `cargo local`.
//!
//! It bounds time, number and memory: a slow, silent or greedy client costs a connection for a while, and no other
//! client anything. When it is full, what waits for its client makes room. Work is finished, also when its client
//! hangs up. HTTP/1.1 and HTTP/2 without TLS share the port.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt as _;

use crate::error::Error;
use crate::http::base_path::BasePath;
use crate::http::routes;
use crate::runtime::context::SourceAddress;

mod activity;
mod body;
mod connections;
mod hosts;
mod limits;
mod proxies;
mod streams;

pub use hosts::AllowedHosts;
pub use limits::{Limits, Settings, VARIABLES};
pub use proxies::TrustedProxies;

use activity::{Activity, Observed};
use body::{AnswerBody, RequestBody};
use connections::{self as counted, Connections, Socket, Source};
use hosts::HostError;
use streams::Streams;

/// Pause after the system has refused a connection, as when too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// Time for a client whose connection is refused to send a request and to take the answer.
const REFUSAL: Duration = Duration::from_secs(1);

/// Begin of every connection over HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves until `stop` completes, and for [`Limits::notice`] after that. Requests at work then have [`Limits::drain`]
/// to finish. False: some did not.
///
/// # Errors
/// Error of the socket if it has no address.
pub async fn serve(
    socket: TcpListener,
    router: Router,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> io::Result<bool> {
    let Limits { notice, drain, .. } = settings.limits;
    // Only a port that is for this machine alone relies on who can reach it.
    let is_loopback = socket.local_addr()?.ip().to_canonical().is_loopback();
    let (stopping, stopped) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel(1);
    let server = Server::new(router, settings, is_loopback, stopped, alive);
    tokio::select! {
        never = accept(&socket, &server) => match never {},
        () = stop => {}
    }
    // A proxy that keeps connections opens new ones elsewhere meanwhile.
    server.is_leaving.store(true, Ordering::Relaxed);
    tokio::select! {
        never = accept(&socket, &server) => match never {},
        () = tokio::time::sleep(notice) => {}
    }
    drop((socket, server));
    stopping.send_replace(true);
    // The last connection, or the last work without one, drops the sender.
    Ok(timeout(drain, ended.recv()).await.is_ok())
}

/// Guard that keeps a request counted as work until its last clone is dropped: an extension of the request.
///
/// Work that goes on after the answer holds a clone. Limits and the stop then include it.
#[derive(Clone)]
pub struct InProgress {
    _work: Arc<(activity::Work, counted::Work, Arc<Server>)>,
}

/// Everything that the connections share.
struct Server {
    router: Router,
    malformed: Router,
    foreign: Router,
    full: Router,
    /// `None`: any host is served.
    hosts: Option<AllowedHosts>,
    proxies: TrustedProxies,
    /// Base path of the routes, for refusals of the listener itself.
    base_path: BasePath,
    connections: Arc<Connections>,
    limits: Limits,
    /// True after the signal to stop.
    is_leaving: AtomicBool,
    stopped: watch::Receiver<bool>,
    /// Dropped with the last connection and the last request at work.
    _alive: mpsc::Sender<Infallible>,
}

impl Server {
    fn new(
        router: Router,
        settings: Settings,
        is_loopback: bool,
        stopped: watch::Receiver<bool>,
        alive: mpsc::Sender<Infallible>,
    ) -> Arc<Self> {
        let Settings { limits, hosts, proxies, base_path } = settings;
        Arc::new(Self {
            router,
            malformed: routes::refusal(|| HostError::Malformed.refusal()),
            foreign: routes::refusal(|| HostError::Foreign.refusal()),
            full: routes::refusal(Error::crowded),
            hosts: is_loopback.then_some(hosts),
            proxies,
            base_path,
            connections: Connections::new(&limits),
            limits,
            is_leaving: AtomicBool::new(false),
            stopped,
            _alive: alive,
        })
    }
}

async fn accept(socket: &TcpListener, server: &Arc<Server>) -> Infallible {
    loop {
        server.connections.room().await;
        match socket.accept().await {
            Ok((stream, peer)) => begin(stream, peer, server.clone()),
            // The client has gone before it was accepted.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!("no connection can be accepted: {}", error.kind());
                server.connections.close_one();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn begin(stream: TcpStream, peer: SocketAddr, server: Arc<Server>) {
    // Small frames go without delay. It fails for a connection that is broken already.
    let _ = stream.set_nodelay(true);
    let mut stopped = server.stopped.clone();
    let (connection, socket) = Connection::begin(peer.ip(), server);
    tokio::spawn(async move {
        let _socket: Socket = socket;
        // It fails when the sender is gone, after the signal.
        connection.serve(stream, async { drop(stopped.wait_for(|stopped| *stopped).await) }).await;
    });
}

/// Connection and its surroundings.
#[derive(Clone)]
struct Connection {
    /// False: there are too many connections, and requests on this one are refused.
    is_admitted: bool,
    socket: u64,
    peer: IpAddr,
    source: Source,
    activity: Arc<Activity>,
    server: Arc<Server>,
}

impl Connection {
    fn begin(peer: IpAddr, server: Arc<Server>) -> (Self, Socket) {
        let peer = peer.to_canonical();
        let source = if server.proxies.trust(peer) { Source::Unlimited } else { Source::of(peer) };
        let activity = Activity::new(server.limits);
        let socket = server.connections.admit(source, activity.clone());
        if !socket.is_admitted() {
            activity.shorten(REFUSAL);
        }
        let is_admitted = socket.is_admitted();
        (Self { is_admitted, socket: socket.id(), peer, source, activity, server }, socket)
    }

    /// Serves the requests of a connection until it ends, or has to.
    async fn serve<S>(self, mut stream: S, stop: impl Future<Output = ()>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut stop = std::pin::pin!(stop);
        let mut begin = BytesMut::with_capacity(PREFACE.len());
        let is_http2 = tokio::select! {
            // On a machine that was busy for longer than the limit, bytes that are there count.
            biased;
            begun = read_version(&mut stream, &mut begin) => begun,
            () = self.expires() => return,
            () = &mut stop => return,
        };
        let Ok(is_http2) = is_http2 else { return };
        let activity = self.activity.clone();
        let limits = self.server.limits;
        let stream = TokioIo::new(Observed::new(stream, begin.freeze(), activity.clone()));
        let mut http = if is_http2 {
            activity.speaks_http2();
            let mut builder = http2::Builder::new(Streams);
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(limits.window)
                .initial_connection_window_size(limits.connection_window)
                .keep_alive_interval(limits.ping)
                .keep_alive_timeout(limits.ping)
                .max_concurrent_streams(limits.streams);
            Http::Two(Box::new(builder.serve_connection(stream, self.clone())))
        } else {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(limits.buffer);
            Http::One(Box::new(builder.serve_connection(stream, self.clone())))
        };

        let mut is_leaving = false;
        loop {
            tokio::select! {
                biased;
                () = poll_fn(|context| http.poll(context)) => break,
                () = self.expires() => {
                    if is_leaving || !is_http2 || activity.is_closed() || !activity.is_idle() {
                        return;
                    }
                }
                () = &mut stop, if !is_leaving => {}
            }
            // Over HTTP/2 the client learns which of its requests were served.
            http.shut_down();
            if !is_http2 && activity.is_idle() {
                return;
            }
            is_leaving = true;
            activity.leave();
        }
        if let Some(stream) = http.into_stream() {
            tokio::select! {
                () = linger(stream, limits.linger) => {}
                () = self.expires() => {}
            }
        }
    }

    /// Waits until the connection has to be closed.
    async fn expires(&self) {
        while !self.activity.is_closed() {
            let deadline = self.activity.deadline();
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return;
            }
            let deadline = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = deadline => {}
                () = self.activity.changed() => {}
            }
        }
    }

    /// Answers a request, and reads its body to the end or says `Connection: close`.
    async fn answer(self, request: Request<Incoming>) -> Response<AnswerBody> {
        let exchange = self.activity.begin_request();
        let client = self.server.proxies.client(self.peer, request.headers());
        let source = if client == self.peer { self.source } else { Source::behind_a_proxy(client) };
        let (connections, activity) = (&self.server.connections, &self.activity);
        let counted =
            Arc::new(connections.begin_request(self.socket, source, activity.clone(), streams::current()));
        let limits = self.server.limits;
        let version = request.version();
        let asks = request.headers().get(header::EXPECT).is_some();
        let (head, body) = request.into_parts();
        let (body, leftover) = RequestBody::new(body, &limits, activity.clone(), counted.clone());
        let mut request = Request::from_parts(head, Body::new(body));
        request.extensions_mut().insert(SourceAddress(client));
        request.extensions_mut().insert(self.server.base_path.clone());
        if let Some(invocation) = self.server.proxies.invocation(self.peer, request.headers()) {
            request.extensions_mut().insert(invocation);
        }
        let (mut head, body) = self.work(request, &counted).await.into_parts();
        let is_http2 = version >= Version::HTTP_2;
        let body = AnswerBody::new(body, is_http2, self.activity, counted, exchange).await;
        let is_read = leftover.discard(&limits, asks).await;
        let is_leaving = self.server.is_leaving.load(Ordering::Relaxed);
        let goes_on = is_http2 || (is_read && self.is_admitted && !is_leaving);
        if !goes_on {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Response::from_parts(head, body)
    }

    /// Runs a request in a task of its own: a client that hangs up cannot stop it between two writes. A read goes on,
    /// too, since MongoDB's driver closes a connection whose command is dropped.
    async fn work(&self, mut request: Request<Body>, counted: &Arc<counted::Request>) -> Response {
        let server = self.server.clone();
        let checked = AllowedHosts::check(server.hosts.as_ref(), &request);
        let router = match checked {
            Err(HostError::Malformed) => &server.malformed,
            Err(HostError::Foreign) => &server.foreign,
            Ok(()) if !self.is_admitted => {
                counted.is_refused();
                &server.full
            }
            Ok(()) if counted.begins_work() => &server.router,
            Ok(()) => &server.full,
        };
        let router = router.clone();
        let work = (self.activity.begin_work(), counted.work(), server);
        let in_progress = InProgress { _work: Arc::new(work) };
        request.extensions_mut().insert(in_progress.clone());
        let answer = AssertUnwindSafe(router.oneshot(request)).catch_unwind();
        let working = async move {
            let answer = answer.await;
            drop(in_progress);
            answer
        };
        match tokio::spawn(working).await.ok().and_then(Result::ok) {
            Some(Ok(response)) => response,
            Some(Err(never)) => match never {},
            // Routes and calls answer panics themselves.
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.clone().answer(request);
        Box::pin(async { Ok(answer.await) })
    }
}

/// Connection of either version.
enum Http<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    One(Box<http1::Connection<TokioIo<Observed<S>>, Connection>>),
    Two(Box<http2::Connection<TokioIo<Observed<S>>, Connection, Streams>>),
}

impl<S> Http<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Goes on until the connection has ended, well or not. Its client sees which.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::One(connection) => connection.poll_without_shutdown(context).map(|_| ()),
            Self::Two(connection) => Pin::new(connection.as_mut()).poll(context).map(|_| ()),
        }
    }

    /// Ends the connection after the requests that have begun.
    fn shut_down(&mut self) {
        match self {
            Self::One(connection) => Pin::new(connection.as_mut()).graceful_shutdown(),
            Self::Two(connection) => Pin::new(connection.as_mut()).graceful_shutdown(),
        }
    }

    /// The stream after the end, if it is still open.
    fn into_stream(self) -> Option<S> {
        match self {
            Self::One(connection) => Some(connection.into_parts().io.into_inner().into_inner()),
            Self::Two(_) => None,
        }
    }
}

/// Reads until it is clear which version of HTTP the client speaks. True: HTTP/2.
async fn read_version(stream: &mut (impl AsyncRead + Unpin), begin: &mut BytesMut) -> io::Result<bool> {
    while begin.len() < PREFACE.len() {
        let mut rest = [0; PREFACE.len()];
        let most = PREFACE.len() - begin.len();
        let read = stream.read(&mut rest[..most]).await?;
        begin.extend_from_slice(&rest[..read]);
        if read == 0 || !PREFACE.starts_with(begin) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Closes a stream in order: says so, and discards what still comes.
///
/// A socket that is closed with unread bytes resets the connection, and the client may lose the answer.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin, time: Duration) {
    let discard = async {
        stream.shutdown().await?;
        let mut discarded = [0; 8 * 1024];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    // However it ends, the stream is closed now.
    let _ = timeout(time, discard).await;
}

#[cfg(test)]
mod tests;
