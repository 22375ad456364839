//! Spans: durations of requests, calls and commands of MongoDB, each with its cause.
//!
//! A [`Recorder`] is a layer of the subscriber. It has the sinks of finished spans: OTLP (`otlp`), X-Ray (`xray`), or
//! the terminal of `cargo local --trace`. Without one nothing is recorded. IDs are those of [`Trace`], so that headers,
//! log lines and spans have the same ones.
//!
//! A request and a call have one span in each function ([`ActiveSpan::server`]). It lies in the `tracing` span of their
//! log lines, where the commands of MongoDB and outgoing calls find their parent.
//!
//! No span has an ID, a path, an address or a text of a client: names and attributes are those of the code.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime};

use tonic::Code;
use tracing::{Dispatch, Subscriber, dispatcher};
use tracing_subscriber::Layer;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan as _;

use super::metrics;
use super::switch::Switch;
use super::telemetry::NO_ROUTE;
use super::trace::{Trace, new_span};

#[cfg(feature = "otlp")]
pub mod otlp;
mod trees;
#[cfg(feature = "lambda")]
pub mod xray;

pub use trees::{Ended, Tree, Trees};

/// Finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace ID of W3C.
    pub trace: u128,
    /// ID of the span.
    pub id: u64,
    /// ID of the span that caused it, here or in another process.
    pub parent: Option<u64>,
    /// Place in X-Ray's trace, if X-Ray keeps it.
    pub xray: Option<XRayPlace>,
    /// Side of the exchange.
    pub kind: Kind,
    /// Name: method and pattern of the route, method of the call, or command and collection.
    pub name: Cow<'static, str>,
    /// Time of its beginning.
    pub start: SystemTime,
    /// Time that it took.
    pub duration: Duration,
    /// Attributes, by OpenTelemetry's semantic conventions.
    pub attributes: Vec<Attribute>,
    /// True if it has failed: a 5xx, a call whose server has failed, an error of MongoDB.
    pub is_failed: bool,
}

impl Span {
    /// Value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// Name and value of an attribute.
pub type Attribute = (&'static str, Value);

/// Place of a span in X-Ray's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XRayPlace {
    /// ID of the trace: that of X-Ray, which may differ from that of W3C.
    pub trace: u128,
    /// Segment or subsegment above the span.
    pub parent: u64,
}

/// Side of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request or call that this function has answered.
    Server,
    /// A call or command that this function has sent.
    Client,
}

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text of the code.
    Text(Cow<'static, str>),
    /// Number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Destination of finished spans. It must not block.
pub trait Sink: Send + Sync {
    /// A span has begun, below this one if its parent is known.
    fn begin(&self, _id: u64, _parent: Option<u64>) {}

    /// A span has ended. Commands of MongoDB only end.
    fn end(&self, span: Span);
}

impl<S: Sink + ?Sized> Sink for std::sync::Arc<S> {
    fn begin(&self, id: u64, parent: Option<u64>) {
        (**self).begin(id, parent);
    }

    fn end(&self, span: Span) {
        (**self).end(span);
    }
}

/// Choice of the traces whose spans are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// Those that another function records, by the flag of W3C. Of those that begin here this part, from 0 to 1, and of
    /// those for which a client asks.
    Ratio(f64),
    /// Those that X-Ray keeps.
    XRay,
}

/// True once there is a recorder in the process.
static RECORDING: Switch = Switch::off();

/// Returns true if spans may be recorded.
pub fn is_on() -> bool {
    RECORDING.is_on()
}

/// Layer of the subscriber that hands finished spans to their sinks.
pub struct Recorder {
    sampling: Sampling,
    sinks: Vec<Box<dyn Sink>>,
}

impl<S: Subscriber> Layer<S> for Recorder {}

impl Recorder {
    /// Creates a recorder without sinks. MongoDB's clients are observed if they are made after it.
    pub fn new(sampling: Sampling) -> Self {
        RECORDING.turn_on();
        Self { sampling, sinks: Vec::new() }
    }

    /// Adds a sink.
    pub fn to(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    fn samples(&self, trace: &Trace) -> bool {
        match self.sampling {
            Sampling::Ratio(_) => trace.is_sampled(),
            Sampling::XRay => trace.xray_place().is_some(),
        }
    }

    fn begin(&self, place: Place) {
        for sink in &self.sinks {
            sink.begin(place.span, place.parent);
        }
    }

    fn end(&self, span: Span) {
        let Some((last, others)) = self.sinks.split_last() else { return };
        for sink in others {
            sink.end(span.clone());
        }
        last.end(span);
    }
}

/// Returns true if a trace with this ID, which begins here, is sampled.
pub(super) fn begins_sampled(id: u128) -> bool {
    let choose = |recorder: &Recorder| match recorder.sampling {
        Sampling::Ratio(ratio) => is_in(ratio, id),
        Sampling::XRay => false,
    };
    is_on() && dispatcher::get_default(|dispatch| dispatch.downcast_ref().is_some_and(choose))
}

/// Returns true if a trace is recorded for which a client has asked. The ID is the client's choice, so that it decides
/// nothing.
pub(super) fn samples_asked() -> bool {
    let choose = |recorder: &Recorder| match recorder.sampling {
        Sampling::Ratio(ratio) => rand::random::<f64>() < ratio,
        Sampling::XRay => true,
    };
    !is_on() || dispatcher::get_default(|dispatch| dispatch.downcast_ref().is_none_or(choose))
}

/// Returns true if this part of all traces has the one with this ID. By W3C the last 7 bytes of an ID are random.
fn is_in(ratio: f64, id: u128) -> bool {
    const BITS: u32 = 56;
    let random = u64::try_from(id & ((1 << BITS) - 1)).unwrap_or_default();
    // Of such numbers only the lowest bits do not fit.
    (random as f64) < ratio * (1_u64 << BITS) as f64
}

/// Place of a span in its trace.
#[derive(Clone, Copy)]
struct Place {
    trace: u128,
    span: u64,
    parent: Option<u64>,
    xray: Option<XRayPlace>,
}

impl Place {
    fn of(trace: &Trace) -> Self {
        let xray = trace.xray_place().map(|(trace, parent)| XRayPlace { trace, parent });
        Self { trace: trace.number(), span: trace.span(), parent: trace.parent_span(), xray }
    }

    /// Place of a new span below this one.
    fn child(self) -> Self {
        let xray = self.xray.map(|place| XRayPlace { parent: self.span, ..place });
        Self { span: new_span(), parent: Some(self.span), xray, ..self }
    }

    /// Place of the span that this trace has for a call.
    fn of_call(trace: &Trace, caller: Self) -> Self {
        let xray = caller.xray.map(|place| XRayPlace { parent: caller.span, ..place });
        Self { xray, ..Self::of(trace) }
    }
}

/// Span of a request or call, in the `tracing` span of its log lines.
struct Current {
    place: Place,
    /// Commands of MongoDB that are not answered.
    commands: Vec<Sent>,
}

/// Command of MongoDB that was sent.
struct Sent {
    /// Number of its message.
    number: i32,
    name: &'static str,
    collection: Option<String>,
    at: (SystemTime, Instant),
}

/// Calls `act` with the span that the running code belongs to, if that is recorded. Returns the dispatcher, too.
///
/// The span is locked meanwhile, as it is while a line is written.
fn with_current<T>(act: impl FnOnce(&mut Current) -> T) -> Option<(Dispatch, T)> {
    let find = |(id, dispatch): (&tracing::span::Id, &Dispatch)| {
        let innermost = dispatch.downcast_ref::<Registry>()?.span(id)?;
        // Other crates may have opened spans of their own in it.
        for span in innermost.scope() {
            if let Some(current) = span.extensions_mut().get_mut() {
                return Some((dispatch.clone(), act(current)));
            }
        }
        None
    };
    if !is_on() {
        return None;
    }
    tracing::Span::current().with_subscriber(find)?
}

/// Span that has begun, if it is recorded. Dropped before it is finished, it ends as cancelled.
#[must_use = "it ends when it is dropped"]
pub struct ActiveSpan(Option<Box<Begun>>);

struct Begun {
    dispatch: Dispatch,
    /// `tracing` span of a request or call that this function answers.
    lines: Option<tracing::Span>,
    place: Place,
    kind: Kind,
    name: Cow<'static, str>,
    attributes: Vec<Attribute>,
    at: (SystemTime, Instant),
}

impl Begun {
    fn new(dispatch: &Dispatch, place: Place, kind: Kind, name: &'static str) -> Self {
        let (dispatch, at) = (dispatch.clone(), (SystemTime::now(), Instant::now()));
        Self { dispatch, lines: None, place, kind, name: Cow::Borrowed(name), attributes: Vec::new(), at }
    }

    fn end(self, is_failed: bool) {
        let Some(recorder) = self.dispatch.downcast_ref::<Recorder>() else { return };
        // Commands that MongoDB has not answered. The driver says nothing of those that were given up.
        let left = self.lines.as_ref().and_then(|lines| lines.with_subscriber(left_commands).flatten());
        for sent in left.unwrap_or_default() {
            let duration = sent.at.1.elapsed();
            recorder.end(command(self.place.child(), sent, duration, Some(CANCELLED.into())));
        }
        let Place { trace, span: id, parent, xray } = self.place;
        let (start, began) = self.at;
        let Self { kind, name, attributes, .. } = self;
        let duration = began.elapsed();
        recorder.end(Span { trace, id, parent, xray, kind, name, start, duration, attributes, is_failed });
    }
}

impl ActiveSpan {
    /// Begins the span of a request or call in the `tracing` span of its log lines, if its trace is recorded.
    pub(crate) fn server(lines: &tracing::Span, trace: &Trace, name: &'static str) -> Self {
        let begin = |(id, dispatch): (&tracing::span::Id, &Dispatch)| {
            let recorder: &Recorder = dispatch.downcast_ref()?;
            let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
            if !recorder.samples(trace) {
                return None;
            }
            let place = Place::of(trace);
            span.extensions_mut().replace(Current { place, commands: Vec::new() });
            recorder.begin(place);
            let lines = Some(lines.clone());
            Some(Box::new(Begun { lines, ..Begun::new(dispatch, place, Kind::Server, name) }))
        };
        if !is_on() {
            return Self(None);
        }
        Self(lines.with_subscriber(begin).flatten())
    }

    /// Begins the span of an attempt to call the method at `path`, after so many others. The trace is for the call, and
    /// has the ID of its span.
    pub(crate) fn call(trace: Option<&Trace>, path: &str, previous: u32) -> Option<(Self, Trace)> {
        let trace = trace?;
        let (dispatch, caller) = with_current(|caller| caller.place)?;
        // Work of another trace is not caused by this request.
        if caller.span != trace.span() {
            return None;
        }
        let call = trace.child();
        let place = Place::of_call(&call, caller);
        dispatch.downcast_ref::<Recorder>()?.begin(place);
        let method = method_name(metrics::method(path));
        let mut span = Begun::new(&dispatch, place, Kind::Client, method);
        span.attributes.extend([("rpc.system", "grpc".into()), ("rpc.method", method.into())]);
        if previous > 0 {
            // The name is that of gRPC's own traces (gRFC A72).
            span.attributes.push(("previous-rpc-attempts", i64::from(previous).into()));
        }
        Some((Self(Some(Box::new(span))), call))
    }

    /// Ends the span of a request.
    pub(crate) fn end_request(mut self, method: &'static str, route: &'static str, status: u16) {
        let Some(mut span) = self.0.take() else { return };
        let is_failed = status >= 500;
        span.attributes.push(("http.request.method", method.into()));
        span.name = Cow::Borrowed(method);
        if route != NO_ROUTE {
            span.attributes.push(("http.route", route.into()));
            span.name = format!("{method} {route}").into();
        }
        span.attributes.push(("http.response.status_code", i64::from(status).into()));
        if is_failed {
            span.attributes.push(("error.type", metrics::code(status).into()));
        }
        span.end(is_failed);
    }

    /// Ends the span of a call that this function has answered.
    pub(crate) fn end_answer(mut self, method: &'static str, code: Code) {
        let Some(mut span) = self.0.take() else { return };
        span.name = Cow::Borrowed(method_name(method));
        span.attributes.extend([("rpc.system", "grpc".into()), ("rpc.method", method_name(method).into())]);
        // For a server a client's error is none.
        let is_failed = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        span.end_with(code, is_failed);
    }

    /// Ends the span of an attempt to call.
    pub(crate) fn end_call(mut self, code: Code) {
        if let Some(span) = self.0.take() {
            span.end_with(code, code != Code::Ok);
        }
    }

    /// Ends the span of a task.
    #[cfg(feature = "lambda")]
    pub(crate) fn end_task(mut self, is_failed: bool) {
        if let Some(span) = self.0.take() {
            span.end(is_failed);
        }
    }
}

impl Begun {
    fn end_with(mut self, code: Code, is_failed: bool) {
        self.attributes.push(("rpc.grpc.status_code", i64::from(i32::from(code)).into()));
        if is_failed {
            self.attributes.push(("error.type", metrics::grpc_code(code).into()));
        }
        self.end(is_failed);
    }
}

impl Drop for ActiveSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.0.take() {
            span.attributes.push(("error.type", CANCELLED.into()));
            span.end(true);
        }
    }
}

/// Name of a method: its path without the slash in front.
fn method_name(path: &'static str) -> &'static str {
    path.trim_start_matches('/')
}

/// Error of what was given up.
const CANCELLED: &str = "cancelled";

/// Takes the commands that are not answered out of this `tracing` span.
fn left_commands((id, dispatch): (&tracing::span::Id, &Dispatch)) -> Option<Vec<Sent>> {
    let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
    let mut extensions = span.extensions_mut();
    let current: &mut Current = extensions.get_mut()?;
    Some(std::mem::take(&mut current.commands))
}

/// Notes a command of MongoDB that is sent, by the number of its message.
pub(crate) fn command_sent(number: i32, name: &'static str, collection: Option<&str>) {
    let at = (SystemTime::now(), Instant::now());
    with_current(|current| {
        let collection = collection.map(str::to_owned);
        current.commands.push(Sent { number, name, collection, at });
    });
}

/// Records a command of MongoDB that has ended. `error` is a code, or the kind of an error without one.
pub(crate) fn command_ended(number: i32, duration: Duration, error: Option<String>) {
    let ended = with_current(|current| {
        let sent = current.commands.iter().position(|sent| sent.number == number)?;
        Some((current.place.child(), current.commands.swap_remove(sent)))
    });
    let Some((dispatch, Some((place, sent)))) = ended else { return };
    if let Some(recorder) = dispatch.downcast_ref::<Recorder>() {
        recorder.end(command(place, sent, duration, error));
    }
}

/// Span of a command of MongoDB.
fn command(place: Place, sent: Sent, duration: Duration, error: Option<String>) -> Span {
    let Place { trace, span: id, parent, xray } = place;
    let Sent { name, collection, at: (start, _), .. } = sent;
    let mut attributes: Vec<Attribute> =
        vec![("db.system.name", "mongodb".into()), ("db.operation.name", name.into())];
    let mut title = Cow::Borrowed(name);
    if let Some(collection) = collection {
        title = format!("{name} {collection}").into();
        attributes.push(("db.collection.name", collection.into()));
    }
    let is_failed = error.is_some();
    if let Some(error) = error {
        attributes.push(("error.type", error.into()));
    }
    Span { trace, id, parent, xray, kind: Kind::Client, name: title, start, duration, attributes, is_failed }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::HeaderMap;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::runtime::telemetry::request_span;

    #[derive(Clone, Default)]
    struct Collected(Arc<Mutex<Vec<Span>>>);

    impl Sink for Collected {
        fn end(&self, span: Span) {
            self.0.lock().unwrap().push(span);
        }
    }

    #[test]
    fn a_command_without_an_answer_ends_with_its_request() {
        let spans = Collected::default();
        let recorder = Recorder::new(Sampling::Ratio(1.0)).to(spans.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(recorder), || {
            let trace = Trace::of(&HeaderMap::new(), None);
            let lines = request_span("a-request", &trace);
            let request = ActiveSpan::server(&lines, &trace, "request");
            lines.in_scope(|| {
                command_sent(1, "find", Some("orders"));
                command_sent(2, "update", None);
                command_ended(2, Duration::from_millis(1), None);
            });
            request.end_request("GET", "/orders", 503);
            // Too late: it is recorded already.
            lines.in_scope(|| command_ended(1, Duration::from_millis(1), None));
        });
        let spans = spans.0.lock().unwrap();
        let found = spans.iter().map(|span| (&*span.name, span.is_failed));
        let expected = [("update", false), ("find orders", true), ("GET /orders", true)];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(spans[1].attribute("error.type"), Some(&Value::from("cancelled")));
        assert_eq!((spans[1].parent, spans[1].trace), (Some(spans[2].id), spans[2].trace));
    }
}
