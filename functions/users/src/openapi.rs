//! What users say of themselves in the OpenAPI document, in the order of the route table.

use http::{Method, StatusCode};
use shared::auth::{Access, Role};
use shared::error::Kind;
use shared::openapi::schemas::Schemas;
use shared::openapi::values::one_of;
use shared::openapi::{Operation, Part};
use shared::values::ids::UserKind;

use crate::forms::{CreateUserForm, RefreshTokenForm, SignInForm, UpdateUserForm};
use crate::user::{Email, Status};
use crate::views::{KeySetJson, SessionJson, UserJson};

const TAG: &str = "Users";
const SIGN_IN: &str = "Sign-in";

/// Operations and schemas.
pub fn part() -> Part {
    schemas(operations(Part::default()))
}

fn operations(part: Part) -> Part {
    part.operation(create_user())
        .operation(list_users())
        .operation(get_user())
        .operation(update_user())
        .operation(delete_user())
        .operation(sign_in())
        .operation(refresh())
        .operation(sign_out())
        .operation(public_keys())
}

fn create_user() -> Operation {
    Operation::new(Method::POST, "/users", "createUser", Access::Anyone)
        .says(
            TAG,
            "Sign up, or add a user",
            "Anyone may sign up as a customer; only admins give another `role`. An `Idempotency-Key` is good for 24 \
             hours, and a replay needs the same password.",
        )
        .takes("NewUser")
        .answers(StatusCode::CREATED, "User", "The user.")
        .with_header("Location")
        .with_header("ETag")
        .keyed()
        .problems(&[Kind::Forbidden, Kind::EmailTaken, Kind::TooManyRequests])
}

fn list_users() -> Operation {
    Operation::new(Method::GET, "/users", "listUsers", Access::Staff)
        .says(TAG, "List users", "Newest first.")
        .query("role", one_of(Role::ALL.map(Role::name)), "Users of this role.")
        .query("status", one_of(Status::ALL.map(Status::name)), "Users of this status.")
        .query("email", Email::text(), "The user with this e-mail address, in any case.")
        .pages("User", "A page of users.")
}

fn get_user() -> Operation {
    Operation::new(Method::GET, "/users/{id}", "getUser", Access::SignedIn)
        .says(
            TAG,
            "Get a user",
            "Customers see themselves; another user is 404 for them, as one that there is not.",
        )
        .id::<UserKind>()
        .answers(StatusCode::OK, "User", "The user.")
        .with_header("ETag")
        .unless_known()
}

fn update_user() -> Operation {
    Operation::new(Method::PUT, "/users/{id}", "updateUser", Access::SignedIn)
        .says(
            TAG,
            "Change a user",
            "What the body does not name stays as it is. Users change themselves, with `current_password` for a new \
             password; admins change anybody, and alone give a `role` or a `status`.",
        )
        .id::<UserKind>()
        .takes("UserChange")
        .answers(StatusCode::OK, "User", "The user as it stands now.")
        .with_header("ETag")
        .of_version()
        .problems(&[Kind::Forbidden, Kind::EmailTaken, Kind::LastAdmin, Kind::TooManyRequests])
}

fn delete_user() -> Operation {
    Operation::new(Method::DELETE, "/users/{id}", "deleteUser", Access::SignedIn)
        .says(
            TAG,
            "Delete a user",
            "Users delete themselves, admins anybody. Personal data goes, the e-mail address is free again, and \
             orders stay and go on.",
        )
        .id::<UserKind>()
        .answers_empty(StatusCode::NO_CONTENT, "The user is gone.")
        .of_version()
        .problems(&[Kind::Forbidden, Kind::LastAdmin])
}

fn sign_in() -> Operation {
    Operation::new(Method::POST, "/auth", "signIn", Access::Anyone)
        .says(
            SIGN_IN,
            "Sign in",
            "An unknown e-mail address, a wrong password and a disabled user are the same 401. After 10 failures in 15 \
             minutes for one e-mail address all are 429 for a while, with the right password too.",
        )
        .takes("Credentials")
        .answers(StatusCode::OK, "Session", "An access token: send it as `Authorization: Bearer …`.")
        .problem(Kind::TooManyRequests)
}

fn refresh() -> Operation {
    Operation::new(Method::POST, "/auth/refresh", "refresh", Access::Anyone)
        .says(
            SIGN_IN,
            "Go on with a session",
            "Answers a new pair of tokens, and the refresh token is spent. A spent one that is shown again ends the \
             session, so ask for one pair at a time. One that is bad, spent or ended is 401.",
        )
        .takes("RefreshToken")
        .answers(StatusCode::OK, "Session", "The new pair.")
        .problem(Kind::TooManyRequests)
}

fn sign_out() -> Operation {
    Operation::new(Method::POST, "/auth/logout", "signOut", Access::Anyone)
        .says(SIGN_IN, "Sign out", "Ends the session of a refresh token; an unknown one too is 204.")
        .takes("RefreshToken")
        .answers_empty(StatusCode::NO_CONTENT, "The session has ended.")
}

fn public_keys() -> Operation {
    Operation::new(Method::GET, "/.well-known/jwks.json", "publicKeys", Access::Anyone)
        .says(
            SIGN_IN,
            "The keys that verify access tokens",
            "A JWK Set (RFC 7517) of Ed25519 keys (RFC 8037).",
        )
        .answers_as(StatusCode::OK, "application/jwk-set+json", "PublicKeys", "The keys.")
        .with_header("Cache-Control")
}

fn schemas(part: Part) -> Part {
    let schemas = Schemas::default()
        .with::<CreateUserForm>()
        .with::<UpdateUserForm>()
        .with::<SignInForm>()
        .with::<RefreshTokenForm>()
        .with::<UserJson>()
        .with::<SessionJson>()
        .with::<KeySetJson>();
    schemas.components().fold(part, |part, (name, schema)| part.schema(name, schema))
}
