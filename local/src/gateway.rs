//! Which function answers a path: what API Gateway does by the routes of template.yaml.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::http::routes::RouteSpec;
use shared::runtime::config::Variable;
use tower::ServiceExt as _;

/// The routers of the functions.
#[derive(Clone)]
pub struct Routers {
    /// `/orders` and below.
    pub orders: Router,
    /// `/products` and below.
    pub products: Router,
    /// `/users`, `/auth`, `/.well-known` and below.
    pub users: Router,
    /// `/console` and below.
    pub console: Router,
    /// All else.
    pub docs: Router,
}

/// One router for all.
pub fn router(routers: Routers) -> Router {
    Router::new().fallback(dispatch).with_state(routers)
}

/// A function of the backend. A function comes before those that it calls.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// `/console` and below.
    Console,
    /// `/orders` and below.
    Orders,
    /// `/products` and below.
    Products,
    /// `/users`, `/auth`, `/.well-known` and below.
    Users,
    /// All else.
    Docs,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Console, Self::Orders, Self::Products, Self::Users, Self::Docs];

    /// First segments of the paths that each function answers. Docs answers all others.
    const SEGMENTS: [(&str, Self); 6] = [
        ("console", Self::Console),
        ("orders", Self::Orders),
        ("products", Self::Products),
        ("users", Self::Users),
        ("auth", Self::Users),
        (".well-known", Self::Users),
    ];

    /// The one that answers a path.
    pub fn of(path: &str) -> Self {
        let first = path.split('/').nth(1);
        let segment = Self::SEGMENTS.iter().find(|(segment, _)| first == Some(segment));
        segment.map_or(Self::Docs, |(_, function)| *function)
    }

    /// Name of its service in containers.
    pub fn service(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Orders => "order-service",
            Self::Products => "product-service",
            Self::Users => "user-service",
            Self::Docs => "docs",
        }
    }

    /// Port of its service.
    pub fn port(self) -> u16 {
        match self {
            Self::Console => console::PORT,
            Self::Orders => orders::PORT,
            Self::Products => products::PORT,
            Self::Users => users::PORT,
            Self::Docs => docs::PORT,
        }
    }

    /// The table of its environment variables.
    pub fn variables(self) -> &'static [Variable] {
        match self {
            Self::Console => console::environment::VARIABLES,
            Self::Orders => orders::environment::VARIABLES,
            Self::Products => products::environment::VARIABLES,
            Self::Users => users::environment::VARIABLES,
            Self::Docs => docs::environment::VARIABLES,
        }
    }

    /// The rows of its route table: endpoints of the API. The console has none, since pages are for people: their paths
    /// are in no document, and their answers are no JSON.
    pub fn specs(self) -> Vec<&'static RouteSpec> {
        match self {
            Self::Console => Vec::new(),
            Self::Orders => orders::http::routes().specs(),
            Self::Products => products::http::routes().specs(),
            Self::Users => users::http::routes().specs(),
            Self::Docs => docs::http::routes().specs(),
        }
    }

    /// The name of its package, its binary and its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Orders => "orders",
            Self::Products => "products",
            Self::Users => "users",
            Self::Docs => "docs",
        }
    }
}

/// Lines of the configuration of nginx that say which service answers a path.
pub fn nginx_paths() -> String {
    let mut lines = String::new();
    for function in Function::ALL {
        let (service, port) = (function.service(), function.port());
        // A variable, so that the name is resolved again and again.
        let pass = format!("  set $service {service}:{port};\n  proxy_pass http://$service;\n");
        let of_it = Function::SEGMENTS.iter().filter(|(_, of)| *of == function);
        let segments: Vec<String> = of_it.map(|(segment, _)| segment.replace('.', "\\.")).collect();
        if segments.is_empty() {
            lines.push_str(&format!("location / {{\n{pass}}}\n"));
            continue;
        }
        let lists = function.specs().into_iter().filter(|spec| spec.page.is_some()).map(|spec| spec.path);
        let lists: Vec<&str> = lists.filter(|path| !path.contains('{')).collect();
        for list in lists {
            let compressed = "  gzip on;\n  add_header Vary Accept-Encoding;\n  if ($request_method != GET) {\n    gzip off;\n  }\n";
            lines.push_str(&format!("location = {list} {{\n{compressed}{pass}}}\n"));
        }
        let segments = segments.join("|");
        lines.push_str(&format!("location ~ ^/({segments})(/|$) {{\n{pass}}}\n"));
    }
    lines
}

async fn dispatch(State(routers): State<Routers>, request: Request) -> Response {
    let group = match Function::of(request.uri().path()) {
        Function::Console => routers.console,
        Function::Orders => routers.orders,
        Function::Products => routers.products,
        Function::Users => routers.users,
        Function::Docs => routers.docs,
    };
    match group.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
