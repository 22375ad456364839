//! Where log lines go, and in which form.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// One readable line each, to standard error: for people at a terminal.
pub fn init_for_people() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // It fails when something listens already, which is then the one to use.
    let _ = tracing_subscriber::registry().with(LevelFilter::INFO).with(lines).try_init();
}

/// One JSON object a line, to standard output: for CloudWatch.
pub fn init_for_lambda() {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false);
    let _ = tracing_subscriber::registry().with(LevelFilter::INFO).with(lines).try_init();
}
