//! Log lines: destination, format, level, and the fields that all lines of a request share.

use std::env;
use std::fmt::{self, Write as _};
use std::time::Duration;

use http::Method;
use tonic::Code;
use tracing::field::{Field, Visit};
use tracing::{Span, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::auth::Caller;
use crate::error::Error;
use crate::runtime::config::{LOG_FORMAT, Variables};
use crate::runtime::context::ColdStart;
use crate::runtime::spans::Recorder;
use crate::runtime::trace::Trace;

mod json;

use json::{JsonLine, SpanFields};

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

    /// Writes log lines in this format to standard error, and records spans if there is a recorder.
    pub fn init(self, recorder: Option<Recorder>) {
        match self {
            Self::Text => init_text(recorder),
            Self::Json => {
                let (levels, invalid) = levels_of_environment();
                let _ = json(levels, std::io::stderr).with(recorder).try_init();
                warn_of(invalid);
            }
        }
    }
}

/// Writes one readable line per event to standard error, for terminals. Records spans if there is a recorder.
pub fn init_text(recorder: Option<Recorder>) {
    let (levels, invalid) = levels_of_environment();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .fmt_fields(TextFields);
    // Fails if a subscriber is installed already, which then stays.
    let _ = tracing_subscriber::registry().with(levels).with(lines).with(recorder).try_init();
    warn_of(invalid);
}

/// Writes one JSON object per line to standard output, for CloudWatch. Records spans if there is a recorder.
pub fn init_json(recorder: Option<Recorder>) {
    let (levels, invalid) = levels_of_environment();
    let _ = json(levels, std::io::stdout).with(recorder).try_init();
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
        .fmt_fields(SpanFields)
        .event_format(JsonLine)
        .with_ansi(false)
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

/// Route of a request that matches none.
pub const NO_ROUTE: &str = "none";

/// Line of an answered request: one object with these fields beside those of its span.
#[derive(Clone, Debug)]
pub struct RequestLine<'a> {
    /// Name of the method, by [`method_name`].
    pub method: &'static str,
    /// Pattern of the route. No line has a path, which may have IDs.
    pub route: &'static str,
    /// Status of the answer.
    pub status: u16,
    /// Time from the request to its answer.
    pub duration: Duration,
    /// True for the first event of a process; none elsewhere than on Lambda.
    pub cold_start: Option<ColdStart>,
    /// Caller, of whom the line has the role.
    pub caller: Caller,
    /// Error that was answered, if it was one.
    pub error: Option<&'a Error>,
}

impl RequestLine<'_> {
    /// Writes the line: at level error for a 5xx, which also has its causes.
    pub fn write(&self) {
        let Self { method, route, status, .. } = *self;
        let (duration_ms, cold_start, role) = shared_fields(self.duration, self.cold_start, self.caller);
        let problem = self.error.map(problem_of);
        let problem = problem.as_deref();
        if status >= 500 {
            let causes = self.error.map(Error::causes);
            tracing::error!(
                method,
                route,
                status,
                duration_ms,
                cold_start,
                role,
                problem,
                causes,
                "{REQUEST}"
            );
        } else {
            tracing::info!(method, route, status, duration_ms, cold_start, role, problem, "{REQUEST}");
        }
    }
}

/// Line of an answered call of another function, or of a gRPC client.
#[derive(Clone, Debug)]
pub struct CallLine<'a> {
    /// Path of the method, by [`metrics::method`](crate::runtime::metrics::method).
    pub method: &'static str,
    /// Code of the answer.
    pub code: Code,
    /// Time from the call to its answer.
    pub duration: Duration,
    /// True for the first event of a process; none elsewhere than on Lambda.
    pub cold_start: Option<ColdStart>,
    /// Caller, of whom the line has the role.
    pub caller: Caller,
    /// Error that was answered, if it was one of this project.
    pub error: Option<&'a Error>,
}

impl CallLine<'_> {
    /// Writes the line: at level error if the server has failed, then with its causes.
    pub fn write(&self) {
        let (rpc_method, code) = (self.method, tracing::field::debug(self.code));
        let (duration_ms, cold_start, role) = shared_fields(self.duration, self.cold_start, self.caller);
        let problem = self.error.map(problem_of);
        let problem = problem.as_deref();
        if matches!(self.code, Code::Internal | Code::Unknown | Code::Unavailable) {
            let causes = self.error.map(Error::causes);
            tracing::error!(rpc_method, code, duration_ms, cold_start, role, problem, causes, "{CALL}");
        } else {
            tracing::info!(rpc_method, code, duration_ms, cold_start, role, problem, "{CALL}");
        }
    }
}

/// Message of a [`RequestLine`].
const REQUEST: &str = "request";

/// Message of a [`CallLine`].
const CALL: &str = "call";

fn shared_fields(
    duration: Duration,
    cold_start: Option<ColdStart>,
    caller: Caller,
) -> (f64, Option<bool>, &'static str) {
    // Tenths of a millisecond: what a reader compares.
    let tenths = u32::try_from(duration.as_micros() / 100).unwrap_or(u32::MAX);
    (f64::from(tenths) / 10.0, cold_start.map(|ColdStart(is_cold)| is_cold), caller.role())
}

fn problem_of(error: &Error) -> String {
    let mut problem = error.to_string();
    problem.truncate(bounded(&problem).len());
    problem
}

/// Format of fields for terminals: a request or call begins as in an access log, such as
/// `GET /orders/{id} 200 1.2 ms role=customer`.
struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = AccessLine::default();
        fields.record(&mut line);
        match line.is_one {
            true => write!(writer, "{} {}{}{}", line.subject, line.result, line.duration, line.rest),
            false => DefaultFields::new().format_fields(writer, fields),
        }
    }
}

/// Fields of the line of a request or call.
#[derive(Default)]
struct AccessLine {
    is_one: bool,
    /// Method and route.
    subject: String,
    result: String,
    duration: String,
    rest: String,
}

impl AccessLine {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => {
                let message = value.to_string();
                self.is_one = message == REQUEST || message == CALL;
                Ok(())
            }
            "method" | "rpc_method" => self.subject.write_fmt(value),
            "route" => write!(self.subject, " {value}"),
            "status" | "code" => self.result.write_fmt(value),
            "duration_ms" => write!(self.duration, " {value} ms"),
            name => write!(self.rest, " {name}={value}"),
        };
    }
}

impl Visit for AccessLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Raw only where nothing needs quotes or escapes: a control character could forge a line.
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.add(field, format_args!("{value}"));
        } else {
            self.add(field, format_args!("{value:?}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
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

    /// Line in the format for terminals, without the time and the span.
    fn text(log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_target(false)
            .with_ansi(false)
            .without_time()
            .fmt_fields(TextFields)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const LINE: RequestLine<'static> = RequestLine {
        method: "GET",
        route: "/orders/{id}",
        status: 200,
        duration: Duration::from_micros(1_250),
        cold_start: None,
        caller: Caller::System,
        error: None,
    };

    #[test]
    fn a_request_is_one_flat_object() {
        let lines = logged(None, || RequestLine { cold_start: Some(ColdStart(true)), ..LINE }.write());
        let mut line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert!(line.as_object_mut().unwrap().remove("timestamp").is_some());
        let expected = serde_json::json!({
            "level": "INFO", "message": "request", "method": "GET", "route": "/orders/{id}", "status": 200,
            "duration_ms": 1.2, "cold_start": true, "role": "system",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_failed_request_has_its_problem_and_causes() {
        let error = Error::unavailable("MongoDB is away");
        let lines = logged(None, || RequestLine { status: 503, error: Some(&error), ..LINE }.write());
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(
            [&line["level"], &line["problem"], &line["causes"], &line["cold_start"]],
            [&"ERROR".into(), &"unavailable".into(), &"MongoDB is away".into(), &serde_json::Value::Null]
        );
    }

    #[test]
    fn a_terminal_shows_a_request_as_an_access_log_does() {
        assert_eq!(text(|| LINE.write()).trim(), "INFO GET /orders/{id} 200 1.2 ms role=system");
        let error = Error::unavailable("MongoDB is away");
        let call = CallLine {
            method: "/oms.users.v1.UserService/GetUser",
            code: Code::Unavailable,
            duration: Duration::from_millis(3),
            cold_start: None,
            caller: Caller::Anonymous,
            error: Some(&error),
        };
        let expected = "ERROR /oms.users.v1.UserService/GetUser Unavailable 3.0 ms role=anonymous problem=unavailable \
                        causes=\"MongoDB is away\"";
        assert_eq!(text(|| call.write()).trim(), expected);
        assert_eq!(text(|| tracing::info!(status = 7, "done")).trim(), "INFO done status=7");
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
