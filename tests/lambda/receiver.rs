//! A server that notes the requests that it gets, by HTTP or HTTPS, and answers them as it is told: in place of
//! CloudFormation's bucket, and of CodeDeploy.

use std::collections::VecDeque;
use std::future::IntoFuture as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::serve::Listener;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// The root that has signed the certificate of the server.
pub(crate) const ROOT: &[u8] = include_bytes!("certificates/root.pem");
const CERTIFICATE: &[u8] = include_bytes!("certificates/server.pem");
const KEY: &[u8] = include_bytes!("certificates/server-key.pem");

/// A request that has come.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// A server. It ends with the runtime of the test.
#[derive(Clone)]
pub(crate) struct Receiver {
    /// `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`.
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    /// The next answers; after them it is 200.
    refusals: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Receiver {
    pub(crate) async fn http() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(listener, format!("http://{address}"))
    }

    pub(crate) async fn https() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_slice(KEY).unwrap())
            .unwrap();
        let listener = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        Self::serve(listener, format!("https://{address}"))
    }

    fn serve<L: Listener<Addr = SocketAddr>>(listener: L, url: String) -> Self {
        let receiver = Self { url, received: Arc::default(), refusals: Arc::default() };
        let router = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        receiver
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn authority(&self) -> String {
        self.url.split_once("://").unwrap().1.to_owned()
    }

    /// Answers the next requests with these statuses.
    pub(crate) fn refuses(&self, statuses: &[StatusCode]) {
        self.refusals.lock().unwrap().extend(statuses);
    }

    /// The requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:#?}");
        received[0].clone()
    }
}

async fn receive(State(receiver): State<Receiver>, request: Request) -> (StatusCode, &'static str) {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    receiver.received.lock().unwrap().push(Received {
        method: head.method,
        target: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap(),
    });
    (receiver.refusals.lock().unwrap().pop_front().unwrap_or(StatusCode::OK), "{}")
}

/// A listener for HTTPS.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            // A client that does not trust the certificate breaks off.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
