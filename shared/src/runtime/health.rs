//! Health of a plain service: `GET /health`, `GET /ready`, gRPC's health service, and the check for containers.
//!
//! A service is alive while it answers. It is ready while a probe finds what it depends on, until the signal to stop.
//! The probe runs at intervals, so questions cost nothing.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::error::Error;
use crate::runtime::run::Probe;

/// Interval between probes.
const EVERY: Duration = Duration::from_secs(5);

/// Interval between probes of a service that is not ready.
const AGAIN: Duration = Duration::from_secs(1);

/// Maximum time of a probe.
const PATIENCE: Duration = Duration::from_secs(3);

/// Maximum time of the check for containers.
const CHECK: Duration = Duration::from_secs(3);

/// Path that says whether the process lives.
const ALIVE: &str = "/health";

/// Path that says whether requests should be sent to it.
const READY: &str = "/ready";

/// Readiness of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Away,
    Stopping,
}

/// Health of a service.
#[derive(Clone)]
pub struct Health {
    state: Arc<watch::Sender<State>>,
    reporter: HealthReporter,
    /// Name of the gRPC service, if there is one.
    service: Option<&'static str>,
}

impl Health {
    pub(super) fn new(reporter: HealthReporter, service: Option<&'static str>) -> Self {
        Self { state: Arc::new(watch::Sender::new(State::Ready)), reporter, service }
    }

    /// Probes at intervals until it is dropped.
    pub(super) async fn probe_with(self, probe: Option<Probe>) {
        let Some(probe) = probe else { return };
        loop {
            sleep(if *self.state.borrow() == State::Ready { EVERY } else { AGAIN }).await;
            let found = timeout(PATIENCE, probe()).await;
            let found =
                found.unwrap_or_else(|_| Err(Error::unavailable("the probe was not answered in time")));
            let state = if found.is_ok() { State::Ready } else { State::Away };
            if !self.change(state).await {
                continue;
            }
            match found {
                Ok(()) => tracing::info!("ready again"),
                Err(error) => tracing::warn!(causes = error.causes(), "not ready: {error}"),
            }
        }
    }

    /// Reports that requests should be sent elsewhere.
    pub(super) async fn stop(&self) {
        self.change(State::Stopping).await;
    }

    /// Ends the calls that watch the health. Else they would hold up the end of the process.
    pub(super) async fn end(mut self) {
        for service in ["", self.service.unwrap_or_default()] {
            self.reporter.clear_service_status(service).await;
        }
    }

    /// Sets the state. Returns true if it was another one.
    async fn change(&self, state: State) -> bool {
        let is_new = self.state.send_if_modified(|current| {
            let is_new = *current != state && *current != State::Stopping;
            if is_new {
                *current = state;
            }
            is_new
        });
        if is_new {
            let status =
                if state == State::Ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in std::iter::once("").chain(self.service) {
                self.reporter.set_service_status(service, status).await;
            }
        }
        is_new
    }

    /// Answers a request about the health, if it is one. A function that has a route of its own for it answers itself.
    pub(super) fn answer(&self, request: &Request) -> Option<Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let (status, text) = match request.uri().path() {
            ALIVE if self.service.is_some() => (StatusCode::OK, r#"{"status":"ok"}"#),
            READY => match *self.state.borrow() {
                State::Ready => (StatusCode::OK, r#"{"status":"ready"}"#),
                State::Away => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"not ready"}"#),
                State::Stopping => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stopping"}"#),
            },
            _ => return None,
        };
        let mut response =
            Response::new(if request.method() == Method::HEAD { Body::empty() } else { text.into() });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}

/// Asks the service that listens at this address of this machine whether it is ready.
///
/// Images have no shell and no client for HTTP, so the program itself is the check of a container's health.
///
/// # Errors
/// Reason why it is not ready.
pub(super) fn check(address: SocketAddr) -> Result<(), String> {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    let away = |error: std::io::Error| format!("{address} does not answer: {}", error.kind());
    let mut stream = TcpStream::connect_timeout(&address, CHECK).map_err(away)?;
    stream.set_read_timeout(Some(CHECK)).map_err(away)?;
    stream.set_write_timeout(Some(CHECK)).map_err(away)?;
    let request = format!("GET {READY} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(away)?;
    let mut answer = Vec::new();
    stream.take(16 * 1024).read_to_end(&mut answer).map_err(away)?;
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(format!("{address} is not ready")) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tonic_health::server::health_reporter;

    use super::*;

    fn health() -> Health {
        Health::new(health_reporter().0, Some("oms.v1.Test"))
    }

    fn status(health: &Health, path: &str) -> Option<u16> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        health.answer(&request).map(|response| response.status().as_u16())
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_ready_while_its_probe_succeeds() {
        let (health, is_away) = (health(), Arc::new(AtomicBool::new(false)));
        let away = is_away.clone();
        let probe: Probe = Arc::new(move || {
            let away = away.load(Ordering::Relaxed);
            Box::pin(async move { if away { Err(Error::unavailable("away")) } else { Ok(()) } })
        });
        let probing = tokio::spawn(health.clone().probe_with(Some(probe)));
        for (away, expected) in [(false, 200), (true, 503), (false, 200)] {
            is_away.store(away, Ordering::Relaxed);
            sleep(EVERY * 2).await;
            assert_eq!((status(&health, "/ready"), status(&health, "/health")), (Some(expected), Some(200)));
        }
        probing.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_never_answered_makes_it_not_ready() {
        let health = health();
        let probe: Probe = Arc::new(|| Box::pin(std::future::pending()));
        let probing = tokio::spawn(health.clone().probe_with(Some(probe)));
        sleep(EVERY + PATIENCE + AGAIN).await;
        assert_eq!(status(&health, "/ready"), Some(503));
        probing.abort();
    }

    #[tokio::test]
    async fn a_service_that_stops_is_never_ready_again() {
        let health = health();
        health.stop().await;
        assert!(!health.change(State::Ready).await);
        assert_eq!((status(&health, "/ready"), status(&health, "/health")), (Some(503), Some(200)));
        assert_eq!(status(&health, "/products"), None);
    }
}
