//! Activity of one connection: the time until which it may stay, and the stream that takes note of bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::limits::Limits;

/// Activity of one connection.
pub(super) struct Activity {
    state: Mutex<State>,
    /// Wakes the task of the connection when its deadline has come closer.
    changed: Notify,
}

struct State {
    limits: Limits,
    /// Begin of the silence: that of the connection, or the end of its last answer.
    since: Instant,
    /// True from the first request on, over HTTP/2 from the preface on.
    has_begun: bool,
    /// HTTP/2, where bytes between two requests may be anything, such as pings.
    is_http2: bool,
    /// First byte of the next head.
    head: Option<Instant>,
    /// Requests whose answers the client does not have yet.
    requests: usize,
    /// Requests at work, without those that wait for their client's bytes.
    busy: usize,
    /// Answers of which a part waits for the client, and since when.
    untaken: Vec<(u64, Instant)>,
    next_answer: u64,
    /// Time since which the socket takes no bytes.
    blocked: Option<Instant>,
    /// Time at which the connection's task wakes up anyway.
    awake_at: Option<Instant>,
    /// True after the last request that is served.
    is_leaving: bool,
    is_closed: bool,
}

impl Activity {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let state = State {
            limits,
            since: Instant::now(),
            has_begun: false,
            is_http2: false,
            head: None,
            requests: 0,
            busy: 0,
            untaken: Vec::new(),
            next_answer: 0,
            blocked: None,
            awake_at: None,
            is_leaving: false,
            is_closed: false,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the connection's task if that brings its deadline closer.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let is_closer = match (state.deadline(), state.awake_at) {
            (Some(deadline), Some(awake_at)) => deadline < awake_at,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        if is_closer || state.is_closed {
            self.changed.notify_one();
        }
        result
    }

    /// Time until which the connection may stay if nothing happens. It has always one without requests.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let mut state = self.lock();
        state.awake_at = state.deadline();
        state.awake_at
    }

    /// Waits until the deadline may have changed, or the connection is to be closed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Shortens all times, for a connection that is only to be refused.
    pub(super) fn shorten(&self, time: Duration) {
        self.update(|state| {
            let Limits { head, answer, idle, linger, .. } = &mut state.limits;
            for limit in [head, answer, idle, linger] {
                *limit = time.min(*limit);
            }
        });
    }

    /// Notes that no further request is served: the client has a moment to say goodbye.
    pub(super) fn leave(&self) {
        self.update(|state| (state.is_leaving, state.since) = (true, Instant::now()));
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        self.update(|state| state.is_closed = true);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Time of the last complete answer, or of the connection's begin. None while it works: then it is not closed for
    /// others.
    pub(super) fn without_work_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.busy == 0).then_some(state.since)
    }

    /// True if there is no request, and no answer on its way.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.requests == 0 && state.blocked.is_none()
    }

    /// Notes the preface of HTTP/2.
    pub(super) fn speaks_http2(&self) {
        self.update(|state| {
            (state.is_http2, state.has_begun, state.since) = (true, true, Instant::now());
        });
    }

    /// Begins a request, which lasts until the result is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> Exchange {
        self.update(|state| {
            state.requests += 1;
            (state.has_begun, state.head) = (true, None);
        });
        Exchange(self.clone())
    }

    /// Begins work on a request, which lasts until the result is dropped.
    pub(super) fn begin_work(self: &Arc<Self>) -> Work {
        self.update(|state| state.busy += 1);
        Work(self.clone())
    }

    /// Notes that the work on a request waits for bytes of its client, or no longer does.
    pub(super) fn waits_for_client(&self, waits: bool) {
        self.update(|state| {
            if waits {
                state.busy = state.busy.saturating_sub(1);
            } else {
                state.busy += 1;
            }
        });
    }

    /// Notes an answer that the client is to take. The result is its number.
    pub(super) fn offer_answer(&self) -> u64 {
        self.update(|state| {
            let number = state.next_answer;
            state.next_answer += 1;
            state.untaken.push((number, Instant::now()));
            number
        })
    }

    /// Notes that the client has taken all that there is of an answer.
    pub(super) fn answer_is_taken(&self, number: u64) {
        self.update(|state| state.untaken.retain(|(untaken, _)| *untaken != number));
    }

    fn bytes_were_read(&self) {
        self.update(|state| {
            if state.requests == 0 {
                state.head.get_or_insert_with(Instant::now);
            }
        });
    }

    fn is_blocked(&self) {
        self.update(|state| {
            state.blocked.get_or_insert_with(Instant::now);
        });
    }

    fn is_flushed(&self) {
        self.update(|state| {
            // Over HTTP/2 it may have been an answer to a ping. There a request lasts until its answer is sent.
            if state.blocked.take().is_some() && !state.is_http2 {
                state.since = Instant::now();
            }
        });
    }
}

impl State {
    fn deadline(&self) -> Option<Instant> {
        let limits = &self.limits;
        let untaken = self.untaken.iter().map(|(_, since)| *since).min();
        let taking = untaken.into_iter().chain(self.blocked).min().map(|since| since + limits.answer);
        if self.requests > 0 || (self.blocked.is_some() && !self.is_http2) {
            return taking;
        }
        let silence = match self.head {
            _ if self.is_leaving => self.since + limits.linger,
            _ if !self.has_begun => self.since + limits.head,
            Some(head) if !self.is_http2 => head + limits.head,
            _ => self.since + limits.idle,
        };
        Some(taking.map_or(silence, |taking| taking.min(silence)))
    }
}

/// Request from its head until the client has its answer.
pub(super) struct Exchange(Arc<Activity>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.update(|state| {
            state.requests = state.requests.saturating_sub(1);
            state.since = Instant::now();
        });
    }
}

/// Work on a request.
pub(super) struct Work(Arc<Activity>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.update(|state| state.busy = state.busy.saturating_sub(1));
    }
}

/// Stream of a connection. It repeats the bytes that were read to learn the version of HTTP.
pub(super) struct Observed<S> {
    stream: S,
    read_before: Bytes,
    activity: Arc<Activity>,
}

impl<S> Observed<S> {
    pub(super) fn new(stream: S, read_before: Bytes, activity: Arc<Activity>) -> Self {
        Self { stream, read_before, activity }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_before.has_remaining() {
            let length = self.read_before.len().min(buffer.remaining());
            buffer.put_slice(&self.read_before.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.bytes_were_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Observed<S> {
    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() {
            self.activity.is_blocked();
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // Both versions of HTTP flush when they have written all.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.activity.is_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
