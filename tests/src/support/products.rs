//! Bodies of products, and ledgers of their stock.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::person::Person;

/// The body of a product that is allowed, but for one field, whose value is JSON as it is written.
pub fn mug_with(field: &str, value: &str) -> String {
    let mut fields = BTreeMap::from([
        ("sku".to_owned(), json!(Uuid::new_v4().simple().to_string()).to_string()),
        ("name".to_owned(), "\"Mug\"".to_owned()),
        ("price".to_owned(), "{\"amount\": 500, \"currency\": \"EUR\"}".to_owned()),
    ]);
    fields.insert(field.to_owned(), value.to_owned());
    object(&fields)
}

/// A JSON object of these members, whose values are JSON as it is written.
pub fn object(fields: &BTreeMap<String, String>) -> String {
    let members: Vec<String> = fields.iter().map(|(key, value)| format!("{}: {value}", json!(key))).collect();
    format!("{{{}}}", members.join(", "))
}

/// The movements of a product's stock.
pub async fn ledger(person: &Person, product: &str) -> Vec<Value> {
    person.get(&format!("/products/{product}/stock/movements?limit=100")).await.expect(200).data().to_vec()
}

/// JSON values that are no text.
pub const NO_TEXT: [&str; 7] = ["12", "12.5", "true", "[]", "[\"x\"]", "{}", "{\"$ne\": null}"];

/// JSON values that are no integer of 64 bits.
pub const NO_INTEGER: [&str; 13] = [
    "12.0",
    "1e3",
    "1.5",
    "-0.5",
    "\"12\"",
    "\"\"",
    "true",
    "[]",
    "[1]",
    "{\"$gt\": 0}",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
];
