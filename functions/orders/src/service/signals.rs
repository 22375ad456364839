//! Business metrics of orders. Only what this process has written counts, so an idempotent replay does not.
//!
//! A write of which the answer is lost is counted nowhere: whoever repeats it finds it done.

use shared::error::{Error, Kind};
use shared::runtime::metrics;

use crate::order::{Decision, HistoryEntry, Order};
use crate::status::Status;

/// Counts an order that was placed, and its value.
pub(super) fn placed(order: &Order) {
    metrics::ORDERS.add(["placed"], 1);
    if order.status == Status::Paid {
        metrics::ORDERS.add(["paid"], 1);
    }
    let total = u64::try_from(order.total()).unwrap_or(0);
    metrics::VALUE.add([order.currency.code()], total);
}

/// Counts the statuses that a written decision has given to its order.
pub(super) fn decided(decision: &Decision) {
    let is_expiry = |to: Status| decision.is_expiry() && to == Status::Cancelled;
    for to in reached(&decision.order.history, &decision.entries) {
        if let Some(status) = if is_expiry(to) { Some("expired") } else { counted(to) } {
            metrics::ORDERS.add([status], 1);
        }
    }
}

/// Statuses that an order has reached by these entries, the last ones of its history. One that it had before was counted
/// then: a cancelled fulfillment makes a shipped order paid again, and the next one makes it shipped again.
fn reached(history: &[HistoryEntry], entries: &[HistoryEntry]) -> impl Iterator<Item = Status> {
    let before = history.len().saturating_sub(entries.len());
    let had: Vec<Status> = history.iter().take(before).filter_map(HistoryEntry::to).collect();
    entries.iter().filter_map(HistoryEntry::to).filter(move |to| !had.contains(to))
}

/// Name of a status in the metrics. `None`: it is not counted.
fn counted(status: Status) -> Option<&'static str> {
    match status {
        Status::Placed | Status::Paid | Status::Shipped | Status::Cancelled | Status::Returned => {
            Some(status.name())
        }
        Status::Delivered | Status::Refunded | Status::Unknown(_) => None,
    }
}

/// Counts a refused placement. A failure of the system is no refusal.
pub(super) fn refused(error: &Error) {
    if let Some(reason) = reason(error.kind()) {
        metrics::REFUSED.add([reason], 1);
    }
}

/// Reason in the metrics. `None`: it is not counted.
fn reason(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::InsufficientStock => Some("out_of_stock"),
        Kind::TooManyOpenOrders => Some("open_orders"),
        Kind::TooManyRequests => Some("rate"),
        kind if kind.status().is_client_error() => Some(metrics::OTHER),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::values::clock::Timestamp;

    use super::*;
    use crate::order::Change;
    use crate::store::Job;

    #[test]
    fn names_in_the_metrics_are_those_that_are_declared() {
        let statuses: BTreeSet<_> = Status::ALL.into_iter().filter_map(counted).chain(["expired"]).collect();
        assert_eq!(statuses, metrics::STATUSES.iter().copied().collect());
        let reasons: BTreeSet<_> = Kind::ALL.into_iter().filter_map(reason).collect();
        assert_eq!(reasons, metrics::REASONS.iter().copied().collect());
        assert_eq!(Job::ALL.map(Job::name), metrics::JOBS);
    }

    #[test]
    fn a_status_is_counted_the_first_time_alone() {
        use Status::{Delivered, Paid, Placed, Shipped};
        let entry = |(from, to)| {
            let change = Change::Status { from, to };
            HistoryEntry { at: Timestamp::from_millis(0), change, by: None, reason: None }
        };
        let steps = [
            (None, Placed),
            (Some(Placed), Paid),
            (Some(Paid), Shipped),
            // A fulfillment is cancelled, and its units leave in another one.
            (Some(Shipped), Paid),
            (Some(Paid), Shipped),
            (Some(Shipped), Delivered),
        ];
        let history = steps.map(entry);
        let counted: Vec<Vec<Status>> = (1..=history.len())
            .map(|length| reached(&history[..length], &history[length - 1..length]).collect())
            .collect();
        assert_eq!(counted, [vec![Placed], vec![Paid], vec![Shipped], vec![], vec![], vec![Delivered]]);
        // Two statuses in one decision.
        assert_eq!(reached(&history[..3], &history[1..3]).collect::<Vec<_>>(), [Paid, Shipped]);
    }

    #[test]
    fn a_failure_of_the_system_is_no_refusal() {
        assert_eq!([reason(Kind::Unavailable), reason(Kind::Internal)], [None, None]);
    }
}
