//! Metrics of a plain service, which `GET /metrics` shows in Prometheus' text format on a port of its own.
//!
//! Each metric is a row of [`ALL`]. Elsewhere than in a plain service that was asked for them, measuring does nothing.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// True once metrics are asked for.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Returns true if metrics are measured.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
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
    proto::methods().find(|known| *known == path).unwrap_or("other")
}

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Number that only grows.
    Counter,
    /// Current number of seconds.
    Gauge,
    /// Distribution of durations in seconds.
    Histogram,
}

/// Declaration of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, with the unit at its end.
    pub name: &'static str,
    /// Kind.
    pub kind: MetricKind,
    /// Names of its labels. Their values are few: no ID, no text of a client.
    pub labels: &'static [&'static str],
    /// Meaning, for operators.
    pub description: &'static str,
}

/// Requests over HTTP.
pub const REQUESTS: Metric = Metric {
    name: "http_server_request_duration_seconds",
    kind: MetricKind::Histogram,
    labels: &["http_route", "http_request_method", "http_response_status_code"],
    description: "Requests over REST, by the pattern of their path",
};

/// Calls that were answered.
pub const CALLS: Metric = Metric {
    name: "rpc_server_duration_seconds",
    kind: MetricKind::Histogram,
    labels: &["rpc_method", "rpc_grpc_status_code"],
    description: "Calls over gRPC that this service has answered",
};

/// Calls of other functions.
pub const OWN_CALLS: Metric = Metric {
    name: "rpc_client_duration_seconds",
    kind: MetricKind::Histogram,
    labels: &["rpc_method", "rpc_grpc_status_code"],
    description: "Calls over gRPC that this service has made, each attempt",
};

/// Commands of MongoDB.
pub const COMMANDS: Metric = Metric {
    name: "mongodb_command_duration_seconds",
    kind: MetricKind::Histogram,
    labels: &["command", "outcome"],
    description: "Commands sent to MongoDB; the outcome is `ok` or `failed`",
};

/// Runs of Reconcile.
pub const RUNS: Metric = Metric {
    name: "reconcile_runs_total",
    kind: MetricKind::Counter,
    labels: &["outcome"],
    description: "Runs of Reconcile; the outcome is `finished`, `continues` or `failed`",
};

/// Work of Reconcile.
pub const DONE: Metric = Metric {
    name: "reconcile_done_total",
    kind: MetricKind::Counter,
    labels: &["job"],
    description: "Orders, journal entries, holds and voids that a job of Reconcile has settled",
};

/// Orders that Reconcile has set aside.
pub const SET_ASIDE: Metric = Metric {
    name: "reconcile_set_aside_total",
    kind: MetricKind::Counter,
    labels: &["job"],
    description: "Orders that a job of Reconcile has set aside",
};

/// Lag of Reconcile.
pub const LAG: Metric = Metric {
    name: "reconcile_lag_seconds",
    kind: MetricKind::Gauge,
    labels: &["job"],
    description: "Age of the oldest thing that is due and left, after the last run of this process; 0 if nothing is",
};

/// All metrics.
pub const ALL: &[Metric] = &[REQUESTS, CALLS, OWN_CALLS, COMMANDS, RUNS, DONE, SET_ASIDE, LAG];

impl Metric {
    /// Adds to a counter. There is a value for each label.
    pub fn add<const N: usize>(&self, values: [&'static str; N], count: u64) {
        if is_on() {
            shown::add(self, &values, count);
        }
    }

    /// Sets a gauge.
    pub fn set<const N: usize>(&self, values: [&'static str; N], age: Duration) {
        if is_on() {
            shown::set(self, &values, age);
        }
    }

    /// Forgets the values of a gauge, of which this process knows nothing any more.
    pub fn forget(&self) {
        if is_on() {
            shown::forget(self);
        }
    }

    /// Records a duration in a histogram.
    pub fn record<const N: usize>(&self, values: [&'static str; N], time: Duration) {
        if is_on() {
            shown::record(self, &values, time);
        }
    }
}

#[cfg(feature = "socket")]
pub(crate) use shown::{Listener, listen};

#[cfg(not(feature = "socket"))]
mod shown {
    use std::time::Duration;

    use super::Metric;

    pub(super) fn add(_: &Metric, _: &[&'static str], _: u64) {}

    pub(super) fn set(_: &Metric, _: &[&'static str], _: Duration) {}

    pub(super) fn record(_: &Metric, _: &[&'static str], _: Duration) {}

    pub(super) fn forget(_: &Metric) {}
}

#[cfg(feature = "socket")]
mod shown {
    use std::collections::HashMap;
    use std::convert::Infallible;
    use std::future::pending;
    use std::net::SocketAddr;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use axum::Router;
    use axum::response::IntoResponse as _;
    use axum::routing::get;
    use http::header;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::{Family, MetricConstructor};
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Registry;
    use tokio::net::TcpListener;

    use super::{ALL, IS_ON, Metric, MetricKind};
    use crate::error::Error as RequestError;
    use crate::runtime::listener;
    use crate::runtime::run::Error;

    /// Upper bounds of the durations that are counted together, in seconds.
    const BOUNDS: [f64; 14] =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0];

    /// Connections of scrapers.
    const CONNECTIONS: usize = 16;

    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Names and values of labels.
    type Labels = Vec<(&'static str, &'static str)>;

    /// Creates histograms with the same bounds.
    #[derive(Clone)]
    struct Bounded;

    impl MetricConstructor<Histogram> for Bounded {
        fn new_metric(&self) -> Histogram {
            Histogram::new(BOUNDS)
        }
    }

    enum Values {
        Counter(Family<Labels, Counter>),
        Gauge(Family<Labels, Gauge<f64, AtomicU64>>),
        Histogram(Family<Labels, Histogram, Bounded>),
    }

    struct Recorder {
        registry: Registry,
        values: HashMap<&'static str, Values>,
    }

    static RECORDER: LazyLock<Recorder> = LazyLock::new(|| {
        let (mut registry, mut values) = (Registry::default(), HashMap::new());
        for Metric { name, kind, description, .. } in ALL {
            values.insert(
                *name,
                match kind {
                    MetricKind::Counter => {
                        let family = Family::default();
                        // The suffix of counters is added when they are written.
                        registry.register(name.trim_end_matches("_total"), *description, family.clone());
                        Values::Counter(family)
                    }
                    MetricKind::Gauge => {
                        let family = Family::default();
                        registry.register(*name, *description, family.clone());
                        Values::Gauge(family)
                    }
                    MetricKind::Histogram => {
                        let family = Family::new_with_constructor(Bounded);
                        registry.register(*name, *description, family.clone());
                        Values::Histogram(family)
                    }
                },
            );
        }
        Recorder { registry, values }
    });

    fn labels(metric: &Metric, values: &[&'static str]) -> Labels {
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        metric.labels.iter().copied().zip(values.iter().copied()).collect()
    }

    pub(super) fn add(metric: &Metric, values: &[&'static str], count: u64) {
        if let Some(Values::Counter(family)) = RECORDER.values.get(metric.name) {
            family.get_or_create(&labels(metric, values)).inc_by(count);
        }
    }

    pub(super) fn set(metric: &Metric, values: &[&'static str], age: Duration) {
        if let Some(Values::Gauge(family)) = RECORDER.values.get(metric.name) {
            family.get_or_create(&labels(metric, values)).set(age.as_secs_f64());
        }
    }

    pub(super) fn forget(metric: &Metric) {
        if let Some(Values::Gauge(family)) = RECORDER.values.get(metric.name) {
            family.clear();
        }
    }

    pub(super) fn record(metric: &Metric, values: &[&'static str], time: Duration) {
        if let Some(Values::Histogram(family)) = RECORDER.values.get(metric.name) {
            family.get_or_create(&labels(metric, values)).observe(time.as_secs_f64());
        }
    }

    /// Listener for the metrics of this process.
    pub(crate) struct Listener(TcpListener);

    /// Binds the address, and measures from now on.
    pub(crate) async fn listen(address: SocketAddr) -> Result<Listener, Error> {
        let socket = TcpListener::bind(address)
            .await
            .map_err(|error| format!("{address} cannot be bound: {error}; set another METRICS_PORT"))?;
        IS_ON.store(true, Ordering::Relaxed);
        Ok(Listener(socket))
    }

    impl Listener {
        /// Serves the metrics until it is dropped.
        pub(crate) async fn serve(self) -> Infallible {
            let router = Router::new().route("/metrics", get(metrics));
            let mut settings = listener::Settings::default();
            settings.limits.connections = CONNECTIONS;
            if let Err(error) = listener::serve(self.0, router, settings, pending()).await {
                tracing::error!("the metrics cannot be served: {}", error.kind());
            }
            pending().await
        }
    }

    async fn metrics() -> axum::response::Response {
        let mut text = String::new();
        match encode(&mut text, &RECORDER.registry) {
            Ok(()) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
            Err(_) => RequestError::internal("the metrics cannot be written").into_response(),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test]
        async fn metrics_are_shown_with_their_labels() {
            super::super::IS_ON.store(true, Ordering::Relaxed);
            super::super::DONE.add(["folding"], 3);
            super::super::LAG.set(["expiry"], Duration::from_millis(1_500));
            super::super::COMMANDS.record(["find", "ok"], Duration::from_millis(3));
            let text = axum::body::to_bytes(metrics().await.into_body(), usize::MAX).await.unwrap();
            let text = String::from_utf8(text.to_vec()).unwrap();
            for line in [
                "reconcile_done_total{job=\"folding\"} 3\n",
                "reconcile_lag_seconds{job=\"expiry\"} 1.5\n",
                "mongodb_command_duration_seconds_bucket{le=\"0.005\",command=\"find\",outcome=\"ok\"}",
            ] {
                assert!(text.contains(line), "{line} in {text}");
            }
            for metric in [super::super::DONE, super::super::LAG, super::super::COMMANDS] {
                assert!(text.contains(metric.description), "{}", metric.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_the_name_of_its_kind() {
        for Metric { name, kind, .. } in ALL {
            let end = if *kind == MetricKind::Counter { "_total" } else { "_seconds" };
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
}
