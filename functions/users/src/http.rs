//! The REST face of users: the route table, and handlers that convert and call.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use serde::Serialize;
use shared::address::Address;
use shared::auth::{Access, Role, Verifier};
use shared::clock::Timestamp;
use shared::context::Context;
use shared::error::Error;
use shared::idempotency::KeyedJson;
use shared::ids::UserKind;
use shared::json::{self, Json};
use shared::page::PageRequest;
use shared::query::{self, Query};
use shared::routes::{PathId, Routes};
use shared::version::{self, Expected, Known};

use crate::forms::{CreateUserForm, SignInForm, UpdateUserForm};
use crate::service::UserService;
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
        .into_router(service)
}

async fn create_user(
    State(users): Service,
    context: Context,
    KeyedJson(form, keyed): KeyedJson<CreateUserForm>,
) -> Result<Response, Error> {
    let request = keyed.map(|keyed| keyed.sent_to("POST /users"));
    let made = users.create(&context, form.check()?, request).await?;
    Ok(made.answer(|user| {
        let (location, version) = (format!("/users/{}", user.id), user.version);
        version::tagged(version, json::created(&location, &UserJson::from(user)))
    }))
}

async fn list_users(
    State(users): Service,
    context: Context,
    RawQuery(q): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(q.as_deref(), &["role", "limit", "cursor"])?;
    let role = query.get("role").map(Role::parse).transpose();
    let role = role.map_err(|detail| query::invalid(format!("`role` {detail}.")))?;
    let page = users.list(&context, role, PageRequest::from_query(&query)?).await?;
    Ok(json::answer(StatusCode::OK, &page.map(UserJson::from)))
}

async fn get_user(
    State(users): Service,
    context: Context,
    known: Known,
    id: PathId<UserKind>,
) -> Result<Response, Error> {
    let user = users.get(&context, id.or_not_found()?).await?;
    Ok(known.answer(user.version, || json::answer(StatusCode::OK, &UserJson::from(user))))
}

async fn update_user(
    State(users): Service,
    context: Context,
    expected: Expected,
    id: PathId<UserKind>,
    Json(form): Json<UpdateUserForm>,
) -> Result<Response, Error> {
    let change = form.check()?;
    let user = users.update(&context, id.or_not_found()?, &expected, change).await?;
    Ok(version::tagged(user.version, json::answer(StatusCode::OK, &UserJson::from(user))))
}

async fn delete_user(
    State(users): Service,
    context: Context,
    expected: Expected,
    id: PathId<UserKind>,
) -> Result<Response, Error> {
    users.delete(&context, id.or_not_found()?, &expected).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn sign_in(State(users): Service, Json(form): Json<SignInForm>) -> Result<Response, Error> {
    let session = users.authenticate(form.check()?).await?;
    let answer = SessionJson {
        access_token: session.access_token,
        token_type: "Bearer",
        expires_in: session.expires_in,
    };
    Ok(json::answer(StatusCode::OK, &answer))
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
}
