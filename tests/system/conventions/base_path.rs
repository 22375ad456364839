//! The API below a base path: what comes in has it, and so has all that goes out.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use shared::http::base_path::BasePath;
use shared::http::edge::Edge;
use tests::answer::Answer;
use tests::declared::{Route, routes};
use tests::in_process::InProcess;
use tests::person::Person;

const BASE: &str = "/shop/v1";

const COMMITTED: &str = include_str!("../../../functions/docs/openapi.json");

/// Paths that a plain service answers by itself, at the root.
const OF_THE_PORT: [&str; 2] = ["/health", "/ready"];

/// A shop below the base path.
struct Site {
    shop: InProcess,
    /// The same server without the base path.
    root: String,
    http: reqwest::Client,
}

/// An answer in any format.
struct Page {
    status: StatusCode,
    location: Option<String>,
    text: String,
}

impl Site {
    async fn open() -> Self {
        let base_path = BasePath::parse(BASE).unwrap();
        let shop = InProcess::open_behind(Edge::default().with_base_path(base_path)).await;
        let root = shop.base.strip_suffix(BASE).unwrap().to_owned();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { shop, root, http }
    }

    /// Sends a request to a path from outside.
    async fn ask(&self, method: &Method, path: &str, accept: &str) -> Page {
        let request = self.http.request(method.clone(), format!("{}{path}", self.root));
        let answer = request.header(header::ACCEPT, accept).send().await.unwrap();
        let location = answer.headers().get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
        Page { status: answer.status(), location, text: answer.text().await.unwrap() }
    }

    async fn get(&self, path: &str, accept: &str) -> Page {
        self.ask(&Method::GET, path, accept).await
    }

    /// The same person, who follows paths of answers.
    fn outside(&self, person: &Person) -> Person {
        person.at(&self.root)
    }
}

const HTML: &str = "text/html";
const JSON: &str = "application/json";

/// True for the answer to a path that no route table has.
fn is_unrouted(page: &Page) -> bool {
    page.status == StatusCode::NOT_FOUND && page.text.contains("No route at this path")
}

/// Path of a route, with something in place of its parameter.
fn path_of(route: &Route) -> String {
    route.spec.path_of("x")
}

#[tokio::test]
async fn every_route_is_below_the_base_path_and_nowhere_else() {
    let site = Site::open().await;
    let rows = routes();
    assert!(rows.len() > 20);
    for route in rows {
        let (method, path) = (&route.spec.method, path_of(&route));
        let below = site.ask(method, &format!("{BASE}{path}"), JSON).await;
        assert!(!is_unrouted(&below), "{}: {}", route.name(), below.text);
        for outside in [path.clone(), format!("/shop{path}"), format!("/v1{path}"), format!("{BASE}x{path}")]
        {
            if OF_THE_PORT.contains(&outside.as_str()) {
                continue;
            }
            let page = site.ask(method, &outside, JSON).await;
            assert!(is_unrouted(&page), "{method} {outside}: {} {}", page.status, page.text);
            let problem: Value = serde_json::from_str(&page.text).unwrap();
            assert_eq!(
                (&problem["instance"], &problem["type"]),
                (&json!(outside), &json!("/shop/v1/problems/not-found"))
            );
        }
    }
    for index in [BASE, &format!("{BASE}/")] {
        assert_eq!(site.get(index, JSON).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_location_of_what_was_made_can_be_followed() {
    let site = Site::open().await;
    let (shop, admin) = (&site.shop, site.shop.admin());
    let product = shop.product_with(json!({ "stock": 5 })).await;
    let customer = shop.customer().await;
    let order = customer.orders(&[(&product.id(), 1)]).await.expect(201);
    let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
    let user = json!({ "email": email, "password": "correct horse battery", "name": "Ada" });
    let user = admin.post("/users", user).await.expect(201);
    for (made, list) in [(&product, "products"), (&order, "orders"), (&user, "users")] {
        let location = made.header("location").unwrap();
        assert_eq!(location, format!("{BASE}/{list}/{}", made.id()));
        assert_eq!(site.outside(&admin).get(location).await.expect(200).id(), made.id());
    }
}

#[tokio::test]
async fn a_key_finds_the_same_location_again() {
    let site = Site::open().await;
    let product = site.shop.product(5).await;
    let customer = site.shop.customer().await;
    let order = tests::shop::order_of(&product, 1);
    let place = async || customer.send_keyed(Method::POST, "/orders", "the-key", &order).await.expect(201);
    let (first, again) = (place().await, place().await);
    assert!(again.is_replayed());
    assert_eq!(again.header("location"), Some(format!("{BASE}/orders/{}", first.id()).as_str()));
}

/// Path of the next page.
fn next(page: &Answer) -> Option<String> {
    let link = page.header("link")?;
    Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

#[tokio::test]
async fn every_list_can_be_walked_by_its_links() {
    let site = Site::open().await;
    let (shop, admin) = (&site.shop, site.shop.admin());
    let (customer, product) = (shop.customer().await, shop.product(5).await);
    shop.product(1).await;
    for _ in 0..2 {
        admin.put(&format!("/products/{product}/stock"), json!({ "delta": 1 })).await.expect(200);
        customer.orders(&[(&product, 1)]).await.expect(201);
    }
    let lists: Vec<Route> = routes().into_iter().filter(|route| route.spec.page.is_some()).collect();
    assert!(lists.len() >= 5);
    for list in lists {
        let path = list.spec.path_of(&product);
        let first = admin.get(&format!("{path}?limit=1")).await.expect(200);
        let link = next(&first).unwrap_or_else(|| panic!("{path} has one page alone: {:#}", first.body));
        assert!(link.starts_with(&format!("{BASE}{path}?")), "{link}");
        let second = site.outside(&admin).get(&link).await.expect(200);
        assert_ne!(second.body, first.body, "{link}");
    }
}

#[tokio::test]
async fn a_problem_leads_to_its_page() {
    let site = Site::open().await;
    let anyone = site.shop.anyone();
    for (answer, instance) in [
        (anyone.get("/products/x").await.problem(404, "not-found"), "/products/x"),
        (anyone.get("/orders?limit=1").await.problem(401, "unauthenticated"), "/orders"),
        (anyone.put("/auth", json!({})).await.problem(405, "method-not-allowed"), "/auth"),
        (anyone.post("/auth", json!({})).await.problem(422, "validation"), "/auth"),
        (anyone.get("/nothing").await.problem(404, "not-found"), "/nothing"),
    ] {
        assert_eq!(answer.text("instance"), format!("{BASE}{instance}"));
        let about = site.get(&answer.text("type"), JSON).await;
        let about: Value = serde_json::from_str(&about.text).unwrap();
        assert_eq!((&about["type"], &about["title"]), (&answer["type"], &answer["title"]));
        for member in ["type", "instance"] {
            assert!(about["example"][member].as_str().unwrap().starts_with(&format!("{BASE}/")), "{about}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_the_listener_leads_to_its_page_too() {
    let site = Site::open().await;
    let request = site.shop.anyone().request(Method::GET, "/products").header("host", "evil.example");
    let answer = site.shop.anyone().answer(request).await.problem(421, "misdirected-request");
    assert_eq!(answer.text("instance"), format!("{BASE}/products"));
}

/// Paths in the attributes of a page.
fn links(page: &str) -> Vec<String> {
    let attributes = [" href=\"", " src=\""].into_iter().flat_map(|attribute| page.split(attribute).skip(1));
    let values = attributes.filter_map(|rest| rest.split('"').next());
    values.filter(|value| !value.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_link_of_every_page_is_below_the_base_path() {
    let site = Site::open().await;
    let index = site.get(BASE, HTML).await;
    assert_eq!((index.status, index.location.as_deref()), (StatusCode::SEE_OTHER, Some("/shop/v1/docs")));
    let mut todo = vec![format!("{BASE}/docs")];
    let mut seen = Vec::new();
    while let Some(path) = todo.pop() {
        let page = site.get(&path, HTML).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        seen.push(path.clone());
        if !page.text.starts_with("<!DOCTYPE html>") {
            continue;
        }
        assert!(page.text.contains("data-base-path=\"/shop/v1\""), "{path}");
        for link in links(&page.text) {
            assert!(link.starts_with("/shop/v1/"), "{path} leads to {link}");
            if !seen.contains(&link) && !todo.contains(&link) {
                todo.push(link);
            }
        }
    }
    // The docs, the list of problems, one page each, the description, and the files of the pages.
    let problems = seen.iter().filter(|path| path.starts_with("/shop/v1/problems/")).count();
    assert_eq!(problems, shared::error::Kind::ALL.len());
    assert!(seen.len() > problems + 6, "{seen:?}");
}

#[tokio::test]
async fn the_index_names_paths_that_are_there() {
    let site = Site::open().await;
    let index: Value = serde_json::from_str(&site.get(BASE, JSON).await.text).unwrap();
    for (name, path) in index.as_object().unwrap().iter().filter(|(name, _)| *name != "name") {
        let path = path.as_str().unwrap();
        assert!(path.starts_with("/shop/v1/"), "{name}: {path}");
        assert!(!is_unrouted(&site.get(path, JSON).await), "{name}: {path}");
    }
}

/// Strings of a document that differ from those of another one with the same form, without the base path.
fn moved(served: &Value, committed: &Value, strings: &mut Vec<String>) {
    match (served, committed) {
        (Value::Object(served), Value::Object(committed)) => {
            assert!(served.keys().eq(committed.keys()));
            served.values().zip(committed.values()).for_each(|(one, other)| moved(one, other, strings));
        }
        (Value::Array(served), Value::Array(committed)) => {
            assert_eq!(served.len(), committed.len());
            served.iter().zip(committed).for_each(|(one, other)| moved(one, other, strings));
        }
        (Value::String(served), Value::String(committed)) if served != committed => {
            assert_eq!(served, &format!("{BASE}{committed}"));
            strings.push(committed.clone());
        }
        _ => assert_eq!(served, committed),
    }
}

#[tokio::test]
async fn the_served_description_is_the_committed_one_below_the_base_path() {
    let site = Site::open().await;
    let mut served: Value =
        serde_json::from_str(&site.get("/shop/v1/openapi.json", JSON).await.text).unwrap();
    let mut committed: Value = serde_json::from_str(COMMITTED).unwrap();
    assert_eq!(committed["servers"], json!([{ "url": "/" }]));
    assert_eq!(served["servers"].take(), json!([{ "url": "/shop/v1" }]));
    committed["servers"].take();
    let mut strings = Vec::new();
    moved(&served, &committed, &mut strings);
    for expected in ["/problems/validation", "/orders", "/openapi.json"] {
        assert!(strings.iter().any(|it| it == expected), "{expected}");
    }
    assert!(!served.to_string().contains("\"/problems/validation\""));
}

#[tokio::test]
async fn the_served_description_is_kept_and_compressed_as_at_the_root() {
    let site = Site::open().await;
    let url = format!("{}/openapi.json", site.shop.base);
    let plain = site.http.get(&url).send().await.unwrap();
    let tag = plain.headers()["etag"].clone();
    let again = site.http.get(&url).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let zipped = site.http.get(&url).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(zipped.headers()["content-encoding"], "gzip");
    let mut unzipped = String::new();
    let zipped = zipped.bytes().await.unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*zipped), &mut unzipped).unwrap();
    assert_eq!(plain.text().await.unwrap(), unzipped);
}
