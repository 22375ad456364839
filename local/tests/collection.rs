//! `local/api.http`, sent from the top down as an editor would send it: each answer must be what is said above its
//! request, and no endpoint may be missing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how one fails")]

mod http_file;
mod running;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http_file::{Collection, Exchange, Request};
use running::Running;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn collection() -> Collection {
    Collection::parse(&std::fs::read_to_string(root().join("local/api.http")).unwrap())
}

async fn send(http: &reqwest::Client, request: &Request) -> Exchange {
    let mut builder = http.request(request.method.parse().unwrap(), &request.url);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    if !request.body.is_empty() {
        builder = builder.body(request.body.clone());
    }
    let response = builder.send().await.unwrap();
    let status = response.status().as_u16();
    let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap_or_default().to_owned())
    };
    let headers = response.headers().iter().map(header).collect();
    let body = response.text().await.unwrap();
    Exchange { request: request.clone(), status, headers, body }
}

#[tokio::test]
async fn every_request_of_the_collection_is_answered_as_it_says() {
    let (shop, mut lines) = Running::start();
    let admin = lines.find(|line| line.starts_with("admin ")).unwrap();
    let admin_password = admin.split_whitespace().nth(2).unwrap();
    let mut collection = collection();
    // What a reader fills in by hand.
    collection.set("base", &shop.base);
    collection.set("adminPassword", admin_password);
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut answered = BTreeMap::new();
    for step in &collection.steps {
        let resolve = |text: &str| {
            collection.resolve(text, &answered).unwrap_or_else(|why| panic!("{}: {why}", step.title))
        };
        let request = step.request.map(&resolve);
        let exchange = send(&http, &request).await;
        let Exchange { status, body, .. } = &exchange;
        assert_eq!(*status, step.expected_status, "{}: {body}", step.title);
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        for (path, expected) in &step.expected_values {
            let expected: Value = serde_json::from_str(&resolve(expected)).unwrap();
            let found =
                http_file::at(&json, path).unwrap_or_else(|| panic!("{}: no {path} in {body}", step.title));
            assert_eq!(*found, expected, "{}: {path}", step.title);
        }
        if let Some(name) = &step.name {
            answered.insert(name.clone(), exchange);
        }
    }
}

/// Method and path of each row of the functions' route tables.
fn routes() -> Vec<(String, String)> {
    let specs = local::gateway::Function::ALL.into_iter().flat_map(local::gateway::Function::specs);
    // A page loads its assets by itself; nothing to send by hand.
    let by_hand = specs.filter(|spec| !spec.path.starts_with("/docs/assets/"));
    by_hand.map(|spec| (spec.method.to_string(), spec.path.to_owned())).collect()
}

/// Returns true if a path, with or without references in it, belongs to this route.
fn is_of(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    let part_is_of =
        |(part, sent): (&&str, &&str)| part == sent || (part.starts_with('{') && !sent.is_empty());
    route.len() == path.len() && route.iter().zip(&path).all(part_is_of)
}

#[test]
fn the_collection_has_every_endpoint() {
    let mut missing = routes();
    for step in collection().steps {
        let (method, url) = (step.request.method, step.request.url);
        let path = url.strip_prefix("{{base}}").unwrap().split('?').next().unwrap();
        // The exact route before one with a variable.
        let met = routes().into_iter().filter(|route| route.0 == method && is_of(&route.1, path));
        let met = met.min_by_key(|route| route.1 != path);
        let met = met.unwrap_or_else(|| panic!("{}: there is no {method} {path}", step.title));
        missing.retain(|route| *route != met);
    }
    assert_eq!(
        missing,
        [],
        "local/api.http has no request for these: add some, where the story has a place for them"
    );
}
