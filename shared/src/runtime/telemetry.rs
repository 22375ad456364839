//! Where log lines go, in which form, and what those of one request have in common.

use tracing::{Span, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::runtime::trace::Trace;

/// One readable line each, to standard error: for people at a terminal.
pub fn init_text() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // It fails when something listens already, which is then the one to use.
    let _ = tracing_subscriber::registry().with(LevelFilter::INFO).with(lines).try_init();
}

/// One JSON object a line, to standard output: for CloudWatch.
pub fn init_json() {
    let _ = json_lines(std::io::stdout).try_init();
}

/// One JSON object a line. What the lines of a request have in common stands in its `span`.
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

/// What every log line has that is written for a request: the ID that its answer shows, that of its trace, and
/// X-Ray's ID of the trace where there is one.
pub fn request_span(request_id: &str, trace: &Trace) -> Span {
    tracing::info_span!("request", request_id, trace_id = %trace.id(), xray_trace_id = trace.xray_id())
}
