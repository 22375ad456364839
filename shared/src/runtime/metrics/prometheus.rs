//! Output of a plain service: `GET /metrics` in Prometheus' text format, on a port of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
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

use super::{ALL, Metric, MetricKind, PROMETHEUS};
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

pub(super) fn set(metric: &Metric, values: &[&'static str], value: f64) {
    if let Some(Values::Gauge(family)) = RECORDER.values.get(metric.name) {
        family.get_or_create(&labels(metric, values)).set(value);
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
    PROMETHEUS.turn_on();
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
    match text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => RequestError::internal("the metrics cannot be written").into_response(),
    }
}

/// Metrics as a scraper reads them.
fn text() -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, &RECORDER.registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use http::{Request, Response};
    use tonic::body::Body;
    use tonic::server::NamedService;
    use tower::{Service, ServiceExt as _};

    use super::*;
    use crate::auth::Access;
    use crate::http::routes::{Guard, RouteSpec, RouteTable};
    use crate::rpc::server::RpcServer;
    use crate::runtime::metrics::{COMMANDS, DONE, LAG, UNREADABLE};
    use crate::values::clock::Clock;

    fn assert_shown(lines: &[&str]) {
        let text = text().unwrap();
        for line in lines {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn metrics_are_shown_with_their_labels() {
        PROMETHEUS.turn_on();
        DONE.add(["folding"], 3);
        LAG.set(["expiry"], 1.5);
        COMMANDS.record(["find", "ok"], Duration::from_millis(3));
        UNREADABLE.add([], 2);
        assert_shown(&[
            "reconcile_done_total{job=\"folding\"} 3\n",
            "reconcile_lag_seconds{job=\"expiry\"} 1.5\n",
            "mongodb_command_duration_seconds_bucket{le=\"0.005\",command=\"find\",outcome=\"ok\"}",
            "unreadable_documents_total{} 2\n",
        ]);
        assert_shown(&[DONE, LAG, COMMANDS].map(|metric| metric.description));
    }

    #[tokio::test]
    async fn a_request_is_measured_by_the_pattern_of_its_path() {
        static PAGE: RouteSpec = RouteSpec::get("/pages/{id}", "page").access(Access::Public);
        PROMETHEUS.turn_on();
        let router =
            RouteTable::new().route(&PAGE, async || "a page").into_router((), Guard::public(Clock::system()));
        let request = http::Request::get("/pages/7").body(axum::body::Body::empty()).unwrap();
        router.oneshot(request).await.unwrap();
        assert_shown(&[
            "http_server_request_duration_seconds_count{http_route=\"/pages/{id}\",http_request_method=\"GET\",\
             http_response_status_code=\"200\"} 1\n",
        ]);
    }

    /// Server that answers every call with an empty message.
    #[derive(Clone)]
    struct Empty;

    impl NamedService for Empty {
        const NAME: &'static str = "empty";
    }

    impl Service<Request<Body>> for Empty {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::ready(Ok(Response::new(Body::empty())))
        }
    }

    #[tokio::test]
    async fn a_call_is_measured_by_its_method_and_code() {
        PROMETHEUS.turn_on();
        let server = RpcServer::new(Empty, Clock::system());
        let call = r#"{"grpc": {"path": "/oms.users.v1.UserService/GetUser", "headers": [], "body": ""}}"#;
        server.handle(call.as_bytes()).await;
        assert_shown(&[
            "rpc_server_duration_seconds_count{rpc_method=\"/oms.users.v1.UserService/GetUser\",\
             rpc_grpc_status_code=\"0\"} 1\n",
        ]);
    }
}
