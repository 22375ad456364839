//! Texts of the list of products, and of the page that counts many.

pub(crate) const TITLE: &str = "Products";

pub(crate) const SEARCH: &str = "Search";
pub(crate) const SEARCH_HINT: &str = "Words of name, description or SKU";
pub(crate) const FILTERS: &str = "Filters";
pub(crate) const APPLY: &str = "Apply";
pub(crate) const CLEAR: &str = "Clear all filters";
pub(crate) const SKU: &str = "SKU";
pub(crate) const STATUS: &str = "Status";
pub(crate) const CURRENCY: &str = "Currency";
pub(crate) const MIN_PRICE: &str = "Price from";
pub(crate) const MAX_PRICE: &str = "Price to";
pub(crate) const IN_STOCK: &str = "Available";
pub(crate) const SORT: &str = "Sort by";

pub(crate) const ANY: &str = "Any";
pub(crate) const AVAILABLE_SOME: &str = "Some";
pub(crate) const AVAILABLE_NONE: &str = "None";

/// Statuses of a product, by the API's names.
pub(crate) const STATUSES: [(&str, &str); 3] =
    [("draft", "Draft"), ("active", "Active"), ("archived", "Archived")];

/// Orders of the list, by the API's names. The first is the default.
pub(crate) const SORTS: [(&str, &str); 8] = [
    ("-created_at", "Created, newest first"),
    ("created_at", "Created, oldest first"),
    ("-updated_at", "Changed, newest first"),
    ("updated_at", "Changed, oldest first"),
    ("name", "Name, A to Z"),
    ("-name", "Name, Z to A"),
    ("price", "Price, lowest first"),
    ("-price", "Price, highest first"),
];

pub(crate) const NAME: &str = "Name";
pub(crate) const PRICE: &str = "Price";
pub(crate) const ON_HAND: &str = "On hand";
pub(crate) const RESERVED: &str = "Reserved";
pub(crate) const AVAILABLE: &str = "Available";

pub(crate) const PAGES: &str = "Pages";
pub(crate) const FIRST_PAGE: &str = "First page";
pub(crate) const MORE: &str = "More";

pub(crate) const NONE_YET: &str = "There are no products yet.";
pub(crate) const NONE_MATCH: &str = "No product matches these filters.";
pub(crate) const NO_MORE: &str = "There are no more products.";
pub(crate) const ALL_PRODUCTS: &str = "Show all products";

/// Fault of a price without its currency.
pub(crate) const NEEDS_CURRENCY: &str = "needs a currency: prices of different currencies cannot be compared";

/// Title of the page that counts many, and the link to it.
pub(crate) const COUNTING: &str = "Count many products";
pub(crate) const LINES: &str = "One line for each product: its SKU, then the units on hand";
pub(crate) const LINES_HINT: &str = "A tab, comma or semicolon stands between both, so columns can be pasted from a \
     spreadsheet. At most 200 lines.";
/// Sample of lines, in the empty field.
pub(crate) const LINES_EXAMPLE: &str = "MUG-BLUE;47\nMUG-RED;12";
pub(crate) const REASON: &str = "Reason, for all of them";
pub(crate) const NOTHING_DONE_YET: &str = "Nothing is changed yet. Lines with a problem will not be counted.";
pub(crate) const ALL_HAVE_PROBLEMS: &str = "Every line has a problem, so there is nothing to count.";
pub(crate) const COUNTED: &str = "The answer for each line. To repeat the lines without an answer, reload this page: none \
     is counted twice.";
pub(crate) const COUNT_MORE: &str = "Count more products";
pub(crate) const TO_PRODUCTS: &str = "To the products";

pub(crate) const NEW_COUNT: &str = "New";
pub(crate) const DIFFERENCE: &str = "Difference";

pub(crate) const NO_SEPARATOR: &str = "No tab, comma or semicolon follows the SKU.";
pub(crate) const UNKNOWN_SKU: &str = "No product has this SKU.";
pub(crate) const SINCE_PREVIEW: &str =
    "Not counted: somebody else has changed this product since the preview.";
pub(crate) const UNITS_MOVED: &str = "Not counted. Since the preview, units left or came; count again.";

/// Problem of a line whose count cannot be read.
pub(crate) fn no_count(text: &str) -> String {
    format!("“{text}” is not a whole number from 0.")
}

/// Problem of a SKU that is on several lines.
pub(crate) fn on_several_lines(lines: &[usize]) -> String {
    format!("This SKU is on lines {}.", super::pasted::numbers(lines))
}

/// Problem of a count that the stock does not allow.
pub(crate) fn below_reserved(reserved: i64) -> String {
    format!("{reserved} are reserved for orders, so at least as many must be on hand.")
}

/// Button that counts the lines without a problem.
pub(crate) fn count(lines: usize) -> String {
    match lines {
        1 => "Count 1 product".to_owned(),
        several => format!("Count {several} products"),
    }
}

/// Answer for a line that was counted.
pub(crate) fn now_on_hand(units: i64) -> String {
    format!("Counted: {units} on hand.")
}
