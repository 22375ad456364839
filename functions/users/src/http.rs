//! The REST face of users: the route table, and handlers that convert and call.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, Method, StatusCode, header};
use serde::Serialize;
use shared::auth::{Access, PublicKey, Role, Verifier};
use shared::error::Error;
use shared::http::conditional::{self, IfMatch, IfNoneMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{PathId, Routes};
use shared::input::json::{self, Json};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::runtime::context::Context;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::ids::UserKind;

use crate::forms::{CreateUserForm, RefreshTokenForm, SignInForm, UpdateUserForm};
use crate::listing::{self, Listing};
use crate::rate_limit::RateLimited;
use crate::service::UserService;
use crate::service::sessions::Session;
use crate::user::User;

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

/// A user as an answer shows it: without anything of the password.
#[derive(Serialize)]
struct UserJson {
    id: String,
    email: String,
    name: String,
    phone: Option<String>,
    address: Option<Address>,
    role: Role,
    status: &'static str,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<User> for UserJson {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            name: user.name,
            phone: user.phone,
            address: user.address,
            role: user.role,
            status: user.status.name(),
            version: user.version,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

#[derive(Serialize)]
struct SessionJson {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: String,
}

impl From<Session> for SessionJson {
    fn from(session: Session) -> Self {
        let Session { access_token, expires_in, refresh_token } = session;
        Self { access_token, token_type: "Bearer", expires_in, refresh_token }
    }
}

/// Of a set of keys (RFC 7517). A new key signs at once, so nobody should keep the old ones for long.
const KEY_SET_HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];

/// A set of keys (RFC 7517, section 5).
#[derive(Serialize)]
struct KeySetJson {
    keys: Vec<KeyJson>,
}

/// An Ed25519 public key (RFC 8037, section 2).
#[derive(Serialize)]
struct KeyJson {
    kty: &'static str,
    crv: &'static str,
    x: String,
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

impl From<&PublicKey> for KeyJson {
    fn from(key: &PublicKey) -> Self {
        let (x, kid) = (URL_SAFE_NO_PAD.encode(&key.bytes), key.kid.clone());
        Self { kty: "OKP", crv: "Ed25519", x, kid, usage: "sig", alg: "EdDSA" }
    }
}
