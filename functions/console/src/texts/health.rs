//! Texts of the health of the shop.

pub(crate) const TITLE: &str = "Health";

pub(crate) const CHECK: &str = "Consistency";
pub(crate) const CHECK_HINT: &str =
    "Compares products, holds and orders with each other. Requests that are still running are no violation.";
pub(crate) const ADMINS_ONLY: &str = "Only admins may run this check.";
pub(crate) const PRODUCTS_SILENT: &str =
    "Products does not answer, so the check cannot go on. Try again when it is back.";
pub(crate) const NEXT: &str = "Check the next";
pub(crate) const GO_ON: &str = "Go on with the check";
pub(crate) const AGAIN: &str = "Check from the beginning";
pub(crate) const VIOLATION: &str = "Violation";
pub(crate) const ORDER: &str = "Order";
pub(crate) const PRODUCT: &str = "Product";
pub(crate) const DETAIL: &str = "Detail";

pub(crate) const UNREADABLE: &str = "Documents that cannot be read";
pub(crate) const UNREADABLE_HINT: &str =
    "A document that cannot be read has no page until it is repaired in the database.";
pub(crate) const ADMINS_SEE: &str =
    "Only admins see all of them. Orders among them that are set aside stand below.";
pub(crate) const NOT_LOOKED: &str = "Nothing was read yet.";
pub(crate) const ALL_READABLE: &str = "All documents of this page of the check can be read.";
pub(crate) const DOCUMENT: &str = "Document";
pub(crate) const ID: &str = "ID";

pub(crate) const JOBS: &str = "Jobs";
pub(crate) const JOBS_HINT: &str = "Reconcile finishes every minute what crashes and lost answers have left.";
pub(crate) const STAFF_ONLY: &str = "You may not see the jobs.";
pub(crate) const JOB: &str = "Job";
pub(crate) const STATE: &str = "State";
pub(crate) const OLDEST_DUE: &str = "Oldest due";
pub(crate) const SET_ASIDE: &str = "Set aside";
pub(crate) const NOTHING_DUE: &str = "Nothing";
pub(crate) const NOT_KNOWN: &str = "Not known: products does not answer";
pub(crate) const REASON: &str = "Reason";
pub(crate) const ATTEMPTS: &str = "Attempts";
pub(crate) const NEXT_ATTEMPT: &str = "Next attempt";

/// States of a job, as words of a badge.
pub(crate) const ON_TIME: &str = "on_time";
pub(crate) const BEHIND: &str = "behind";
pub(crate) const UNKNOWN: &str = "unknown";

/// Sentence of a check that has come to its end.
pub(crate) fn all_checked(products: i64, orders: i64, violations: i64) -> String {
    let read = read(products, orders);
    match violations {
        0 => format!("All was checked, and nothing is wrong: {read}."),
        1 => format!("All was checked: {read}. There is 1 violation."),
        several => format!("All was checked: {read}. There are {several} violations."),
    }
}

/// Sentence of a check that has not come to its end.
pub(crate) fn checked_so_far(products: i64, orders: i64, violations: i64) -> String {
    let read = read(products, orders);
    match violations {
        0 => format!("Checked so far: {read}. Nothing is wrong among them. The rest is not checked yet."),
        1 => format!("Checked so far: {read}. There is 1 violation. The rest is not checked yet."),
        several => {
            format!("Checked so far: {read}. There are {several} violations. The rest is not checked yet.")
        }
    }
}

fn read(products: i64, orders: i64) -> String {
    let products = if products == 1 { "1 product".to_owned() } else { format!("{products} products") };
    let orders = if orders == 1 { "1 order".to_owned() } else { format!("{orders} orders") };
    format!("{products} and {orders}")
}

/// Number of violations among those of earlier pages, which are not shown any more.
pub(crate) fn earlier(violations: i64) -> String {
    match violations {
        1 => "1 of them is on an earlier page.".to_owned(),
        several => format!("{several} of them are on earlier pages."),
    }
}

/// Sentence above a table that leaves out rows.
pub(crate) fn not_all(shown: usize, all: usize) -> String {
    format!("Only {shown} of {all} are shown. Repair them, then check again.")
}

/// Meaning of a kind of violation.
pub(crate) fn meaning(kind: &str) -> &str {
    match kind {
        "stock-out-of-bounds" => "Fewer than 0 units, or more reserved than on hand",
        "reserved-is-not-the-sum" => "Reserved units are not the sum of the holds",
        "ledger-is-not-the-sum" => "Units on hand are not the sum of the ledger",
        "journal-overdue" => "An entry of the journal waits for too long",
        "hold-without-order" => "A hold whose order does not exist",
        "hold-of-ended-order" => "A hold of an order that has ended",
        "hold-differs" => "Other units held than the order has left",
        "order-without-hold" => "Units are left to ship, and none is held",
        "counts-differ" => "Shipped or restocked units differ between hold and order",
        "task-overdue" => "A task waits for too long",
        "refunds-exceed-payments" => "More money refunded than paid",
        "refunds-exceed-quantity" => "More units refunded than ordered",
        "parts-exceed-quantity" => "More units cancelled, shipped or returned than there are",
        "status-is-not-derived" => "The status does not follow from the units",
        "total-is-not-the-sum" => "The total is not that of items and shipping",
        "paid-but-placed" => "Paid in full, and still placed",
        other => other,
    }
}

/// Name of a document that cannot be read.
pub(crate) fn document(kind: &str) -> &str {
    match kind {
        "unreadable-order" => "Order",
        "unreadable-product" => "Product",
        "unreadable-hold" => "Hold of the order",
        other => other,
    }
}

/// Name of a job, and what it does.
pub(crate) fn job(name: &str) -> (&str, &'static str) {
    match name {
        "tasks" => ("Stock tasks", "Moves the stock of decisions about orders."),
        "changes" => ("Changes of items", "Ends changes that were not finished."),
        "expiry" => ("Expiry", "Cancels orders that were not paid in time."),
        "folding" => ("Folding", "Moves entries of journals into holds."),
        "holds" => ("Holds", "Ends holds without an order."),
        "pruning" => ("Pruning", "Deletes the marks of ended holds."),
        other => (other, ""),
    }
}

/// Reason why an order was set aside.
pub(crate) fn reason(reason: &str) -> &str {
    match reason {
        "unreadable" => "It cannot be read",
        "invalid" => "The database refuses it",
        "products-unavailable" => "Products did not answer",
        "refused" => "Products refuses it",
        "too-slow" => "It took too long",
        "failed" => "It failed",
        other => other,
    }
}

/// Heading of the orders that a job has set aside.
pub(crate) fn set_aside_by(job: &str) -> String {
    format!("Set aside by {}", job.to_lowercase())
}

/// Number of orders that are set aside; `most` are listed at most.
pub(crate) fn set_aside(orders: usize, most: usize) -> String {
    if orders >= most { format!("{most} or more") } else { orders.to_string() }
}

/// Age that may be greater, since a part of it is not known.
pub(crate) fn at_least(age: &str) -> String {
    format!("At least {age}; products does not answer")
}

/// Age in its two largest units.
pub(crate) fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {} min", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_two_largest_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3_599, "59 min 59 s"),
            (3_600, "1 h 0 min"),
            (90_061, "1 d 1 h"),
        ] {
            assert_eq!(age(seconds), expected);
        }
    }

    #[test]
    fn a_full_list_may_have_left_some_out() {
        assert_eq!([set_aside(0, 100), set_aside(99, 100), set_aside(100, 100)], ["0", "99", "100 or more"]);
    }

    #[test]
    fn what_a_later_build_names_is_shown_as_it_is() {
        assert_eq!([meaning("new"), document("new"), reason("new")], ["new"; 3]);
        assert_eq!(job("new"), ("new", ""));
    }
}
