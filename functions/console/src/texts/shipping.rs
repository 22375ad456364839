//! Texts of the page that ships many orders.

/// Title of the page, and the link to it.
pub(crate) const TITLE: &str = "Ship many orders";
pub(crate) const LINES: &str =
    "One line for each order: its number, the tracking number, then carrier and URL if you like";
pub(crate) const LINES_HINT: &str = "A tab, comma or semicolon stands between them, so columns can be pasted from a \
     spreadsheet. At most 200 lines. Each order ships all that it has left.";
/// Sample of lines, in the empty field.
pub(crate) const LINES_EXAMPLE: &str = "4F7K-92QX;00340434161094;DHL\n7M2P-5TRV;00340434161095;DHL";
pub(crate) const CARRIER: &str = "Carrier, for lines without one";

pub(crate) const NOTHING_DONE_YET: &str = "Nothing is shipped yet. Lines with a problem will not be shipped.";
pub(crate) const ALL_HAVE_PROBLEMS: &str = "Every line has a problem, so there is nothing to ship.";
pub(crate) const SENT: &str = "The answer for each line. To repeat the lines without an answer, reload this page: no \
     order is shipped twice.";
pub(crate) const OTHERS: &str = "Lines that were not shipped";
pub(crate) const OTHERS_HINT: &str = "Preview them again to see these orders as they are now.";
pub(crate) const SHIP_MORE: &str = "Ship more orders";
pub(crate) const TO_ORDERS: &str = "To the orders";

pub(crate) const ORDER: &str = "Order";
pub(crate) const RECIPIENT: &str = "Recipient";
pub(crate) const LEFT: &str = "Left to ship";
pub(crate) const STATUS: &str = "Status";
pub(crate) const PARCEL: &str = "Parcel";

pub(crate) const UNKNOWN_NUMBER: &str = "No order has this number.";
pub(crate) const NO_TRACKING_NUMBER: &str = "No tracking number follows the order number.";
pub(crate) const NO_CARRIER: &str =
    "The carrier is missing: put it after the tracking number, or into the field for all lines.";
pub(crate) const NO_URL: &str = "The URL must begin with https://.";
pub(crate) const NOT_PAID: &str = "It is not paid yet.";
pub(crate) const SHIPPED: &str = "It is shipped already.";
pub(crate) const RECORDED: &str = "A parcel with this tracking number is recorded already.";
pub(crate) const NOTHING_LEFT: &str = "Nothing is left to ship.";
pub(crate) const SINCE_PREVIEW: &str =
    "Not shipped: this order was changed since the preview. Preview it again below.";

/// Problem of an order number that is on several lines.
pub(crate) fn on_several_lines(lines: &[usize]) -> String {
    format!("This order is on lines {}.", super::pasted::numbers(lines))
}

/// Problem of a tracking number that breaks a rule.
pub(crate) fn bad_tracking_number(rule: &str) -> String {
    format!("The tracking number {rule}.")
}

/// Problem of a carrier that breaks a rule.
pub(crate) fn bad_carrier(rule: &str) -> String {
    format!("The carrier {rule}.")
}

/// Problem of a URL that breaks a rule.
pub(crate) fn bad_url(rule: &str) -> String {
    format!("The URL {rule}.")
}

/// Problem of an order in a status in which nothing is shipped.
pub(crate) fn not_in(status: &str) -> String {
    format!("It is {}, so nothing can be shipped.", status.replace('_', " "))
}

/// Items that are not listed.
pub(crate) fn more_items(items: usize) -> String {
    match items {
        1 => "and 1 more item".to_owned(),
        several => format!("and {several} more items"),
    }
}

/// Button that ships the lines without a problem.
pub(crate) fn ship(orders: usize) -> String {
    match orders {
        1 => "Ship 1 order".to_owned(),
        several => format!("Ship {several} orders"),
    }
}

/// Answer for an order that was shipped.
pub(crate) fn shipped(units: i64) -> String {
    match units {
        1 => "Shipped: 1 unit.".to_owned(),
        several => format!("Shipped: {several} units."),
    }
}
