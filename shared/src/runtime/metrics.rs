//! Metrics: each is a row of [`ALL`], and has two outputs.
//!
//! - `prometheus`: a plain service that was asked for them shows them with all their labels
//! - `emf`: on Lambda they become lines of the log, of which CloudWatch makes metrics with few dimensions
//!
//! Elsewhere measuring does nothing.

use std::sync::LazyLock;
use std::time::Duration;

use super::switch::Switch;

#[cfg(feature = "lambda")]
pub mod emf;
#[cfg(feature = "socket")]
mod prometheus;

#[cfg(feature = "socket")]
pub(crate) use prometheus::{Listener, listen};

static PROMETHEUS: Switch = Switch::off();

static EMF: Switch = Switch::off();

/// Returns true if metrics are measured.
pub fn is_on() -> bool {
    PROMETHEUS.is_on() || EMF.is_on()
}

/// Returns true if metrics are shown with all their labels.
pub(crate) fn has_labels() -> bool {
    PROMETHEUS.is_on()
}

/// Returns a status code of HTTP or gRPC as the value of a label.
pub fn code(number: u16) -> &'static str {
    static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| (0..1_000_u16).map(|it| it.to_string()).collect());
    TEXTS.get(usize::from(number)).map_or("other", String::as_str)
}

/// Returns the code of a call's result as the value of a label.
pub fn grpc_code(code: tonic::Code) -> &'static str {
    self::code(u16::try_from(i32::from(code)).unwrap_or(u16::MAX))
}

/// Returns the path of a call as the value of a label.
pub fn method(path: &str) -> &'static str {
    proto::methods().find(|known| *known == path).unwrap_or(OTHER)
}

/// Value of a label for all that its list does not have.
pub const OTHER: &str = "other";

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Number that only grows.
    Counter,
    /// Current value.
    Gauge,
    /// Distribution of durations.
    Histogram,
}

/// Unit of a metric, by its name in CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Number of things.
    Count,
}

impl Unit {
    /// Name in CloudWatch.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "Seconds",
            Self::Count => "Count",
        }
    }
}

/// Dimension of a metric in CloudWatch: one of the metric's labels.
#[derive(Clone, Copy, Debug)]
pub struct Dimension {
    /// Name.
    pub name: &'static str,
    /// Values. A value outside of them becomes [`OTHER`].
    pub values: DimensionValues,
}

/// Values of a dimension. There are few, since each is a metric with a price of its own.
#[derive(Clone, Copy, Debug)]
pub enum DimensionValues {
    /// These.
    Listed(&'static [&'static str]),
    /// Codes of ISO 4217, of which a shop has those in which it sells.
    Currencies,
}

impl DimensionValues {
    /// Returns the value if it is one of these, else [`OTHER`].
    pub fn bounded(self, value: &'static str) -> &'static str {
        let is_known = match self {
            Self::Listed(values) => values.contains(&value),
            Self::Currencies => iso_currency::Currency::from_code(value).is_some(),
        };
        if is_known { value } else { OTHER }
    }
}

/// Declaration of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, the same in Prometheus and CloudWatch.
    pub name: &'static str,
    /// Kind.
    pub kind: MetricKind,
    /// Unit.
    pub unit: Unit,
    /// Names of the functions that measure it.
    pub functions: &'static [&'static str],
    /// Names of its labels in Prometheus. Their values are few: no ID, no text of a client.
    pub labels: &'static [&'static str],
    /// Labels that CloudWatch has as dimensions, beside `function`. `None`: it is in Prometheus alone.
    pub dimensions: Option<&'static [Dimension]>,
    /// Meaning, for operators.
    pub description: &'static str,
}

/// Names of the functions.
const FUNCTIONS: &[&str] = &["orders", "products", "users", "docs", "console", "maintenance"];

/// Names of the functions that answer requests over HTTP.
const OF_REST: &[&str] = &["orders", "products", "users", "docs", "console"];

/// Statuses that orders reach, as [`ORDERS`] counts them.
pub const STATUSES: &[&str] = &["placed", "paid", "shipped", "cancelled", "expired", "returned"];

/// Reasons for which a placement is refused.
pub const REASONS: &[&str] = &["out_of_stock", "open_orders", "rate", OTHER];

/// Jobs of Reconcile.
pub const JOBS: &[&str] = &["tasks", "changes", "expiry", "folding", "holds", "pruning"];

/// Outcomes of a run of Reconcile.
pub const OUTCOMES: &[&str] = &["finished", "continues", "failed"];

const OUTCOME: Dimension = Dimension { name: "outcome", values: DimensionValues::Listed(OUTCOMES) };

const STATUS: Dimension = Dimension { name: "status", values: DimensionValues::Listed(STATUSES) };

const REASON: Dimension = Dimension { name: "reason", values: DimensionValues::Listed(REASONS) };

const JOB: Dimension = Dimension { name: "job", values: DimensionValues::Listed(JOBS) };

const CURRENCY: Dimension = Dimension { name: "currency", values: DimensionValues::Currencies };

/// Requests over HTTP.
pub const REQUESTS: Metric = Metric {
    name: "http_server_request_duration_seconds",
    kind: MetricKind::Histogram,
    unit: Unit::Seconds,
    functions: OF_REST,
    labels: &["http_route", "http_request_method", "http_response_status_code"],
    dimensions: None,
    description: "Requests over REST, by the pattern of their path",
};

/// Calls that were answered.
pub const CALLS: Metric = Metric {
    name: "rpc_server_duration_seconds",
    kind: MetricKind::Histogram,
    unit: Unit::Seconds,
    functions: &["orders", "products", "users"],
    labels: &["rpc_method", "rpc_grpc_status_code"],
    dimensions: None,
    description: "Calls over gRPC that this service has answered",
};

/// Calls of other functions.
pub const OWN_CALLS: Metric = Metric {
    name: "rpc_client_duration_seconds",
    kind: MetricKind::Histogram,
    unit: Unit::Seconds,
    functions: &["orders", "products", "console", "maintenance"],
    labels: &["rpc_method", "rpc_grpc_status_code"],
    dimensions: Some(&[]),
    description: "Calls over gRPC that this service has made, each attempt",
};

/// Commands of MongoDB.
pub const COMMANDS: Metric = Metric {
    name: "mongodb_command_duration_seconds",
    kind: MetricKind::Histogram,
    unit: Unit::Seconds,
    functions: &["orders", "products", "users", "maintenance"],
    labels: &["command", "outcome"],
    dimensions: Some(&[]),
    description: "Commands sent to MongoDB; the outcome is `ok` or `failed`",
};

/// Orders by the status that they reach.
pub const ORDERS: Metric = Metric {
    name: "orders_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: &["orders"],
    labels: &["status"],
    dimensions: Some(&[STATUS]),
    description: "Orders that have reached a status by a write of this process; `expired` were not paid in time",
};

/// Refused placements.
pub const REFUSED: Metric = Metric {
    name: "orders_refused_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: &["orders"],
    labels: &["reason"],
    dimensions: Some(&[REASON]),
    description: "Orders that were refused with a 4xx after their body was read; `other` is any other reason",
};

/// Value of orders.
pub const VALUE: Metric = Metric {
    name: "orders_value_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: &["orders"],
    labels: &["currency"],
    dimensions: Some(&[CURRENCY]),
    description: "Totals of placed orders, in minor units of the currency",
};

/// Runs of Reconcile.
pub const RUNS: Metric = Metric {
    name: "reconcile_runs_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: &["orders"],
    labels: &["outcome"],
    dimensions: Some(&[OUTCOME]),
    description: "Runs of Reconcile; the outcome is `finished`, `continues` or `failed`",
};

/// Work of Reconcile.
pub const DONE: Metric = Metric {
    name: "reconcile_done_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: &["orders"],
    labels: &["job"],
    dimensions: Some(&[JOB]),
    description: "Orders, journal entries, holds and voids that a job of Reconcile has settled",
};

/// Orders that Reconcile has set aside.
pub const SET_ASIDE: Metric = Metric {
    name: "reconcile_set_aside_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: &["orders"],
    labels: &["job"],
    dimensions: Some(&[JOB]),
    description: "Orders that a job of Reconcile has set aside",
};

/// Lag of Reconcile.
pub const LAG: Metric = Metric {
    name: "reconcile_lag_seconds",
    kind: MetricKind::Gauge,
    unit: Unit::Seconds,
    functions: &["orders"],
    labels: &["job"],
    dimensions: Some(&[JOB]),
    description: "Age of the oldest due work that is left, by the last run that could read it; 0 if none",
};

/// Violations that the consistency check has found.
pub const VIOLATIONS: Metric = Metric {
    name: "consistency_violations",
    kind: MetricKind::Gauge,
    unit: Unit::Count,
    functions: &["maintenance"],
    labels: &[],
    dimensions: Some(&[]),
    description: "Violations that the last whole run of the consistency check has found",
};

/// Runs of the consistency check.
pub const CHECKS: Metric = Metric {
    name: "consistency_runs_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: &["maintenance"],
    labels: &[],
    dimensions: Some(&[]),
    description: "Runs of the consistency check that have come to their end",
};

/// Documents that cannot be read.
pub const UNREADABLE: Metric = Metric {
    name: "unreadable_documents_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: &["orders", "products", "users"],
    labels: &[],
    dimensions: Some(&[]),
    description: "Stored documents that a list, a check or Reconcile has left out since they cannot be read, each time",
};

/// Cold starts.
pub const COLD_STARTS: Metric = Metric {
    name: "cold_starts_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    functions: FUNCTIONS,
    labels: &[],
    dimensions: Some(&[]),
    description: "First invocations of a process, on Lambda",
};

/// Duration of the init phase.
pub const INIT: Metric = Metric {
    name: "init_duration_seconds",
    kind: MetricKind::Histogram,
    unit: Unit::Seconds,
    functions: FUNCTIONS,
    labels: &[],
    dimensions: Some(&[]),
    description: "Time from `main` until the function asks Lambda for its first invocation, ready or not",
};

/// All metrics.
pub const ALL: &[Metric] = &[
    REQUESTS,
    CALLS,
    OWN_CALLS,
    COMMANDS,
    ORDERS,
    REFUSED,
    VALUE,
    RUNS,
    DONE,
    SET_ASIDE,
    LAG,
    VIOLATIONS,
    CHECKS,
    UNREADABLE,
    COLD_STARTS,
    INIT,
];

impl Metric {
    /// Adds to a counter. There is a value for each label.
    pub fn add<const N: usize>(&self, values: [&'static str; N], count: u64) {
        #[cfg(feature = "socket")]
        if PROMETHEUS.is_on() {
            prometheus::add(self, &values, count);
        }
        #[cfg(feature = "lambda")]
        if EMF.is_on() {
            emf::add(self, &values, count);
        }
        #[cfg(not(any(feature = "lambda", feature = "socket")))]
        let _ = (values, count);
    }

    /// Says that there was nothing to count. CloudWatch then has a 0 and no gap, which an alarm cannot compare.
    pub fn add_nothing<const N: usize>(&self, values: [&'static str; N]) {
        #[cfg(feature = "lambda")]
        if EMF.is_on() {
            emf::add_nothing(self, &values);
        }
        #[cfg(not(feature = "lambda"))]
        let _ = values;
    }

    /// Sets a gauge, in its unit.
    pub fn set<const N: usize>(&self, values: [&'static str; N], value: f64) {
        #[cfg(feature = "socket")]
        if PROMETHEUS.is_on() {
            prometheus::set(self, &values, value);
        }
        #[cfg(feature = "lambda")]
        if EMF.is_on() {
            emf::set(self, &values, value);
        }
        #[cfg(not(any(feature = "lambda", feature = "socket")))]
        let _ = (values, value);
    }

    /// Forgets the values of a gauge, of which this process knows nothing any more. CloudWatch keeps no current
    /// value, so there is nothing to forget.
    pub fn forget(&self) {
        #[cfg(feature = "socket")]
        if PROMETHEUS.is_on() {
            prometheus::forget(self);
        }
    }

    /// Records a duration in a histogram.
    pub fn record<const N: usize>(&self, values: [&'static str; N], time: Duration) {
        #[cfg(feature = "socket")]
        if PROMETHEUS.is_on() {
            prometheus::record(self, &values, time);
        }
        #[cfg(feature = "lambda")]
        if EMF.is_on() {
            emf::record(self, &values, time);
        }
        #[cfg(not(any(feature = "lambda", feature = "socket")))]
        let _ = (values, time);
    }

    /// Number of metrics in CloudWatch with values from the lists, for this number of currencies.
    pub fn series(&self, currencies: usize) -> usize {
        let Some(dimensions) = self.dimensions else { return 0 };
        let values = dimensions.iter().map(|dimension| match dimension.values {
            DimensionValues::Listed(values) => values.len(),
            DimensionValues::Currencies => currencies,
        });
        self.functions.len() * values.product::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_the_name_of_its_kind_and_unit() {
        for Metric { name, kind, unit, .. } in ALL {
            let end = match (kind, unit) {
                (MetricKind::Counter, Unit::Count) => "_total",
                (MetricKind::Gauge | MetricKind::Histogram, Unit::Seconds) => "_seconds",
                (MetricKind::Gauge, Unit::Count) => "s",
                (MetricKind::Counter, Unit::Seconds) | (MetricKind::Histogram, Unit::Count) => {
                    panic!("{name}: no name for {kind:?} of {unit:?}")
                }
            };
            assert!(name.ends_with(end), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn values_of_labels_are_few() {
        assert_eq!((code(404), code(65_535)), ("404", "other"));
        assert_eq!((grpc_code(tonic::Code::Unavailable), method("/a.B/Made up")), ("14", "other"));
        assert_eq!(method("/oms.orders.v1.OrderService/GetOrder"), "/oms.orders.v1.OrderService/GetOrder");
    }

    #[test]
    fn dimensions_are_labels_with_values_from_a_list() {
        for metric in ALL {
            for dimension in metric.dimensions.unwrap_or_default() {
                assert!(metric.labels.contains(&dimension.name), "{}: {}", metric.name, dimension.name);
                assert_eq!(dimension.values.bounded("order_01h455vb4pex5vsknk084sn02q"), OTHER);
                if let DimensionValues::Listed(values) = dimension.values {
                    assert!((2..=10).contains(&values.len()), "{}: {}", metric.name, dimension.name);
                    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
                    assert!(values.iter().all(|value| value.bytes().all(is_plain)), "{values:?}");
                }
            }
            // A function is the dimension of all, and every function is known.
            assert!(!metric.labels.contains(&"function"), "{}", metric.name);
            assert!(metric.functions.iter().all(|it| FUNCTIONS.contains(it)), "{}", metric.name);
        }
        assert_eq!([CURRENCY.values.bounded("EUR"), CURRENCY.values.bounded("XYZ")], ["EUR", OTHER]);
    }

    #[test]
    fn no_label_is_an_identifier() {
        for label in ALL.iter().flat_map(|metric| metric.labels) {
            let mut words = label.split('_');
            let is_one =
                |word: &str| ["id", "key", "email", "name", "path", "address", "user", "sku"].contains(&word);
            assert!(!words.any(is_one), "{label}");
        }
    }

    #[test]
    fn a_name_is_declared_once() {
        let names: std::collections::HashSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
