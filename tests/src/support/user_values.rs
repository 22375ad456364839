//! Values of the fields of a user, allowed and refused: the tables for the tests of input.

use crate::person::{PASSWORD, address};
use serde_json::{Value, json};
use uuid::Uuid;

/// The body of a new user that says everything.
pub fn full() -> Value {
    json!({
        "email": format!("{}@example.com", Uuid::new_v4().simple()), "password": PASSWORD, "name": "Ada",
        "phone": "+49 30 1", "address": whole_address(), "role": "customer",
    })
}

/// An address that says everything.
pub fn whole_address() -> Value {
    let mut address = address();
    address["name"] = json!("Ada Lovelace");
    address["company"] = json!("Engines Ltd");
    address["phone"] = json!("+49 228 1");
    address["line2"] = json!("c/o Babbage");
    address["region"] = json!("NRW");
    address
}

/// The body with something else at a place.
pub fn with(mut body: Value, pointer: &str, value: &Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(parent) = body.pointer_mut(parent) {
        parent[field] = value.clone();
    }
    body
}

/// The body of a change that names this field alone; an address is whole, since it is replaced whole.
pub fn change(pointer: &str, value: &Value) -> Value {
    let body =
        if pointer.starts_with("/address/") { json!({ "address": whole_address() }) } else { json!({}) };
    with(body, pointer, value)
}

/// Lines of text, with the least and the most code points that they may have.
const LINES: [(&str, usize, usize); 10] = [
    ("/name", 1, 200),
    ("/phone", 3, 32),
    ("/address/name", 1, 200),
    ("/address/company", 1, 200),
    ("/address/phone", 3, 32),
    ("/address/line1", 1, 200),
    ("/address/line2", 1, 200),
    ("/address/city", 1, 200),
    ("/address/region", 1, 200),
    ("/address/postal_code", 1, 20),
];

/// Every text that is not a line.
const OTHERS: [&str; 4] = ["/email", "/password", "/address/country", "/role"];

/// No text at all; among it what a database might take for a query.
pub fn no_text() -> Vec<Value> {
    vec![
        json!(7),
        json!(-1.5),
        json!(true),
        json!(false),
        json!([]),
        json!(["Ada"]),
        json!({}),
        json!({ "$ne": null }),
        json!({ "$gt": "" }),
        json!({ "$numberLong": "1" }),
    ]
}

/// Texts that no line may be.
fn bad_lines(least: usize, most: usize) -> Vec<Value> {
    let mut bad = vec![String::new(), "x".repeat(most + 1), "☕".repeat(most + 1), "x".repeat(100_000)];
    bad.push("☕".repeat(least - 1));
    for space in [" ", "\u{a0}", "\u{3000}"] {
        bad.push(space.repeat(least));
    }
    for control in ["\0", "\n", "\t", "\r", "\u{1b}", "\u{7f}", "\u{85}"] {
        bad.push(format!("ab{control}cd"));
        bad.push(format!("abcd{control}"));
    }
    bad.into_iter().map(Value::from).collect()
}

/// Texts that a line may just be.
fn good_lines(least: usize, most: usize) -> Vec<Value> {
    let good = ["x".repeat(least), "☕".repeat(least), "x".repeat(most), "☕".repeat(most), " a ".to_owned()];
    let odd = ["{\"$ne\":null}", "<b>\"';", "e\u{301}a\u{308}", "مرحبا", "%00"].map(str::to_owned);
    good.into_iter().chain(odd).map(Value::from).collect()
}

/// Invalid e-mail addresses.
fn bad_emails() -> Vec<Value> {
    let long = "a".repeat(64);
    let texts = [
        "",
        " ",
        "ada",
        "@",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "ada@b@example.com",
        "a da@example.com",
        " ada@example.com",
        "ada@example.com ",
        "ada@example.com\n",
        "ada\0@example.com",
        "ada@-example.com",
        "ada@example-.com",
        "ada@example..com",
        "ada@.example.com",
        "ada@example.com.",
        "ada@exa_mple.com",
        "ada@[127.0.0.1]",
        "\"ada\"@example.com",
        "Ada <ada@example.com>",
        "ada@example.com,eve@example.com",
        "äda@example.com",
        "ada@exämple.com",
        "☕@example.com",
        "mailto:ada@example.com",
        "ada(x)@example.com",
    ];
    let too_long =
        [format!("{}@example.com", "a".repeat(243)), format!("ada@{long}.com"), "a@".repeat(50_000)];
    texts.iter().map(|text| json!(text)).chain(too_long.into_iter().map(Value::from)).collect()
}

/// Invalid countries: not ISO 3166-1 alpha-2 in capitals, of the active list.
fn bad_countries() -> Vec<Value> {
    // The last two rows are reserved, free for users' own use, or no longer countries.
    [
        "", " ", "de", "De", "DEU", "276", "D", "DE ", " DE", "D\0", "☕", "Germany", "ＤＥ", "..", "$$",
        "EU", "UK", "AC", "SU", "FX", "XX", "ZZ", "AA", "QM", //
        "AN", "YU", "CS", "DD", "TP", "ZR", "BU", "NT",
    ]
    .map(Value::from)
    .to_vec()
}

/// Invalid new passwords: under 12 or over 128 code points after NFKC, or with control characters.
fn bad_passwords() -> Vec<Value> {
    let mut bad = vec![
        String::new(),
        "short".to_owned(),
        "☕".repeat(11),
        "☕".repeat(129),
        format!("{}x", "xyzw".repeat(32)),
        // Twelve code points here, six letters with an accent each after NFKC.
        "e\u{301}u\u{308}o\u{302}a\u{300}n\u{303}c\u{327}".to_owned(),
        // Eight code points here, each eighteen of them after NFKC.
        "\u{fdfa}".repeat(8),
        "x".repeat(100_000),
    ];
    bad.extend([" ".repeat(12), "\u{a0}".repeat(20)]);
    bad.extend(["\0", "\n", "\t", "\u{1b}", "\u{7f}"].map(|control| format!("Xkcd 936 {control} staple")));
    bad.into_iter().map(Value::from).collect()
}

/// Invalid values, field by field.
pub fn bad_values() -> Vec<(&'static str, Value)> {
    let mut rows = Vec::new();
    for (pointer, least, most) in LINES {
        rows.extend(bad_lines(least, most).into_iter().map(|value| (pointer, value)));
        rows.extend(no_text().into_iter().map(|value| (pointer, value)));
    }
    for pointer in OTHERS {
        rows.extend(no_text().into_iter().map(|value| (pointer, value)));
    }
    rows.extend(bad_emails().into_iter().map(|value| ("/email", value)));
    rows.extend(bad_passwords().into_iter().map(|value| ("/password", value)));
    rows.extend(bad_countries().into_iter().map(|value| ("/address/country", value)));
    for role in
        ["", " ", "Admin", "ADMIN", "owner", "system", "anyone", "customer ", "deleted", "staff,admin"]
    {
        rows.push(("/role", json!(role)));
    }
    for address in [
        json!("1 Way, Bonn"),
        json!(7),
        json!(true),
        json!([]),
        json!([address()]),
        // All that an address has, in order: it is an array still.
        json!([null, null, null, "1 Way", null, "Bonn", null, "53111", "DE"]),
    ] {
        rows.push(("/address", address));
    }
    for required in ["/address/line1", "/address/city", "/address/country"] {
        rows.push((required, Value::Null));
    }
    rows
}

/// Valid values at the limits, field by field.
pub fn good_values() -> Vec<(&'static str, Value)> {
    let mut rows = Vec::new();
    for (pointer, least, most) in LINES {
        rows.extend(good_lines(least, most).into_iter().map(|value| (pointer, value)));
    }
    let labels = ["b".repeat(63), "c".repeat(63), "d".repeat(50)].join(".");
    for email in [
        format!("{}@{labels}", "a".repeat(254 - 1 - labels.len())),
        format!("{}@example.com", "a".repeat(242)),
        "a@b".to_owned(),
        "!#$%&'*+/=?^_`{|}~.-@x-y.example".to_owned(),
        "..@1.2.3.4".to_owned(),
    ] {
        rows.push(("/email", json!(email)));
    }
    for password in
        ["☕".repeat(12), "xyzw".repeat(32), "☕".repeat(128), "\u{fdfa}".repeat(7), " Xkcd 936 ".repeat(2)]
    {
        rows.push(("/password", json!(password)));
    }
    rows.extend(["DE", "US", "GB", "AX", "ZW", "SS", "XK"].map(|code| ("/address/country", json!(code))));
    rows
}
