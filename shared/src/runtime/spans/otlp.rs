//! Export of spans to a collector by OTLP, in protobuf over HTTP.
//!
//! A thread of the SDK sends them in batches. A request only puts a span into a bounded queue. A collector that is slow,
//! silent or away costs spans, and no request waits for it. A line of the log counts those that were lost.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks, SpanProcessor as _,
};
use tokio::runtime::Handle;

use super::{Kind, Sampling, Sink, Span, Value};
use crate::runtime::config::{OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER_ARG, Variables};

/// Path of spans below the base URL, by OTLP.
const PATH: &str = "v1/traces";

/// Most spans that wait for their export.
const QUEUE: usize = 4_096;

/// Most spans of one request to the collector.
const BATCH: usize = 512;

/// Longest time that a span waits for its batch.
const DELAY: Duration = Duration::from_secs(1);

/// Time that a request to the collector may take. A graceful stop waits for so long at most.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Largest answer of a collector that is read.
const MOST_READ: usize = 64 * 1024;

/// Settings of the export.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    endpoint: String,
    ratio: f64,
    service: String,
}

impl Settings {
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_TRACES_SAMPLER_ARG`, for a service of this name. `None` if spans
    /// are not exported, or a variable is invalid; the problem is recorded in `variables`.
    pub fn read(variables: &mut Variables, service: &str) -> Option<Self> {
        let ratio = ratio(variables);
        let endpoint = variables.optional(OTEL_EXPORTER_OTLP_ENDPOINT.name, endpoint);
        Some(Self { endpoint: endpoint?, ratio: ratio?, service: service.to_owned() })
    }

    /// Starts the export. Requests to the collector run on this runtime.
    pub fn start(self, runtime: &Handle) -> Exporter {
        let counts = Arc::new(Counts::default());
        let transport = Transport { client: client(), runtime: runtime.clone() };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(transport)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(self.endpoint)
            .with_timeout(TIMEOUT)
            // A batch whose answer was lost would arrive twice.
            .with_retry_policy(RetryPolicy::disabled())
            .build();
        if exporter.is_err() {
            tracing::warn!("no spans are exported: OpenTelemetry refuses its settings");
        }
        let resource = resource(self.service);
        let processor = exporter.ok().map(|exporter| {
            let config = BatchConfigBuilder::default()
                .with_max_queue_size(QUEUE + BATCH)
                .with_max_export_batch_size(BATCH)
                .with_scheduled_delay(DELAY)
                .build();
            let counted = Counted { exporter, counts: counts.clone() };
            let mut processor = BatchSpanProcessor::builder(counted).with_batch_config(config).build();
            processor.set_resource(&resource);
            processor
        });
        Exporter(Arc::new(Running { processor, counts, sampling: Sampling::Ratio(self.ratio) }))
    }
}

/// Reads `OTEL_TRACES_SAMPLER_ARG`. `None` if it is invalid; the problem is recorded in `variables`.
pub fn ratio(variables: &mut Variables) -> Option<f64> {
    variables.or(OTEL_TRACES_SAMPLER_ARG.name, 1.0, |text| {
        let wrong = || "must be a number from 0 to 1".to_owned();
        text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(wrong)
    })
}

/// URL of the spans below a base URL.
fn endpoint(text: &str) -> Result<String, String> {
    let wrong = || {
        "must be `http://HOST:PORT`, perhaps with a path: OTLP over HTTP without TLS, such as to a collector on this \
         machine"
            .to_owned()
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    // The parser of URIs drops a fragment.
    let is_plain = uri.scheme_str() == Some("http") && uri.query().is_none() && !text.contains('#');
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if !is_plain || !has_host || has_user {
        return Err(wrong());
    }
    Ok(format!("{}/{PATH}", text.trim_end_matches('/')))
}

/// Running export of spans. Clones are the same one.
#[derive(Clone)]
pub struct Exporter(Arc<Running>);

struct Running {
    /// `None` if the SDK has refused its settings.
    processor: Option<BatchSpanProcessor>,
    counts: Arc<Counts>,
    sampling: Sampling,
}

impl Exporter {
    /// Choice of the traces that are exported.
    pub fn sampling(&self) -> Sampling {
        self.0.sampling
    }

    /// Sends what waits, and ends the export. It blocks for some seconds at most.
    pub fn finish(&self) {
        if let Some(processor) = &self.0.processor {
            // A failure is counted where it happens. After the time-out the rest is lost with the process.
            let _ = processor.shutdown_with_timeout(TIMEOUT);
        }
        let waiting = self.0.counts.waiting.load(Ordering::Relaxed);
        self.0.counts.lost.fetch_add(waiting, Ordering::Relaxed);
        self.0.counts.report("the service ends");
    }
}

impl Sink for Exporter {
    fn end(&self, span: Span) {
        let Running { processor: Some(processor), counts, .. } = &*self.0 else { return };
        if counts.waiting.load(Ordering::Relaxed) >= QUEUE as u64 {
            counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        counts.waiting.fetch_add(1, Ordering::Relaxed);
        processor.on_end(data(span));
    }
}

/// Numbers of spans.
#[derive(Debug, Default)]
struct Counts {
    /// In the queue.
    waiting: AtomicU64,
    /// Lost since the last line about it.
    lost: AtomicU64,
}

impl Counts {
    fn report(&self, reason: &str) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "spans were not exported: {reason}");
        }
    }
}

/// Exporter that counts what it could not send.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    counts: Arc<Counts>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        self.counts.waiting.fetch_sub(count, Ordering::Relaxed);
        let sent = self.exporter.export(batch).await;
        match &sent {
            Ok(()) => self.counts.report("too many were waiting"),
            Err(_) => {
                self.counts.lost.fetch_add(count, Ordering::Relaxed);
                self.counts.report("the collector did not take them");
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends requests from the SDK's thread on the runtime of the service.
struct Transport {
    client: Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(TIMEOUT));
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl HttpClient for Transport {
    fn send_bytes<'this, 'answer>(
        &'this self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'this: 'answer,
        Self: 'answer,
    {
        let client = self.client.clone();
        // Whatever needs the runtime begins in its task: this is a thread of the SDK's.
        let exchange = async move {
            let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, MOST_READ).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        let exchange = self.runtime.spawn(async { tokio::time::timeout(TIMEOUT, exchange).await });
        Box::pin(async move { exchange.await?? })
    }
}

/// Attributes of the service: those of the standard's variables, with this name if they have none.
fn resource(name: String) -> Resource {
    let of_variables = Resource::builder().build();
    let found = of_variables.get(&Key::from_static_str("service.name"));
    match found.filter(|found| !found.as_str().starts_with("unknown_service")) {
        Some(_) => of_variables,
        None => Resource::builder().with_service_name(name).build(),
    }
}

/// The same span for the SDK.
fn data(span: Span) -> SpanData {
    let trace = TraceId::from_bytes(span.trace.to_be_bytes());
    let id = |id: u64| SpanId::from_bytes(id.to_be_bytes());
    let attribute = |(name, value): (&'static str, Value)| match value {
        Value::Text(text) => KeyValue::new(name, text),
        Value::Number(number) => KeyValue::new(name, number),
    };
    SpanData {
        span_context: SpanContext::new(trace, id(span.id), TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: span.parent.map_or(SpanId::INVALID, id),
        parent_span_is_remote: span.kind == Kind::Server && span.parent.is_some(),
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: span.name,
        start_time: span.start,
        end_time: span.start.checked_add(span.duration).unwrap_or(span.start),
        attributes: span.attributes.into_iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if span.is_failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME")).build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(set: &'static [(&str, &str)]) -> Result<Option<Settings>, String> {
        let mut variables = Variables::from_fn(move |name| {
            set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        });
        let settings = Settings::read(&mut variables, "orders");
        variables.check().map_err(|problems| problems.to_string())?;
        Ok(settings)
    }

    #[test]
    fn spans_go_below_the_base_url_of_the_collector() {
        let url = |set| settings(set).map(|it| it.map(|it| it.endpoint));
        assert_eq!(url(&[]), Ok(None));
        assert_eq!(url(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(None));
        for (base, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("http://[::1]:4318/otel/", "http://[::1]:4318/otel/v1/traces"),
        ] {
            assert_eq!(endpoint(base).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_bad_endpoint_or_ratio_is_a_wrong_variable() {
        for bad in
            ["collector", "127.0.0.1:4318", "https://collector:4318", "http://", "http://a:b@c", "http://c?d"]
        {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
        let text =
            settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://secret"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")]);
        let text = text.unwrap_err();
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT: must", "OTEL_TRACES_SAMPLER_ARG: must"] {
            assert!(text.contains(name) && !text.contains("secret"), "{text}");
        }
        assert!(settings(&[("OTEL_TRACES_SAMPLER_ARG", "NaN")]).is_err());
    }
}
