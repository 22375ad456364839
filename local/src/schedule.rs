//! Reconcile every minute, as the schedule on AWS does.

use std::convert::Infallible;

use orders::schedule::EVERY;

use crate::backend::Backend;

/// Runs until it is dropped. Errors are logged, and the next run retries.
pub(crate) async fn run(backend: &Backend) -> Infallible {
    loop {
        // The report is for callers that want figures.
        let _ = backend.reconcile().await;
        tokio::time::sleep(EVERY).await;
    }
}
