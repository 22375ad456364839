//! Tasks of the requests on a connection over HTTP/2.

use std::future::Future;

use futures::future::{AbortHandle, Abortable};
use hyper::rt::Executor;

tokio::task_local! {
    static TASK: AbortHandle;
}

/// Executor of hyper that runs each request in a task which can be ended.
#[derive(Clone, Copy)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        let (task, registration) = AbortHandle::new_pair();
        let request = Abortable::new(request, registration);
        tokio::spawn(TASK.scope(task, async move {
            // Whether it was ended is of no interest here.
            let _ = request.await;
        }));
    }
}

/// The task of the request that is being answered, if it has one of its own.
pub(super) fn current() -> Option<AbortHandle> {
    TASK.try_with(Clone::clone).ok()
}
