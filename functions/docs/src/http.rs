//! The routes around the API: each as a row with its documentation, and its handler below it.

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, json};
use shared::auth::Access;
use shared::error::{Error, Kind};
use shared::http::base_path::BasePath;
use shared::http::routes::{Guard, Parameter, ParameterValue, ResponseSpec, RouteSpec, RouteTable};
use shared::input::json;
use shared::values::clock::Clock;

use crate::assets::{self, File, Keep};
use crate::description::Description;
use crate::negotiation::wants_html;
use crate::pages;
use crate::problems::{self, ProblemType};

const TAG: &str = "Around";
const HTML: &str = "text/html";

/// Headers of a response that caches may keep.
const CACHEABLE: &[&str] = &["Cache-Control", "Vary", "ETag"];

/// Names and paths of the index.
pub(crate) const PLACES: [(&str, &str); 8] = [
    ("docs", "/docs"),
    ("openapi", "/openapi.json"),
    ("problems", "/problems"),
    ("orders", "/orders"),
    ("products", "/products"),
    ("users", "/users"),
    ("auth", "/auth"),
    ("health", "/health"),
];

/// The route table.
pub fn routes() -> RouteTable<Description> {
    RouteTable::new()
        .route(&INDEX, index)
        .route(&DOCS, docs)
        .route(&ASSET, asset)
        .route(&OPENAPI, openapi)
        .route(&LIST_PROBLEMS, list_problems)
        .route(&GET_PROBLEM, get_problem)
        .route(&HEALTH, health)
}

/// The router of all routes.
pub fn router(clock: Clock) -> Router {
    routes().into_router(Description::default(), Guard::public(clock))
}

static INDEX: RouteSpec = RouteSpec::get("/", "index")
    .access(Access::Public)
    .tag(TAG)
    .summary("Where everything is")
    .description("Whoever asks for HTML is led to `/docs`.")
    .responses(&[
        ResponseSpec::json(StatusCode::OK, "Index", "Paths.").headers(&["Vary"]),
        ResponseSpec::empty(StatusCode::SEE_OTHER, "For whoever asks for HTML.").headers(&["Location"]),
    ]);

/// Index of the API. Browsers are redirected to the page.
async fn index(base_path: BasePath, headers: HeaderMap) -> Response {
    let mut response = if wants_html(&headers) {
        Redirect::to("/docs").into_response()
    } else {
        let places = PLACES.iter().map(|(name, path)| ((*name).to_owned(), json!(base_path.of(path))));
        let name = ("name".to_owned(), json!("Order management"));
        let index: Map<_, _> = std::iter::once(name).chain(places).collect();
        json::answer(StatusCode::OK, &index)
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

static HEALTH: RouteSpec = RouteSpec::get("/health", "health")
    .access(Access::Public)
    .tag(TAG)
    .summary("Check that the API is alive")
    .description("The database is not asked.")
    .responses(&[ResponseSpec::json(StatusCode::OK, "Health", "It is.")]);

/// Alive, that is all: it says nothing of the database.
async fn health() -> Response {
    json::answer(StatusCode::OK, &json!({ "status": "ok" }))
}

static DOCS: RouteSpec = RouteSpec::get("/docs", "docs")
    .access(Access::Public)
    .if_none_match()
    .tag(TAG)
    .summary("A page to read and try the API in")
    .responses(&[ResponseSpec::empty(StatusCode::OK, "The page.").also_as(&[HTML]).headers(CACHEABLE)]);

/// The page to read and try the API in.
async fn docs(base_path: BasePath, headers: HeaderMap) -> Response {
    pages::answer(&headers, pages::docs(&base_path))
}

static ASSET: RouteSpec = RouteSpec::get("/docs/assets/{file}", "asset")
    .access(Access::Public)
    .path_parameter(Parameter::new(
        "file",
        ParameterValue::Text { min: 1, max: None },
        "Its name, as the page has it.",
    ))
    .if_none_match()
    .tag(TAG)
    .summary("A file that the page loads")
    .description("Its hash is in its name, so it may be kept for good.")
    .responses(&[ResponseSpec::empty(StatusCode::OK, "The file.")
        .also_as(&["text/css", "text/javascript", "image/svg+xml"])
        .headers(CACHEABLE)]);

/// Files that the pages load.
async fn asset(request: Request) -> Result<Response, Error> {
    let file = File::at(request.uri().path()).ok_or_else(|| Error::not_found("file"))?;
    Ok(file.answer(request.headers(), Keep::ForGood))
}

static OPENAPI: RouteSpec = RouteSpec::get("/openapi.json", "openapi")
    .access(Access::Public)
    .if_none_match()
    .tag(TAG)
    .summary("This document")
    .responses(&[ResponseSpec::json(StatusCode::OK, "OpenApi", "OpenAPI 3.1.").headers(CACHEABLE)]);

/// The description of the API (OpenAPI 3.1).
async fn openapi(
    State(description): State<Description>,
    base_path: BasePath,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let document = description.below(&base_path).map_err(Error::internal)?;
    Ok(document.answer(&headers, Keep::Ask))
}

static LIST_PROBLEMS: RouteSpec = RouteSpec::get("/problems", "listProblems")
    .access(Access::Public)
    .if_none_match()
    .tag(TAG)
    .summary("List the types of problems")
    .description("A page for whoever asks for HTML.")
    .responses(&[ResponseSpec::json(StatusCode::OK, "ProblemTypes", "All of them.")
        .also_as(&[HTML])
        .headers(CACHEABLE)]);

/// All types of problems.
async fn list_problems(base_path: BasePath, headers: HeaderMap) -> Response {
    let all: Vec<ProblemType> = problems::all(&base_path).collect();
    if wants_html(&headers) {
        return pages::answer(&headers, pages::problems(&base_path, &all));
    }
    answer(&headers, &json!({ "data": all }))
}

static GET_PROBLEM: RouteSpec = RouteSpec::get("/problems/{type}", "getProblem")
    .access(Access::Public)
    .path_parameter(Parameter::new(
        "type",
        ParameterValue::OneOf(|| Kind::ALL.map(Kind::slug).to_vec()),
        "The last segment of the type.",
    ))
    .if_none_match()
    .tag(TAG)
    .summary("What a type of problem means")
    .description("The `type` of every problem leads here. A page for whoever asks for HTML.")
    .responses(&[ResponseSpec::json(StatusCode::OK, "ProblemType", "What it means, and what to do.")
        .also_as(&[HTML])
        .headers(CACHEABLE)]);

/// A type of problem.
async fn get_problem(
    base_path: BasePath,
    headers: HeaderMap,
    path: Result<RawPathParams, RawPathParamsRejection>,
) -> Result<Response, Error> {
    // Rejected when the path is not UTF-8: then it is no type either.
    let named = path.ok().and_then(|path| ProblemType::named(path.iter().next()?.1, &base_path));
    let problem = named.ok_or_else(|| Error::not_found("type of problem"))?;
    if wants_html(&headers) {
        return Ok(pages::answer(&headers, pages::problem(&base_path, &problem)));
    }
    Ok(answer(&headers, &problem))
}

fn answer(headers: &HeaderMap, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => assets::made(headers, "application/json", body),
        Err(error) => Error::internal(error).into_response(),
    }
}
