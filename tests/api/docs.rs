//! Pages and files of the docs function: representations, compression, and caching.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tests::shop::Shop;

/// `Accept` headers of browsers.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

/// An answer, whatever it is.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Body as a client that takes gzip reads it.
    fn unzipped(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        GzDecoder::new(self.body.as_slice()).read_to_end(&mut plain).unwrap();
        plain
    }
}

/// Follows no redirect: where it leads is what is asked.
async fn got(shop: &Shop, method: Method, path: &str, headers: &[(&str, &str)]) -> Got {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = http.request(method, format!("{}{path}", shop.base));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    Got { status, headers, body: answer.bytes().await.unwrap().to_vec() }
}

async fn get(shop: &Shop, path: &str, headers: &[(&str, &str)]) -> Got {
    got(shop, Method::GET, path, headers).await
}

/// Files that the docs page loads: the values of `src` and `href` on the same origin.
fn files_of(page: &str) -> Vec<String> {
    let quoted = page.split('"').filter(|piece| piece.starts_with("/docs/assets/"));
    let mut files: Vec<String> = quoted.map(str::to_owned).collect();
    files.sort();
    files.dedup();
    files
}

#[tokio::test]
async fn the_root_leads_people_to_the_docs_and_programs_to_everything() {
    let shop = Shop::open().await;
    let led = get(&shop, "/", &[("accept", BROWSER)]).await;
    assert_eq!((led.status.as_u16(), led.header("location"), led.header("vary")), (303, "/docs", "accept"));

    for accept in [&[][..], &[("accept", "*/*")], &[("accept", "application/json, text/html;q=0.5")]] {
        let index = get(&shop, "/", accept).await;
        assert_eq!((index.status.as_u16(), index.header("vary")), (200, "accept"));
        let index = index.json();
        // Each of them is there; who may is another question.
        for (_, path) in index.as_object().unwrap().iter().filter(|(name, _)| *name != "name") {
            let found = get(&shop, path.as_str().unwrap(), &[]).await;
            assert_ne!(found.status, 404, "{path}");
        }
        for (name, path) in [("docs", "/docs"), ("openapi", "/openapi.json"), ("problems", "/problems")] {
            assert_eq!(index[name], path);
        }
    }
}

#[tokio::test]
async fn the_docs_page_has_a_strict_policy_and_loads_existing_files() {
    let shop = Shop::open().await;
    let page = get(&shop, "/docs", &[("accept", BROWSER)]).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let page = page.text();
    // What the policy would refuse is not in it, and nothing comes from elsewhere.
    for inline in ["<style", " style=", "onclick", "<script>", "http://", "https://", "//cdn"] {
        assert!(!page.contains(inline), "{inline}");
    }

    let files = files_of(&page);
    assert_eq!(files.len(), 5, "{files:?}");
    for path in &files {
        let file = get(&shop, path, &[]).await;
        assert_eq!(file.status, 200, "{path}");
        let media_type = match path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(file.header("content-type"), media_type, "{path}");
        // Another content has another path.
        assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
    }
    for nothing in ["/docs/assets/docs.js", "/docs/assets/x"] {
        shop.anyone().get(nothing).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn files_are_the_same_with_gzip_and_without() {
    let shop = Shop::open().await;
    let mut paths = files_of(&get(&shop, "/docs", &[]).await.text());
    paths.push("/openapi.json".to_owned());
    for path in paths {
        let plain = get(&shop, &path, &[("accept-encoding", "identity")]).await;
        let zipped = get(&shop, &path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!((plain.header("content-encoding"), zipped.header("content-encoding")), ("", "gzip"));
        assert_eq!((plain.header("vary"), zipped.header("vary")), ("accept-encoding", "accept-encoding"));
        assert!(zipped.unzipped() == plain.body, "{path}");
        assert!(!plain.body.is_empty());
        if plain.body.len() > 10_000 {
            assert!(zipped.body.len() * 2 < plain.body.len(), "{path}");
        }
        assert_ne!(plain.header("etag"), zipped.header("etag"), "each form has a tag of its own");
    }
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    let shop = Shop::open().await;
    let script = files_of(&get(&shop, "/docs", &[]).await.text()).remove(0);
    let json = ("accept", "application/json");
    let html = ("accept", "text/html");
    for (path, accept) in [
        ("/docs", html),
        (&script, json),
        ("/openapi.json", json),
        ("/problems", json),
        ("/problems", html),
        ("/problems/validation", json),
        ("/problems/validation", html),
    ] {
        for encoding in [("accept-encoding", "gzip"), ("accept-encoding", "identity")] {
            let first = get(&shop, path, &[accept, encoding]).await;
            let tag = first.header("etag");
            assert!(tag.starts_with('"') && tag.ends_with('"'), "{path} {tag}");
            for known in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
                let again = get(&shop, path, &[accept, encoding, ("if-none-match", known)]).await;
                assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path} {known}");
                for name in ["etag", "cache-control", "vary"] {
                    assert_eq!(again.header(name), first.header(name), "{path}");
                }
            }
            let other = get(&shop, path, &[accept, encoding, ("if-none-match", "\"x\"")]).await;
            assert_eq!((other.status.as_u16(), &other.body), (200, &first.body), "{path}");
            let head = got(&shop, Method::HEAD, path, &[accept, encoding]).await;
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
            assert_eq!(head.header("etag"), tag);
        }
    }
    let (page, list) = (get(&shop, "/problems", &[html]).await, get(&shop, "/problems", &[json]).await);
    assert_ne!(page.header("etag"), list.header("etag"), "each form has a tag of its own");
    assert_eq!(list.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn the_description_of_the_api_is_served_as_it_is_committed() {
    let shop = Shop::open().await;
    let description = get(&shop, "/openapi.json", &[]).await;
    assert_eq!(description.header("content-type"), "application/json");
    assert_eq!(description.text(), include_str!("../../functions/docs/openapi.json"));
    assert!(description.json()["openapi"].as_str().unwrap().starts_with("3.1."));
}

#[tokio::test]
async fn the_docs_function_has_no_keys_and_looks_at_no_token() {
    let shop = Shop::open().await;
    // The exception that docs/api.md names: routes around the API ignore tokens.
    for path in ["/", "/health"] {
        shop.anyone().with_token("bad").get(path).await.expect(200);
    }
}
