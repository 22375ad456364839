//! The routes around the API.

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use shared::auth::Access;
use shared::error::Error;
use shared::http::routes::Routes;
use shared::input::json;
use shared::values::clock::Clock;

use crate::assets::{self, File, Keep};
use crate::negotiation::wants_html;
use crate::pages;
use crate::problems::{self, ProblemType};

/// The route table.
pub fn router(clock: Clock) -> Router {
    Routes::open(clock)
        .route(Method::GET, "/", index, Access::Anyone)
        .route(Method::GET, "/docs", docs, Access::Anyone)
        .route(Method::GET, "/docs/assets/{file}", asset, Access::Anyone)
        .route(Method::GET, "/openapi.json", openapi, Access::Anyone)
        .route(Method::GET, "/problems", list_problems, Access::Anyone)
        .route(Method::GET, "/problems/{type}", get_problem, Access::Anyone)
        .route(Method::GET, "/health", health, Access::Anyone)
        .into_router(())
}

/// Where everything is. People are led to the page.
async fn index(headers: HeaderMap) -> Response {
    let mut response = if wants_html(&headers) {
        Redirect::to("/docs").into_response()
    } else {
        let index = json!({
            "name": "Order management",
            "docs": "/docs",
            "openapi": "/openapi.json",
            "problems": "/problems",
            "orders": "/orders",
            "products": "/products",
            "users": "/users",
            "auth": "/auth",
            "health": "/health",
        });
        json::answer(StatusCode::OK, &index)
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Alive, that is all: it says nothing of the database.
async fn health() -> Response {
    json::answer(StatusCode::OK, &json!({ "status": "ok" }))
}

/// The page to read and try the API in.
async fn docs(headers: HeaderMap) -> Response {
    pages::answer(&headers, pages::docs())
}

/// What the pages load.
async fn asset(request: Request) -> Result<Response, Error> {
    let file = File::at(request.uri().path()).ok_or_else(|| Error::not_found("file"))?;
    Ok(file.answer(request.headers(), Keep::ForGood))
}

/// The description of the API (OpenAPI 3.1).
async fn openapi(headers: HeaderMap) -> Response {
    assets::OPENAPI.answer(&headers, Keep::Ask)
}

/// All types of problems.
async fn list_problems(headers: HeaderMap) -> Response {
    let all: Vec<ProblemType> = problems::all().collect();
    if wants_html(&headers) {
        return pages::answer(&headers, pages::problems(&all));
    }
    answer(&headers, &json!({ "data": all }))
}

/// A type of problem.
async fn get_problem(
    headers: HeaderMap,
    path: Result<RawPathParams, RawPathParamsRejection>,
) -> Result<Response, Error> {
    // Rejected when the path is not UTF-8: then it is no type either.
    let named = path.ok().and_then(|path| ProblemType::named(path.iter().next()?.1));
    let problem = named.ok_or_else(|| Error::not_found("type of problem"))?;
    if wants_html(&headers) {
        return Ok(pages::answer(&headers, pages::problem(&problem)));
    }
    Ok(answer(&headers, &problem))
}

fn answer(headers: &HeaderMap, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => assets::made(headers, "application/json", body),
        Err(error) => Error::internal(error).into_response(),
    }
}
