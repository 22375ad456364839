//! The body of a form, checked against forgery.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use shared::error::{Error, Kind};
use shared::input::validation::{FieldError, NamedBy};

use super::failure::Failure;
use super::keep::SessionState;
use super::origin::OwnOrigin;
use crate::{Console, texts};

/// Largest form, in bytes. A table of counted stock is the longest.
const MAX_FORM: usize = 1_000_000;

/// Most fields of a form. The longest one has a few for each of 200 lines.
const MAX_FIELDS: usize = 2_000;

/// Field with the token of the session.
const CSRF: &str = "csrf";

/// Field with the idempotency key.
const KEY: &str = "key";

/// Fields of a form that a page of this session has sent. As an extractor it is the last one, after `Visit`.
///
/// It refuses a form of another origin, and one without the token of the session: 403.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    /// Path that the form was sent to, without the base path.
    action: String,
    pairs: Vec<(String, String)>,
    /// Position of the first field of each name.
    first: HashMap<String, usize>,
}

/// Fields of a form for signing in or out, in any state of the session.
///
/// Its origin is checked, and that suffices. A forged sign-in could only give the browser another person's session:
/// the cookie is `SameSite=Strict` and each sign-in replaces it, so there is no session to fix beforehand. A
/// sign-out must work with any session, and also without one.
#[derive(Clone, Debug)]
pub(crate) struct OpenFields(pub(crate) Fields);

impl Fields {
    /// Value of a field, trimmed. `None` if it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.exact(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Value of a field as it was sent. Passwords may begin or end with a space.
    pub(crate) fn exact(&self, name: &str) -> Option<&str> {
        let (_, value) = self.pairs.get(*self.first.get(name)?)?;
        Some(value)
    }

    /// Value of a field as a number. `None` if it is absent or empty.
    ///
    /// # Errors
    /// 422 for a value that is no whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wrong = || FieldError::new(format!("/{name}"), texts::NO_NUMBER, NamedBy::Client);
        value.parse().map(Some).map_err(|_| Error::validation(vec![wrong()]))
    }

    /// Fields whose name begins so: the rest of the name, and the trimmed value. Empty values are left out.
    pub(crate) fn with_prefix<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let named = self.pairs.iter().filter_map(move |(name, value)| {
            let rest = name.strip_prefix(prefix)?;
            Some((rest, value.trim()))
        });
        named.filter(|(_, value)| !value.is_empty())
    }

    /// Idempotency key of the form.
    pub(crate) fn key(&self) -> Option<&str> {
        self.get(KEY)
    }

    /// Path that the form was sent to, without the base path.
    pub(crate) fn action(&self) -> &str {
        &self.action
    }

    /// Fields for tests of pages.
    #[cfg(test)]
    pub(crate) fn of(action: &str, body: &str) -> Self {
        Self::parse(action, body.as_bytes()).unwrap()
    }

    /// Parses a body, and notes where each name is first.
    ///
    /// # Errors
    /// 413 for too many fields.
    fn parse(action: &str, body: &[u8]) -> Result<Self, Error> {
        let parsed = form_urlencoded::parse(body).into_owned();
        let pairs: Vec<(String, String)> = parsed.take(MAX_FIELDS + 1).collect();
        if pairs.len() > MAX_FIELDS {
            return Err(Error::new(Kind::PayloadTooLarge, texts::MANY_FIELDS));
        }
        let mut first = HashMap::with_capacity(pairs.len());
        for (position, (name, _)) in pairs.iter().enumerate() {
            first.entry(name.clone()).or_insert(position);
        }
        Ok(Self { action: action.to_owned(), pairs, first })
    }

    /// Reads a form of this origin.
    ///
    /// # Errors
    /// 403 for another origin, 413 for a body that is too large or has too many fields, 415 for another type.
    async fn read(own: &OwnOrigin, parts: &Parts, body: Body) -> Result<Self, Error> {
        if !own.has_sent(parts) {
            return Err(Error::forbidden(texts::FOREIGN_FORM));
        }
        if !is_form(parts) {
            return Err(Error::new(Kind::UnsupportedMediaType, texts::NO_FORM));
        }
        let bytes = match Limited::new(body, MAX_FORM).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(Error::new(Kind::PayloadTooLarge, texts::LARGE_FORM));
            }
            Err(_) => return Err(Error::new(Kind::MalformedRequest, texts::BROKEN_FORM)),
        };
        Self::parse(parts.uri.path(), &bytes)
    }
}

/// True for `application/x-www-form-urlencoded` with any parameters.
fn is_form(parts: &Parts) -> bool {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Compares two texts in a time that depends on their lengths alone.
fn is_same(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

impl FromRequest<Arc<Console>> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let fields = Self::read(&console.origin, &parts, body).await?;
        let session = match parts.extensions.get::<SessionState>() {
            Some(SessionState::Open(session)) => session,
            Some(SessionState::Unavailable(error)) => return Err(error.clone().into()),
            Some(SessionState::Absent) | None => return Err(Failure::signed_out()),
        };
        let sent = fields.exact(CSRF).unwrap_or_default();
        if !is_same(sent, session.csrf()) {
            return Err(Error::forbidden(texts::OLD_FORM).into());
        }
        Ok(fields)
    }
}

impl FromRequest<Arc<Console>> for OpenFields {
    type Rejection = Failure;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        Ok(Self(Fields::read(&console.origin, &parts, body).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_trimmed_and_empty_ones_are_absent() {
        let fields = Fields::of("/x", "note=+a+b+&empty=&blank=++&password=+x+");
        assert_eq!(fields.get("note"), Some("a b"));
        assert_eq!((fields.get("empty"), fields.get("blank"), fields.get("other")), (None, None, None));
        assert_eq!(fields.exact("password"), Some(" x "));
    }

    #[test]
    fn the_first_field_of_a_name_counts() {
        let fields = Fields::of("/x", "a=1&b=2&a=3&b=");
        assert_eq!((fields.get("a"), fields.get("b")), (Some("1"), Some("2")));
        assert_eq!(Fields::of("/x", "a=&a=1").get("a"), None);
    }

    #[test]
    fn a_form_with_too_many_fields_is_refused() {
        let parsed = |count| Fields::parse("/x", "a=1&".repeat(count).as_bytes());
        assert_eq!(parsed(MAX_FIELDS).unwrap().with_prefix("a").count(), MAX_FIELDS);
        let error = parsed(MAX_FIELDS + 1).unwrap_err();
        assert_eq!((error.kind(), error.detail()), (Kind::PayloadTooLarge, texts::MANY_FIELDS));
    }

    #[test]
    fn a_number_is_whole_or_names_its_field() {
        let fields = Fields::of("/x", "a=+12+&b=-3&c=1.5&d=&e=99999999999999999999&f=x");
        assert_eq!(fields.number("a").unwrap(), Some(12));
        assert_eq!(fields.number("b").unwrap(), Some(-3));
        assert_eq!((fields.number("d").unwrap(), fields.number("g").unwrap()), (None, None));
        for name in ["c", "e", "f"] {
            let error = fields.number(name).unwrap_err();
            assert_eq!(error.kind(), Kind::Validation);
            assert_eq!(error.errors()[0].pointer, format!("/{name}"));
        }
    }

    #[test]
    fn fields_of_a_prefix_have_the_rest_of_their_names() {
        let fields = Fields::of("/x", "units-a=1&units-b=&units-c=+3+&other=4&units-=5");
        let units: Vec<_> = fields.with_prefix("units-").collect();
        assert_eq!(units, [("a", "1"), ("c", "3"), ("", "5")]);
    }

    #[test]
    fn tokens_are_the_same_only_if_every_byte_is() {
        assert!(is_same("abc", "abc") && is_same("", ""));
        for (one, other) in [("abc", "abd"), ("abc", "ab"), ("", "a"), ("abc", "ABC")] {
            assert!(!is_same(one, other) && !is_same(other, one), "{one} {other}");
        }
    }
}
