//! Texts of the page of one product.

pub(crate) const FACTS: &str = "Product";
pub(crate) const SKU: &str = "SKU";
pub(crate) const STATUS: &str = "Status";
pub(crate) const PRICE: &str = "Price";
pub(crate) const MAX_PER_ORDER: &str = "Most in one order";
pub(crate) const CREATED_AT: &str = "Created";
pub(crate) const UPDATED_AT: &str = "Changed";
pub(crate) const ID: &str = "ID";
pub(crate) const DESCRIPTION: &str = "Description";
pub(crate) const ATTRIBUTES: &str = "Attributes";

pub(crate) const STOCK: &str = "Stock";
pub(crate) const ON_HAND: &str = "On hand";
pub(crate) const RESERVED: &str = "Reserved";
pub(crate) const AVAILABLE: &str = "Available";

/// Words of the sentence that explains the units on hand. Each follows a number of units.
pub(crate) const AT_FIRST: &str = "at first";
pub(crate) const SHIPPED: &str = "shipped";
pub(crate) const UNSHIPPED: &str = "back from cancelled fulfillments";
pub(crate) const RETURNED: &str = "returned";
pub(crate) const ORDERS_UP: &str = "put back by orders";
pub(crate) const ORDERS_DOWN: &str = "taken by orders";
pub(crate) const COUNTED_UP: &str = "counted up";
pub(crate) const COUNTED_DOWN: &str = "counted down";
/// All of them, in the order of the sentence.
pub(crate) const CAUSES: [&str; 7] =
    [SHIPPED, UNSHIPPED, RETURNED, ORDERS_UP, ORDERS_DOWN, COUNTED_UP, COUNTED_DOWN];
/// Word before the day of an earlier balance.
pub(crate) const ON: &str = "on";
pub(crate) const NEVER_MOVED: &str = "nothing was ever on hand";

pub(crate) const LEDGER: &str = "Why: every change of the units on hand";
pub(crate) const TIME: &str = "Time";
pub(crate) const CHANGE: &str = "Change";
pub(crate) const ON_HAND_AFTER: &str = "On hand after";
pub(crate) const RESERVED_AFTER: &str = "Reserved after";
pub(crate) const REASON: &str = "Reason";
pub(crate) const ORDER: &str = "Order";
pub(crate) const BY: &str = "By";
pub(crate) const NO_MOVEMENTS: &str = "There are no changes yet.";
pub(crate) const NO_MORE_MOVEMENTS: &str = "There are no earlier changes.";
pub(crate) const LEDGER_PAGES: &str = "Pages of the changes";
pub(crate) const NEWEST: &str = "Newest changes";
pub(crate) const OLDER: &str = "Older changes";

pub(crate) const HOLDS: &str = "Reserved for orders";
pub(crate) const UNITS: &str = "Units";
pub(crate) const NO_HOLDS: &str = "No open order needs this product.";
pub(crate) const MORE_ORDERS: &str = "There are more open orders with this product than are shown here.";
pub(crate) const ALL_OPEN_ORDERS: &str = "Show all of them";

pub(crate) const COUNT: &str = "Count";
pub(crate) const COUNT_HINT: &str = "Sets the units on hand to what was counted.";
pub(crate) const COUNTED: &str = "Units counted";
pub(crate) const COUNT_BUTTON: &str = "Set units on hand";
pub(crate) const MOVE: &str = "Add or take away";
pub(crate) const MOVE_HINT: &str = "Adds units to those on hand. A number below 0 takes units away.";
pub(crate) const DELTA: &str = "Change in units";
pub(crate) const MOVE_BUTTON: &str = "Change units on hand";
pub(crate) const EDIT: &str = "Edit";
pub(crate) const NAME: &str = "Name";
pub(crate) const EDIT_BUTTON: &str = "Save";

pub(crate) const STALE: &str = "It was changed since you opened this page, by somebody else or by sending this form \
     twice. Look whether your change is there, then send it again if not. The page shows it as it is now; your fields \
     are kept.";
pub(crate) const SENT_BEFORE: &str = "This form was sent before with other values. The page shows the product as it \
     is now; your fields are kept. Check them, and submit again.";

/// Text for the word of a change that succeeded.
pub(crate) fn done(word: &str) -> Option<&'static str> {
    match word {
        "counted" => Some("The units on hand are set."),
        "moved" => Some("The units on hand are changed."),
        "saved" => Some("The product is saved."),
        _ => None,
    }
}

/// Label of the price, which is typed in its currency.
pub(crate) fn price_in(currency: &str) -> String {
    format!("Price in {currency}")
}

/// Words before the causes of the units on hand.
pub(crate) fn on_hand(units: i64) -> String {
    format!("{units} on hand: ")
}

/// Words before the time of an earlier balance.
pub(crate) fn from_earlier(units: i64) -> String {
    format!("from {units} {ON} ")
}

/// Sum of the open orders, beside the units that are reserved.
pub(crate) fn held(units: i64, reserved: i64) -> String {
    format!("{units} left to ship in these orders; {reserved} reserved.")
}

/// Detail of a count of units that have moved since the page was opened.
pub(crate) fn moved_since(then: i64, now: i64) -> String {
    format!(
        "{then} were on hand when you opened this page, and {now} are now: orders were shipped or came back. Your \
         fields are kept. Check your count, and submit again."
    )
}
