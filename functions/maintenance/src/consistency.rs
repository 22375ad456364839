//! Scheduled consistency check: walks through all products, holds and orders, and measures what it finds.
//!
//! A walk reads, and repairs nothing. It goes on beside all requests, page by page, and begins anew in each run.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::orders::v1::order_service_client::OrderServiceClient;
use proto::orders::v1::{CheckConsistencyRequest, CheckConsistencyResponse, Violation};
use serde::Serialize;
use serde_json::Value;
use shared::error::Error;
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::rpc::server::MAX_MESSAGE;
use shared::runtime::context::{Context, DEFAULT_TIMEOUT};
use shared::runtime::metrics;
use shared::runtime::task::Event;
use shared::values::clock::Clock;
use tonic::{Code, Status};

use crate::NAME;

/// Documents of a page. Larger than the default, as each page is a call of its own; some seconds on a small function.
const PAGE: i64 = 2_000;

/// Time before the deadline that is kept for the report.
const REPORT_TIME: Duration = Duration::from_secs(5);

/// Pauses between the attempts at one page: an election of MongoDB, or a deployment, may take this long.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];

/// Violations that are logged one by one. Of more a line has the numbers.
const MAX_LOGGED: usize = 1_000;

/// Consistency check of the shop, page by page.
#[derive(Clone)]
pub struct ConsistencyCheck {
    orders: OrderServiceClient<Channel>,
    clock: Clock,
}

/// Result of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// True if it came to its end.
    pub finished: bool,
    /// Number of pages.
    pub pages: u64,
    /// Number of products read.
    pub products: i64,
    /// Number of orders read.
    pub orders: i64,
    /// Number of violations by kind.
    pub violations: BTreeMap<String, usize>,
}

impl Walk {
    /// Number of violations of all kinds.
    pub fn total(&self) -> usize {
        self.violations.values().sum()
    }

    fn take(&mut self, page: &CheckConsistencyResponse) {
        let checked = page.checked.unwrap_or_default();
        self.pages += 1;
        self.products += checked.products;
        self.orders += checked.orders;
        for violation in &page.violations {
            if self.total() < MAX_LOGGED {
                log(violation);
            }
            *self.violations.entry(violation.kind.clone()).or_default() += 1;
        }
    }
}

/// Logs a violation by its kind and its IDs alone.
fn log(violation: &Violation) {
    let Violation { kind, order_id, product_id, .. } = violation;
    tracing::error!(kind, order_id, product_id, "an invariant is violated");
}

impl ConsistencyCheck {
    /// Creates it for the orders function behind this channel.
    pub fn new(orders: Channel, clock: Clock) -> Self {
        let orders = OrderServiceClient::new(orders.named(NAME)).max_decoding_message_size(MAX_MESSAGE);
        Self { orders, clock }
    }

    /// Walks through the whole shop; logs and measures violations.
    ///
    /// # Errors
    /// Error of a page that could not be read in several attempts. The event goes to the queue of failed events.
    pub async fn handle(&self, event: Event) -> Result<Value, Error> {
        let mut walk = Walk::default();
        // Violations that were found before a page failed count all the same.
        let outcome = self.walk(&mut walk, &event.context).await;
        let (pages, products, orders, violations) = (walk.pages, walk.products, walk.orders, walk.total());
        if walk.finished {
            metrics::CHECKS.add([], 1);
            tracing::info!(pages, products, orders, violations, "the consistency check is finished");
        } else {
            tracing::error!(
                pages,
                products,
                orders,
                violations,
                "the consistency check did not come to its end"
            );
        }
        // Of a part of the shop nothing can be said but that there are violations.
        if walk.finished || violations > 0 {
            metrics::VIOLATIONS.set([], f64::from(u32::try_from(violations).unwrap_or(u32::MAX)));
        }
        for (kind, count) in &walk.violations {
            tracing::error!(kind, count, "violations of an invariant");
        }
        outcome?;
        serde_json::to_value(walk).map_err(Error::internal)
    }

    /// Walks until the end of the shop, or until the deadline of `context` is near.
    async fn walk(&self, walk: &mut Walk, context: &Context) -> Result<(), Error> {
        let mut cursor = None;
        loop {
            let Some(page) = self.page(context, cursor).await? else { return Ok(()) };
            walk.take(&page);
            cursor = page.next_cursor;
            if cursor.is_none() {
                walk.finished = true;
                return Ok(());
            }
        }
    }

    /// Reads a page, and tries again while orders does not answer. `None`: there is no time left.
    async fn page(
        &self,
        context: &Context,
        cursor: Option<String>,
    ) -> Result<Option<CheckConsistencyResponse>, Error> {
        let end = context.deadline.before(REPORT_TIME);
        let mut pauses = PAUSES.into_iter();
        loop {
            let now = self.clock.now();
            if now >= end {
                return Ok(None);
            }
            let deadline = end.min(now.after(DEFAULT_TIMEOUT));
            let context = Context { deadline, ..context.clone() };
            let message = CheckConsistencyRequest { limit: Some(PAGE), cursor: cursor.clone() };
            let request = metadata::request(message, &context);
            // The channel enforces the deadline.
            let status = match self.orders.clone().check_consistency(request).await {
                Ok(page) => return Ok(Some(page.into_inner())),
                Err(status) => status,
            };
            let pause = pauses.next().filter(|_| may_pass(&status));
            let Some(pause) = pause else { return Err(Error::from(status)) };
            tracing::warn!(code = ?status.code(), "a page of the consistency check failed; trying again");
            tokio::time::sleep(pause.min(end.since(self.clock.now()))).await;
        }
    }
}

/// Returns true for a failure that time may mend.
fn may_pass(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

#[cfg(test)]
mod tests {
    use proto::orders::v1::CheckedDocuments;

    use super::*;

    #[test]
    fn a_walk_counts_its_pages_and_violations_by_kind() {
        let violation = |kind: &str| Violation { kind: kind.to_owned(), ..Violation::default() };
        let page = |products, orders, kinds: &[&str]| CheckConsistencyResponse {
            checked: Some(CheckedDocuments { orders, products }),
            violations: kinds.iter().map(|kind| violation(kind)).collect(),
            next_cursor: None,
        };
        let mut walk = Walk::default();
        walk.take(&page(3, 0, &["hold-differs"]));
        walk.take(&page(0, 5, &["hold-differs", "task-overdue"]));
        let violations = [("hold-differs".to_owned(), 2), ("task-overdue".to_owned(), 1)].into();
        let expected = Walk { finished: false, pages: 2, products: 3, orders: 5, violations };
        assert_eq!((walk.total(), walk), (3, expected));
    }
}
