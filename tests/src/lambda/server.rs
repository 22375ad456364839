//! HTTP/1.1 on a socket of this machine, whose handler may also lose the connection instead of answering.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// The connection is closed, and nothing is answered.
#[derive(Debug)]
pub(crate) struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is lost, as was wished")
    }
}

impl std::error::Error for Lost {}

/// Answer of a handler.
pub(crate) type Answer = Result<Response<Full<Bytes>>, Lost>;

/// Listens until it is dropped, and its connections with it.
#[derive(Debug)]
pub(crate) struct Server {
    accepting: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A free port of this machine.
pub(crate) async fn bind() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers requests. When a client hangs up, the future that answers it is dropped.
pub(crate) fn serve<H, F>(listener: TcpListener, handle: H) -> Server
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        // An error is of one connection alone, which its client sees.
        while let Ok((stream, _)) = listener.accept().await {
            let handle = handle.clone();
            // Answers are small, and must not wait for each other's acknowledgements.
            let _ = stream.set_nodelay(true);
            connections.spawn(async move {
                let service = service_fn(handle);
                // It ends with an error where a connection is to be lost.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Server { accepting: accepting.abort_handle() }
}
