//! Which function answers a path: what API Gateway does by the routes of template.yaml.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
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
    /// All else.
    pub docs: Router,
}

/// One router for all.
pub fn router(routers: Routers) -> Router {
    Router::new().fallback(dispatch).with_state(routers)
}

/// A function of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
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
    pub const ALL: [Self; 4] = [Self::Orders, Self::Products, Self::Users, Self::Docs];

    /// The one that answers a path.
    pub fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("orders") => Self::Orders,
            Some("products") => Self::Products,
            Some("users" | "auth" | ".well-known") => Self::Users,
            _ => Self::Docs,
        }
    }

    /// The table of its environment variables.
    pub fn variables(self) -> &'static [Variable] {
        match self {
            Self::Orders => orders::environment::VARIABLES,
            Self::Products => products::environment::VARIABLES,
            Self::Users => users::environment::VARIABLES,
            Self::Docs => docs::environment::VARIABLES,
        }
    }

    /// The rows of its route table.
    pub fn specs(self) -> Vec<&'static RouteSpec> {
        match self {
            Self::Orders => orders::http::routes().specs(),
            Self::Products => products::http::routes().specs(),
            Self::Users => users::http::routes().specs(),
            Self::Docs => docs::http::routes().specs(),
        }
    }

    /// The name of its package, its binary and its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Products => "products",
            Self::Users => "users",
            Self::Docs => "docs",
        }
    }
}

async fn dispatch(State(routers): State<Routers>, request: Request) -> Response {
    let group = match Function::of(request.uri().path()) {
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
