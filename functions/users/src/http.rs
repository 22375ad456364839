//! REST: each route as a row with its documentation, and its handler below it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use http::{HeaderName, StatusCode, header};
use shared::auth::{Access, Verifier};
use shared::error::{Error, Kind};
use shared::http::conditional::{self, IfMatch, IfNoneMatch};
use shared::http::idempotency::IdempotentJson;
use shared::http::routes::{Guard, PathId, RateClass, ResponseSpec, RouteSpec, RouteTable};
use shared::input::json::{self, Json};
use shared::input::page::PageRequest;
use shared::input::query::Query;
use shared::runtime::context::{Context, SourceAddress};
use shared::values::ids::UserKind;

use crate::forms::{CreateUserForm, RefreshTokenForm, SignInForm, UpdateUserForm};
use crate::listing::{self, Listing};
use crate::service::UserService;
use crate::views::{KeyJson, KeySetJson, SessionJson, UserJson};

type Service = State<Arc<UserService>>;

/// Address of the peer, where it is known.
type Source = Option<Extension<SourceAddress>>;

const TAG: &str = "Users";
const SIGN_IN_TAG: &str = "Sign-in";

/// The route table.
pub fn routes() -> RouteTable<Arc<UserService>> {
    RouteTable::new()
        .route(&CREATE_USER, create_user)
        .route(&LIST_USERS, list_users)
        .route(&GET_USER, get_user)
        .route(&UPDATE_USER, update_user)
        .route(&DELETE_USER, delete_user)
        .route(&SIGN_IN, sign_in)
        .route(&REFRESH, refresh)
        .route(&SIGN_OUT, sign_out)
        .route(&PUBLIC_KEYS, public_keys)
}

/// The router of all routes.
pub fn router(service: Arc<UserService>, verifier: Verifier) -> Router {
    let guard = Guard::verified_by(verifier).limited_by(service.limits().clone());
    routes().into_router(service, guard)
}

static CREATE_USER: RouteSpec = RouteSpec::post("/users", "createUser")
    .throttled_tightly()
    .access(Access::Anyone)
    .rate(RateClass::PerAddress)
    .request_body("NewUser")
    .idempotent()
    .tag(TAG)
    .summary("Sign up, or add a user")
    .description(
        "Anyone may sign up as a customer; only admins give another `role`. An `Idempotency-Key` is good for 24 \
         hours, and a replay needs the same password.",
    )
    .responses(&[
        ResponseSpec::json(StatusCode::CREATED, "User", "The user.").headers(&["Location", "ETag"])
    ])
    .problems(&[Kind::Forbidden, Kind::EmailTaken]);

async fn create_user(
    State(users): Service,
    context: Context,
    source: Source,
    IdempotentJson(form, key): IdempotentJson<CreateUserForm>,
) -> Result<Response, Error> {
    let request = key.sent_to(CREATE_USER.name());
    let source = source.map(|Extension(source)| source);
    let made = users.create(&context, form.check()?, request, source).await?;
    Ok(made.into_response(|user| {
        let (location, version) = (format!("/users/{}", user.id), user.version);
        conditional::with_etag(version, json::created(&location, &UserJson::from(user)))
    }))
}

/// Row of the list; filters, sort and page of users.
pub static LIST_USERS: RouteSpec = RouteSpec::get("/users", "listUsers")
    .access(Access::Staff)
    .query(listing::PARAMETERS)
    .paged()
    .tag(TAG)
    .summary("List users")
    .description("Newest first, unless `sort` says otherwise; ties by ID. Filters add up.")
    .responses(&[ResponseSpec::page("User", "A page of users.")]);

async fn list_users(State(users): Service, context: Context, query: Query) -> Result<Response, Error> {
    let listing = Listing::from_query(&query)?;
    let page = users.list(&context, listing, PageRequest::from_query(&query)?).await?;
    let page = json::bounded(page.map(UserJson::from))?;
    Ok(query.linked(LIST_USERS.path, page.next_cursor.as_deref(), json::answer(StatusCode::OK, &page)))
}

static GET_USER: RouteSpec = RouteSpec::get("/users/{id}", "getUser")
    .access(Access::SignedIn)
    .id::<UserKind>()
    .if_none_match()
    .tag(TAG)
    .summary("Get a user")
    .description("Customers see themselves; another user is 404 for them, as one that there is not.")
    .responses(&[ResponseSpec::json(StatusCode::OK, "User", "The user.").headers(&["ETag"])]);

async fn get_user(
    State(users): Service,
    context: Context,
    known: IfNoneMatch,
    id: PathId<UserKind>,
) -> Result<Response, Error> {
    let user = users.get(&context, id.require()?).await?;
    Ok(known.answer(user.version, || json::answer(StatusCode::OK, &UserJson::from(user))))
}

static UPDATE_USER: RouteSpec = RouteSpec::put("/users/{id}", "updateUser")
    .access(Access::SignedIn)
    .rate(RateClass::PerAddressButAdmins)
    .id::<UserKind>()
    .request_body("UserChange")
    .ordinary_fields(UpdateUserForm::ORDINARY)
    .if_match()
    .tag(TAG)
    .summary("Change a user")
    .description(
        "What the body does not name stays as it is. Users change themselves, with `current_password` for a new \
         `password` or `email`; after 10 wrong ones in 15 minutes all are 429 for a while. Admins change anybody, \
         and alone give a `role` or a `status`.",
    )
    .responses(&[
        ResponseSpec::json(StatusCode::OK, "User", "The user as it stands now.").headers(&["ETag"])
    ])
    .problems(&[Kind::Forbidden, Kind::EmailTaken, Kind::LastAdmin]);

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

static DELETE_USER: RouteSpec = RouteSpec::delete("/users/{id}", "deleteUser")
    .access(Access::SignedIn)
    .rate(RateClass::PerAddressButAdmins)
    .id::<UserKind>()
    .if_match()
    .tag(TAG)
    .summary("Delete a user")
    .description(
        "Users delete themselves, admins anybody. Personal data goes, the e-mail address is free again, and \
         orders stay and go on.",
    )
    .responses(&[ResponseSpec::empty(StatusCode::NO_CONTENT, "The user is gone.")])
    .problems(&[Kind::Forbidden, Kind::LastAdmin]);

async fn delete_user(
    State(users): Service,
    context: Context,
    if_match: IfMatch,
    id: PathId<UserKind>,
) -> Result<Response, Error> {
    users.delete(&context, id.require()?, &if_match).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

static SIGN_IN: RouteSpec = RouteSpec::post("/auth", "signIn")
    .throttled_tightly()
    .access(Access::Anyone)
    .rate(RateClass::PerAddress)
    .request_body("Credentials")
    .tag(SIGN_IN_TAG)
    .summary("Sign in")
    .description(
        "An unknown e-mail address, a wrong password and a disabled user are the same 401. After 10 failures in 15 \
         minutes for one e-mail address from one network all from there are 429 for a while, with the right password \
         too. After 100 from anywhere all are, but from networks where its user has signed in lately.",
    )
    .responses(&[ResponseSpec::json(
        StatusCode::OK,
        "Session",
        "An access token: send it as `Authorization: Bearer …`.",
    )]);

async fn sign_in(
    State(users): Service,
    source: Source,
    Json(form): Json<SignInForm>,
) -> Result<Response, Error> {
    let session = users.authenticate(form.check()?, source.map(|Extension(source)| source)).await?;
    Ok(json::answer(StatusCode::OK, &SessionJson::from(session)))
}

static REFRESH: RouteSpec = RouteSpec::post("/auth/refresh", "refresh")
    .throttled_tightly()
    .access(Access::Anyone)
    .rate(RateClass::PerAddress)
    .request_body("RefreshToken")
    .tag(SIGN_IN_TAG)
    .summary("Go on with a session")
    .description(
        "Answers a new pair of tokens, and the refresh token is spent. The one that was spent last may be shown again \
         for 10 s; any other spent one ends the session. One that is bad, spent or ended is 401. A session ends after \
         90 days, that of staff and admins after 7 days, or 12 hours without a refresh.",
    )
    .responses(&[ResponseSpec::json(StatusCode::OK, "Session", "The new pair.")]);

async fn refresh(State(users): Service, Json(form): Json<RefreshTokenForm>) -> Result<Response, Error> {
    let session = users.refresh(&form.check()?).await?;
    Ok(json::answer(StatusCode::OK, &SessionJson::from(session)))
}

static SIGN_OUT: RouteSpec = RouteSpec::post("/auth/logout", "signOut")
    .access(Access::Anyone)
    .request_body("RefreshToken")
    .tag(SIGN_IN_TAG)
    .summary("Sign out")
    .description(
        "Ends the session of a refresh token, its access tokens within 60 s; an unknown one too is 204.",
    )
    .responses(&[ResponseSpec::empty(StatusCode::NO_CONTENT, "The session has ended.")]);

async fn sign_out(State(users): Service, Json(form): Json<RefreshTokenForm>) -> Result<Response, Error> {
    users.sign_out(&form.check()?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

static PUBLIC_KEYS: RouteSpec = RouteSpec::get("/.well-known/jwks.json", "publicKeys")
    .access(Access::Anyone)
    .tag(SIGN_IN_TAG)
    .summary("The keys that verify access tokens")
    .description("A JWK Set (RFC 7517) of Ed25519 keys (RFC 8037).")
    .responses(&[ResponseSpec::body(StatusCode::OK, "application/jwk-set+json", "PublicKeys", "The keys.")
        .headers(&["Cache-Control"])]);

async fn public_keys(State(users): Service) -> Result<Response, Error> {
    let keys = users.public_keys(None).await?;
    let answer = json::answer(StatusCode::OK, &KeySetJson { keys: keys.iter().map(KeyJson::from).collect() });
    Ok((KEY_SET_HEADERS, answer).into_response())
}

/// Of a set of keys (RFC 7517). A new key signs at once, so nobody should keep the old ones for long.
const KEY_SET_HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];
