//! A function as an ordinary service: REST and gRPC on one port, with gRPC's health and reflection.
//!
//! Who calls, is told in two ways. An access token (`authorization: Bearer`) is verified and believed
//! wherever it comes from, over REST and over gRPC. The identity in a call's metadata (`oms-caller`), which
//! is how functions tell each other on whose behalf they call, is signed by nobody. On Lambda, IAM decides
//! who may send it; here the address does. On loopback it is believed: whoever can connect is on this
//! machine. On any other address a call that has it is refused, unless `TRUST_CALLERS=1` says that only
//! the other functions can reach the port.
//!
//! gRPC is taken over HTTP/2 alone. A browser speaks no HTTP/2 without TLS, so that no page it shows can
//! make a call on loopback, whatever name the page has given to 127.0.0.1.

use std::convert::Infallible;
use std::future::{Future, IntoFuture as _};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use http::{Version, header};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::Status;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tower::ServiceExt as _;

use crate::rpc::server::{CallerTrust, RpcServer};
use crate::runtime::config::Variables;
use crate::runtime::context::SourceAddress;
use crate::runtime::run::{Error, ServiceApp};

/// How long requests may take to end after the signal to stop: less than the 10 s after which container
/// runtimes kill.
pub const DRAIN: Duration = Duration::from_secs(9);

/// Where to listen, and whom to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// Whether the identity in metadata is believed.
    pub trust: CallerTrust,
}

impl Settings {
    /// From `LISTEN_ADDRESS` (loopback if it is absent), `PORT` (else `port`; 0 takes a free one) and
    /// `TRUST_CALLERS` (0 or 1; else 1 on loopback alone). `None`: a problem is noted in `variables`.
    pub fn read(variables: &mut Variables, port: u16) -> Option<Self> {
        let ip = variables.or("LISTEN_ADDRESS", IpAddr::V4(Ipv4Addr::LOCALHOST), |text| {
            let wrong = "must be an IP address, such as 127.0.0.1, or 0.0.0.0 for all that this machine has";
            text.parse().map_err(|_| wrong.to_owned())
        });
        let port =
            variables.or("PORT", port, |text| text.parse().map_err(|_| "must be 0 to 65535".to_owned()));
        let trust = variables.or("TRUST_CALLERS", None, |text| match text {
            "0" => Ok(Some(CallerTrust::Tokens)),
            "1" => Ok(Some(CallerTrust::Metadata)),
            _ => Err("must be 0 or 1".to_owned()),
        });
        let (ip, port, trust) = (ip?, port?, trust?);
        let by_address =
            if ip.to_canonical().is_loopback() { CallerTrust::Metadata } else { CallerTrust::Tokens };
        Some(Self { address: SocketAddr::new(ip, port), trust: trust.unwrap_or(by_address) })
    }
}

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// When the port cannot be had.
pub async fn run(name: &str, function: ServiceApp, settings: Settings) -> Result<(), Error> {
    let Settings { address, trust } = settings;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        format!("{address} cannot be listened to: {error}; PORT and LISTEN_ADDRESS say another")
    })?;
    let whom = match trust {
        CallerTrust::Metadata => "whoever can connect is believed as another function is",
        CallerTrust::Tokens => "gRPC calls need an access token; with TRUST_CALLERS=1 functions are believed",
    };
    let address = listener.local_addr()?;
    // Whoever started us may wait for this line; nobody is left to tell when standard output is closed.
    let _ = writeln!(std::io::stdout(), "{name} is listening on http://{address}, REST and gRPC; {whom}");
    serve(listener, function, trust, async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
    .await?;
    Ok(())
}

/// Serves until `stop` is over; what has begun then has [`DRAIN`] to end.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    function: ServiceApp,
    trust: CallerTrust,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (router, health) = router(function, trust).await?;
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    // Small frames go at once.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move { drop(stopped.await) });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = stop => {}
    }
    health.set_service_status("", ServingStatus::NotServing).await;
    drop(stopping);
    if tokio::time::timeout(DRAIN, server).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

/// What answers on the port, and who tells how it is.
///
/// # Errors
/// When the compiled .proto files cannot be read.
pub async fn router(function: ServiceApp, trust: CallerTrust) -> Result<(Router, HealthReporter), Error> {
    let (reporter, health) = health_reporter();
    let mut grpc = Router::new().route_service("/grpc.health.v1.Health/{method}", health);
    if let Some(rpc) = function.rpc {
        reporter.set_service_status(rpc.service(), ServingStatus::Serving).await;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(rpc.service())
                .with_service_name("grpc.health.v1.Health")
        };
        let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
        grpc = grpc
            .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1)
            .route_service("/grpc.reflection.v1alpha.ServerReflection/{method}", v1alpha)
            .fallback(move |request| call(rpc.clone(), trust, request));
    } else {
        grpc = grpc.fallback(async || Status::unimplemented("there are no calls here").into_http::<String>());
    }
    let faces = Faces { rest: function.router, grpc };
    Ok((Router::new().fallback(dispatch).with_state(faces), reporter))
}

#[derive(Clone)]
struct Faces {
    rest: Router,
    grpc: Router,
}

async fn dispatch(State(faces): State<Faces>, mut request: Request) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
        request.extensions_mut().insert(SourceAddress(peer.ip()));
    }
    let router = if is_grpc(&request) { faces.grpc } else { faces.rest };
    // A task of its own: as on Lambda the work goes on when the client no longer waits, and a client that
    // hangs up cannot stop it between two writes.
    match tokio::spawn(router.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        // Both faces answer panics themselves.
        Err(_) => http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn is_grpc(request: &Request) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let kind = request.headers().get(header::CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let rest = kind.strip_prefix(GRPC);
    request.version() == Version::HTTP_2 && rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

async fn call(rpc: RpcServer, trust: CallerTrust, request: Request) -> Result<Response, Infallible> {
    let answer = rpc.answer_http2(request.map(tonic::body::Body::new), trust).await;
    Ok(answer.map(axum::body::Body::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(set: &'static [(&str, &str)]) -> Result<Settings, String> {
        let mut variables = Variables::from_fn(move |name| {
            set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        });
        let settings = Settings::read(&mut variables, 50051);
        settings.ok_or_else(|| variables.misconfigured().to_string())
    }

    #[test]
    fn nobody_but_this_machine_is_listened_to_or_believed_unless_it_is_said() {
        let says = |set, address: &str, trust| {
            assert_eq!(settings(set), Ok(Settings { address: address.parse().unwrap(), trust }), "{set:?}");
        };
        says(&[], "127.0.0.1:50051", CallerTrust::Metadata);
        says(&[("PORT", "0"), ("LISTEN_ADDRESS", "")], "127.0.0.1:0", CallerTrust::Metadata);
        says(&[("LISTEN_ADDRESS", "::1")], "[::1]:50051", CallerTrust::Metadata);
        says(&[("TRUST_CALLERS", "0")], "127.0.0.1:50051", CallerTrust::Tokens);
        says(&[("LISTEN_ADDRESS", "0.0.0.0")], "0.0.0.0:50051", CallerTrust::Tokens);
        says(&[("LISTEN_ADDRESS", "::")], "[::]:50051", CallerTrust::Tokens);
        says(&[("LISTEN_ADDRESS", "10.0.0.7")], "10.0.0.7:50051", CallerTrust::Tokens);
        says(
            &[("LISTEN_ADDRESS", "0.0.0.0"), ("TRUST_CALLERS", "1")],
            "0.0.0.0:50051",
            CallerTrust::Metadata,
        );
    }

    #[test]
    fn what_is_wrong_with_the_settings_is_told_at_once() {
        let text =
            settings(&[("PORT", "x"), ("LISTEN_ADDRESS", "here"), ("TRUST_CALLERS", "yes")]).unwrap_err();
        for name in ["PORT: must", "LISTEN_ADDRESS: must", "TRUST_CALLERS: must"] {
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn grpc_is_taken_by_its_content_type_over_http2_alone() {
        let taken = |kind: &str, version| {
            is_grpc(
                &Request::builder().header("content-type", kind).version(version).body("".into()).unwrap(),
            )
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc; a=b"] {
            assert!(taken(kind, Version::HTTP_2), "{kind}");
            assert!(!taken(kind, Version::HTTP_11), "{kind}");
        }
        for kind in ["application/grpc-web", "application/json", ""] {
            assert!(!taken(kind, Version::HTTP_2), "{kind}");
        }
    }
}
