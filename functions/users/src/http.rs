//! The REST face of users: the route table, and handlers that convert and call.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, Method, StatusCode, header};
use shared::auth::{Access, Verifier};
use shared::error::Error;
use shared::http::conditional::{self, IfMatch, IfNoneMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{PathId, Routes};
use shared::input::json::{self, Json};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::runtime::context::Context;
use shared::values::ids::UserKind;

use crate::forms::{CreateUserForm, RefreshTokenForm, SignInForm, UpdateUserForm};
use crate::listing::{self, Listing};
use crate::rate_limit::RateLimited;
use crate::service::UserService;
use crate::views::{KeyJson, KeySetJson, SessionJson, UserJson};

type Service = State<Arc<UserService>>;

/// The route table.
pub fn router(service: Arc<UserService>, verifier: Verifier) -> Router {
    Routes::verified_by(verifier)
        .route(Method::POST, "/users", create_user, Access::Anyone)
        .route(Method::GET, "/users", list_users, Access::Staff)
        .route(Method::GET, "/users/{id}", get_user, Access::SignedIn)
        .route(Method::PUT, "/users/{id}", update_user, Access::SignedIn)
        .route(Method::DELETE, "/users/{id}", delete_user, Access::SignedIn)
        .route(Method::POST, "/auth", sign_in, Access::Anyone)
        .route(Method::POST, "/auth/refresh", refresh, Access::Anyone)
        .route(Method::POST, "/auth/logout", sign_out, Access::Anyone)
        .route(Method::GET, "/.well-known/jwks.json", public_keys, Access::Anyone)
        .into_router(service)
}

async fn create_user(
    State(users): Service,
    context: Context,
    _: RateLimited,
    IdempotentJson(form, key): IdempotentJson<CreateUserForm>,
) -> Result<Response, Error> {
    let request = key.map(|key| key.sent_to("POST /users"));
    let made = users.create(&context, form.check()?, request).await?;
    Ok(made.into_response(|user| {
        let (location, version) = (format!("/users/{}", user.id), user.version);
        conditional::with_etag(version, json::created(&location, &UserJson::from(user)))
    }))
}

async fn list_users(
    State(users): Service,
    context: Context,
    RawQuery(q): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(q.as_deref(), &listing::PARAMETERS)?;
    let listing = Listing::from_query(&query)?;
    let page = users.list(&context, listing, PageRequest::from_query(&query)?).await?;
    let page = page.map(UserJson::from);
    Ok(query.linked("/users", page.next_cursor.as_deref(), json::answer(StatusCode::OK, &page)))
}

async fn get_user(
    State(users): Service,
    context: Context,
    known: IfNoneMatch,
    id: PathId<UserKind>,
) -> Result<Response, Error> {
    let user = users.get(&context, id.require()?).await?;
    Ok(known.answer(user.version, || json::answer(StatusCode::OK, &UserJson::from(user))))
}

async fn update_user(
    State(users): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<UserKind>,
    Json(form): Json<UpdateUserForm>,
) -> Result<Response, Error> {
    let change = form.check()?;
    let user = users.update(&context, id.require()?, &if_match, change).await?;
    Ok(conditional::with_etag(user.version, json::answer(StatusCode::OK, &UserJson::from(user))))
}

async fn delete_user(
    State(users): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<UserKind>,
) -> Result<Response, Error> {
    users.delete(&context, id.require()?, &if_match).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn sign_in(
    State(users): Service,
    _: RateLimited,
    Json(form): Json<SignInForm>,
) -> Result<Response, Error> {
    let session = users.authenticate(form.check()?).await?;
    Ok(json::answer(StatusCode::OK, &SessionJson::from(session)))
}

async fn refresh(
    State(users): Service,
    _: RateLimited,
    Json(form): Json<RefreshTokenForm>,
) -> Result<Response, Error> {
    let session = users.refresh(&form.check()?).await?;
    Ok(json::answer(StatusCode::OK, &SessionJson::from(session)))
}

async fn sign_out(State(users): Service, Json(form): Json<RefreshTokenForm>) -> Result<Response, Error> {
    users.sign_out(&form.check()?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn public_keys(State(users): Service) -> Result<Response, Error> {
    let keys = users.public_keys().await?;
    let answer = json::answer(StatusCode::OK, &KeySetJson { keys: keys.iter().map(KeyJson::from).collect() });
    Ok((KEY_SET_HEADERS, answer).into_response())
}

/// Of a set of keys (RFC 7517). A new key signs at once, so nobody should keep the old ones for long.
const KEY_SET_HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];
