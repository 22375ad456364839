//! Bodies on a connection: requests that must arrive in time, and answers that must be taken in time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, Exchange};
use super::connections::{BrokenOff, Request};
use super::limits::Limits;
use crate::input::json::{BodyRefused, BodyTooLate};

/// State of a request's body after its handler.
enum Remains<B> {
    /// Nothing is left.
    Nothing,
    /// A part is left. `is_begun`: some of it was asked for.
    Rest { body: B, is_begun: bool },
    /// The rest will not come, or came too late.
    Lost,
}

/// Rest of a request's body that its handler has not read.
pub(super) struct Leftover<B>(Arc<Mutex<Remains<B>>>);

/// Body of a request, for its handler. It fails with [`BodyTooLate`] when the time is over.
///
/// While it waits for its client, the request gives its place among those at work back. It fails with [`BodyRefused`]
/// when there is no place afterwards.
pub(super) struct RequestBody<B> {
    body: Option<B>,
    is_begun: bool,
    is_lost: bool,
    deadline: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    activity: Arc<Activity>,
    request: Arc<Request>,
    remains: Arc<Mutex<Remains<B>>>,
}

impl<B> RequestBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    pub(super) fn new(
        body: B,
        limits: &Limits,
        activity: Arc<Activity>,
        request: Arc<Request>,
    ) -> (Self, Leftover<B>) {
        let remains = Arc::new(Mutex::new(Remains::Nothing));
        let leftover = Leftover(remains.clone());
        let deadline = Instant::now() + limits.body;
        let (is_begun, is_lost, is_waiting) = (false, false, false);
        (
            Self {
                body: Some(body),
                is_begun,
                is_lost,
                deadline,
                sleep: None,
                is_waiting,
                activity,
                request,
                remains,
            },
            leftover,
        )
    }
}

impl<B> RequestBody<B> {
    fn waits(&mut self, waits: bool) {
        // An answer that reads on is no work.
        if self.is_waiting != waits && !(waits && self.request.is_answered()) {
            self.is_waiting = waits;
            self.activity.waits_for_client(waits);
        }
    }
}

impl<B> HttpBody for RequestBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.is_begun = true;
        let frame = match Pin::new(body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.request.receives(frame.data_ref().map_or(0, Bytes::len));
                Some(Ok(frame))
            }
            Poll::Ready(Some(Err(error))) => {
                this.is_lost = true;
                Some(Err(error.into()))
            }
            Poll::Ready(None) => {
                this.body = None;
                None
            }
            Poll::Pending => {
                let deadline = this.deadline;
                let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                let is_late = sleep.as_mut().poll(context).is_ready();
                if !is_late && this.request.waits_for_body(context.waker()) == Ok(()) {
                    this.waits(true);
                    return Poll::Pending;
                }
                this.is_lost = true;
                Some(Err(if is_late { BodyTooLate.into() } else { BodyRefused.into() }))
            }
        };
        let has_waited = this.is_waiting;
        this.waits(false);
        if has_waited && !this.is_lost && !this.request.begins_work() {
            this.is_lost = true;
            return Poll::Ready(Some(Err(BodyRefused.into())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.waits(false);
        let remains = match self.body.take() {
            None => return,
            Some(_) if self.is_lost => Remains::Lost,
            Some(body) => Remains::Rest { body, is_begun: self.is_begun },
        };
        *self.remains.lock().unwrap_or_else(PoisonError::into_inner) = remains;
    }
}

impl<B: HttpBody + Unpin> Leftover<B> {
    /// Reads and discards a short rest. True if nothing is left: then the connection can go on.
    ///
    /// `asks` is true for a client that waits to be asked for the body (`Expect: 100-continue`). To read is to ask.
    pub(super) async fn discard(self, limits: &Limits, asks: bool) -> bool {
        let remains =
            std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Remains::Nothing);
        let (mut body, is_begun) = match remains {
            Remains::Nothing => return true,
            Remains::Lost => return false,
            Remains::Rest { body, is_begun } => (body, is_begun),
        };
        if body.is_end_stream() {
            return true;
        }
        let most = u64::try_from(limits.rest_bytes).unwrap_or(u64::MAX);
        if (asks && !is_begun) || body.size_hint().lower() > most {
            return false;
        }
        let read = async {
            let mut read = 0_u64;
            while let Some(frame) = body.frame().await {
                let length = frame.ok()?.data_ref().map_or(0, bytes::Buf::remaining);
                read = read.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                if read > most {
                    return None;
                }
            }
            Some(())
        };
        matches!(tokio::time::timeout(limits.rest, read).await, Ok(Some(())))
    }
}

/// Body of an answer. It comes in small pieces, so that it shows when the client takes no more.
///
/// Over HTTP/2 a piece, or the end, follows when the one before is sent. So an answer that is not taken can be broken
/// off at any time, without its connection.
pub(super) struct AnswerBody {
    body: Body,
    /// Rest of what the body has given.
    rest: Bytes,
    /// End of the body: trailers, an error, or nothing.
    end: Option<Option<Result<Frame<Bytes>, axum::Error>>>,
    has_begun: bool,
    is_http2: bool,
    untaken: Option<u64>,
    activity: Arc<Activity>,
    request: Arc<Request>,
    /// Ends with this body.
    _exchange: Exchange,
}

/// Largest piece of an answer.
const PIECE: usize = 64 * 1024;

/// Bytes of an answer, which count until the last piece of them is gone.
struct Kept {
    bytes: Bytes,
    request: Arc<Request>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.request.lets_go(self.bytes.len());
    }
}

/// Piece of an answer, which is sent or lost when it is dropped.
struct Piece {
    bytes: Bytes,
    request: Arc<Request>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.request.sends(self.bytes.len());
    }
}

impl AnswerBody {
    pub(super) async fn new(
        body: Body,
        is_http2: bool,
        activity: Arc<Activity>,
        request: Arc<Request>,
        exchange: Exchange,
    ) -> Self {
        let untaken = Some(activity.offer_answer());
        let mut answer = Self {
            body,
            rest: Bytes::new(),
            end: None,
            has_begun: false,
            is_http2,
            untaken,
            activity,
            request,
            _exchange: exchange,
        };
        // What is there is counted now, also if its client never asks for it.
        if !answer.body.is_end_stream() {
            std::future::poll_fn(|context| {
                let _ = answer.poll_rest(context);
                Poll::Ready(())
            })
            .await;
        }
        answer
    }

    /// Takes the next bytes of the body, or its end.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.rest.is_empty() && self.end.is_none() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => {
                        self.request.keeps(bytes.len());
                        self.rest = Bytes::from_owner(Kept { bytes, request: self.request.clone() });
                    }
                    Err(trailers) => self.end = Some(Some(Ok(trailers))),
                },
                Some(Err(error)) => self.end = Some(Some(Err(error))),
                None => self.end = Some(None),
            }
        }
        Poll::Ready(())
    }

    fn next_piece(&mut self) -> Frame<Bytes> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        self.request.hands_over();
        Frame::data(Bytes::from_owner(Piece { bytes, request: self.request.clone() }))
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        this.has_begun = true;
        if this.is_http2 && std::task::ready!(this.request.poll_sent(context.waker())) == Err(BrokenOff) {
            return Poll::Ready(Some(Err(axum::Error::new(BodyRefused))));
        }
        if this.poll_rest(context).is_pending() {
            // The client waits for us, and not we for the client.
            if let Some(number) = this.untaken.take() {
                this.activity.answer_is_taken(number);
            }
            return Poll::Pending;
        }
        if this.untaken.is_none() {
            this.untaken = Some(this.activity.offer_answer());
        }
        if this.rest.is_empty() {
            return Poll::Ready(this.end.replace(None).flatten());
        }
        Poll::Ready(Some(Ok(this.next_piece())))
    }

    fn is_end_stream(&self) -> bool {
        let is_empty = self.rest.is_empty() && self.body.is_end_stream();
        // After a piece over HTTP/2 the end waits until it is sent.
        is_empty && !matches!(self.end, Some(Some(_))) && !(self.is_http2 && self.has_begun)
    }

    fn size_hint(&self) -> SizeHint {
        let piece = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(piece));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(piece));
        }
        hint
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(number) = self.untaken {
            self.activity.answer_is_taken(number);
        }
    }
}
