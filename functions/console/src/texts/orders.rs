//! Texts of the list of orders.

pub(crate) const TITLE: &str = "Orders";

pub(crate) const SEARCH: &str = "Search";
pub(crate) const SEARCH_HINT: &str = "Number, e-mail, reference, parcel or SKU";
pub(crate) const SEARCH_BUTTON: &str = "Search";

pub(crate) const VIEWS: &str = "Views";
pub(crate) const VIEW_ALL: &str = "All";
pub(crate) const VIEW_TO_PAY: &str = "To pay";
pub(crate) const VIEW_TO_PACK: &str = "To pack";
pub(crate) const VIEW_OVERDUE: &str = "Overdue";
pub(crate) const VIEW_ON_THE_WAY: &str = "On the way";
pub(crate) const VIEW_REFUND_DUE: &str = "Refund due";
pub(crate) const VIEW_RETURNS: &str = "Returns asked for";
pub(crate) const VIEW_CANCELLED: &str = "Cancelled";

pub(crate) const FILTERS: &str = "Filters";
pub(crate) const APPLY: &str = "Apply";
pub(crate) const CLEAR: &str = "Clear all filters";
pub(crate) const STATUS: &str = "Status";
pub(crate) const PAYMENT_STATUS: &str = "Payment status";
pub(crate) const RETURN_STATUS: &str = "Return status";
pub(crate) const USER_ID: &str = "Customer’s ID";
pub(crate) const EMAIL: &str = "Customer’s e-mail address";
pub(crate) const PRODUCT_ID: &str = "Product’s ID";
pub(crate) const SKU: &str = "SKU";
pub(crate) const NUMBER: &str = "Order number";
pub(crate) const EXTERNAL_NUMBER: &str = "External number";
pub(crate) const PAYMENT_REFERENCE: &str = "Payment reference";
pub(crate) const TRACKING_NUMBER: &str = "Tracking number";
pub(crate) const CREATED_FROM: &str = "Placed from (UTC)";
pub(crate) const CREATED_TO: &str = "Placed before (UTC)";
pub(crate) const UPDATED_FROM: &str = "Changed from (UTC)";
pub(crate) const UPDATED_TO: &str = "Changed before (UTC)";
pub(crate) const SORT: &str = "Sort by";
pub(crate) const LIMIT: &str = "Orders per page";

/// Orders of the list, by the API's names. The first is the default.
pub(crate) const SORTS: [(&str, &str); 6] = [
    ("-created_at", "Placed, newest first"),
    ("created_at", "Placed, oldest first"),
    ("-updated_at", "Changed, newest first"),
    ("updated_at", "Changed, oldest first"),
    ("-total", "Total, largest first"),
    ("total", "Total, smallest first"),
];

pub(crate) const PLACED_AT: &str = "Placed";
pub(crate) const PAYMENT: &str = "Payment";
pub(crate) const FULFILLMENT: &str = "Fulfillment";
pub(crate) const RETURN: &str = "Return";
pub(crate) const UNITS: &str = "Units";
pub(crate) const TOTAL: &str = "Total";
pub(crate) const CUSTOMER: &str = "Customer";

pub(crate) const PAGES: &str = "Pages";
pub(crate) const FIRST_PAGE: &str = "First page";
pub(crate) const OLDER: &str = "Older";
pub(crate) const NEXT_PAGE: &str = "Next page";

pub(crate) const NONE_YET: &str = "There are no orders yet.";
pub(crate) const NONE_MATCH: &str = "No order matches these filters.";
pub(crate) const NO_MORE: &str = "There are no more orders.";
pub(crate) const ALL_ORDERS: &str = "Show all orders";

pub(crate) const BY_NUMBER: &str = "With this order number";
pub(crate) const BY_EMAIL: &str = "Of the customer with this e-mail address";
pub(crate) const BY_EXTERNAL_NUMBER: &str = "With this external number";
pub(crate) const BY_PAYMENT_REFERENCE: &str = "With this payment reference";
pub(crate) const BY_TRACKING_NUMBER: &str = "With this tracking number";
pub(crate) const BY_SKU: &str = "With this SKU";
pub(crate) const MORE_OF_THEM: &str = "Show all of them";

/// Sentence for a search without a result.
pub(crate) fn nothing_found(text: &str) -> String {
    format!(
        "No order has “{text}” as its number, reference, tracking number, SKU or customer’s e-mail address."
    )
}

/// Title of the results of a search.
pub(crate) fn results(text: &str) -> String {
    format!("Orders for “{text}”")
}

/// Name of the link to the orders of a customer, for screen readers.
pub(crate) fn orders_of(user: &str) -> String {
    format!("Orders of customer {user}")
}
