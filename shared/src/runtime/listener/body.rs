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
use super::limits::Limits;
use crate::input::json::BodyTooLate;

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
pub(super) struct RequestBody<B> {
    body: Option<B>,
    is_begun: bool,
    is_lost: bool,
    deadline: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    activity: Arc<Activity>,
    remains: Arc<Mutex<Remains<B>>>,
}

impl<B> RequestBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    pub(super) fn new(body: B, limits: &Limits, activity: Arc<Activity>) -> (Self, Leftover<B>) {
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
                remains,
            },
            leftover,
        )
    }
}

impl<B> RequestBody<B> {
    fn waits(&mut self, waits: bool) {
        if self.is_waiting != waits {
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
            Poll::Ready(Some(Ok(frame))) => Some(Ok(frame)),
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
                if sleep.as_mut().poll(context).is_pending() {
                    this.waits(true);
                    return Poll::Pending;
                }
                this.is_lost = true;
                Some(Err(BodyTooLate.into()))
            }
        };
        this.waits(false);
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
pub(super) struct AnswerBody {
    body: Body,
    /// Rest of a large piece.
    piece: Bytes,
    untaken: Option<u64>,
    activity: Arc<Activity>,
    /// Ends with this body.
    _exchange: Exchange,
}

/// Largest piece of an answer.
const PIECE: usize = 64 * 1024;

impl AnswerBody {
    pub(super) fn new(body: Body, activity: Arc<Activity>, exchange: Exchange) -> Self {
        let untaken = Some(activity.offer_answer());
        Self { body, piece: Bytes::new(), untaken, activity, _exchange: exchange }
    }

    fn next_piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.piece.split_to(self.piece.len().min(PIECE)))
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if !self.piece.is_empty() {
            return Poll::Ready(Some(Ok(self.next_piece())));
        }
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                // The client waits for us, and not we for the client.
                if let Some(number) = self.untaken.take() {
                    self.activity.answer_is_taken(number);
                }
                return Poll::Pending;
            }
        };
        if self.untaken.is_none() {
            self.untaken = Some(self.activity.offer_answer());
        }
        Poll::Ready(match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                self.piece = data;
                Some(Ok(self.next_piece()))
            }
            Some(Ok(Err(trailers))) => Some(Ok(trailers)),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let piece = u64::try_from(self.piece.len()).unwrap_or(u64::MAX);
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
