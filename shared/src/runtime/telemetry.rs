//! Log lines: destination, format, level, and the fields that all lines of a request share.

use std::env;

use http::Method;
use tracing::{Span, Subscriber};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::runtime::config::{LOG_FORMAT, Variables};
use crate::runtime::trace::Trace;

/// Chooses what is logged: `debug`, or by module `info,orders=debug,mongodb=off`.
pub const LEVELS_VARIABLE: &str = "RUST_LOG";

/// Format of log lines of a plain service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Readable lines.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// Reads `LOG_FORMAT`. `None` if that failed; the problem is recorded in `variables`.
    pub fn read(variables: &mut Variables) -> Option<Self> {
        variables.or(LOG_FORMAT.name, Self::Text, |text| match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json".to_owned()),
        })
    }

    /// Writes log lines in this format to standard error.
    pub fn init(self) {
        match self {
            Self::Text => init_text(),
            Self::Json => {
                let (levels, invalid) = levels_of_environment();
                let _ = json(levels, std::io::stderr).try_init();
                warn_of(invalid);
            }
        }
    }
}

/// Writes one readable line per event to standard error, for terminals.
pub fn init_text() {
    let (levels, invalid) = levels_of_environment();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // Fails if a subscriber is installed already, which then stays.
    let _ = tracing_subscriber::registry().with(levels).with(lines).try_init();
    warn_of(invalid);
}

/// Writes one JSON object per line to standard output, for CloudWatch.
pub fn init_json() {
    let (levels, invalid) = levels_of_environment();
    let _ = json(levels, std::io::stdout).try_init();
    warn_of(invalid);
}

/// One JSON object a line, from level info on. Fields that the lines of a request share are in its `span`.
pub fn json_lines<W>(writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    json(default_levels(), writer)
}

fn json<W>(levels: Targets, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(levels).with(lines)
}

fn default_levels() -> Targets {
    Targets::new().with_default(LevelFilter::INFO)
}

fn levels_of_environment() -> (Targets, Option<ParseError>) {
    levels(env::var(LEVELS_VARIABLE).ok().as_deref())
}

/// The levels that a value of `RUST_LOG` asks for. An absent, empty or invalid one means info; the error of an invalid
/// one comes with it, since a service must not stay down for its log level.
///
/// `EnvFilter` can filter by span and field, too, and brings an engine for regular expressions into each function.
fn levels(variable: Option<&str>) -> (Targets, Option<ParseError>) {
    match variable.map(str::trim) {
        None | Some("") => (default_levels(), None),
        Some(value) => match value.parse() {
            Ok(levels) => (levels, None),
            Err(error) => (default_levels(), Some(error)),
        },
    }
}

fn warn_of(invalid: Option<ParseError>) {
    if let Some(error) = invalid {
        tracing::warn!(%error, "{LEVELS_VARIABLE} is invalid: logging from level info on");
    }
}

/// The longest text of a client's that a line of the log repeats.
const MAX_LOGGED: usize = 1024;

/// Cuts a client's text to what a line of the log repeats of it.
pub fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LOGGED)]
}

/// Name of a method for the log: `OTHER` for one that HTTP does not define. A client can make one of any length.
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "OTHER",
    }
}

/// The span whose fields all log lines of a request have: the request ID that its answer shows, the trace ID, and
/// X-Ray's ID of the trace where there is one.
pub fn request_span(request_id: &str, trace: &Trace) -> Span {
    // At the level of errors: a span below the chosen level would be left out of the lines above it.
    tracing::error_span!("request", request_id, trace_id = %trace.id(), xray_trace_id = trace.xray_id())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::*;

    /// Collects log lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_method_that_http_does_not_define_has_one_name() {
        for known in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"] {
            assert_eq!(method_name(&known.parse().unwrap()), known);
        }
        for other in ["get", "QUERY", &"X".repeat(10_000)] {
            assert_eq!(method_name(&other.parse().unwrap()), "OTHER");
        }
        assert_eq!(bounded(&"é".repeat(1_000)).len(), MAX_LOGGED);
    }

    fn logged(variable: Option<&str>, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (levels, invalid) = levels(variable);
        tracing::subscriber::with_default(json(levels, move || writer.clone()), || {
            warn_of(invalid);
            log();
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_format_of_lines_is_text_or_json() {
        let read = |value: &'static str| {
            let mut variables = Variables::from_fn(move |_| Some(value.to_owned()));
            let format = LogFormat::read(&mut variables);
            format.ok_or_else(|| variables.misconfigured().to_string())
        };
        assert_eq!(read(""), Ok(LogFormat::Text));
        assert_eq!(read("json"), Ok(LogFormat::Json));
        assert_eq!(read("xml"), Err("invalid environment: LOG_FORMAT: must be text or json".to_owned()));
    }

    #[test]
    fn without_rust_log_the_level_is_info() {
        for variable in [None, Some(""), Some(" ")] {
            let (levels, invalid) = levels(variable);
            assert!(invalid.is_none());
            assert!(levels.would_enable("orders", &Level::INFO));
            assert!(!levels.would_enable("orders", &Level::DEBUG));
        }
    }

    #[test]
    fn rust_log_sets_levels_in_general_and_by_module() {
        let (levels, invalid) = levels(Some("warn,orders::service=trace,mongodb=off"));
        assert!(invalid.is_none());
        assert!(levels.would_enable("orders::service::place", &Level::TRACE));
        assert!(!levels.would_enable("orders", &Level::INFO));
        assert!(!levels.would_enable("mongodb", &Level::ERROR));
    }

    #[test]
    fn an_invalid_rust_log_means_info_and_one_warning() {
        let lines = logged(Some("orders=loud"), || {
            tracing::info!("shown");
            tracing::debug!("hidden");
        });
        assert_eq!(lines.matches("WARN").count(), 1, "{lines}");
        assert!(lines.contains("RUST_LOG is invalid"), "{lines}");
        assert!(lines.contains("shown") && !lines.contains("hidden"), "{lines}");
    }

    #[test]
    fn a_warning_has_its_request_id_though_info_is_off() {
        let trace = Trace::begin();
        let lines = logged(Some("warn"), || {
            request_span("the ID", &trace).in_scope(|| tracing::warn!("look"));
        });
        assert!(lines.contains("the ID"), "{lines}");
    }
}
