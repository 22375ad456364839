//! Calls whose client does not wait for their work.

use http::Response;
use tonic::body::Body as CallBody;
use tonic::server::NamedService;

use super::*;
use crate::rpc::server::RpcServer;
use crate::values::clock::{Clock, Timestamp};

/// Service whose every method waits for a signal.
#[derive(Clone)]
struct Waiting(Arc<Notify>);

impl NamedService for Waiting {
    const NAME: &'static str = "oms.Waiting";
}

impl tower::Service<Request<CallBody>> for Waiting {
    type Response = Response<CallBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<CallBody>) -> Self::Future {
        // As a method does that needs the message alone.
        drop(request);
        let go = self.0.clone();
        Box::pin(async move {
            go.notified().await;
            Ok(Response::new(CallBody::empty()))
        })
    }
}

#[tokio::test]
async fn a_call_that_its_client_gave_up_counts_until_it_ends() {
    let go = Arc::new(Notify::new());
    let clock = Clock::from_fn(|| Timestamp::from_millis(1_800_000_000_000));
    let rpc = RpcServer::new(Waiting(go.clone()), clock);
    let call =
        async move |request: Request<Body>| rpc.answer_http2(request.map(CallBody::new)).await.map(Body::new);
    let bench = Bench::of(
        Router::new().route("/call", post(call)).merge(router()),
        Limits { connections: 1, ..Limits::DEFAULT },
    );
    let request = "POST /call HTTP/1.1\r\nhost: localhost\r\ngrpc-timeout: 50m\r\ncontent-length: 0\r\n\r\n";
    goes_on_after_its_answer(bench, request, &go).await;
}
