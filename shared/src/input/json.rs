//! Strict JSON bodies: limits on depth and on the number of keys and elements, no duplicate keys.
//!
//! An error names the place of the first value that does not fit.

use std::cell::Cell;
use std::fmt;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Kind};
use crate::input::page::Page;
use crate::input::validation::{FieldError, NamedBy};
use crate::values::text::{escape_pointer, quoted};

/// Largest body in bytes: 256 KiB.
pub const MAX_BODY: usize = 256 * 1024;

/// Deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 32;

/// Most keys and elements of all objects and arrays in a body together.
///
/// A full order of 100 items has 460, and 20 for each with two discounts and two taxes. A larger body is refused before it is built.
const MAX_PARTS: usize = 10_000;

/// JSON body of a request, as an extractor.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// Response with a JSON body.
pub fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(USUAL_ANSWER);
    if let Err(error) = serde_json::to_writer(&mut bytes, body) {
        return Error::internal(error).into_response();
    }
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.headers_mut() = headers;
    response
}

/// Room for an answer before its length is known: an order of one item has some 1200 bytes.
const USUAL_ANSWER: usize = 2048;

/// Headers of an answer for which there is room at once, those for browsers included.
const USUAL_HEADERS: usize = 12;

/// Largest answer, in bytes of the JSON string that carries its body on Lambda.
pub const MAX_ANSWER: usize = 4_000_000;

/// Part of an answer that is left for what surrounds the elements of a page: status, headers, two cursors.
const AROUND: usize = 32 * 1024;

/// Page of elements as JSON. It ends early where the answer would be larger than [`MAX_ANSWER`].
///
/// # Errors
/// 500 for an element that cannot be written.
pub fn bounded<T: Serialize>(page: Page<T>) -> Result<Page<Box<RawValue>>, Error> {
    let page = page.try_map(|element| to_raw_value(&element)).map_err(Error::internal)?;
    Ok(page.within(MAX_ANSWER - AROUND, |element| length_in_string(element.get()) + 1))
}

/// Length of a text within a JSON string, where quotes and backslashes are escaped.
pub fn length_in_string(json: &str) -> usize {
    let escaped = json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    json.len() + escaped
}

/// Response 201 to a POST, with the `Location` of the new resource.
pub fn created(location: &str, body: &impl Serialize) -> Response {
    let mut response = answer(StatusCode::CREATED, body);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// `application/json` with any parameters.
fn is_json(content_type: &[u8]) -> bool {
    content_type
        .split(|&byte| byte == b';')
        .next()
        .is_some_and(|media_type| media_type.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

/// Failure of a body that has not arrived in time.
#[derive(Debug)]
pub(crate) struct BodyTooLate;

impl fmt::Display for BodyTooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body did not arrive in time")
    }
}

impl std::error::Error for BodyTooLate {}

/// Failure of a body that a full listener does not wait for.
#[derive(Debug)]
pub(crate) struct BodyRefused;

impl fmt::Display for BodyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there are too many requests at once")
    }
}

impl std::error::Error for BodyRefused {}

/// True if an error or one of its sources is of this type.
pub(crate) fn is_caused_by<T: std::error::Error + 'static>(
    error: &(dyn std::error::Error + 'static),
) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<T>())
}

/// Bytes of a body with the content type of JSON.
///
/// # Errors
/// 408 for a body that does not arrive in time, 413 for a body that is too large, 415 for another content type or a
/// content encoding, 503 for one that a full listener does not wait for.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Error> {
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes()));
    let bytes = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Error::new(
                Kind::PayloadTooLarge,
                format!("The body must be at most {} KiB.", MAX_BODY / 1024),
            ));
        }
        Err(error) if is_caused_by::<BodyTooLate>(&*error) => {
            return Err(Error::new(
                Kind::RequestTimeout,
                "The body did not arrive in time. Nothing was changed.",
            ));
        }
        Err(error) if is_caused_by::<BodyRefused>(&*error) => return Err(Error::crowded()),
        Err(_) => {
            return Err(Error::new(Kind::MalformedRequest, "The body ended early."));
        }
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Error::new(
            Kind::UnsupportedMediaType,
            "The body was sent with a Content-Encoding; send it as it is, without that header.",
        ));
    }
    if is_json {
        return Ok(bytes);
    }
    let sent = match headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) {
        None => "without a Content-Type".to_owned(),
        Some(Ok(sent)) => format!("as {}", quoted(sent)),
        Some(Err(_)) => "with a Content-Type that is none".to_owned(),
    };
    Err(Error::new(
        Kind::UnsupportedMediaType,
        format!("The body was sent {sent}; send JSON with `Content-Type: application/json`."),
    ))
}

/// Reads a body into a form.
///
/// # Errors
/// 400 for text that is not JSON; 422 for JSON that does not fit, with a pointer to the place.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    parse_form(&parse_value(bytes)?)
}

/// Byte order mark in UTF-8. RFC 8259 permits to skip it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Parses a body as JSON of any form, after a byte order mark or none.
///
/// # Errors
/// 400 for text that is not JSON.
pub(crate) fn parse_value(bytes: &[u8]) -> Result<Value, Error> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let malformed = |detail: String| Error::new(Kind::MalformedRequest, detail);
    if bytes.trim_ascii().is_empty() {
        return Err(malformed("The body is empty; send a JSON object.".to_owned()));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parts = Cell::new(0);
    Strict { depth: 0, parts: &parts }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = describe(&error);
            malformed(format!("Malformed JSON at line {line}, column {column}: {what}."))
        })
}

/// Messages of `serde_json`, which has no codes for its syntax errors, and what clients read instead.
const SYNTAX_ERRORS: [(&str, &str); 13] = [
    ("expected value", "a value is expected here"),
    ("expected ident", "expected true, false or null"),
    ("expected `:`", "a colon is expected after the key"),
    ("key must be a string", "a key must be a string in double quotes"),
    ("trailing comma", "a comma must not stand before the closing bracket"),
    ("trailing characters", "unexpected characters after the end"),
    ("invalid escape", "invalid escape in a string"),
    ("invalid number", "a number is malformed"),
    ("number out of range", "a number is out of range"),
    ("invalid unicode code point", "a string is not UTF-8"),
    ("lone leading surrogate in hex escape", r"\u in a string is half of a surrogate pair"),
    ("unexpected end of hex escape", r"\u in a string is half of a surrogate pair"),
    (
        r"control character (\u0000-\u001F) found while parsing a string",
        r"a control character in a string must be escaped, as in \n",
    ),
];

/// Description of a syntax error, without its line and column.
fn describe(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end".to_owned();
    }
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let known = SYNTAX_ERRORS.iter().find(|(known, _)| *known == message);
    known.map_or(message, |(_, description)| description).to_owned()
}

/// Reads a JSON value into a form.
///
/// # Errors
/// 422 for a value that does not fit, with a pointer to the place.
pub(crate) fn parse_form<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    if !value.is_object() {
        let detail = format!("must be a JSON object; got {}", name_of(value));
        return Err(Error::validation(vec![FieldError::new("", detail, NamedBy::Code)]));
    }
    // Only a form that does not fit is read again, with the place of each value.
    T::deserialize(FormDeserializer(value)).or_else(|_| {
        serde_path_to_error::deserialize(FormDeserializer(value)).map_err(|error| {
            let pointer = pointer_to(error.path());
            let FormError(detail) = error.into_inner();
            Error::validation(vec![FieldError::new(pointer, detail, NamedBy::Client)])
        })
    })
}

/// Type of a value in plain words, with the value itself where it is short.
fn name_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// JSON Pointer (RFC 6901) to a place in a form.
fn pointer_to(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segments = path.iter().map(|segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape_pointer(key)),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    });
    segments.collect()
}

/// Detail of the first value that does not fit a form.
#[derive(Debug)]
struct FormError(String);

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormError {}

impl serde::de::Error for FormError {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        Self(detail.to_string())
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        let known = known.join(", ");
        Self(format!("is unknown or read-only; allowed: {known}"))
    }
}

/// Deserializer that takes exactly the JSON type that a form has at each place.
///
/// Serde's own would also take an array for a struct, its values in the order of the fields. And it names a wrong
/// type in words for programmers.
#[derive(Clone, Copy)]
struct FormDeserializer<'de>(&'de Value);

impl<'de> FormDeserializer<'de> {
    fn visit_if<V: Visitor<'de>>(
        self,
        is_expected: fn(&Value) -> bool,
        expected: &str,
        visitor: V,
    ) -> Result<V::Value, FormError> {
        if is_expected(self.0) {
            return self.deserialize_any(visitor);
        }
        Err(FormError(format!("must be {expected}; got {}", name_of(self.0))))
    }
}

impl<'de> Deserializer<'de> for FormDeserializer<'de> {
    type Error = FormError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        match self.0 {
            Value::Array(elements) => {
                visitor.visit_seq(SeqDeserializer::new(elements.iter().map(FormDeserializer)))
            }
            Value::Object(entries) => visitor.visit_map(MapDeserializer::new(
                entries.iter().map(|(key, value)| (key.as_str(), FormDeserializer(value))),
            )),
            scalar => scalar.deserialize_any(visitor).map_err(FormError::custom),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.visit_if(Value::is_boolean, "true or false", visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.visit_if(Value::is_i64, "an integer (12, not 12.0 or \"12\")", visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.visit_if(Value::is_string, "a string", visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.visit_if(Value::is_array, "an array", visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.visit_if(Value::is_object, "an object", visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FormError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, FormError> for FormDeserializer<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Builder of a [`Value`] with limits that `serde_json` does not have.
///
/// A duplicate key is refused, since it is not clear which of the two was meant. So are deep nesting and more keys and
/// elements than any form has.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    /// Keys and elements of the whole body so far.
    parts: &'a Cell<usize>,
}

impl Strict<'_> {
    /// Goes one level down.
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth < MAX_DEPTH {
            Ok(Self { depth: self.depth + 1, ..self })
        } else {
            Err(E::custom(format_args!("it is nested more than {MAX_DEPTH} levels deep")))
        }
    }

    /// Counts one more key or element.
    fn another<E: serde::de::Error>(self) -> Result<(), E> {
        self.parts.set(self.parts.get() + 1);
        if self.parts.get() <= MAX_PARTS {
            return Ok(());
        }
        Err(E::custom(format_args!("it has more than {MAX_PARTS} keys and elements")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is too large"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            self.another()?;
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.another()?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key {} stands twice in one object",
                    quoted(&key)
                )));
            }
            object.insert(key, entries.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests;
