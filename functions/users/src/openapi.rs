//! What users say of themselves in the OpenAPI document, in the order of the route table.

use http::{Method, StatusCode};
use shared::auth::{Access, Role};
use shared::error::Kind;
use shared::openapi::values::{
    Fields, id_of, integer, line, list, matching, named, one_of, opaque, or_null, text, timestamp, whole,
};
use shared::openapi::{Operation, Part, Shape};
use shared::values::ids::UserKind;
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{KnownFormat, SchemaFormat};

use crate::user::Status;

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
        .query("email", email(), "The user with this e-mail address, in any case.")
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
    part.schema("Role", one_of(Role::ALL.map(Role::name)))
        .schema("UserStatus", one_of(Status::ALL.map(Status::name)))
        .schema("NewUser", new_user())
        .schema("UserChange", user_change())
        .schema("User", user())
        .schema("Credentials", credentials())
        .schema("RefreshToken", refresh_token())
        .schema("Session", session())
        .schema("PublicKeys", keys())
}

/// <https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address>. `format: email` is RFC 5321, which takes
/// other addresses.
fn email() -> ObjectBuilder {
    let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
    let local = "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+";
    matching(&format!(r"^{local}@{label}(?:\.{label})*$")).max_length(Some(254))
}

/// White space and control characters are looked for after NFKC, which leaves none out.
fn new_password() -> ObjectBuilder {
    line(12, 128).format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
}

fn password() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
}

fn new_user() -> Shape {
    Fields::sent("A user to be added.")
        .has("email", email(), "Unique among users; kept as it is sent, compared in lower case.")
        .has("password", new_password(), "Counted after Unicode's normalisation NFKC.")
        .has("name", line(1, 200), "What to call them.")
        .may_have("phone", or_null(line(3, 32)), "How to call them.")
        .may_have("address", or_null(named("NewAddress")), "Where they live.")
        .may_have(
            "role",
            or_null(one_of(Role::ALL.map(Role::name))),
            "By default `customer`; another one by admins.",
        )
        .into()
}

fn user_change() -> Shape {
    Fields::sent("What is to change. Absent: stays as it is. Null: is cleared, where it may be.")
        .may_have("email", email(), "Unique among users.")
        .may_have("name", line(1, 200), "What to call them.")
        .may_have("phone", or_null(line(3, 32)), "How to call them.")
        .may_have("address", or_null(named("NewAddress")), "Where they live, as a whole.")
        .may_have(
            "password",
            new_password(),
            "A new one; with the current one, unless an admin changes another's.",
        )
        .may_have("current_password", password(), "The one until now.")
        .may_have("role", named("Role"), "What they may do; by admins.")
        .may_have("status", named("UserStatus"), "Whether they may sign in; by admins.")
        .into()
}

fn user() -> Shape {
    Fields::shown("A user.")
        .has("id", id_of::<UserKind>(), "What programs call them.")
        .has("email", text(), "As it was sent.")
        .has("name", text(), "What to call them.")
        .has("phone", or_null(text()), "How to call them.")
        .has("address", or_null(named("Address")), "Where they live.")
        .has("role", named("Role"), "What they may do.")
        .has("status", named("UserStatus"), "Whether they may sign in.")
        .has("version", whole(1), "Rises with every change; the `ETag`.")
        .has("created_at", timestamp(), "When they came.")
        .has("updated_at", timestamp(), "When they last changed.")
        .into()
}

fn credentials() -> Shape {
    Fields::sent("An e-mail address and a password.")
        .has("email", text(), "Whatever they typed: what is no address is nobody's.")
        .has("password", password(), "Whatever they typed.")
        .into()
}

fn session() -> Shape {
    Fields::shown("A session.")
        .has("access_token", opaque(), "A JWT (RFC 9068), signed with Ed25519.")
        .has("token_type", one_of(["Bearer"]), "How to send it.")
        .has("expires_in", integer(1, 900), "For how many seconds it is good.")
        .has("refresh_token", opaque(), "For `POST /auth/refresh`, once, within 30 days.")
        .into()
}

fn refresh_token() -> Shape {
    Fields::sent("A refresh token.")
        .has("refresh_token", text(), "Whatever it is: what is none of ours is 401, or has ended already.")
        .into()
}

fn keys() -> Shape {
    let key = Fields::shown("An Ed25519 public key.")
        .has("kty", one_of(["OKP"]), "Octet key pair.")
        .has("crv", one_of(["Ed25519"]), "The curve.")
        .has("x", matching("^[A-Za-z0-9_-]{43}$"), "The key, in base64url.")
        .has("kid", opaque(), "What tokens call it.")
        .has("use", one_of(["sig"]), "For signatures.")
        .has("alg", one_of(["EdDSA"]), "The algorithm.");
    Fields::shown("A JWK Set.").has("keys", list(key), "The keys.").into()
}
