//! Answers about users: in JSON, and in protobuf.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto::users::v1 as wire;
use serde::Serialize;
use shared::auth::{PublicKey, Role};
use shared::rpc::convert;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
#[cfg(feature = "openapi")]
use shared::values::ids::UserKind;

use crate::service::sessions::Session;
use crate::user::{Status, User};

/// A user, without anything of the password.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = User))]
pub(crate) struct UserJson {
    /// ID of the user.
    #[cfg_attr(feature = "openapi", schema(value_type = UserKind))]
    id: String,
    /// E-mail address, as it was sent.
    email: String,
    /// Name of the user.
    name: String,
    /// Phone number.
    phone: Option<String>,
    /// Postal address.
    address: Option<Address>,
    /// Role of the user.
    role: Role,
    /// Status: only active users can sign in.
    status: Status,
    /// Rises with every change; the `ETag`.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    version: i64,
    /// Time at which the user was added.
    created_at: Timestamp,
    /// Time of the last change.
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
            status: user.status,
            version: user.version,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// The message for a user.
pub(crate) fn message(user: User) -> wire::User {
    wire::User {
        id: user.id.to_string(),
        email: user.email.as_str().to_owned(),
        name: user.name,
        phone: user.phone,
        address: user.address.as_ref().map(convert::address),
        role: user.role.name().to_owned(),
        status: user.status.name().to_owned(),
        version: user.version,
        created_at: Some(convert::timestamp(user.created_at)),
        updated_at: Some(convert::timestamp(user.updated_at)),
    }
}

/// The message for a function: whether the user may act, and nothing about the person.
pub(crate) fn status_message(user: &User) -> wire::User {
    let (id, status) = (user.id.to_string(), user.status.name().to_owned());
    wire::User { id, status, ..wire::User::default() }
}

/// A session.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Session))]
pub(crate) struct SessionJson {
    /// A JWT (RFC 9068), signed with Ed25519.
    #[cfg_attr(feature = "openapi", schema(min_length = 1))]
    access_token: String,
    /// Scheme of the `Authorization` header.
    #[cfg_attr(feature = "openapi", schema(value_type = Bearer))]
    token_type: &'static str,
    /// Seconds for which the access token is valid.
    #[cfg_attr(feature = "openapi", schema(value_type = Lifetime))]
    expires_in: i64,
    /// For `POST /auth/refresh`, once, within 30 days.
    #[cfg_attr(feature = "openapi", schema(min_length = 1))]
    refresh_token: String,
}

impl From<Session> for SessionJson {
    fn from(session: Session) -> Self {
        let Session { access_token, expires_in, refresh_token } = session;
        Self { access_token, token_type: "Bearer", expires_in, refresh_token }
    }
}

/// The message for a session.
pub(crate) fn session_message(session: Session) -> wire::AuthenticateResponse {
    let Session { access_token, expires_in, refresh_token } = session;
    wire::AuthenticateResponse { access_token, token_type: "Bearer".to_owned(), expires_in, refresh_token }
}

/// A JWK Set (RFC 7517, section 5).
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PublicKeys))]
pub(crate) struct KeySetJson {
    /// Public keys.
    pub(crate) keys: Vec<KeyJson>,
}

/// An Ed25519 public key (RFC 8037, section 2).
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PublicKey))]
pub(crate) struct KeyJson {
    /// Octet key pair.
    #[cfg_attr(feature = "openapi", schema(value_type = KeyType))]
    kty: &'static str,
    /// Curve.
    #[cfg_attr(feature = "openapi", schema(value_type = Curve))]
    crv: &'static str,
    /// The key, in base64url.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_-]{43}$"))]
    x: String,
    /// ID of the key, as tokens name it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1))]
    kid: String,
    /// For signatures.
    #[serde(rename = "use")]
    #[cfg_attr(feature = "openapi", schema(value_type = Usage))]
    usage: &'static str,
    /// Algorithm.
    #[cfg_attr(feature = "openapi", schema(value_type = Algorithm))]
    alg: &'static str,
}

impl From<&PublicKey> for KeyJson {
    fn from(key: &PublicKey) -> Self {
        let (x, kid) = (URL_SAFE_NO_PAD.encode(&key.bytes), key.kid.clone());
        Self { kty: "OKP", crv: "Ed25519", x, kid, usage: "sig", alg: "EdDSA" }
    }
}

/// Constants of the answers, for their schemas.
#[cfg(feature = "openapi")]
mod constants {
    use shared::openapi::values::{integer, one_of};

    pub(super) enum Bearer {}
    pub(super) enum KeyType {}
    pub(super) enum Curve {}
    pub(super) enum Usage {}
    pub(super) enum Algorithm {}
    pub(super) enum Lifetime {}

    shared::value_schema!(Bearer, one_of(["Bearer"]));
    shared::value_schema!(KeyType, one_of(["OKP"]));
    shared::value_schema!(Curve, one_of(["Ed25519"]));
    shared::value_schema!(Usage, one_of(["sig"]));
    shared::value_schema!(Algorithm, one_of(["EdDSA"]));
    shared::value_schema!(Lifetime, integer(1, shared::auth::ACCESS_TOKEN_LIFETIME.as_secs().cast_signed()));
}

#[cfg(feature = "openapi")]
use constants::{Algorithm, Bearer, Curve, KeyType, Lifetime, Usage};
