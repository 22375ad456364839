//! Schemas of this function in the OpenAPI document.

use shared::openapi::ApiPart;
use shared::openapi::schemas::Schemas;

use crate::forms::{CreateUserForm, RefreshTokenForm, SignInForm, UpdateUserForm};
use crate::views::{KeySetJson, SessionJson, UserJson};

/// Schemas of this function.
pub fn part() -> ApiPart {
    let schemas = Schemas::default()
        .with::<CreateUserForm>()
        .with::<UpdateUserForm>()
        .with::<SignInForm>()
        .with::<RefreshTokenForm>()
        .with::<UserJson>()
        .with::<SessionJson>()
        .with::<KeySetJson>();
    schemas.components().fold(ApiPart::default(), |part, (name, schema)| part.schema(name, schema))
}
