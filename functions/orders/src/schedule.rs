//! Reconcile by schedule in a plain service: every minute, in one process of all.
//!
//! On Lambda the deployment's schedule calls Reconcile. Plain services have none, so each of them asks for a lease.
//! A process that has lost the lease while it was frozen may still work: Reconcile may run beside itself.

use std::convert::Infallible;
use std::time::Duration;

use shared::auth::Caller;
use shared::mongo::lease::Lease;
use shared::runtime::context::{Context, DEFAULT_TIMEOUT};
use shared::runtime::metrics;
use shared::runtime::telemetry::request_span;
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use crate::service::OrderService;
use crate::service::reconcile::Shard;

/// Interval between the beginnings of two runs.
pub const EVERY: Duration = Duration::from_secs(60);

/// Time for which the lease is taken. Another process takes over when it was not renewed for that long.
pub const LEASE: Duration = Duration::from_secs(30);

/// Interval in which the lease is renewed, or asked for.
const RENEWED: Duration = Duration::from_secs(10);

/// Runs Reconcile while this process has the lease. Errors are logged, and the next run continues.
pub async fn run(service: &OrderService) -> Infallible {
    let lease = service.store.lease_of_reconcile();
    let mut due = Instant::now();
    loop {
        let has_lease = has(&lease).await;
        if !has_lease {
            // Another process knows it.
            metrics::LAG.forget();
        }
        if has_lease && due <= Instant::now() {
            due = Instant::now() + EVERY;
            tokio::select! {
                () = reconcile(service) => {}
                never = keep(&lease) => match never {},
            }
        }
        let left = due.saturating_duration_since(Instant::now());
        sleep(if left.is_zero() { RENEWED } else { left.min(RENEWED) }).await;
    }
}

/// Takes or renews the lease. Returns false if another process has it, or if that is unknown.
async fn has(lease: &Lease) -> bool {
    lease.take(LEASE).await.unwrap_or_else(|error| {
        tracing::warn!(causes = error.causes(), "the lease of reconcile is unknown: {error}");
        false
    })
}

/// Renews the lease until it is dropped.
async fn keep(lease: &Lease) -> Infallible {
    loop {
        sleep(RENEWED).await;
        has(lease).await;
    }
}

async fn reconcile(service: &OrderService) {
    let context = Context::new(Caller::System, service.clock.now().after(DEFAULT_TIMEOUT));
    let span = request_span(&context.request_id, &context.trace);
    // It logs its own errors, and its report.
    let _ = service.reconcile(&context, Shard::default()).instrument(span).await;
}
