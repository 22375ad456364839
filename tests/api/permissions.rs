//! Permission matrix: each route, with each field that it writes, as each role, on one's own and on another's. It
//! restates the table of docs/api.md; a route without a row here fails.

#![expect(clippy::print_stdout, reason = "how many cells there are is to be seen")]

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use shared::auth::Access;
use shared::values::ids::{OrderId, ProductId, UserId};
use tests::answer::Answer;
use tests::declared::{self, Route};
use tests::person::{PASSWORD, Person, address, to};
use tests::shop::{Shop, new_email, new_sku, order_of};

/// A list that names what the row is about.
const SEES: u16 = 1;
/// A list that does not.
const BLIND: u16 = 2;
/// A list of nothing at all.
const EMPTY: u16 = 3;

/// A route, the case, and what anyone, a customer, staff and an admin are answered: a status, or what a list shows.
///
/// A case begins with whose it is: `own`, `other`, or `unknown`, which is nobody's. A field after a colon is written.
/// A query after `?` filters a list; `its` is what the row is about has there.
type Row = (&'static str, &'static str, [u16; 4]);

#[rustfmt::skip]
const MATRIX: &[Row] = &[
    ("POST /users", "new", [201, 201, 201, 201]),
    ("POST /users", "new: role=customer", [201, 201, 201, 201]),
    ("POST /users", "new: role=staff", [403, 403, 403, 201]),
    ("POST /users", "new: role=admin", [403, 403, 403, 201]),
    ("GET /users", "other", [401, 403, SEES, SEES]),
    ("GET /users", "other?role=customer", [401, 403, SEES, SEES]),
    ("GET /users", "other?role=admin", [401, 403, BLIND, BLIND]),
    ("GET /users", "other?status=active", [401, 403, SEES, SEES]),
    ("GET /users", "other?status=disabled", [401, 403, BLIND, BLIND]),
    ("GET /users", "other?email=its", [401, 403, SEES, SEES]),
    ("GET /users", "own?email=its", [401, 403, SEES, SEES]),
    ("GET /users/{id}", "own", [401, 200, 200, 200]),
    ("GET /users/{id}", "other", [401, 404, 200, 200]),
    ("GET /users/{id}", "unknown", [401, 404, 404, 404]),
    ("PUT /users/{id}", "own: name", [401, 200, 200, 200]),
    ("PUT /users/{id}", "own: email", [401, 200, 200, 200]),
    ("PUT /users/{id}", "own: phone", [401, 200, 200, 200]),
    ("PUT /users/{id}", "own: address", [401, 200, 200, 200]),
    ("PUT /users/{id}", "own: password", [401, 422, 422, 422]),
    ("PUT /users/{id}", "own: current_password", [401, 200, 200, 200]),
    ("PUT /users/{id}", "own: role=customer", [401, 403, 403, 200]),
    ("PUT /users/{id}", "own: role=staff", [401, 403, 403, 200]),
    ("PUT /users/{id}", "own: role=admin", [401, 403, 403, 200]),
    ("PUT /users/{id}", "own: status=disabled", [401, 403, 403, 200]),
    ("PUT /users/{id}", "own: status=active", [401, 403, 403, 200]),
    ("PUT /users/{id}", "other: name", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: email", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: phone", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: address", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: password", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: current_password", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: role=staff", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: role=admin", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: status=disabled", [401, 404, 403, 200]),
    ("PUT /users/{id}", "unknown: name", [401, 404, 404, 404]),
    ("DELETE /users/{id}", "own", [401, 204, 204, 204]),
    ("DELETE /users/{id}", "other", [401, 404, 403, 204]),
    ("DELETE /users/{id}", "unknown", [401, 404, 404, 404]),
    ("POST /auth", "other", [200, 200, 200, 200]),
    ("POST /auth/refresh", "other", [200, 200, 200, 200]),
    ("POST /auth/logout", "other", [204, 204, 204, 204]),
    ("GET /.well-known/jwks.json", "all", [200, 200, 200, 200]),

    ("GET /products", "active", [SEES, SEES, SEES, SEES]),
    ("GET /products", "draft", [BLIND, BLIND, SEES, SEES]),
    ("GET /products", "archived", [BLIND, BLIND, SEES, SEES]),
    ("GET /products", "active?status=active", [SEES, SEES, SEES, SEES]),
    ("GET /products", "draft?status=draft", [EMPTY, EMPTY, SEES, SEES]),
    ("GET /products", "archived?status=archived", [EMPTY, EMPTY, SEES, SEES]),
    ("GET /products", "active?sku=its", [SEES, SEES, SEES, SEES]),
    ("GET /products", "draft?sku=its", [EMPTY, EMPTY, SEES, SEES]),
    ("GET /products", "archived?sku=its", [EMPTY, EMPTY, SEES, SEES]),
    ("GET /products", "active?q=its", [SEES, SEES, SEES, SEES]),
    ("GET /products", "draft?q=its", [EMPTY, EMPTY, SEES, SEES]),
    ("GET /products", "archived?q=its", [EMPTY, EMPTY, SEES, SEES]),
    ("GET /products/{id}", "active", [200, 200, 200, 200]),
    ("GET /products/{id}", "draft", [404, 404, 200, 200]),
    ("GET /products/{id}", "archived", [404, 404, 200, 200]),
    ("GET /products/{id}", "unknown", [404, 404, 404, 404]),
    ("POST /products", "new", [401, 403, 201, 201]),
    ("PUT /products/{id}", "active: sku", [401, 403, 200, 200]),
    ("PUT /products/{id}", "active: name", [401, 403, 200, 200]),
    ("PUT /products/{id}", "active: description", [401, 403, 200, 200]),
    ("PUT /products/{id}", "active: price", [401, 403, 200, 200]),
    ("PUT /products/{id}", "active: attributes", [401, 403, 200, 200]),
    ("PUT /products/{id}", "active: status=archived", [401, 403, 200, 200]),
    ("PUT /products/{id}", "active: stock", [401, 403, 422, 422]),
    ("PUT /products/{id}", "active: id", [401, 403, 422, 422]),
    ("PUT /products/{id}", "active: version", [401, 403, 422, 422]),
    ("PUT /products/{id}", "draft: name", [401, 403, 200, 200]),
    ("PUT /products/{id}", "unknown: name", [401, 403, 404, 404]),
    ("PUT /products/{id}/stock", "active: on_hand", [401, 403, 200, 200]),
    ("PUT /products/{id}/stock", "active: delta", [401, 403, 200, 200]),
    ("PUT /products/{id}/stock", "active: reason", [401, 403, 200, 200]),
    ("PUT /products/{id}/stock", "unknown: delta", [401, 403, 404, 404]),
    ("GET /products/{id}/stock/movements", "active", [401, 403, 200, 200]),
    ("GET /products/{id}/stock/movements", "unknown", [401, 403, 404, 404]),

    ("POST /orders", "new", [401, 201, 201, 201]),
    ("POST /orders", "new: user_id=own", [401, 201, 201, 201]),
    ("POST /orders", "new: user_id=other", [401, 403, 201, 201]),
    ("GET /orders", "own", [401, SEES, SEES, SEES]),
    ("GET /orders", "other", [401, BLIND, SEES, SEES]),
    ("GET /orders", "own?user_id=its", [401, SEES, SEES, SEES]),
    ("GET /orders", "other?user_id=its", [401, EMPTY, SEES, SEES]),
    ("GET /orders", "own?status=placed", [401, SEES, SEES, SEES]),
    ("GET /orders", "other?status=placed", [401, BLIND, SEES, SEES]),
    ("GET /orders", "own?product_id=its", [401, SEES, SEES, SEES]),
    ("GET /orders", "other?product_id=its", [401, EMPTY, SEES, SEES]),
    ("GET /orders", "own?number=its", [401, SEES, SEES, SEES]),
    ("GET /orders", "other?number=its", [401, EMPTY, SEES, SEES]),
    ("GET /orders", "own?created_from=its", [401, SEES, SEES, SEES]),
    ("GET /orders", "other?created_from=its", [401, BLIND, SEES, SEES]),
    ("GET /orders", "own?created_to=9999-12-31T23:59:59Z", [401, SEES, SEES, SEES]),
    ("GET /orders", "other?created_to=9999-12-31T23:59:59Z", [401, BLIND, SEES, SEES]),
    ("GET /orders/{id}", "own", [401, 200, 200, 200]),
    ("GET /orders/{id}", "other", [401, 404, 200, 200]),
    ("GET /orders/{id}", "unknown", [401, 404, 404, 404]),
    ("GET /orders/consistency", "all", [401, 403, 403, 200]),
    ("PUT /orders/{id}", "own: note", [401, 200, 200, 200]),
    ("PUT /orders/{id}", "own: shipping_address", [401, 200, 200, 200]),
    ("PUT /orders/{id}", "own: items", [401, 200, 200, 200]),
    ("PUT /orders/{id}", "own: metadata", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: status=cancelled", [401, 200, 200, 200]),
    ("PUT /orders/{id}", "own: reason", [401, 200, 200, 200]),
    ("PUT /orders/{id}", "own: status=paid", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: status=shipped", [401, 409, 409, 409]),
    ("PUT /orders/{id}", "own: status=delivered", [401, 409, 409, 409]),
    ("PUT /orders/{id}", "own: payment", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: tracking", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: restock", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: user_id", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: total", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "other: note", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: shipping_address", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: items", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: metadata", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: status=cancelled", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: status=paid", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: status=shipped", [401, 404, 409, 409]),
    ("PUT /orders/{id}", "unknown: note", [401, 404, 404, 404]),

    ("GET /", "all", [200, 200, 200, 200]),
    ("GET /health", "all", [200, 200, 200, 200]),
    ("GET /docs", "all", [200, 200, 200, 200]),
    ("GET /docs/assets/{id}", "unknown", [404, 404, 404, 404]),
    ("GET /openapi.json", "all", [200, 200, 200, 200]),
    ("GET /problems", "all", [200, 200, 200, 200]),
    ("GET /problems/{id}", "not-found", [200, 200, 200, 200]),
    ("GET /problems/{id}", "unknown", [404, 404, 404, 404]),
];

/// Rows of a field that has none of its own in the matrix: an ordinary one, as the route itself. A field with a rule of
/// its own belongs into the matrix.
#[rustfmt::skip]
const ORDINARY: &[Row] = &[
    ("PUT /users/{id}", "own", [401, 200, 200, 200]),
    ("PUT /users/{id}", "other", [401, 404, 403, 200]),
    ("PUT /products/{id}", "active", [401, 403, 200, 200]),
    ("PUT /products/{id}/stock", "active", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own", [401, 200, 200, 200]),
    ("PUT /orders/{id}", "other", [401, 404, 200, 200]),
];

/// Answer of a list, as the cells see it: a long page, since others may add to it meanwhile.
const LISTS: [&str; 3] = ["GET /users", "GET /products", "GET /orders"];

const ROLES: [&str; 4] = ["anyone", "customer", "staff", "admin"];

/// A case, taken apart.
struct Case {
    whose: &'static str,
    field: Option<&'static str>,
    value: Option<&'static str>,
    query: Option<(&'static str, &'static str)>,
}

impl Case {
    fn of(text: &'static str) -> Self {
        let (text, query) = match text.split_once('?') {
            Some((text, query)) => (text, query.split_once('=')),
            None => (text, None),
        };
        let (whose, field) = match text.split_once(": ") {
            Some((whose, field)) => (whose, Some(field)),
            None => (text, None),
        };
        let (field, value) = match field.and_then(|field| field.split_once('=')) {
            Some((field, value)) => (Some(field), Some(value)),
            None => (field, None),
        };
        Self { whose, field, value, query }
    }
}

/// Caller and subject of a request.
struct Scene<'a> {
    shop: &'a Shop,
    role: &'static str,
    me: Person,
    other: Person,
    product: String,
}

impl<'a> Scene<'a> {
    async fn of(shop: &'a Shop, role: &'static str, cast: &[Person; 4], route: &str, case: &Case) -> Self {
        // Whoever is changed or deleted is of this cell alone.
        let changes = route.starts_with("PUT /users") || route.starts_with("DELETE /users");
        let index = ROLES.iter().position(|it| *it == role).unwrap_or_default();
        let me = if changes && case.whose == "own" && role != "anyone" {
            shop.person(role).await
        } else {
            cast[index].clone()
        };
        let other = if changes && case.whose == "other" { shop.customer().await } else { cast[1].clone() };
        // Each has another for whom it is another's: the customer of the cast is not another for itself.
        let other = if other.id == me.id { shop.customer().await } else { other };
        Self { shop, role, me, other, product: shop.product(1_000).await }
    }

    async fn order_of(&self, person: &Person) -> String {
        person.post("/orders", order_of(&self.product, 1)).await.expect(201).id()
    }

    /// The ID of what the row is about.
    async fn target(&self, route: &str, whose: &str) -> String {
        let with_status = |status: &str| json!({ "status": status, "stock": 5 });
        let owner = if whose == "own" && self.role != "anyone" { &self.me } else { &self.other };
        match (route.split('/').nth(1), whose) {
            (Some("users"), "unknown") => UserId::new().to_string(),
            (Some("orders"), "unknown") => OrderId::new().to_string(),
            (Some("products"), "unknown") => ProductId::new().to_string(),
            (Some("products"), status @ ("active" | "draft" | "archived")) => {
                self.shop.product_with(with_status(status)).await.id()
            }
            (Some("orders"), "own" | "other") => self.order_of(owner).await,
            (Some("problems" | "docs"), name) => name.to_owned(),
            _ => owner.id.clone(),
        }
    }

    /// The body that writes a field of the case.
    async fn body(&self, route: &str, case: &Case) -> Option<Value> {
        let id = |whose: &str| if whose == "own" { self.me.id.clone() } else { self.other.id.clone() };
        let mut body = match route {
            "POST /users" => json!({ "email": new_email(), "password": PASSWORD, "name": "Ada" }),
            "POST /auth" => return Some(json!({ "email": self.other.email, "password": PASSWORD })),
            "POST /auth/refresh" | "POST /auth/logout" => {
                let who = json!({ "email": self.other.email, "password": PASSWORD });
                let session = self.shop.anyone().post("/auth", who).await.expect(200);
                return Some(json!({ "refresh_token": session["refresh_token"] }));
            }
            "POST /products" => {
                json!({ "sku": new_sku(), "name": "Mug", "price": { "amount": 1, "currency": "EUR" } })
            }
            "POST /orders" => order_of(&self.product, 1),
            "PUT /products/{id}/stock" if case.field == Some("reason") => json!({ "delta": 1 }),
            _ if route.starts_with("PUT") => json!({}),
            _ => return None,
        };
        let Some(field) = case.field else { return Some(body) };
        body[field] = match (route.split('/').nth(1).unwrap_or_default(), field) {
            ("users", "email") => json!(new_email()),
            ("users", "phone") => json!("+49 228 1"),
            ("users", "address") | ("orders", "shipping_address") => address(),
            ("users", "password") => json!("another horse battery"),
            ("users", "current_password") => {
                body["password"] = json!("another horse battery");
                json!(PASSWORD)
            }
            ("users", "role" | "status") | ("products", "status") => json!(case.value),
            ("products", "sku") => json!(new_sku()),
            ("products", "price") => json!({ "amount": 7, "currency": "EUR" }),
            ("products" | "orders", "attributes" | "metadata") => json!({ "k": "v" }),
            ("products", "stock" | "version" | "on_hand" | "delta") => json!(7),
            ("orders", "user_id") => json!(id(case.value.unwrap_or("other"))),
            ("orders", "items") => json!([{ "product_id": self.product, "quantity": 2 }]),
            ("orders", "status") => {
                body = to(case.value.unwrap_or_default());
                body["status"].take()
            }
            ("orders", "reason") => {
                body["status"] = json!("cancelled");
                json!("changed my mind")
            }
            ("orders", "payment") => json!({ "reference": "pi_1" }),
            ("orders", "tracking") => json!({ "carrier": "DHL", "number": "1" }),
            ("orders", "restock") => json!(true),
            ("orders", "total") => json!({ "amount": 1, "currency": "EUR" }),
            _ => {
                let is_of = |it: &Route| it.name() == route;
                let schema = declared_routes().into_iter().find(is_of).and_then(|it| it.spec.request_body);
                let recorded = schema.and_then(|schema| declared::example_of(schema, field));
                recorded.unwrap_or_else(|| json!("changed"))
            }
        };
        Some(body)
    }

    /// Value of this field of the row's user, product or order, as a filter of its list.
    async fn has(&self, list: &str, id: &str, name: &str) -> String {
        let path = list.trim_start_matches("GET ");
        let it = self.shop.admin().get(&format!("{path}/{id}")).await.expect(200);
        match name {
            "product_id" => self.product.clone(),
            "q" => it.text("sku"),
            "created_from" => it.text("created_at"),
            field => it.text(field),
        }
    }

    /// Sends the request of a cell. The ID is that of what it is about.
    async fn send(&self, route: &str, case: &Case) -> (Answer, String) {
        let target = self.target(route, case.whose).await;
        let (method, path) = route.split_once(' ').unwrap_or_default();
        let mut path = path.replace("{id}", &target);
        if let Some((name, value)) = case.query {
            let its = if value == "its" { Some(self.has(route, &target, name).await) } else { None };
            path = format!("{path}?{name}={}", its.as_deref().unwrap_or(value));
        }
        if method == "GET" && LISTS.contains(&route) {
            path = format!("{path}{}limit=100", if path.contains('?') { '&' } else { '?' });
        }
        // What the docs function answers may be a page, which nobody reads here.
        let is_page =
            route.split('/').nth(1).is_some_and(|it| !["users", "products", "orders"].contains(&it));
        let method = if is_page && method == "GET" { "HEAD" } else { method };
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        (self.me.send(method, &path, self.body(route, case).await).await, target)
    }
}

fn declared_routes() -> Vec<Route> {
    declared::routes()
}

/// The rows of the matrix, and ordinary ones for fields that have none there.
fn rows() -> Vec<Row> {
    let mut rows = MATRIX.to_vec();
    for route in declared_routes().iter().filter(|route| route.spec.method == Method::PUT) {
        let fields = declared::fields_of(route.spec.request_body.unwrap_or_default());
        for field in fields {
            let writes = |(of, case, _): &&Row| *of == route.name() && Case::of(case).field == Some(&field);
            if MATRIX.iter().any(|row| writes(&row)) {
                continue;
            }
            let ordinary = ORDINARY.iter().filter(|(of, ..)| *of == route.name());
            rows.extend(ordinary.map(|(of, whose, cells)| {
                let case: &'static str = format!("{whose}: {field}").leak();
                (*of, case, *cells)
            }));
        }
    }
    rows
}

#[test]
fn every_route_and_every_field_that_it_writes_has_a_row() {
    let of_matrix: BTreeSet<String> = MATRIX.iter().map(|(route, ..)| (*route).to_owned()).collect();
    let routes: BTreeSet<String> = declared_routes().iter().map(Route::name).collect();
    assert_eq!(of_matrix, routes, "left: the matrix, right: the route tables");
    let rows = rows();
    for route in declared_routes().iter().filter(|route| route.spec.method == Method::PUT) {
        let fields = declared::fields_of(route.spec.request_body.unwrap_or_default());
        assert!(!fields.is_empty(), "{} takes no fields", route.name());
        for field in fields {
            let writes = |(of, case, _): &&Row| *of == route.name() && Case::of(case).field == Some(&field);
            assert!(rows.iter().any(|row| writes(&row)), "{}: no row writes {field}", route.name());
        }
    }
}

#[test]
fn the_matrix_agrees_with_the_policy_of_the_route_tables() {
    for route in declared_routes() {
        for (_, case, cells) in rows().iter().filter(|(name, ..)| *name == route.name()) {
            let refused: Vec<bool> = cells.iter().map(|cell| matches!(cell, 401)).collect();
            let expected = !matches!(route.spec.access, Access::Public | Access::Anyone);
            assert_eq!(refused, [expected, false, false, false], "{} {case}", route.name());
            match route.spec.access {
                Access::Staff => assert_eq!(cells[1], 403, "{} {case}", route.name()),
                Access::Admin => assert_eq!(cells[1..3], [403, 403], "{} {case}", route.name()),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn every_cell_of_the_matrix_is_as_the_contract_says() {
    let shop = Shop::open().await;
    let cast = [shop.anyone(), shop.customer().await, shop.staff().await, shop.person("admin").await];
    let (mut cells, mut wrong) = (0, Vec::new());
    let rows = rows();
    for (route, text, expected) in &rows {
        let case = Case::of(text);
        for (role, expected) in ROLES.into_iter().zip(expected) {
            let scene = Scene::of(&shop, role, &cast, route, &case).await;
            let (answer, target) = scene.send(route, &case).await;
            let status = answer.status.as_u16();
            let shown =
                answer.body["data"].as_array().is_some_and(|list| list.iter().any(|it| it["id"] == target));
            let right = match *expected {
                SEES => status == 200 && shown,
                BLIND => status == 200 && !shown,
                EMPTY => status == 200 && answer.body["data"] == json!([]),
                expected => status == expected && fits(&answer),
            };
            if !right {
                wrong.push(format!(
                    "{route} {text} as {role}: {expected} expected, {status}: {}",
                    answer.body
                ));
            }
            cells += 1;
        }
    }
    // A column of its own: a token that is sent and bad, everywhere but at what looks at none.
    for route in declared_routes() {
        let path = route.spec.path_of("x");
        let method = if route.is_docs { Method::HEAD } else { route.spec.method.clone() };
        let bad = shop.anyone().with_token("bad");
        let answer = bad.send(method, &path, Some(json!({}))).await;
        if (answer.status == 401) == route.is_docs {
            wrong.push(format!("{} with a bad token: {}", route.name(), answer.status));
        }
        cells += 1;
    }
    assert!(wrong.is_empty(), "{} of {cells} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{cells} cells of {} rows and {} routes, all right", rows.len(), declared_routes().len());
}

/// True if the type of a refusal is that of its status.
fn fits(answer: &Answer) -> bool {
    let slug = match answer.status.as_u16() {
        401 => "unauthenticated",
        403 => "forbidden",
        404 => "not-found",
        422 => "validation",
        409 => "invalid-transition",
        _ => return true,
    };
    answer.body.is_null() || answer.body["type"] == format!("/problems/{slug}")
}
