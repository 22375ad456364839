//! Output on Lambda: lines in CloudWatch's Embedded Metric Format (EMF), so that no metric costs a call.
//!
//! Values accumulate in the process, and are written at the end of each invocation. What is measured after that
//! comes with the next invocation: late, with its time, and lost only if the environment ends before. That is the
//! case for the init phase of an environment that gets no invocation, and for work that a freeze interrupts.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::{EMF, Metric, MetricKind};
use crate::values::clock::Timestamp;

/// Name of the dimension that all metrics have.
const FUNCTION: &str = "function";

/// Most dimensions of a metric, beside `function`.
const MOST_DIMENSIONS: usize = 1;

/// Most values of one metric in a line, by the specification.
const MOST_VALUES: usize = 100;

/// Most metrics in a line. The specification allows so many in each of its directives.
const MOST_METRICS: usize = 100;

/// Room for a line and its metrics before their number is known.
const USUAL_LINE: usize = 2048;
const USUAL_METRICS: usize = 16;

/// Most durations of a metric that are kept until the end of an invocation. Further ones are not measured: by then
/// their distribution is known.
const MOST_KEPT: usize = 20_000;

/// Namespace of metrics in CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// Most characters of a namespace.
    const LONGEST: usize = 255;

    /// Rule for `METRICS_NAMESPACE`, CloudWatch's own: 1 to 255 letters, digits and `.-_/#:`, without a colon in
    /// front. `AWS/` is reserved.
    ///
    /// # Errors
    /// Message with the rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#:".contains(&byte);
        let is_good = (1..=Self::LONGEST).contains(&text.len())
            && text.bytes().all(is_plain)
            && !text.starts_with(':')
            && !text.starts_with("AWS/");
        if is_good {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 255 letters, digits and .-_/#: that begin neither with : nor with AWS/"
                .to_owned())
        }
    }
}

/// Destination of the values of this process.
struct Target {
    namespace: Namespace,
    function: String,
}

static TARGET: OnceLock<Target> = OnceLock::new();

static ACCUMULATED: Mutex<Accumulated> = Mutex::new(Accumulated { series: Vec::new() });

/// Measures from now on, as this function. Only the first call counts.
pub fn start(namespace: Namespace, function: &str) {
    let _ = TARGET.set(Target { namespace, function: function.to_owned() });
    EMF.turn_on();
}

/// Writes what has been measured since the last call to standard output; nothing if that is nothing.
///
/// It blocks as a line of the log does.
pub fn write(now: Timestamp) {
    let Some(Target { namespace, function }) = TARGET.get() else { return };
    let lines = with_all(|all| all.take_lines(namespace, function, now));
    if !lines.is_empty() {
        // The error is ignored: standard output may be closed.
        let _ = std::io::stdout().lock().write_all(lines.as_bytes());
    }
}

pub(super) fn add(metric: &Metric, values: &[&'static str], count: u64) {
    with_all(|all| all.add(metric, values, count));
}

pub(super) fn add_nothing(metric: &Metric, values: &[&'static str]) {
    with_all(|all| all.add_nothing(metric, values));
}

pub(super) fn set(metric: &Metric, values: &[&'static str], value: f64) {
    with_all(|all| all.set(metric, values, value));
}

pub(super) fn record(metric: &Metric, values: &[&'static str], time: Duration) {
    with_all(|all| all.record(metric, values, time));
}

fn with_all<T>(act: impl FnOnce(&mut Accumulated) -> T) -> T {
    // Each change is whole even if its holder panicked.
    act(&mut ACCUMULATED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Values of dimensions, in the order of their declaration; empty where there is none.
type DimensionTexts = [&'static str; MOST_DIMENSIONS];

/// Values since the last lines. Series stay, so that measuring allocates nothing once a process is warm.
#[derive(Default)]
struct Accumulated {
    series: Vec<Series>,
}

/// Values of a metric with the same values of its dimensions.
struct Series {
    metric: Metric,
    texts: DimensionTexts,
    values: Values,
}

enum Values {
    /// Sum of a counter. None is not written, 0 is.
    Sum(Option<u64>),
    /// Last value of a gauge.
    Last(Option<f64>),
    /// Durations in microseconds.
    Durations(Vec<u32>),
}

impl Accumulated {
    fn add(&mut self, metric: &Metric, values: &[&'static str], count: u64) {
        if count > 0
            && let Some(Values::Sum(sum)) = self.values(metric, values)
        {
            *sum = Some(sum.unwrap_or(0).saturating_add(count));
        }
    }

    fn add_nothing(&mut self, metric: &Metric, values: &[&'static str]) {
        if let Some(Values::Sum(sum)) = self.values(metric, values) {
            sum.get_or_insert(0);
        }
    }

    fn set(&mut self, metric: &Metric, values: &[&'static str], value: f64) {
        // Another number is no JSON, and its whole line would be lost.
        if value.is_finite()
            && let Some(Values::Last(last)) = self.values(metric, values)
        {
            *last = Some(value);
        }
    }

    fn record(&mut self, metric: &Metric, values: &[&'static str], time: Duration) {
        if let Some(Values::Durations(durations)) = self.values(metric, values)
            && durations.len() < MOST_KEPT
        {
            durations.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// Values of a metric with these labels. `None` for a metric that CloudWatch does not have.
    fn values(&mut self, metric: &Metric, labels: &[&'static str]) -> Option<&mut Values> {
        let texts = texts_of(metric, labels)?;
        let is_it = |series: &Series| series.metric.name == metric.name && series.texts == texts;
        let place = self.series.iter().position(is_it).unwrap_or_else(|| {
            let values = match metric.kind {
                MetricKind::Counter => Values::Sum(None),
                MetricKind::Gauge => Values::Last(None),
                MetricKind::Histogram => Values::Durations(Vec::new()),
            };
            self.series.push(Series { metric: *metric, texts, values });
            self.series.len() - 1
        });
        self.series.get_mut(place).map(|series| &mut series.values)
    }

    /// Lines of all values, which begin anew.
    fn take_lines(&mut self, namespace: &Namespace, function: &str, now: Timestamp) -> String {
        let lines = self.lines();
        let mut text = String::with_capacity(lines.len() * USUAL_LINE);
        for line in lines {
            line.write(&mut text, namespace, function, now);
        }
        for series in &mut self.series {
            match &mut series.values {
                Values::Sum(sum) => *sum = None,
                Values::Last(last) => *last = None,
                Values::Durations(durations) => durations.clear(),
            }
        }
        text
    }

    /// Points in as few lines as possible.
    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        for point in self.series.iter().flat_map(Series::points) {
            match lines.iter_mut().find(|line| line.has_room_for(&point)) {
                Some(line) => line.points.push(point),
                None => {
                    let mut points = Vec::with_capacity(USUAL_METRICS);
                    points.push(point);
                    lines.push(Line { points });
                }
            }
        }
        lines
    }
}

/// Values of a metric's dimensions among these values of its labels. `None` for a metric that CloudWatch does not
/// have.
fn texts_of(metric: &Metric, labels: &[&'static str]) -> Option<DimensionTexts> {
    let mut texts = DimensionTexts::default();
    for (text, dimension) in texts.iter_mut().zip(metric.dimensions?) {
        let place = metric.labels.iter().position(|label| *label == dimension.name)?;
        *text = dimension.values.bounded(labels.get(place)?);
    }
    Some(texts)
}

/// Value or values of a metric in a line.
#[derive(Clone, Copy)]
enum Value<'a> {
    Integer(u64),
    Number(f64),
    /// Microseconds, one at least.
    Durations(&'a [u32]),
}

/// Part of a series that fits into a line.
#[derive(Clone, Copy)]
struct Point<'a> {
    metric: &'a Metric,
    texts: &'a DimensionTexts,
    value: Value<'a>,
}

impl Series {
    fn points(&self) -> impl Iterator<Item = Point<'_>> {
        let Self { metric, texts, values } = self;
        let (one, several): (Option<Value<'_>>, &[u32]) = match values {
            Values::Sum(sum) => (sum.map(Value::Integer), &[]),
            Values::Last(last) => (last.map(Value::Number), &[]),
            Values::Durations(durations) => (None, durations),
        };
        let several = several.chunks(MOST_VALUES).map(Value::Durations);
        one.into_iter().chain(several).map(move |value| Point { metric, texts, value })
    }
}

impl<'a> Point<'a> {
    /// Names and values of its dimensions, beside `function`.
    fn dimensions(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<'a> {
        let dimensions = self.metric.dimensions.unwrap_or_default();
        dimensions.iter().map(|dimension| dimension.name).zip(self.texts.iter().copied())
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + use<'a> {
        self.dimensions().map(|(name, _)| name)
    }

    fn write_value(&self, text: &mut String) {
        // Writing to a string does not fail.
        let _ = match self.value {
            Value::Integer(number) => write!(text, "{number}"),
            Value::Number(number) => write!(text, "{number}"),
            Value::Durations([only]) => write!(text, "{}", seconds(*only)),
            Value::Durations(several) => {
                for (place, micros) in several.iter().enumerate() {
                    let before = if place == 0 { '[' } else { ',' };
                    let _ = write!(text, "{before}{}", seconds(*micros));
                }
                write!(text, "]")
            }
        };
    }
}

fn seconds(micros: u32) -> f64 {
    f64::from(micros) / 1_000_000.0
}

/// Line of the log: each metric once, and each dimension with one value.
struct Line<'a> {
    points: Vec<Point<'a>>,
}

impl Line<'_> {
    fn has_room_for(&self, point: &Point<'_>) -> bool {
        let is_apart = |there: &Point<'_>| {
            there.metric.name != point.metric.name
                && there.dimensions().all(|(name, value)| {
                    point.dimensions().all(|(other, text)| name != other || value == text)
                })
        };
        self.points.len() < MOST_METRICS && self.points.iter().all(is_apart)
    }

    /// Appends the line. Names and values are this project's own, and need no escapes.
    fn write(&self, text: &mut String, namespace: &Namespace, function: &str, now: Timestamp) {
        let _ = write!(text, r#"{{"_aws":{{"Timestamp":{},"CloudWatchMetrics":["#, now.millis());
        let mut before = "";
        for (place, point) in self.points.iter().enumerate() {
            let is_like = |other: &&Point<'_>| other.names().eq(point.names());
            // The first point with these dimensions has all others with it.
            if self.points.iter().take(place).any(|other| is_like(&other)) {
                continue;
            }
            text.push_str(before);
            write_directive(text, namespace, self.points.iter().filter(is_like));
            before = ",";
        }
        let _ = write!(text, r#"]}},"{FUNCTION}":"{function}""#);
        self.write_dimensions(text);
        for point in &self.points {
            let _ = write!(text, r#","{}":"#, point.metric.name);
            point.write_value(text);
        }
        text.push_str("}\n");
    }

    fn write_dimensions(&self, text: &mut String) {
        let mut written: Vec<&str> = Vec::new();
        for (name, value) in self.points.iter().flat_map(Point::dimensions) {
            if !written.contains(&name) {
                written.push(name);
                let _ = write!(text, r#","{name}":"{value}""#);
            }
        }
    }
}

/// Appends the declaration of metrics with the same dimensions.
fn write_directive<'a>(
    text: &mut String,
    Namespace(namespace): &Namespace,
    points: impl Iterator<Item = &'a Point<'a>>,
) {
    for (place, point) in points.enumerate() {
        if place == 0 {
            let _ = write!(text, r#"{{"Namespace":"{namespace}","Dimensions":[["{FUNCTION}""#);
            for name in point.names() {
                let _ = write!(text, r#","{name}""#);
            }
            text.push_str(r#"]],"Metrics":["#);
        } else {
            text.push(',');
        }
        let Metric { name, unit, .. } = point.metric;
        let _ = write!(text, r#"{{"Name":"{name}","Unit":"{}"}}"#, unit.name());
    }
    text.push_str("]}");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::runtime::metrics::{
        ALL, COLD_STARTS, COMMANDS, DONE, JOBS, LAG, ORDERS, OWN_CALLS, REQUESTS, STATUSES, VALUE,
    };

    const NOW: i64 = 1_795_375_353_007;

    fn lines_of(all: &mut Accumulated) -> Vec<Json> {
        let namespace = Namespace::parse("oms/shop").unwrap();
        let text = all.take_lines(&namespace, "orders", Timestamp::from_millis(NOW));
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks a line by the published rules of the format.
    fn check(line: &Json) {
        assert!(line.to_string().len() <= 256 * 1024);
        let root = line.as_object().unwrap();
        let aws = root["_aws"].as_object().unwrap();
        assert!(aws["Timestamp"].as_i64().is_some_and(|millis| millis >= 0));
        let directives = aws["CloudWatchMetrics"].as_array().unwrap();
        assert!(!directives.is_empty());
        for directive in directives {
            let namespace = directive["Namespace"].as_str().unwrap();
            assert!((1..=1024).contains(&namespace.len()));
            let sets = directive["Dimensions"].as_array().unwrap();
            assert!(!sets.is_empty());
            for name in sets.iter().flat_map(|set| set.as_array().unwrap()) {
                let value = root[name.as_str().unwrap()].as_str().unwrap();
                assert!((1..=1024).contains(&value.len()));
            }
            assert!(sets.iter().all(|set| set.as_array().unwrap().len() <= 30));
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!((1..=100).contains(&metrics.len()));
            for metric in metrics {
                assert!(["Seconds", "Count"].contains(&metric["Unit"].as_str().unwrap()));
                match &root[metric["Name"].as_str().unwrap()] {
                    Json::Number(_) => {}
                    Json::Array(values) => {
                        assert!((1..=100).contains(&values.len()) && values.iter().all(Json::is_number));
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }

    #[test]
    fn the_values_of_an_invocation_are_one_line() {
        let mut all = Accumulated::default();
        all.add(&ORDERS, &["placed"], 1);
        all.add(&VALUE, &["EUR"], 3_800);
        for millis in [2, 3] {
            all.record(&COMMANDS, &["find", "ok"], Duration::from_millis(millis));
        }
        all.record(&OWN_CALLS, &["/a/B", "0"], Duration::from_micros(1_234));
        let lines = lines_of(&mut all);
        let metric = |name: &str, unit: &str| json!({ "Name": name, "Unit": unit });
        let directive = |dimensions: Json, metrics: Vec<Json>| json!({ "Namespace": "oms/shop", "Dimensions": [dimensions], "Metrics": metrics });
        let durations = ["mongodb_command_duration_seconds", "rpc_client_duration_seconds"];
        let expected = json!({
            "_aws": { "Timestamp": NOW, "CloudWatchMetrics": [
                directive(json!(["function", "status"]), vec![metric("orders_total", "Count")]),
                directive(json!(["function", "currency"]), vec![metric("orders_value_total", "Count")]),
                directive(json!(["function"]), durations.map(|name| metric(name, "Seconds")).to_vec()),
            ] },
            "function": "orders",
            "status": "placed",
            "currency": "EUR",
            "orders_total": 1,
            "orders_value_total": 3800,
            "mongodb_command_duration_seconds": [0.002, 0.003],
            "rpc_client_duration_seconds": 0.001234,
        });
        assert_eq!(lines, [expected]);
        lines.iter().for_each(check);
        // All is written once.
        assert!(lines_of(&mut all).is_empty());
    }

    #[test]
    fn a_dimension_with_several_values_takes_several_lines() {
        let mut all = Accumulated::default();
        for job in JOBS {
            all.set(&LAG, &[job], 0.0);
            all.add(&DONE, &[job], if *job == "expiry" { 7 } else { 0 });
        }
        let lines = lines_of(&mut all);
        assert_eq!(lines.len(), JOBS.len());
        for (line, job) in lines.iter().zip(JOBS) {
            check(line);
            assert_eq!((&line["job"], &line["reconcile_lag_seconds"]), (&json!(job), &json!(0)));
            // A counter that has not grown is not written; a gauge of 0 is news.
            let done = if *job == "expiry" { json!(7) } else { Json::Null };
            assert_eq!(line["reconcile_done_total"], done, "{job}");
        }
    }

    #[test]
    fn nothing_is_a_value_and_no_gap_if_asked_for() {
        let mut all = Accumulated::default();
        all.add_nothing(&ORDERS, &["placed"]);
        all.add(&ORDERS, &["paid"], 2);
        all.add_nothing(&ORDERS, &["paid"]);
        let lines = lines_of(&mut all);
        lines.iter().for_each(check);
        let counts = lines.iter().map(|line| (line["status"].clone(), line["orders_total"].clone()));
        assert_eq!(counts.collect::<Vec<_>>(), [(json!("placed"), json!(0)), (json!("paid"), json!(2))]);
        assert!(lines_of(&mut all).is_empty());
    }

    #[test]
    fn more_than_a_hundred_durations_take_several_lines() {
        let mut all = Accumulated::default();
        for micros in 0..250 {
            all.record(&COMMANDS, &["find", "ok"], Duration::from_micros(micros));
        }
        all.add(&COLD_STARTS, &[], 1);
        let lines = lines_of(&mut all);
        lines.iter().for_each(check);
        let lengths = |line: &Json| line["mongodb_command_duration_seconds"].as_array().unwrap().len();
        assert_eq!(lines.iter().map(lengths).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(lines.iter().filter(|line| line["cold_starts_total"] == 1).count(), 1);
    }

    #[test]
    fn durations_beyond_the_most_that_are_kept_are_left_out() {
        let mut all = Accumulated::default();
        for _ in 0..MOST_KEPT + 5 {
            all.record(&COMMANDS, &["find", "ok"], Duration::from_secs(9_999));
        }
        let lines = lines_of(&mut all);
        lines.iter().for_each(check);
        assert_eq!(lines.len(), MOST_KEPT / MOST_VALUES);
    }

    #[test]
    fn a_metric_of_prometheus_alone_is_not_written() {
        let mut all = Accumulated::default();
        all.record(&REQUESTS, &["/", "GET", "200"], Duration::from_millis(1));
        assert!(lines_of(&mut all).is_empty());
    }

    #[test]
    fn an_unknown_value_of_a_dimension_is_other() {
        let mut all = Accumulated::default();
        all.add(&ORDERS, &["order_01h455vb4pex5vsknk084sn02q"], 2);
        let lines = lines_of(&mut all);
        assert_eq!((&lines[0]["status"], &lines[0]["orders_total"]), (&json!("other"), &json!(2)));
    }

    #[test]
    fn every_metric_of_cloudwatch_makes_valid_lines() {
        let mut all = Accumulated::default();
        for metric in ALL {
            assert!(metric.dimensions.unwrap_or_default().len() <= MOST_DIMENSIONS, "{}", metric.name);
            for value in STATUSES {
                let labels = vec![*value; metric.labels.len()];
                all.add(metric, &labels, 1);
                all.set(metric, &labels, 0.5);
                all.record(metric, &labels, Duration::from_millis(1));
            }
        }
        let lines = lines_of(&mut all);
        lines.iter().for_each(check);
        for metric in ALL.iter().filter(|metric| metric.dimensions.is_some()) {
            assert!(lines.iter().any(|line| line[metric.name] != Json::Null), "{}", metric.name);
        }
    }

    #[test]
    fn a_namespace_has_the_characters_that_cloudwatch_allows() {
        for good in ["oms/shop", "a", "A-1_b.c#d:e", &"x".repeat(255)] {
            assert!(Namespace::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ":a", "AWS/Lambda", "a b", "ä", "a\"b", &"x".repeat(256)] {
            assert!(Namespace::parse(bad).is_err(), "{bad}");
        }
    }
}
