//! What callers send about users, in JSON or protobuf, until it is checked.

use proto::users::v1 as wire;
use serde::Deserialize;
use shared::auth::Role;
use shared::error::Error;
use shared::http::idempotency::Fingerprinted;
use shared::input::validation::{Patch, ValidationErrors};
use shared::rpc::convert;
use shared::values::address::AddressForm;
use shared::values::text::Name;

use crate::credentials::Password;
use crate::limits::Phone;
use crate::user::{NewUser, Status, UserChange};
use shared::values::email::Email;

/// A user to be added.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NewUser))]
pub struct CreateUserForm {
    /// Unique among users; kept as it is sent, compared in lower case.
    #[cfg_attr(feature = "openapi", schema(value_type = Email))]
    pub email: Option<String>,
    /// Counted after Unicode's normalisation NFKC. No common one, and none with the e-mail address or the name.
    #[cfg_attr(feature = "openapi", schema(value_type = Password))]
    pub password: Option<String>,
    /// Name of the user.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: Option<String>,
    /// Phone number.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Phone>))]
    pub phone: Option<String>,
    /// Postal address.
    pub address: Option<AddressForm>,
    /// By default `customer`; only admins give another one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Role>))]
    pub role: Option<String>,
}

impl Fingerprinted for CreateUserForm {
    const SECRET: &'static [&'static str] = &["password"];
}

impl CreateUserForm {
    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<NewUser, Error> {
        let mut errors = ValidationErrors::default();
        let email = errors.required("/email", self.email, Email::parse);
        let password = errors.required("/password", self.password, Password::parse);
        let name = errors.required("/name", self.name, Name::parse);
        let phone = errors.optional("/phone", self.phone, Phone::parse);
        let address = errors.part("/address", self.address);
        let role = errors.optional("/role", self.role, |role| Role::parse(&role)).unwrap_or(Role::Customer);
        if let (Some(email), Some(password), Some(name)) = (&email, &password, &name)
            && let Err(problem) = password.check_personal(email, name)
        {
            errors.add("/password", problem);
        }
        match (email, password, name) {
            (Some(email), Some(password), Some(name)) if errors.is_empty() => {
                Ok(NewUser { email, password, name, phone, address, role })
            }
            _ => Err(errors.into_error()),
        }
    }
}

impl From<wire::CreateUserRequest> for CreateUserForm {
    fn from(request: wire::CreateUserRequest) -> Self {
        let wire::CreateUserRequest { email, password, name, phone, address, role } = request;
        Self { email, password, name, phone, address: address.map(convert::address_form), role }
    }
}

/// Fields to change. An absent field stays as it is; null clears an optional one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = UserChange))]
pub struct UpdateUserForm {
    /// E-mail address, unique among users. A new one needs the current password, as a new password does.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Email))]
    pub email: Patch<String>,
    /// Name of the user.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: Patch<String>,
    /// Phone number.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Phone>))]
    pub phone: Patch<String>,
    /// Postal address, as a whole.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<AddressForm>))]
    pub address: Patch<AddressForm>,
    /// New password. Needs the current one, unless an admin changes another user's.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Password))]
    pub password: Patch<String>,
    /// Password until now.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub current_password: Patch<String>,
    /// Role of the user; for admins.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Role))]
    pub role: Patch<String>,
    /// Status of the user: only active users can sign in; for admins.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Status))]
    pub status: Patch<String>,
}

/// Paths that an `update_mask` may name.
const UPDATABLE: [&str; 8] =
    ["email", "name", "phone", "address", "password", "current_password", "role", "status"];

impl UpdateUserForm {
    /// Fields that every caller of the route may write.
    pub const ORDINARY: &[&str] = &["name", "phone", "address", "current_password"];

    /// # Errors
    /// 422 with every error of the request.
    pub fn check(self) -> Result<UserChange, Error> {
        let mut errors = ValidationErrors::default();
        let change = UserChange {
            email: errors.change("/email", self.email, Email::parse),
            name: errors.change("/name", self.name, Name::parse),
            phone: errors.nullable("/phone", self.phone, Phone::parse),
            address: errors.nullable_part("/address", self.address),
            password: errors.change("/password", self.password, Password::parse),
            current_password: errors.change("/current_password", self.current_password, |entered| {
                Ok(Password::entered(&entered))
            }),
            role: errors.change("/role", self.role, |role| Role::parse(&role)),
            status: errors.change("/status", self.status, |status| Status::parse(&status)),
        };
        errors.check()?;
        Ok(change)
    }

    /// # Errors
    /// 422 for a mask that names other fields.
    pub fn from_message(request: wire::UpdateUserRequest) -> Result<Self, Error> {
        let mask = convert::mask(request.update_mask, &UPDATABLE)?;
        let named = |field: &str| mask.iter().any(|path| path == field);
        Ok(Self {
            email: Patch::from_masked(request.email, named("email")),
            name: Patch::from_masked(request.name, named("name")),
            phone: Patch::from_masked(request.phone, named("phone")),
            address: Patch::from_masked(request.address.map(convert::address_form), named("address")),
            password: Patch::from_masked(request.password, named("password")),
            current_password: Patch::from_masked(request.current_password, named("current_password")),
            role: Patch::from_masked(request.role, named("role")),
            status: Patch::from_masked(request.status, named("status")),
        })
    }
}

/// An e-mail address and a password.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Credentials))]
pub struct SignInForm {
    /// E-mail address, as the user entered it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub email: Option<String>,
    /// Password, as the user entered it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub password: Option<String>,
}

/// An e-mail address and a password, as somebody entered them.
#[derive(Debug)]
pub struct SignIn {
    /// Whatever they typed.
    pub email: String,
    /// Whatever they typed.
    pub password: Password,
}

impl SignInForm {
    /// # Errors
    /// 422 when one is missing. What is there may be anything: it then matches nobody.
    pub fn check(self) -> Result<SignIn, Error> {
        let mut errors = ValidationErrors::default();
        let email = errors.required("/email", self.email, Ok);
        let password = errors.required("/password", self.password, |entered| Ok(Password::entered(&entered)));
        match (email, password) {
            (Some(email), Some(password)) => Ok(SignIn { email, password }),
            _ => Err(errors.into_error()),
        }
    }
}

/// A refresh token.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RefreshToken))]
pub struct RefreshTokenForm {
    /// Refresh token, as the session has it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub refresh_token: Option<String>,
}

impl RefreshTokenForm {
    /// # Errors
    /// 422 when it is missing. What is there may be anything: it is then no token of ours.
    pub fn check(self) -> Result<String, Error> {
        let mut errors = ValidationErrors::default();
        let token = errors.required("/refresh_token", self.refresh_token, Ok);
        token.ok_or_else(|| errors.into_error())
    }
}
