//! Texts of the page of one order.

/// Title of the page.
pub(crate) fn title(number: &str) -> String {
    format!("Order {number}")
}

// Results.

/// Text for the word that a page's address has after a change. `None` for unknown words.
pub(crate) fn done(word: &str) -> Option<&'static str> {
    Some(match word {
        "payment" => "The payment is recorded.",
        "fulfillment" => "The fulfillment is recorded.",
        "tracking" => "The tracking is corrected.",
        "delivered" => "The fulfillment is delivered.",
        "unshipped" => "The fulfillment is cancelled. Its units can be shipped again.",
        "units-cancelled" => "The units are cancelled.",
        "cancelled" => "The order is cancelled.",
        "return" => "The return is recorded.",
        "return-approved" => "The return is approved.",
        "return-rejected" => "The return is rejected.",
        "return-received" => "The return is received.",
        "return-cancelled" => "The return is cancelled.",
        "refund" => "The refund is recorded.",
        "refund-reference" => "The reference of the refund is recorded.",
        "note" => "The internal note is saved.",
        _ => return None,
    })
}

pub(crate) const CHANGED: &str =
    "It was changed since you opened this page, by somebody else or by sending this form twice.";
pub(crate) const CHANGED_ADVICE: &str = "Look whether your change is there, then send it again if not. This is the \
    order as it is now; your entries are kept.";

/// Advice for a form that takes effect once, however often it is sent.
pub(crate) const UNKNOWN_ONCE: &str =
    "It is unknown whether this was done. Sending the same form again is safe.";
/// Advice for any other form.
pub(crate) const UNKNOWN: &str = "Reload the page to see whether it was done.";

/// Title of a page that shows a refusal.
pub(crate) fn refused(title: &str) -> String {
    format!("Error: {title}")
}

pub(crate) const EXCEEDED: &str = "Items with too many units";

/// Units of an item that were asked for, and those that are left.
pub(crate) fn exceeded(name: &str, requested: i64, left: i64) -> String {
    format!("{name}: {requested} asked for, {left} left")
}

// Statuses.

pub(crate) const STATUS: &str = "Order";
pub(crate) const PAYMENT_STATUS: &str = "Payment";
pub(crate) const FULFILLMENT_STATUS: &str = "Fulfillment";
pub(crate) const RETURN_STATUS: &str = "Return";

// Facts.

pub(crate) const FACTS: &str = "Facts";
pub(crate) const PLACED: &str = "Placed";
pub(crate) const UPDATED: &str = "Last changed";
pub(crate) const EXPIRES: &str = "Expires unpaid";
pub(crate) const NEVER: &str = "Never";
pub(crate) const CUSTOMER: &str = "Customer";
pub(crate) const ORDERS_OF_CUSTOMER: &str = "All orders of this customer";
pub(crate) const EXTERNAL_NUMBER: &str = "External number";
pub(crate) const NOTE: &str = "Note of the customer";
pub(crate) const INTERNAL_NOTE: &str = "Internal note";
pub(crate) const ID: &str = "ID";

// Items.

pub(crate) const ITEMS: &str = "Items";
pub(crate) const ITEM: &str = "Item";
pub(crate) const ORDERED: &str = "Ordered";
pub(crate) const CANCELLED: &str = "Cancelled";
pub(crate) const SHIPPED: &str = "Shipped";
pub(crate) const RETURNED: &str = "Returned";
pub(crate) const REFUNDED: &str = "Refunded";
pub(crate) const LEFT: &str = "Left";
pub(crate) const UNIT_PRICE: &str = "Unit price";
pub(crate) const TOTAL: &str = "Total";

/// Label of a discount of an item.
pub(crate) fn discount(label: &str) -> String {
    format!("Discount “{label}”")
}

/// Label of a tax of an item or of the shipping.
pub(crate) fn tax(label: &str, rate: &str, is_included: bool) -> String {
    let included = if is_included { ", included" } else { "" };
    format!("Tax “{label}” of {rate}{included}")
}

/// Units of an item.
pub(crate) fn units_of(quantity: i64, name: &str) -> String {
    format!("{quantity} × {name}")
}

// Addresses.

pub(crate) const ADDRESSES: &str = "Addresses";
pub(crate) const SHIPPING_ADDRESS: &str = "Shipping address";
pub(crate) const BILLING_ADDRESS: &str = "Billing address";
pub(crate) const SAME_ADDRESS: &str = "Same as the shipping address";

// Actions.

pub(crate) const ACTIONS: &str = "What can be done now";

pub(crate) const REASON: &str = "Reason";
pub(crate) const OPTIONAL_REASON: &str = "Reason (optional)";
pub(crate) const UNITS: &str = "Units";

/// Label of a field for units of an item.
pub(crate) fn units_up_to(name: &str, sku: &str, most: i64) -> String {
    format!("{name} ({sku}), up to {most}")
}

/// Fault of a form that names no unit.
pub(crate) const NO_UNITS: &str = "must name at least one unit";
/// Fault of a refund that names neither units nor the shipping.
pub(crate) const NOTHING_TO_REFUND: &str = "must name at least one unit, or the shipping";
/// Fault of a required field.
pub(crate) const REQUIRED: &str = "is required";
/// Fault of a change that the page does not offer.
pub(crate) const UNKNOWN_CHANGE: &str = "must be a change that the page offers";

pub(crate) const RECORD_PAYMENT: &str = "Record a payment";
pub(crate) const RECORD_LATE_PAYMENT: &str = "Record a payment that came late";
pub(crate) const RECORD_PAYMENT_BUTTON: &str = "Record this payment";
pub(crate) const REFERENCE: &str = "Reference at the payment provider";
pub(crate) const OPTIONAL_REFERENCE: &str = "Reference at the payment provider (optional)";
pub(crate) const METHOD: &str = "Method, such as card (optional)";

/// Label of a field for an amount.
pub(crate) fn amount_in(currency: &str) -> String {
    format!("Amount in {currency}")
}

pub(crate) const CANCEL_ORDER: &str = "Cancel the order";
pub(crate) const CANCEL_ORDER_HINT: &str = "The stock is free again. What was paid is to be refunded.";
pub(crate) const CANCEL_ORDER_BUTTON: &str = "Cancel the whole order";
pub(crate) const CANCEL_UNITS: &str = "Cancel units";
pub(crate) const CANCEL_UNITS_HINT: &str =
    "Units that are not shipped. What was paid for them is to be refunded.";
pub(crate) const CANCEL_UNITS_BUTTON: &str = "Cancel these units";

pub(crate) const EDIT_NOTE: &str = "Change the internal note";
pub(crate) const EDIT_NOTE_HINT: &str = "Customers never see it.";
pub(crate) const EDIT_NOTE_BUTTON: &str = "Save the note";

// Fulfillments.

pub(crate) const FULFILLMENTS: &str = "Fulfillments";
pub(crate) const NO_FULFILLMENTS: &str = "Nothing is shipped.";
pub(crate) const SHIP: &str = "Ship";
pub(crate) const SHIP_BUTTON: &str = "Ship these units";
pub(crate) const CARRIER: &str = "Carrier";
pub(crate) const TRACKING_NUMBER: &str = "Tracking number";
pub(crate) const TRACKING_URL: &str = "Tracking URL, beginning with https:// (optional)";
pub(crate) const OPTIONAL_CARRIER: &str = "Carrier (optional)";
pub(crate) const OPTIONAL_TRACKING_NUMBER: &str = "Tracking number (optional)";
pub(crate) const TRACKING: &str = "Tracking";
pub(crate) const FOLLOW: &str = "Follow the parcel";
pub(crate) const SHIPPED_AT: &str = "Shipped";
pub(crate) const DELIVERED_AT: &str = "Delivered";
pub(crate) const BY: &str = "By";
pub(crate) const CORRECT_TRACKING: &str = "Correct the tracking";
pub(crate) const CORRECT_TRACKING_BUTTON: &str = "Save this tracking";
pub(crate) const DELIVER_BUTTON: &str = "Mark as delivered";
pub(crate) const UNSHIP: &str = "Cancel this fulfillment";
pub(crate) const UNSHIP_HINT: &str = "For one that was recorded by mistake: its units are in the warehouse, and are held for this order again.";
pub(crate) const UNSHIP_BUTTON: &str = "It was recorded by mistake";

/// Name of a fulfillment, by its place among all of the order.
pub(crate) fn fulfillment_name(place: usize) -> String {
    format!("Fulfillment {place}")
}

// Returns.

pub(crate) const RETURNS: &str = "Returns";
pub(crate) const NO_RETURNS: &str = "Nothing is sent back.";
pub(crate) const RECORD_RETURN: &str = "Record a return";
pub(crate) const RECORD_RETURN_HINT: &str = "It is approved at once. Receive it when the units come back.";
pub(crate) const RECORD_RETURN_BUTTON: &str = "Record this return";
pub(crate) const REQUESTED_AT: &str = "Asked for";
pub(crate) const DECIDED_AT: &str = "Decided";
pub(crate) const RECEIVED_AT: &str = "Received";
pub(crate) const REQUESTED_UNITS: &str = "Asked for";
pub(crate) const RECEIVED_UNITS: &str = "Came back";
pub(crate) const RESTOCKED_UNITS: &str = "Back in stock";
pub(crate) const APPROVE_BUTTON: &str = "Approve this return";
pub(crate) const REJECT: &str = "Reject this return";
pub(crate) const REJECT_HINT: &str = "The customer reads the reason.";
pub(crate) const REJECT_BUTTON: &str = "Reject this return";
pub(crate) const RECEIVE: &str = "Receive this return";
pub(crate) const RECEIVE_BUTTON: &str = "Receive these units";
pub(crate) const CANCEL_RETURN: &str = "Cancel this return";
pub(crate) const CANCEL_RETURN_BUTTON: &str = "Cancel this return";

/// Name of a return, by its place among all of the order.
pub(crate) fn return_name(place: usize) -> String {
    format!("Return {place}")
}

/// Label of a field for units of an item that came back.
pub(crate) fn received(name: &str, most: i64) -> String {
    format!("{name}: came back, of {most}")
}

/// Label of a field for units of an item that are on hand again.
pub(crate) fn restocked(name: &str) -> String {
    format!("{name}: of these back in stock")
}

// Money.

pub(crate) const MONEY: &str = "Money";
pub(crate) const TOTALS: &str = "Totals";
pub(crate) const TOTAL_ITEMS: &str = "Items";
pub(crate) const TOTAL_DISCOUNTS: &str = "Discounts";
pub(crate) const TOTAL_SHIPPING: &str = "Shipping";
pub(crate) const TOTAL_TAX: &str = "Taxes on top";
pub(crate) const TOTAL_TAX_INCLUDED: &str = "Taxes included in the prices";
pub(crate) const TOTAL_ALL: &str = "Total";
pub(crate) const TOTAL_CANCELLED: &str = "Cancelled";
pub(crate) const TOTAL_PAID: &str = "Paid";
pub(crate) const TOTAL_REFUNDED: &str = "Refunded";
pub(crate) const TOTAL_DUE: &str = "Due";
pub(crate) const TOTAL_REFUND_DUE: &str = "To be refunded";

/// Label of the shipping with its name.
pub(crate) fn shipping(label: &str) -> String {
    format!("Shipping “{label}”")
}

pub(crate) const PAYMENTS: &str = "Payments";
pub(crate) const NO_PAYMENTS: &str = "Nothing is paid.";
pub(crate) const AMOUNT: &str = "Amount";
pub(crate) const PAYMENT_REFERENCE: &str = "Reference";
pub(crate) const PAYMENT_METHOD: &str = "Method";
pub(crate) const PROVIDER: &str = "Provider";
pub(crate) const RECORDED_AT: &str = "Recorded";

pub(crate) const REFUNDS: &str = "Refunds";
pub(crate) const NO_REFUNDS: &str = "Nothing is refunded.";
pub(crate) const REFUND_OF: &str = "Of";
pub(crate) const REFUND_SHIPPING: &str = "Shipping";
pub(crate) const REFUND_AMOUNT: &str = "An amount";
pub(crate) const REFUND_ITEMS_FORM: &str = "Refund items";
pub(crate) const REFUND_AMOUNT_FORM: &str = "Refund an amount";
pub(crate) const REFUND_SHIPPING_FIELD: &str = "Refund the shipping, too";
pub(crate) const PAYMENT_FIELD: &str = "Payment to refund";
pub(crate) const ANY_PAYMENT: &str = "Any";
pub(crate) const PREVIEW_BUTTON: &str = "Preview this refund";
pub(crate) const PREVIEW_HINT: &str = "Nothing is recorded before you confirm it.";
pub(crate) const PREVIEW: &str = "Confirm the refund";
pub(crate) const PREVIEW_AMOUNT: &str = "It would refund";
pub(crate) const CONFIRM_BUTTON: &str = "Record this refund";
pub(crate) const NO_CONFIRM: &str = "Back to the order";
pub(crate) const REFUND_REFERENCE_BUTTON: &str = "Record the reference";

/// Heading of the form that refunds a return.
pub(crate) fn refund_return(place: usize) -> String {
    format!("Refund return {place}")
}

/// Name of a payment in a list to choose from.
pub(crate) fn payment_option(amount: &str, currency: &str, reference: &str) -> String {
    format!("{currency} {amount}, {reference}")
}

/// Label of the field for the reference of a refund that has none.
pub(crate) fn refund_reference(place: usize) -> String {
    format!("Reference of refund {place}")
}

// Timeline.

pub(crate) const HISTORY: &str = "Timeline";
pub(crate) const SYSTEM: &str = "the system";
pub(crate) const OWNER: &str = "the customer";
pub(crate) const YOU: &str = "you";
pub(crate) const BY_WORD: &str = "by";
pub(crate) const TO_WORD: &str = "to";

/// Label of a form's field, by its name, for a list of faults. `None` for fields of an item, and unknown ones.
pub(crate) fn field(name: &str) -> Option<&'static str> {
    Some(match name {
        "amount" => AMOUNT,
        "reference" => PAYMENT_REFERENCE,
        "method" => PAYMENT_METHOD,
        "reason" => REASON,
        "carrier" => CARRIER,
        "number" => TRACKING_NUMBER,
        "url" => "Tracking URL",
        "internal_note" => INTERNAL_NOTE,
        "payment_id" => PAYMENT_FIELD,
        "return_id" => "Return",
        "shipping" => REFUND_SHIPPING,
        "status" | "change" => "Change",
        "items" => UNITS,
        "" => super::FORM,
        _ => return None,
    })
}

/// Words for an entry of the history: what happened to the part of this name, or to the order.
pub(crate) fn event(event: &str, part: &str, is_first: bool, from: Option<&str>, to: Option<&str>) -> String {
    match (event, from, to) {
        ("status", None, _) => "Order placed".to_owned(),
        ("status", _, Some(to)) => format!("Order {to}"),
        ("payment", ..) => "Payment recorded".to_owned(),
        ("refund", ..) if is_first => "Refund recorded".to_owned(),
        ("refund", ..) => "Refund got its reference".to_owned(),
        ("cancellation", ..) => "Units cancelled".to_owned(),
        ("fulfillment", None, _) => format!("{part} shipped"),
        ("fulfillment", Some(from), Some(to)) if from == to => format!("{part}: tracking corrected"),
        ("return", None, Some("requested")) => format!("{part} asked for"),
        ("return", None, Some("approved")) => format!("{part} recorded by staff"),
        ("fulfillment" | "return", _, Some(to)) => format!("{part} {to}"),
        _ => event.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_history_says_what_happened() {
        for ((kind, is_first, from, to), expected) in [
            (("status", true, None, Some("placed")), "Order placed"),
            (("status", true, Some("placed"), Some("paid")), "Order paid"),
            (("payment", true, None, None), "Payment recorded"),
            (("refund", true, None, None), "Refund recorded"),
            (("refund", false, None, None), "Refund got its reference"),
            (("cancellation", true, None, None), "Units cancelled"),
            (("fulfillment", true, None, Some("shipped")), "Part 1 shipped"),
            (("fulfillment", false, Some("shipped"), Some("shipped")), "Part 1: tracking corrected"),
            (("fulfillment", false, Some("shipped"), Some("cancelled")), "Part 1 cancelled"),
            (("return", true, None, Some("requested")), "Part 1 asked for"),
            (("return", true, None, Some("approved")), "Part 1 recorded by staff"),
            (("return", true, None, Some("received")), "Part 1 received"),
            (("return", false, Some("approved"), Some("received")), "Part 1 received"),
            (("repair", true, None, None), "repair"),
        ] {
            assert_eq!(event(kind, "Part 1", is_first, from, to), expected);
        }
    }
}
