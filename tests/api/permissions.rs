//! Permission matrix: each route, with each field that it writes, as each role, on one's own and on another's.
//!
//! Rows follow from the access that the committed OpenAPI document promises. [`RULES`] has those where a field, an owner,
//! a state or a list makes a rule of its own, as "Who may do what" of docs/api.md says.

#![expect(clippy::print_stdout, reason = "how many cells there are is to be seen")]

use http::Method;
use serde_json::{Value, json};
use shared::auth::Access;
use shared::http::routes::ResponseSpec;
use shared::values::ids::{ItemId, OrderId, ProductId, RefundId, UserId};
use tests::answer::Answer;
use tests::declared::{self, Route};
use tests::person::{PASSWORD, Person, address, to};
use tests::shop::{Shop, new_email, new_sku, order_of, steps_to};

/// A list that names what the row is about.
const SEES: u16 = 1;
/// A list that does not.
const BLIND: u16 = 2;
/// A list of nothing at all.
const EMPTY: u16 = 3;

/// A route, the case, and what anyone, a customer, staff and an admin are answered: a status, or what a list shows.
///
/// A case begins with whose it is: `own`, `other`, or `unknown`, which is nobody's. `own, paid` is an order of one's own
/// that is paid. A field after a colon is written.
/// A query after `?` filters a list; `its` is what the row is about has there.
type Row<T = String> = (T, T, [u16; 4]);

/// Rows whose rule is more than the access of their route. Each stands in place of the row of the same case that
/// follows from it. `*` is every field that has no row of its own here.
#[rustfmt::skip]
const RULES: &[Row<&str>] = &[
    ("POST /users", "new: role=customer", [201, 201, 201, 201]),
    ("POST /users", "new: role=staff", [403, 403, 403, 201]),
    ("POST /users", "new: role=admin", [403, 403, 403, 201]),
    ("GET /users", "other?role=customer", [401, 403, SEES, SEES]),
    ("GET /users", "other?role=admin", [401, 403, BLIND, BLIND]),
    ("GET /users", "other?status=active", [401, 403, SEES, SEES]),
    ("GET /users", "other?status=disabled", [401, 403, BLIND, BLIND]),
    ("GET /users", "other?email=its", [401, 403, SEES, SEES]),
    ("GET /users", "own?email=its", [401, 403, SEES, SEES]),
    ("GET /users/{id}", "other", [401, 404, 200, 200]),
    ("PUT /users/{id}", "own: email", [401, 422, 422, 422]),
    ("PUT /users/{id}", "own: password", [401, 422, 422, 422]),
    ("PUT /users/{id}", "own: role=customer", [401, 403, 403, 200]),
    ("PUT /users/{id}", "own: role=staff", [401, 403, 403, 200]),
    ("PUT /users/{id}", "own: role=admin", [401, 403, 403, 200]),
    ("PUT /users/{id}", "own: status=disabled", [401, 403, 403, 200]),
    ("PUT /users/{id}", "own: status=active", [401, 403, 403, 200]),
    ("PUT /users/{id}", "other: *", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: email", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: password", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: role=staff", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: role=admin", [401, 404, 403, 200]),
    ("PUT /users/{id}", "other: status=disabled", [401, 404, 403, 200]),
    ("DELETE /users/{id}", "other", [401, 404, 403, 204]),

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
    ("GET /products/{id}", "draft", [404, 404, 200, 200]),
    ("GET /products/{id}", "archived", [404, 404, 200, 200]),
    ("PUT /products/{id}", "active: stock", [401, 403, 422, 422]),
    ("PUT /products/{id}", "active: id", [401, 403, 422, 422]),
    ("PUT /products/{id}", "active: version", [401, 403, 422, 422]),
    ("PUT /products/{id}", "draft: *", [401, 403, 200, 200]),

    ("POST /orders", "new: user_id=own", [401, 201, 201, 201]),
    ("POST /orders", "new: user_id=other", [401, 403, 201, 201]),
    ("POST /orders", "new: expires_at", [401, 403, 201, 201]),
    ("POST /orders", "new: external_number", [401, 201, 201, 201]),
    ("POST /orders", "new: billing_address", [401, 201, 201, 201]),
    ("POST /orders", "new: discounts", [401, 403, 201, 201]),
    ("POST /orders", "new: taxes", [401, 403, 201, 201]),
    ("POST /orders", "new: shipping", [401, 403, 201, 201]),
    ("POST /orders", "new: internal_note", [401, 403, 201, 201]),
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
    ("GET /orders/{id}", "other", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "own: metadata", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: expires_at", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: billing_address", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: discounts", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: taxes", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: shipping", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: internal_note", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: external_number", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: status=cancelled", [401, 200, 200, 200]),
    ("PUT /orders/{id}", "own: status=paid", [401, 403, 200, 200]),
    ("PUT /orders/{id}", "own: status=shipped", [401, 409, 409, 409]),
    ("PUT /orders/{id}", "own: status=delivered", [401, 409, 409, 409]),
    ("PUT /orders/{id}", "own: payment", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: tracking", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: restock", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: user_id", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "own: total", [401, 422, 422, 422]),
    ("PUT /orders/{id}", "other: *", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: metadata", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: expires_at", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: billing_address", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: shipping", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: internal_note", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: status=cancelled", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: status=paid", [401, 404, 200, 200]),
    ("PUT /orders/{id}", "other: status=shipped", [401, 404, 409, 409]),

    ("POST /orders/{id}/payments", "own", [401, 403, 201, 201]),
    ("POST /orders/{id}/payments", "other", [401, 404, 201, 201]),
    ("POST /orders/{id}/refunds", "own", [401, 403, 201, 201]),
    ("POST /orders/{id}/refunds", "other", [401, 404, 201, 201]),
    ("POST /orders/{id}/refunds/preview", "own", [401, 403, 200, 200]),
    ("POST /orders/{id}/refunds/preview", "other", [401, 404, 200, 200]),
    ("PUT /orders/{id}/refunds/{id}", "own: reference", [401, 403, 200, 200]),
    ("PUT /orders/{id}/refunds/{id}", "other: reference", [401, 404, 200, 200]),

    ("POST /orders/{id}/fulfillments", "own", [401, 403, 201, 201]),
    ("POST /orders/{id}/fulfillments", "other", [401, 404, 201, 201]),
    ("PUT /orders/{id}/fulfillments/{id}", "own: status=delivered", [401, 403, 200, 200]),
    ("PUT /orders/{id}/fulfillments/{id}", "own: status=cancelled", [401, 403, 200, 200]),
    ("PUT /orders/{id}/fulfillments/{id}", "own: tracking", [401, 403, 200, 200]),
    ("PUT /orders/{id}/fulfillments/{id}", "other: status=delivered", [401, 404, 200, 200]),
    ("PUT /orders/{id}/fulfillments/{id}", "other: tracking", [401, 404, 200, 200]),
    ("POST /orders/{id}/cancellations", "own, paid", [401, 403, 201, 201]),
    ("POST /orders/{id}/cancellations", "other", [401, 404, 201, 201]),
    ("POST /orders/{id}/returns", "other", [401, 404, 201, 201]),
    ("PUT /orders/{id}/returns/{id}", "own: status=approved", [401, 403, 200, 200]),
    ("PUT /orders/{id}/returns/{id}", "own: status=cancelled", [401, 200, 200, 200]),
    ("PUT /orders/{id}/returns/{id}", "own: items", [401, 403, 200, 200]),
    ("PUT /orders/{id}/returns/{id}", "own: reason", [401, 200, 200, 200]),
    ("PUT /orders/{id}/returns/{id}", "other: status=approved", [401, 404, 200, 200]),
    ("PUT /orders/{id}/returns/{id}", "other: status=cancelled", [401, 404, 200, 200]),
    ("PUT /orders/{id}/returns/{id}", "other: items", [401, 404, 200, 200]),
    ("PUT /orders/{id}/returns/{id}", "other: reason", [401, 404, 200, 200]),
];

const ROLES: [&str; 4] = ["anyone", "customer", "staff", "admin"];

/// A case, taken apart.
struct Case<'a> {
    whose: &'a str,
    field: Option<&'a str>,
    value: Option<&'a str>,
    query: Option<(&'a str, &'a str)>,
}

impl<'a> Case<'a> {
    fn of(text: &'a str) -> Self {
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
    async fn of(
        shop: &'a Shop,
        role: &'static str,
        cast: &[Person; 4],
        route: &Route,
        case: &Case<'_>,
    ) -> Self {
        // A user who is changed or deleted is of this cell alone.
        let changes = route.spec.method != Method::GET && route.spec.path.starts_with("/users/{id}");
        // A list shows the newest.
        let is_new = changes || is_list(route) && route.resource() == "users";
        let index = ROLES.iter().position(|it| *it == role).unwrap_or_default();
        let me = if changes && case.whose == "own" && role != "anyone" {
            shop.person(role).await
        } else {
            cast[index].clone()
        };
        let other = if is_new && case.whose == "other" { shop.customer().await } else { cast[1].clone() };
        // Each has another for whom it is another's: the customer of the cast is not another for itself.
        let other = if other.id == me.id { shop.customer().await } else { other };
        Self { shop, role, me, other, product: shop.product(1_000).await }
    }

    async fn order_of(&self, person: &Person) -> String {
        person.post("/orders", order_of(&self.product, 1)).await.expect(201).id()
    }

    /// Owner of what the row is about.
    fn owner(&self, whose: &str) -> &Person {
        if whose.starts_with("own") && self.role != "anyone" { &self.me } else { &self.other }
    }

    /// ID of the item of an order, or of none if there is no such order.
    async fn item_of(&self, order: &str) -> Value {
        let order = self.shop.admin().get(&format!("/orders/{order}")).await;
        if order.status == 200 { order["items"][0]["id"].clone() } else { json!(ItemId::new().to_string()) }
    }

    /// Path of a part of an order, such as a refund, that is made for the row.
    async fn part(&self, list: &str, case: &Case<'_>, order: &str) -> String {
        let (path, admin) = (format!("/orders/{order}/{list}"), self.shop.admin());
        let made = match list {
            "refunds" => admin.post(&path, json!({ "amount": 1 })).await,
            "fulfillments" => admin.post(&path, json!({})).await,
            _ => {
                let items = json!([{ "id": self.item_of(order).await, "quantity": 1 }]);
                self.owner(case.whose).post(&path, json!({ "items": items })).await
            }
        };
        let id = if made.status == 201 { made.id() } else { RefundId::new().to_string() };
        if case.field == Some("items") && made.status == 201 {
            // Units come back once the return is approved.
            admin.put(&format!("{path}/{id}"), json!({ "status": "approved" })).await.expect(200);
        }
        format!("{path}/{id}")
    }

    /// The ID of what the row is about.
    async fn target(&self, route: &Route, whose: &str) -> String {
        let with_status = |status: &str| json!({ "status": status, "stock": 5 });
        let owner = self.owner(whose);
        match (route.resource(), whose) {
            ("users", "unknown") => UserId::new().to_string(),
            ("orders", "unknown") => OrderId::new().to_string(),
            ("products", "unknown") => ProductId::new().to_string(),
            ("products", status @ ("active" | "draft" | "archived")) => {
                self.shop.product_with(with_status(status)).await.id()
            }
            ("orders", "own" | "other" | "own, paid") => {
                let order = self.order_of(owner).await;
                let status = match part_of(route) {
                    Some("refunds" | "fulfillments") => "paid",
                    Some("returns") => "delivered",
                    _ if whose == "own, paid" => "paid",
                    _ => "placed",
                };
                for step in steps_to(status) {
                    self.shop.admin().moves(&order, step).await.expect(200);
                }
                order
            }
            ("problems" | "docs", name) => name.to_owned(),
            _ => owner.id.clone(),
        }
    }

    /// The body that writes a field of the case.
    async fn body(&self, route: &Route, case: &Case<'_>, target: &str) -> Option<Value> {
        let id = |whose: &str| if whose == "own" { self.me.id.clone() } else { self.other.id.clone() };
        let schema = route.spec.request_body;
        let mut body = match route.name().as_str() {
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
            "POST /orders/{id}/payments" => {
                return Some(json!({ "amount": 1, "reference": new_sku() }));
            }
            "POST /orders/{id}/refunds" | "POST /orders/{id}/refunds/preview" => {
                return Some(json!({ "amount": 1 }));
            }
            "POST /orders/{id}/fulfillments" | "POST /orders/{id}/cancellations" => return Some(json!({})),
            "POST /orders/{id}/returns" => {
                let items = json!([{ "id": self.item_of(target).await, "quantity": 1 }]);
                return Some(json!({ "items": items }));
            }
            "PUT /orders/{id}/returns/{id}" if case.field == Some("items") => {
                let item = json!({ "id": self.item_of(target).await, "received": 1, "restocked": 0 });
                return Some(json!({ "status": "received", "items": [item] }));
            }
            "PUT /products/{id}/stock" if case.field == Some("reason") => json!({ "delta": 1 }),
            _ if route.spec.method == Method::PUT => json!({}),
            _ => return schema.and_then(declared::example),
        };
        let Some(field) = case.field else { return Some(body) };
        if matches!(field, "discounts" | "taxes" | "shipping") {
            // They come with the items.
            body["items"] = json!([{ "product_id": self.product, "quantity": 2 }]);
            match field {
                "discounts" => body["items"][0][field] = json!([{ "label": "Sale", "amount": 1 }]),
                "taxes" => {
                    let tax = json!({ "label": "VAT", "rate": "0", "amount": 0, "included": true });
                    body["items"][0][field] = json!([tax]);
                }
                _ => body[field] = json!({ "label": "Express", "amount": 490 }),
            }
            return Some(body);
        }
        body[field] = match (route.resource(), field) {
            ("users", "email") => json!(new_email()),
            ("users", "phone") => json!("+49 228 1"),
            ("users", "address") | ("orders", "shipping_address" | "billing_address") => address(),
            ("orders", "external_number") => json!(new_sku()),
            ("users", "password") => json!("another horse battery"),
            ("users", "current_password") => {
                body["password"] = json!("another horse battery");
                json!(PASSWORD)
            }
            ("users", "role" | "status") => json!(case.value),
            ("products", "status") => json!("archived"),
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
            ("orders", "expires_at") => Value::Null,
            ("products", "max_per_order") => json!(7),
            ("orders", "total") => json!({ "amount": 1, "currency": "EUR" }),
            _ => {
                let recorded = schema.and_then(|schema| declared::example_of(schema, field));
                recorded.unwrap_or_else(|| json!("changed"))
            }
        };
        Some(body)
    }

    /// Value of this field of the row's user, product or order, as a filter of its list.
    async fn has(&self, list: &Route, id: &str, name: &str) -> String {
        let it = self.shop.admin().get(&format!("{}/{id}", list.spec.path)).await.expect(200);
        match name {
            "product_id" => self.product.clone(),
            "q" => it.text("sku"),
            "created_from" => it.text("created_at"),
            field => it.text(field),
        }
    }

    /// Sends the request of a cell. The ID is that of what it is about.
    async fn send(&self, route: &Route, case: &Case<'_>) -> (Answer, String) {
        let target = self.target(route, case.whose).await;
        let mut path = route.spec.path_of(&target);
        if let (Some(_), Some(list)) = (&route.spec.part_parameter, part_of(route)) {
            path = self.part(list, case, &target).await;
        }
        if let Some((name, value)) = case.query {
            let its = if value == "its" { Some(self.has(route, &target, name).await) } else { None };
            path = format!("{path}?{name}={}", its.as_deref().unwrap_or(value));
        }
        if is_list(route) {
            // A long page, since others may add to it meanwhile.
            path = format!("{path}{}limit=100", if path.contains('?') { '&' } else { '?' });
        }
        let body = self.body(route, case, &target).await;
        (self.me.send(method_of(route), &path, body).await, target)
    }
}

/// List of an order in which a route has its part, such as `refunds`.
fn part_of(route: &Route) -> Option<&'static str> {
    route.spec.path.strip_prefix("/orders/{id}/")?.split('/').next()
}

/// Method that a test sends. The answers around the API may be pages or files, which are not compared.
fn method_of(route: &Route) -> Method {
    if route.is_docs { Method::HEAD } else { route.spec.method.clone() }
}

/// True for a list of what has an ID: its cells are about what it shows.
fn is_list(route: &Route) -> bool {
    let is_page = |success: &ResponseSpec| success.body.is_some_and(|body| body.is_page);
    route.spec.path_parameter.is_none() && route.spec.responses.iter().any(is_page)
}

/// Case of something that exists, so that a caller who is let in succeeds.
fn known_case(route: &Route) -> Option<&'static str> {
    match (route.resource(), route.promised_access()) {
        ("products", _) => Some("active"),
        ("users" | "orders", Some(Access::Staff | Access::Admin)) => Some("other"),
        ("users" | "orders", _) => Some("own"),
        ("problems", _) => Some("not-found"),
        _ => None,
    }
}

/// Rows that follow from the access of a route. A PUT has them for `*`, every field.
fn rows_by_access(route: &Route) -> Vec<Row> {
    let spec = route.spec;
    let Some(access) = route.promised_access() else { return Vec::new() };
    let success = spec.responses.first().map_or(200, |success| success.status.as_u16());
    let cases = if is_list(route) {
        vec![(known_case(route), SEES)]
    } else if spec.path_parameter.is_some() {
        vec![(known_case(route), success), (Some("unknown"), 404)]
    } else {
        vec![(Some(if spec.method == Method::POST { "new" } else { "all" }), success)]
    };
    let rows = cases.into_iter().filter_map(|(case, admitted)| {
        let cells = match access {
            Access::Public | Access::Anyone => [admitted; 4],
            Access::SignedIn => [401, admitted, admitted, admitted],
            Access::Staff => [401, 403, admitted, admitted],
            Access::Admin => [401, 403, 403, admitted],
        };
        let fields = if spec.method == Method::PUT { ": *" } else { "" };
        Some((route.name(), format!("{}{fields}", case?), cells))
    });
    rows.collect()
}

/// Rows of a route in the matrix.
fn rules(route: &Route) -> Vec<Row> {
    let rules = RULES.iter().filter(|(of, ..)| *of == route.name());
    rules.map(|(of, case, cells)| ((*of).to_owned(), (*case).to_owned(), *cells)).collect()
}

/// Fields that the body of a route writes.
fn fields(route: &Route) -> Vec<String> {
    declared::fields_of(route.spec.request_body.unwrap_or_default())
}

/// All rows of a route.
fn rows(route: &Route) -> Vec<Row> {
    let (rules, by_access) = (rules(route), rows_by_access(route));
    let ordinary = match route.spec.method {
        Method::PUT => route.spec.ordinary_fields.iter().map(|field| (*field).to_owned()).collect(),
        _ => fields(route),
    };
    let expand = |(of, case, cells): &Row| match case.strip_suffix('*') {
        Some(whose) => ordinary.iter().map(|field| (of.clone(), format!("{whose}{field}"), *cells)).collect(),
        None => vec![(of.clone(), case.clone(), *cells)],
    };
    let is_ruled = |(_, case, _): &&Row| rules.iter().any(|(_, ruled, _)| ruled == case);
    let by_access = by_access.iter().filter(|row| !is_ruled(row));
    by_access.chain(&rules).flat_map(expand).collect()
}

#[test]
fn every_route_and_every_field_that_it_writes_has_a_row() {
    for route in declared::routes() {
        let (name, rows) = (route.name(), rows(&route));
        // The name of a file of the page has a hash, so that none is known here.
        let is_known = |(_, case, _): &Row| Case::of(case).whose != "unknown";
        assert!(rows.iter().any(is_known) || name == "GET /docs/assets/{id}", "{name}: see known_case");
        if route.spec.method == Method::PUT {
            let fields = fields(&route);
            assert!(!fields.is_empty(), "{name} takes no fields");
            for field in fields {
                let writes = |(_, case, _): &Row| Case::of(case).field == Some(&field);
                assert!(rows.iter().any(writes), "{name}: {field} is neither ordinary nor in RULES");
                let is_ruled =
                    |(of, case, _): &&Row<&str>| *of == name && Case::of(case).field == Some(&field);
                let is_ordinary = route.spec.ordinary_fields.contains(&field.as_str());
                assert!(!is_ordinary || !RULES.iter().any(|row| is_ruled(&row)), "{name}: {field} is both");
            }
        }
    }
}

#[test]
fn every_rule_differs_from_the_access_of_its_route() {
    let routes = declared::routes();
    for (name, case, cells) in RULES {
        let route = routes.iter().find(|route| route.name() == *name);
        let by_access = route.map(rows_by_access);
        let Some(by_access) = by_access else { panic!("{name} is no route") };
        assert!(!by_access.contains(&((*name).to_owned(), (*case).to_owned(), *cells)), "{name} {case}");
    }
}

#[test]
fn the_matrix_agrees_with_the_policy_of_the_route_tables() {
    for route in declared::routes() {
        assert_eq!(route.promised_access(), Some(route.spec.access), "{}: run `cargo openapi`", route.name());
        for (_, case, cells) in rows(&route) {
            let refused = cells.map(|cell| cell == 401);
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
    let routes = declared::routes();
    let rows: Vec<_> =
        routes.iter().flat_map(|route| rows(route).into_iter().map(move |row| (route, row))).collect();
    for (route, (name, text, expected)) in &rows {
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
                wrong
                    .push(format!("{name} {text} as {role}: {expected} expected, {status}: {}", answer.body));
            }
            cells += 1;
        }
    }
    // A column of its own: a token that is sent and bad, everywhere but at what looks at none.
    for route in &routes {
        let path = route.spec.path_of("x");
        let bad = shop.anyone().with_token("bad");
        let answer = bad.send(method_of(route), &path, Some(json!({}))).await;
        if (answer.status == 401) == route.is_docs {
            wrong.push(format!("{} with a bad token: {}", route.name(), answer.status));
        }
        cells += 1;
    }
    assert!(wrong.is_empty(), "{} of {cells} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{cells} cells of {} rows and {} routes, all right", rows.len(), routes.len());
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
