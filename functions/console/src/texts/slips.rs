//! Texts of packing slips.

pub(crate) const TITLE: &str = "Packing slips";

/// Button below which the chosen orders of a list are.
pub(crate) const OF_CHOSEN: &str = "Packing slips of the chosen orders";
/// Link of one order's page.
pub(crate) const SLIP: &str = "Packing slip";
/// Heading of the column with the checkboxes.
pub(crate) const CHOOSE: &str = "Choose";

pub(crate) const NONE_CHOSEN: &str = "Choose at least one order in the list.";
pub(crate) const TO_ORDERS: &str = "To the orders";
pub(crate) const LEFT_OUT: &str = "Orders without a slip";

pub(crate) const PLACED: &str = "Placed";
pub(crate) const SHIPPING: &str = "Shipping";
pub(crate) const RECIPIENT: &str = "Ship to";
pub(crate) const PACKED: &str = "Packed";
pub(crate) const SKU: &str = "SKU";
pub(crate) const NAME: &str = "Item";
pub(crate) const UNITS: &str = "Units";
pub(crate) const IN_ALL: &str = "In all";
pub(crate) const NOTE: &str = "Note of the customer";

/// Heading of a slip.
pub(crate) fn heading(number: &str) -> String {
    format!("Order {number}")
}

/// Sentence above the slips.
pub(crate) fn printed(slips: usize) -> String {
    match slips {
        0 => "There is nothing to print.".to_owned(),
        1 => "Print this page: it has 1 slip.".to_owned(),
        several => format!("Print this page: each of its {several} slips begins on a new sheet."),
    }
}

/// Fault of too many chosen orders.
pub(crate) fn too_many(orders: usize, most: usize) -> String {
    format!("Slips are made for at most {most} orders at once; {orders} are chosen.")
}

/// Link to the slips of all orders on a page of the list that are to be packed, or of the first of them.
pub(crate) fn all_to_pack(orders: usize, most: usize) -> String {
    match orders {
        1 => "Packing slip of the 1 order on this page that is to pack".to_owned(),
        all if all <= most => format!("Packing slips of all {all} orders on this page that are to pack"),
        all => format!("Packing slips of the first {most} of {all} orders on this page that are to pack"),
    }
}

/// Name of the checkbox of an order, for screen readers.
pub(crate) fn choose(number: &str) -> String {
    format!("Choose order {number}")
}
