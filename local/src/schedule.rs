//! What a schedule does on AWS: has the orders function reconcile every minute.

use std::convert::Infallible;
use std::time::Duration;

use crate::backend::Backend;

/// As in template.yaml.
const EVERY: Duration = Duration::from_secs(60);

/// Goes on for as long as it is waited for. What goes wrong is in the log, and is tried again at the next time.
pub(crate) async fn run(backend: &Backend) -> Infallible {
    loop {
        // What it says is for a caller who wants figures.
        let _ = backend.reconcile().await;
        tokio::time::sleep(EVERY).await;
    }
}
