//! The OpenAPI document and the code agree: the committed copy is what the code makes, and its operations are the rows
//! of the route tables, which are read from the source of each `http.rs`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how one fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use local::gateway::Function;
use serde_json::Value;
use shared::error::Kind;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> Value {
    serde_json::from_str(&local::openapi::text().unwrap()).unwrap()
}

/// The operations, by method and path.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.insert((method.to_uppercase(), path.clone()), operation.clone());
        }
    }
    operations
}

#[test]
fn the_committed_document_is_what_the_code_makes() {
    let path = root().join("functions/docs/openapi.json");
    let made = local::openapi::text().unwrap();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, made).unwrap();
        return;
    }
    // Not compared with assert_eq, which would print both.
    let same = std::fs::read_to_string(path).unwrap() == made;
    assert!(same, "run `cargo openapi`, or this test with UPDATE_OPENAPI=1, and commit what it writes");
}

/// `place_order` is `placeOrder` for clients.
fn camel_case(handler: &str) -> String {
    let mut words = handler.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// The rows of a function's route table: method, path, handler, and who may.
fn routes_of(function: Function) -> BTreeMap<(String, String), (String, String)> {
    let http =
        std::fs::read_to_string(root().join(format!("functions/{}/src/http.rs", function.name()))).unwrap();
    let open = http.contains("Routes::open(");
    let rows = http.split(".route(Method::").skip(1).map(|row| row.split(')').next().unwrap());
    rows.map(|row| {
        let cells: Vec<&str> = row.split(',').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let [method, path, handler, access] = cells.as_slice() else { panic!("{row}") };
        let access = match (open, access.trim_start_matches("Access::")) {
            (true, "Anyone") => "public",
            (false, "Anyone") => "anyone",
            (false, "SignedIn") => "signed-in",
            (false, "Staff") => "staff",
            (false, "Admin") => "admin",
            other => panic!("{other:?}"),
        };
        ((method.to_string(), path.trim_matches('"').to_owned()), (camel_case(handler), access.to_owned()))
    })
    .collect()
}

#[test]
fn every_route_is_in_the_document_under_the_name_of_its_handler_and_no_other_is() {
    let document = document();
    let described: BTreeMap<_, _> = operations(&document)
        .into_iter()
        .map(|(place, operation)| {
            let text = |member: &str| operation[member].as_str().unwrap_or_default().to_owned();
            (place, (text("operationId"), text("x-access")))
        })
        .collect();
    let routes: BTreeMap<_, _> = Function::ALL.into_iter().flat_map(routes_of).collect();
    assert_eq!(described, routes);
}

#[test]
fn every_type_of_problem_is_described_and_has_an_example() {
    let document = document();
    for kind in Kind::ALL {
        let name = shared::openapi::values::problem_name(kind);
        let components = &document["components"];
        assert!(components["schemas"][&name].is_object(), "{name}");
        let example = &components["examples"][&name]["value"];
        assert_eq!(example["type"], kind.reference(), "{name}");
    }
}

/// Names that the document refers to.
fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                into.insert(reference.clone());
            }
            members.values().for_each(|member| references(member, into));
        }
        Value::Array(elements) => elements.iter().for_each(|element| references(element, into)),
        _ => {}
    }
}

#[test]
fn whatever_is_referred_to_is_there_and_every_schema_is_used() {
    let document = document();
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    for reference in &named {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(named.contains(&format!("#/components/schemas/{name}")), "{name} is not used");
    }
}

#[test]
fn every_operation_says_what_it_does_and_has_an_example_of_its_body() {
    for ((method, path), operation) in operations(&document()) {
        for member in ["summary", "description"] {
            assert!(
                operation[member].as_str().is_some_and(|text| !text.is_empty()),
                "{method} {path}: {member}"
            );
        }
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            let examples = content["application/json"]["examples"].as_object();
            assert!(examples.is_some_and(|examples| !examples.is_empty()), "{method} {path}");
        }
    }
}
