//! Paths and methods: HEAD, 404 and 405.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use tests::emulator_quirks::{Quirk, refuses_path};
use tests::shop::Shop;

use tests::support::raw::{authorization, raw};

/// IDs that are well formed, and of nothing.
const NO_PRODUCT: &str = "product_01h455vb4pex5vsknk084sn02q";

const NO_ORDER: &str = "order_01h455vb4pex5vsknk084sn02q";

const NO_USER: &str = "user_01h455vb4pex5vsknk084sn02q";

/// True if the target's front passes on another path than it gets.
fn is_altered(path: &str) -> bool {
    (Quirk::TidiesPaths.is_here() && path.split('/').any(|segment| matches!(segment, "." | "..")))
        || (Quirk::MergesSlashes.is_here() && path.contains("//"))
        || (Quirk::DecodesPaths.is_here() && path.contains('%'))
        || refuses_path(path)
}

#[tokio::test]
async fn an_unknown_route_is_a_404_with_every_method() {
    let shop = Shop::open().await;
    let product = shop.product(0).await;
    let (with_slash, stock_with_slash) =
        (format!("/products/{product}/"), format!("/products/{product}/stock/"));
    for path in [
        "/nothing",
        "/nothing/at/all",
        "/index.html",
        "/products/",
        "/products//",
        &with_slash,
        &stock_with_slash,
        "/products/x/y",
        "/products/x/stocks",
        "/products/x/stock/y",
        "/Products",
        "/PRODUCTS",
        "/products/x/STOCK",
        "/product",
        "/productsx",
        "/orders/",
        "/orders/x/",
        "/orders/x/y",
        "/Orders",
        "/users/",
        "/users/x/y",
        "/auth/",
        "/auth/x",
        "/Auth",
        "/health/",
        "/Health",
        "/docs/",
        "/docs/x",
        "/problems/",
        "/.well-known/",
        "/.well-known/x",
        "/%2Fproducts",
        "/products%2Fx",
        "/%FF",
        "/%00",
        "/%F0%9F%A6%80",
    ] {
        if is_altered(path) {
            continue;
        }
        for person in [shop.anyone(), shop.admin()] {
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD] {
                let answer = person.send(method.clone(), path, Some(json!({}))).await;
                if method == Method::HEAD {
                    answer.expect(404);
                } else {
                    assert_eq!(answer.problem(404, "not-found").text("instance"), path);
                }
            }
        }
    }
    // A client would tidy up these before it sends them.
    for path in ["//", "//products", "/./products", "/products/../products", "/a/../health"] {
        if is_altered(path) {
            continue;
        }
        raw(&shop, &format!("GET {path}"), &[], b"").await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_missing_method_of_a_path_is_a_405_with_the_known_ones() {
    let shop = Shop::open().await;
    let brew = Method::from_bytes(b"BREW").unwrap();
    for (path, allowed) in [
        ("/", "GET HEAD"),
        ("/health", "GET HEAD"),
        ("/docs", "GET HEAD"),
        ("/openapi.json", "GET HEAD"),
        ("/problems", "GET HEAD"),
        ("/problems/x", "GET HEAD"),
        ("/products", "GET HEAD POST"),
        ("/products/x", "GET HEAD PUT"),
        ("/products/%FF", "GET HEAD PUT"),
        ("/products/x/stock", "PUT"),
        ("/orders", "GET HEAD POST"),
        ("/orders/x", "GET HEAD PUT"),
        ("/users", "GET HEAD POST"),
        ("/users/x", "DELETE GET HEAD PUT"),
        ("/auth", "POST"),
    ] {
        let allowed: BTreeSet<&str> = allowed.split(' ').collect();
        for method in [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
            Method::OPTIONS,
            Method::TRACE,
            brew.clone(),
        ] {
            if allowed.contains(method.as_str()) {
                continue;
            }
            if Quirk::KnowsSevenMethods.is_here() && (method == Method::TRACE || method == brew) {
                continue;
            }
            for person in [shop.anyone(), shop.admin()] {
                let answer = person.send(method.clone(), path, None).await.expect(405);
                let allow: BTreeSet<&str> =
                    answer.header("allow").unwrap().split(',').map(str::trim).collect();
                assert_eq!(allow, allowed, "{}", answer.request);
                if method != Method::HEAD {
                    assert_eq!(answer["type"], "/problems/method-not-allowed");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_is_a_404_whatever_bytes_it_holds() {
    let shop = Shop::open().await;
    let (admin, customer) = (shop.admin(), shop.customer().await);
    let (_, order) = shop.order_in("placed").await;
    let product = shop.product(5).await;
    let long = "a".repeat(20_000);
    let mut ids: Vec<String> = [
        "x",
        "1",
        "-1",
        "0",
        "null",
        "undefined",
        "%20",
        "%00",
        "%FF",
        "%FF%FE",
        "%E2%82",
        "%ED%A0%80",
        "%",
        "%zz",
        "%25",
        "..%2F..%2Fetc%2Fpasswd",
        "%F0%9F%A6%80",
        "$ne",
        "[$ne]",
        "%7B%22$ne%22:null%7D",
        "'",
        "%22",
        "*",
        "product_",
        "order_",
        "user_",
        "_",
        "product",
        NO_PRODUCT,
        NO_ORDER,
        NO_USER,
        &long,
        "01h455vb4pex5vsknk084sn02q",
        "product_zzzzzzzzzzzzzzzzzzzzzzzzzz",
        "order_81h455vb4pex5vsknk084sn02q",
        "user_01h455vb4pex5vsknk084sn02",
        "0190b5f8-1c9a-7c3e-8a51-0242ac120002",
    ]
    .map(str::to_owned)
    .to_vec();
    ids.extend([
        product.to_uppercase(),
        format!("{product}%00"),
        format!("{product}%20"),
        format!("%20{product}"),
    ]);
    ids.extend([format!("{product}x"), product[..product.len() - 1].to_owned(), order.to_uppercase()]);
    let foreign = |mut ids: Vec<String>, others: &[&str]| {
        ids.extend(others.iter().map(|&other| other.to_owned()));
        ids
    };
    let put = |body: Value| (Method::PUT, Some(body));
    for (collection, tail, ids, requests) in [
        (
            "products",
            "",
            foreign(ids.clone(), &[&order, &customer.id]),
            vec![(Method::GET, None), (Method::HEAD, None), put(json!({ "name": "New" })), put(json!({}))],
        ),
        (
            "products",
            "/stock",
            foreign(ids.clone(), &[&order, &customer.id]),
            vec![put(json!({ "on_hand": 1 }))],
        ),
        (
            "orders",
            "",
            foreign(ids.clone(), &[&product, &customer.id]),
            vec![
                (Method::GET, None),
                put(json!({ "note": "x" })),
                put(json!({ "status": "cancelled" })),
                put(json!({})),
            ],
        ),
        (
            "users",
            "",
            foreign(ids, &[&product, &order]),
            vec![(Method::GET, None), (Method::DELETE, None), put(json!({ "name": "New" })), put(json!({}))],
        ),
    ] {
        for id in ids {
            for (method, body) in &requests {
                let path = format!("/{collection}/{id}{tail}");
                if is_altered(&path) {
                    continue;
                }
                let answer = admin.send(method.clone(), &path, body.clone()).await.expect(404);
                if *method != Method::HEAD {
                    assert_eq!(answer.problem(404, "not-found").text("instance"), path);
                }
            }
        }
    }
    // A client would tidy up these before it sends them; an empty ID is one that cannot be.
    let token = authorization(&admin);
    let headers = [("authorization", token.as_slice()), ("content-type", b"application/json")];
    for path in ["/products/..", "/products/%2E%2E", "/orders/.", "/users/%2e%2E", "/products/%c0%ae"] {
        // None of them arrives there as it was sent.
        if Quirk::DecodesPaths.is_here() {
            continue;
        }
        raw(&shop, &format!("GET {path}"), &headers[..1], b"").await.problem(404, "not-found");
    }
    let sized = [&headers[..], &[("content-length", b"11")]].concat();
    if !is_altered("/products//stock") {
        raw(&shop, "PUT /products//stock", &sized, b"{\"delta\":1}").await.problem(404, "not-found");
    }
    for path in ["/orders/%FF", "/users/%FF", "/orders/x", "/users/x"] {
        customer.get(path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let shop = Shop::open().await;
    let (anyone, customer, admin) = (shop.anyone(), shop.customer().await, shop.admin());
    let (_, order) = shop.order_in("placed").await;
    let product = format!("/products/{}", shop.product(0).await);
    let order = format!("/orders/{order}");
    let user = format!("/users/{}", customer.id);
    for (person, path, status) in [
        (&anyone, "/", 200),
        (&anyone, "/health", 200),
        (&anyone, "/openapi.json", 200),
        (&anyone, "/problems", 200),
        (&anyone, "/problems/validation", 200),
        (&anyone, "/products", 200),
        (&anyone, &product, 200),
        (&admin, &order, 200),
        (&admin, "/orders", 200),
        (&admin, &user, 200),
        (&admin, "/users", 200),
        (&anyone, "/products?limit=0", 400),
        (&anyone, "/orders", 401),
        (&customer, "/users", 403),
        (&customer, &order, 404),
        (&anyone, "/products/x", 404),
        (&anyone, "/nothing", 404),
        (&anyone, "/products/x/stock", 405),
        (&anyone, "/auth", 405),
    ] {
        let ask = async |method| {
            let answer = person.answer(person.request(method, path).header("x-request-id", "the-same")).await;
            let mut answer = answer.expect(status);
            // A length of the body that GET has may be told or not; the date may be another second.
            answer.headers.remove("content-length");
            answer.headers.remove("date");
            // API Gateway's own, of each request.
            answer.headers.remove("apigw-requestid");
            answer
        };
        let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
        assert_eq!(head.headers, get.headers, "{path}");
        assert!(head.body.is_null() && !get.body.is_null(), "{path}");
    }
}

#[tokio::test]
async fn the_docs_function_answers_for_the_whole() {
    let shop = Shop::open().await;
    for person in [shop.anyone(), shop.customer().await, shop.admin()] {
        assert_eq!(person.get("/health").await.expect(200).body, json!({ "status": "ok" }));
        assert!(person.get("/").await.expect(200).body.is_object());
    }
}
