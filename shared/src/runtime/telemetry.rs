//! Logging: destination and format of log lines, and the fields shared by those of one request.

use tracing::{Span, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::runtime::trace::Trace;

/// Writes one readable line per event to standard error, for terminals.
pub fn init_text() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // This fails if a subscriber is already installed, which is then used.
    let _ = tracing_subscriber::registry().with(LevelFilter::INFO).with(lines).try_init();
}

/// Writes one JSON object per line to standard output, for CloudWatch.
pub fn init_json() {
    let _ = json_lines(std::io::stdout).try_init();
}

/// Creates a subscriber that writes one JSON object per line. Fields shared by the lines of a request are in
/// its `span`.
pub fn json_lines<W>(writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(LevelFilter::INFO).with(lines)
}

/// Span of a request, whose fields are in all its log lines. They are the request ID of the response, the
/// trace ID, and X-Ray's trace ID if there is one.
pub fn request_span(request_id: &str, trace: &Trace) -> Span {
    tracing::info_span!("request", request_id, trace_id = %trace.id(), xray_trace_id = trace.xray_id())
}
