//! Host of a function as an ordinary service: REST and gRPC on one port, with gRPC's health service and, if it is
//! asked for, reflection.
//!
//! A user is identified by an access token (`authorization: Bearer`), over REST and gRPC. Another function is
//! identified by the signed metadata of its call, from loopback as from anywhere (see `rpc::signature`).
//!
//! gRPC is accepted over HTTP/2 only. Browsers do not use HTTP/2 without TLS. So a web page cannot make a
//! gRPC call on loopback, whatever name it uses for 127.0.0.1.

use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Version, header};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::Status;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;
use tower::ServiceExt as _;

use crate::rpc::server::RpcServer;
use crate::rpc::services;
use crate::rpc::signature::CallersSecret;
use crate::runtime::config::{
    CALLERS_SECRET, CALLERS_SECRET_PREVIOUS, GRPC_REFLECTION, LISTEN_ADDRESS, METRICS_PORT, PORT, Variables,
};
use crate::runtime::health::Health;
use crate::runtime::run::{Error, ServiceApp};
use crate::runtime::telemetry::LogFormat;
use crate::runtime::{listener, metrics, secrets};
use crate::values::clock::Clock;

/// Pause before work begins again that has panicked.
const AFTER_A_PANIC: Duration = Duration::from_secs(10);

/// gRPC's reflection: names all methods and messages to anybody who can connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reflection {
    /// The service is there.
    On,
    /// It is not.
    #[default]
    Off,
}

/// Settings of the server.
#[derive(Clone)]
pub struct Settings {
    /// Address to listen on.
    pub address: SocketAddr,
    /// Address of the metrics, if they are asked for.
    pub metrics: Option<SocketAddr>,
    /// Secret that signs the calls of other functions; without it they are refused.
    pub callers: Option<CallersSecret>,
    /// Reflection.
    pub reflection: Reflection,
}

impl Settings {
    /// Reads `LISTEN_ADDRESS` (default: loopback), `PORT` (default: `port`; 0 takes a free one), `CALLERS_SECRET`
    /// and `GRPC_REFLECTION`. `None` if that failed; the problem is recorded in `variables`.
    pub fn read(variables: &mut Variables, port: u16) -> Option<Self> {
        if variables.is_set(FORMER_TRUST) {
            variables.problem(format!(
                "{FORMER_TRUST} has gone: set CALLERS_SECRET, by which functions prove that they call, and unset it"
            ));
        }
        let address = address(variables, port);
        let metrics = variables.optional(METRICS_PORT.name, a_port);
        let is_wrong = variables.is_set(METRICS_PORT.name) && metrics.is_none();
        let reflection = variables.or(GRPC_REFLECTION.name, Reflection::Off, |text| match text {
            "0" => Ok(Reflection::Off),
            "1" => Ok(Reflection::On),
            _ => Err("must be 0 or 1".to_owned()),
        });
        let services = &mut services::Services::new(Clock::system());
        let mut secret = |name| secrets::optional(variables, services, name, CallersSecret::check);
        let (callers, other) = (secret(CALLERS_SECRET.name), secret(CALLERS_SECRET_PREVIOUS.name));
        let address = address.filter(|_| !is_wrong)?;
        Some(Self {
            address,
            metrics: metrics.map(|port| SocketAddr::new(address.ip(), port)),
            callers: callers.map(|source| CallersSecret::new(source, other)),
            reflection: reflection?,
        })
    }
}

/// Reads the address to listen on: `LISTEN_ADDRESS` and `PORT`, with this default.
pub(super) fn address(variables: &mut Variables, port: u16) -> Option<SocketAddr> {
    let ip = variables.or(LISTEN_ADDRESS.name, IpAddr::V4(Ipv4Addr::LOCALHOST), |text| {
        let wrong = "must be an IP address, such as 127.0.0.1, or 0.0.0.0 for all that this machine has";
        text.parse().map_err(|_| wrong.to_owned())
    });
    let port = variables.or(PORT.name, port, a_port);
    Some(SocketAddr::new(ip?, port?))
}

fn a_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "must be 0 to 65535".to_owned())
}

/// Variable of earlier builds, which trusted callers unsigned.
const FORMER_TRUST: &str = "TRUST_CALLERS";

/// Serves until SIGTERM or Ctrl-C. A second signal ends the process at once.
///
/// # Errors
/// Error if the port cannot be bound.
pub(super) async fn run(
    name: &str,
    function: ServiceApp,
    settings: Settings,
    limits: listener::Settings,
    format: LogFormat,
    metrics: Option<metrics::Listener>,
) -> Result<(), Error> {
    let Settings { address, callers, reflection, .. } = settings;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let limits = limits.fitted_to_open_files();
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("{address} cannot be bound: {error}; set another PORT or LISTEN_ADDRESS"))?;
    let trust_note = match callers {
        Some(_) => "calls of other functions must be signed with CALLERS_SECRET",
        None => "calls of other functions are refused: CALLERS_SECRET is not set",
    };
    let address = listener.local_addr()?;
    match format {
        LogFormat::Json => tracing::info!(%address, "{name} is listening, REST and gRPC; {trust_note}"),
        // The parent process may wait for this line. The error is ignored: standard output may be closed.
        LogFormat::Text => drop(writeln!(
            std::io::stdout(),
            "{name} is listening on http://{address}, REST and gRPC; {trust_note}"
        )),
    }
    let (first, signalled) = oneshot::channel::<()>();
    let second = async move {
        either(&mut interrupt, &mut terminate).await;
        drop(first);
        either(&mut interrupt, &mut terminate).await;
    };
    let shown = async {
        match metrics {
            Some(listener) => listener.serve().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        served = serve_within(listener, function, reflection, limits, async { drop(signalled.await) }) => served,
        never = shown => match never {},
        () = second => Err("stopped by a second signal; some requests may not be finished".into()),
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Serves with the default limits until `stop` completes.
///
/// # Errors
/// Error of the listener.
pub async fn serve(
    listener: TcpListener,
    function: ServiceApp,
    reflection: Reflection,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    serve_within(listener, function, reflection, listener::Settings::default(), stop).await
}

/// Serves within these limits until `stop` completes. Running requests then have time to finish.
///
/// # Errors
/// Error of the listener.
pub async fn serve_within(
    listener: TcpListener,
    function: ServiceApp,
    reflection: Reflection,
    limits: listener::Settings,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (probe, background) = (function.probe.clone(), function.background.clone());
    let (router, health) = router(function, reflection).await?;
    let notice = limits.limits.notice;
    let stop = async {
        stop.await;
        health.stop().await;
        let health = health.clone();
        tokio::spawn(async move {
            tokio::time::sleep(notice).await;
            health.end().await;
        });
    };
    let serving = listener::serve(listener, router, limits, stop);
    let beside = async {
        let probed = health.clone();
        let probing = kept("the probe", move || probed.clone().probe_with(probe.clone()));
        let working = async {
            if let Some(work) = background {
                kept("the work beside requests", move || work()).await;
            }
        };
        futures::join!(probing, working);
        std::future::pending::<Infallible>().await
    };
    let served = tokio::select! {
        served = serving => served?,
        never = beside => match never {},
    };
    if !served {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

/// Runs work in a task of its own until it ends, and again after a panic: requests go on beside it. It ends when it is
/// dropped.
async fn kept<F>(name: &str, work: impl Fn() -> F)
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        tasks.spawn(work());
        match tasks.join_next().await {
            Some(Err(error)) if error.is_panic() => tracing::error!("{name} panicked, and begins again"),
            _ => return,
        }
        tokio::time::sleep(AFTER_A_PANIC).await;
    }
}

/// Router of the port, and its health.
///
/// # Errors
/// Error if the compiled .proto files cannot be read.
pub async fn router(function: ServiceApp, reflection: Reflection) -> Result<(Router, Health), Error> {
    let (reporter, service) = health_reporter();
    let mut grpc = Router::new().route_service("/grpc.health.v1.Health/{method}", service);
    let health = Health::new(reporter.clone(), function.rpc.as_ref().map(RpcServer::service));
    if let Some(rpc) = function.rpc {
        reporter.set_service_status(rpc.service(), ServingStatus::Serving).await;
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(rpc.service())
                .with_service_name("grpc.health.v1.Health")
        };
        if reflection == Reflection::On {
            let (v1, v1alpha) = (builder().build_v1()?, builder().build_v1alpha()?);
            grpc = grpc
                .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1)
                .route_service("/grpc.reflection.v1alpha.ServerReflection/{method}", v1alpha);
        }
        grpc = grpc.fallback(move |request| call(rpc.clone(), request));
    } else {
        grpc = grpc.fallback(async || Status::unimplemented("there are no calls here").into_http::<String>());
    }
    let services = Services { rest: function.router, grpc, health: health.clone() };
    Ok((Router::new().fallback(dispatch).with_state(services), health))
}

#[derive(Clone)]
struct Services {
    rest: Router,
    grpc: Router,
    health: Health,
}

async fn dispatch(State(services): State<Services>, request: Request) -> Response {
    let is_grpc = is_grpc(&request);
    if !is_grpc && let Some(answer) = services.health.answer(&request) {
        return answer;
    }
    let router = if is_grpc { services.grpc } else { services.rest };
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn is_grpc(request: &Request) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let kind = request.headers().get(header::CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let rest = kind.strip_prefix(GRPC);
    request.version() == Version::HTTP_2 && rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

async fn call(rpc: RpcServer, request: Request) -> Result<Response, Infallible> {
    let answer = rpc.answer_http2(request.map(tonic::body::Body::new)).await;
    Ok(answer.map(axum::body::Body::new))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_begins_again() {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        let work = move || {
            let count = count.clone();
            async move { assert!(count.fetch_add(1, Ordering::Relaxed) == 2, "planned") }
        };
        kept("work", work).await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    fn settings(set: &'static [(&str, &str)]) -> Result<Settings, String> {
        let mut variables = Variables::from_fn(move |name| {
            set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        });
        let settings = Settings::read(&mut variables, 50051);
        variables.check().map_err(|problems| problems.to_string())?;
        Ok(settings.unwrap())
    }

    #[test]
    fn only_this_machine_is_served_by_default() {
        let says = |set, address: &str| {
            assert_eq!(settings(set).map(|it| it.address), Ok(address.parse().unwrap()), "{set:?}");
        };
        says(&[], "127.0.0.1:50051");
        says(&[("PORT", "0"), ("LISTEN_ADDRESS", "")], "127.0.0.1:0");
        says(&[("LISTEN_ADDRESS", "::1")], "[::1]:50051");
        says(&[("LISTEN_ADDRESS", "0.0.0.0")], "0.0.0.0:50051");
        says(&[("LISTEN_ADDRESS", "::")], "[::]:50051");
        says(&[("LISTEN_ADDRESS", "10.0.0.7")], "10.0.0.7:50051");
    }

    #[test]
    fn callers_are_trusted_with_a_secret_alone() {
        const SECRET: &str = "a secret of the tests, 32 bytes or more";
        let is_trusting = |set| settings(set).map(|it| it.callers.is_some());
        assert_eq!(is_trusting(&[]), Ok(false));
        assert_eq!(is_trusting(&[("CALLERS_SECRET", "")]), Ok(false));
        assert_eq!(is_trusting(&[("CALLERS_SECRET", SECRET)]), Ok(true));
        let text = is_trusting(&[("CALLERS_SECRET", "hunter2")]).unwrap_err();
        assert!(text.contains("CALLERS_SECRET: must have") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn reflection_is_off_unless_it_is_asked_for() {
        let reflection = |set| settings(set).map(|it| it.reflection);
        assert_eq!(reflection(&[]), Ok(Reflection::Off));
        assert_eq!(reflection(&[("GRPC_REFLECTION", "0")]), Ok(Reflection::Off));
        assert_eq!(reflection(&[("GRPC_REFLECTION", "1")]), Ok(Reflection::On));
    }

    #[test]
    fn the_former_variable_of_trust_ends_the_process() {
        for set in [&[("TRUST_CALLERS", "0")], &[("TRUST_CALLERS", "1")]] {
            let text = settings(set).map(|_| ()).unwrap_err();
            assert!(text.contains("set CALLERS_SECRET"), "{text}");
        }
    }

    #[test]
    fn all_errors_in_the_settings_are_reported_at_once() {
        let text =
            settings(&[("PORT", "x"), ("LISTEN_ADDRESS", "here"), ("GRPC_REFLECTION", "yes")]).map(|_| ());
        let text = text.unwrap_err();
        for name in ["PORT: must", "LISTEN_ADDRESS: must", "GRPC_REFLECTION: must"] {
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn grpc_is_recognised_by_content_type_over_http2_only() {
        let accepted = |kind: &str, version| {
            is_grpc(
                &Request::builder().header("content-type", kind).version(version).body("".into()).unwrap(),
            )
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc; a=b"] {
            assert!(accepted(kind, Version::HTTP_2), "{kind}");
            assert!(!accepted(kind, Version::HTTP_11), "{kind}");
        }
        for kind in ["application/grpc-web", "application/json", ""] {
            assert!(!accepted(kind, Version::HTTP_2), "{kind}");
        }
    }
}
