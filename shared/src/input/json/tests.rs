//! Bodies, and what is said of those that are no JSON or have another form.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[expect(dead_code, reason = "only whether it can be read matters here")]
    items: Option<Vec<Item>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[expect(dead_code, reason = "only whether it can be read matters here")]
    quantity: Option<i64>,
}

fn refused(body: &str) -> Error {
    parse::<Body>(body.as_bytes()).unwrap_err()
}

fn field_error(body: &str) -> (String, String) {
    let error = refused(body).errors()[0].clone();
    (error.pointer, error.detail)
}

#[test]
fn what_is_not_json_is_a_400_that_names_the_place() {
    for (body, says) in [
        ("", "empty"),
        (" \n", "empty"),
        ("{", "at line 1, column 1: unexpected end."),
        ("{\"items\": [1,]}", "at line 1, column 14: a comma must not stand before the closing bracket."),
        ("{} {}", "at line 1, column 4: unexpected characters after the end."),
        ("{\"a\": 1,\n\n  \"a\": 1}", "at line 3, column 5: the key \"a\" stands twice in one object."),
        ("{\"a\": \"\\ud800\"}", "at line 1, column 14: \\u in a string is half of a surrogate pair."),
        ("{\"a\": 1e999}", "at line 1, column 11: a number is out of range."),
        ("{'a': 1}", "at line 1, column 2: a key must be a string in double quotes."),
        ("{a: 1}", "at line 1, column 2: a key must be a string in double quotes."),
        ("{\"a\" 1}", "at line 1, column 6: a colon is expected after the key."),
        ("{\"a\": nul}", "at line 1, column 10: expected true, false or null."),
        ("{\"a\": NaN}", "at line 1, column 7: a value is expected here."),
        ("{\"a\": \"\n\"}", "a control character in a string must be escaped"),
        ("{\"a\": \"\\x\"}", "invalid escape in a string."),
        ("{\"a\": 01}", "at line 1, column 8: a number is malformed."),
        ("{\"a\": [\n1 2]}", "at line 2, column 3: expected `,` or `]`."),
    ] {
        let error = refused(body);
        assert_eq!(error.kind(), Kind::MalformedRequest, "{body}");
        assert!(error.detail().contains(says), "{body}: {error}");
    }
    assert_eq!(parse::<Body>(b"{\"a\": \"\xff\"}").unwrap_err().kind(), Kind::MalformedRequest);
}

/// Pins the messages that clients read in other words: a release of `serde_json` that changes one fails here.
#[test]
fn each_syntax_error_of_the_parser_is_described() {
    let bodies: [&[u8]; SYNTAX_ERRORS.len()] = [
        b"{\"a\": NaN}",
        b"{\"a\": nul}",
        b"{\"a\" 1}",
        b"{a: 1}",
        b"[1,]",
        b"{} {}",
        b"[\"\\x\"]",
        b"[01]",
        b"[1e999]",
        b"[\"\xff\"]",
        b"[\"\\udc00\"]",
        b"[\"\\ud800\"]",
        b"[\"\n\"]",
    ];
    for (body, (message, description)) in bodies.into_iter().zip(SYNTAX_ERRORS) {
        let error = serde_json::from_slice::<Value>(body).unwrap_err();
        let (line, column) = (error.line(), error.column());
        assert_eq!(error.to_string(), format!("{message} at line {line} column {column}"));
        let error = parse_value(body).unwrap_err().detail().to_owned();
        assert!(error.ends_with(&format!(": {description}.")), "{error}");
    }
}

#[test]
fn thirty_two_levels_are_read_and_no_more() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(refused(&nested(32)).kind(), Kind::Validation);
    let error = refused(&nested(33));
    assert_eq!(error.kind(), Kind::MalformedRequest);
    assert!(
        error.detail().contains("at line 1, column 34: it is nested more than 32 levels deep."),
        "{error}"
    );
    assert_eq!(refused(&nested(100_000)).kind(), Kind::MalformedRequest);
}

#[test]
fn a_body_has_ten_thousand_parts_and_no_more() {
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|key| format!("\"k{key}\":0")).collect();
        format!("{{{}}}", keys.join(","))
    };
    let elements = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert_eq!(refused(&keys(10_000)).kind(), Kind::Validation);
    assert_eq!(refused(&elements(10_000)).kind(), Kind::Validation);
    for too_many in
        [keys(10_001), keys(20_000), elements(100_000), format!("[{}]", vec!["{}"; 50_000].join(","))]
    {
        let error = refused(&too_many);
        assert_eq!(error.kind(), Kind::MalformedRequest);
        assert!(error.detail().contains("more than 10000 keys and elements"), "{error}");
    }
    // All objects and arrays of a body count together.
    let nested = format!("{{\"a\": {}, \"b\": {}}}", elements(5_000), elements(4_999));
    assert_eq!(refused(&nested).kind(), Kind::MalformedRequest);
}

#[test]
fn a_message_repeats_only_the_begin_of_a_long_key() {
    let key = "ü".repeat(10_000);
    let error = refused(&format!("{{\"{key}\": 1, \"{key}\": 1}}")).detail().to_owned();
    assert!(error.contains("stands twice") && error.len() < 400, "{error}");
}

#[test]
fn another_form_is_a_422_with_a_pointer() {
    assert_eq!(field_error("[]"), (String::new(), "must be a JSON object; got an array".to_owned()));
    let integer = "must be an integer (12, not 12.0 or \"12\"); got";
    for (sent, is) in [
        ("12.0", "the number 12.0"),
        ("1e3", "the number 1000.0"),
        ("\"1\"", "a string"),
        ("true", "true"),
        ("{\"$ne\": null}", "an object"),
        ("18446744073709551616", "the number 1.8446744073709552e+19"),
        ("9223372036854775808", "the number 9223372036854775808"),
    ] {
        let body = format!("{{\"items\": [{{\"quantity\": {sent}}}]}}");
        assert_eq!(field_error(&body), ("/items/0/quantity".to_owned(), format!("{integer} {is}")));
    }
    assert_eq!(field_error("{\"items\": {}}").1, "must be an array; got an object");
    assert_eq!(
        field_error("{\"items\": [7]}"),
        ("/items/0".into(), "must be an object; got the number 7".into())
    );
    let (pointer, detail) = field_error("{\"itmes\": []}");
    assert_eq!(pointer, "/itmes");
    assert!(detail.ends_with("allowed: items"), "{detail}");
}

#[test]
fn the_media_type_may_have_parameters() {
    assert!(is_json(b"application/json"));
    assert!(is_json(b"Application/JSON ; charset=utf-8"));
    assert!(!is_json(b"text/json"));
    assert!(!is_json(b""));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = parse::<Body>(&bytes);
    }
}
