//! Format of log lines in JSON, written straight into the buffer of the line.
//!
//! The lines are those of `tracing_subscriber`'s own format, flattened and with the current span. That one reads the
//! fields of the span again for each line, from the JSON that it has made of them.

use std::{fmt, io, mem, str};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Room for the fields of a span before their length is known.
const USUAL_SPAN: usize = 256;

/// Format of a line: time, level, fields, and the span with its name.
pub(super) struct JsonLine;

impl<S> FormatEvent<S, SpanFields> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(r#"{"timestamp":""#)?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, r#"","level":"{}""#, event.metadata().level())?;
        let mut entries = Entries { before: ",", ..Entries::of(&mut writer) };
        event.record(&mut entries);
        entries.outcome?;
        let current = event.parent().and_then(|id| context.span(id)).or_else(|| context.lookup_current());
        if let Some(span) = current {
            writer.write_str(r#","span":{"#)?;
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<SpanFields>>().map_or("", |fields| &*fields.fields);
            let fields = fields.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or_default();
            writer.write_str(fields)?;
            writer.write_str(if fields.is_empty() { r#""name":"# } else { r#","name":"# })?;
            write_json(&mut writer, span.metadata().name())?;
            writer.write_str("}")?;
        }
        writer.write_str("}\n")
    }
}

/// Format of a span's fields: an object in the order of their names.
pub(super) struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::with_capacity(USUAL_SPAN);
        text.push('{');
        let mut entries = Entries::of(&mut text);
        fields.record(&mut entries);
        let Entries { outcome, is_usual, .. } = entries;
        outcome?;
        text.push('}');
        // The spans of other crates may have any fields.
        if is_usual { writer.write_str(&text) } else { JsonFields::new().format_fields(writer, fields) }
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut all = FormattedFields::<JsonFields>::new(mem::take(&mut current.fields));
        let outcome = JsonFields::new().add_fields(&mut all, fields);
        current.fields = all.fields;
        outcome
    }
}

/// Writer of fields as entries of an object.
struct Entries<'a, W> {
    writer: &'a mut W,
    /// Text before the next entry.
    before: &'static str,
    last: &'static str,
    /// False for fields that `tracing_subscriber` writes in another order or form, if they are those of a span.
    is_usual: bool,
    outcome: fmt::Result,
}

impl<'a, W: fmt::Write> Entries<'a, W> {
    fn of(writer: &'a mut W) -> Self {
        Self { writer, before: "", last: "", is_usual: true, outcome: Ok(()) }
    }

    fn add(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        let name = field.name();
        self.is_usual &= self.last < name && !name.starts_with("r#") && !name.starts_with("log.");
        self.last = name;
        if self.outcome.is_ok() {
            self.outcome = self.write(name, value);
        }
    }

    fn write(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> fmt::Result {
        self.writer.write_str(mem::replace(&mut self.before, ","))?;
        write_json(self.writer, name)?;
        self.writer.write_str(":")?;
        write_json(self.writer, value)
    }
}

impl<W: fmt::Write> Visit for Entries<'_, W> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format_args!("{value:?}"));
    }
}

fn write_json(writer: &mut impl fmt::Write, value: &(impl Serialize + ?Sized)) -> fmt::Result {
    serde_json::to_writer(Text(writer), value).map_err(|_| fmt::Error)
}

/// Writer of bytes into a text.
struct Text<'a, W>(&'a mut W);

impl<W: fmt::Write> io::Write for Text<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // `serde_json` writes whole characters.
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Lines of a subscriber, each without its time.
    fn lines<L>(layer: impl FnOnce(Lines) -> L, log: fn()) -> Vec<String>
    where
        L: tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync,
    {
        let all = Lines::default();
        let subscriber = tracing_subscriber::registry().with(layer(all.clone()));
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(all.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split_once("Z\",").unwrap().1.to_owned()).collect()
    }

    /// Collects lines.
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

    fn log() {
        tracing::info!("no span");
        tracing::warn!(
            status = 7,
            part = 1.5,
            nothing = f64::NAN,
            big = u64::MAX,
            is_on = true,
            "fields: {}",
            "ö\n\t\""
        );
        tracing::info!(absent = None::<&str>, r#type = "a", error = %io::Error::other("a \"cause\""), debug = ?[1, 2]);
        tracing::error_span!("request", request_id = "a\"b\\", trace_id = %7, xray_trace_id = None::<&str>)
            .in_scope(|| {
                tracing::error!(message = "in a span");
                tracing::info_span!("of another order", b = 1, a = ?"x", r#type = "t")
                    .in_scope(|| tracing::info!("inside"));
                let later = tracing::info_span!("later", a = tracing::field::Empty, c = 2);
                later.record("a", 1);
                later.in_scope(|| tracing::info!("recorded"));
                let empty = tracing::info_span!("nothing \"at all\"");
                tracing::info!(parent: &empty, "its parent");
                tracing::info!(parent: None, "no parent");
            });
    }

    #[test]
    fn lines_are_those_of_the_general_format() {
        let own = lines(
            |all| {
                let layer = tracing_subscriber::fmt::layer().fmt_fields(SpanFields).event_format(JsonLine);
                layer.with_ansi(false).with_writer(move || all.clone())
            },
            log,
        );
        let general = lines(
            |all| {
                let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
                layer.with_span_list(false).with_writer(move || all.clone())
            },
            log,
        );
        assert_eq!(own, general);
        assert_eq!(own.len(), 8);
    }
}
