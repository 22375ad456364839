//! Schemas of the values that bodies, parameters and headers carry.
//!
//! Patterns are of the part of regular expressions that ECMAScript, Python and Rust read alike.

use type_safe_id::StaticType;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, Schema, SchemaFormat};

use super::ApiSchema;
use super::schemas::Schemas;
use crate::error::Kind;
use crate::input::page::MAX_LIMIT;
use crate::values::address::{Address, AddressForm};
use crate::values::ids;
use crate::values::money::{Currency, MoneyForm, MoneyJson};
use crate::values::text::{MapKey, StringMap};

/// White space that is no control character, as a class has it.
const WHITE: &str = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

/// Other characters that show nothing: formats and fillers of the basic plane.
const BLANK: &str = concat!(
    r"\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f",
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb",
);

/// Control characters, as a class has them.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

/// The same without `\n` and `\t`.
const CONTROL_IN_PROSE: &str = r"\u0000-\u0008\u000b-\u001f\u007f-\u009f";

/// The schema of this name.
pub fn named(name: &str) -> ApiSchema {
    Ref::from_schema_name(name).into()
}

/// Text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Text of which nothing is to be understood.
pub fn opaque() -> ObjectBuilder {
    text().min_length(Some(1))
}

/// Text of which this is all there is.
pub fn matching(pattern: &str) -> ObjectBuilder {
    text().pattern(Some(pattern))
}

/// Schema of [`crate::values::text::Line`].
pub fn line(min: usize, max: usize) -> ObjectBuilder {
    let pattern = format!("^[{WHITE}{BLANK}]*[^{WHITE}{BLANK}{CONTROL}][^{CONTROL}]*$");
    matching(&pattern).min_length(Some(min)).max_length(Some(max))
}

/// Schema of [`crate::values::text::Prose`].
pub fn prose(max: usize) -> ObjectBuilder {
    let blank = format!(r"(?:[{WHITE}{BLANK}\n\t]|\r\n)*");
    let pattern = format!(r"^{blank}[^{WHITE}{BLANK}{CONTROL}](?:[^{CONTROL_IN_PROSE}]|\r\n)*$");
    matching(&pattern).min_length(Some(1)).max_length(Some(max))
}

/// [`crate::values::text::StringMap`] as a client sends it.
pub fn string_map() -> ObjectBuilder {
    let max = StringMap::MAX_VALUE;
    let value = format!("^(?:[{WHITE}{BLANK}]*[^{WHITE}{BLANK}{CONTROL}][^{CONTROL}]*)?$");
    let value = matching(&value).max_length(Some(max));
    let key: Schema = line(1, MapKey::MAX).into();
    ObjectBuilder::new()
        .max_properties(Some(StringMap::MAX_ENTRIES))
        .property_names(Some(key))
        .additional_properties(Some(value))
}

/// One of these words.
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    text().enum_values(Some(words.into_iter().map(str::to_owned).collect::<Vec<_>>()))
}

/// One or several of these words.
pub fn some_of<'a>(words: impl IntoIterator<Item = &'a str>) -> ArrayBuilder {
    ArrayBuilder::new().items(one_of(words)).min_items(Some(1))
}

/// A whole number.
pub fn integer(least: i64, most: i64) -> ObjectBuilder {
    whole(least).maximum(Some(most))
}

/// A whole number that is not less than this.
pub fn whole(least: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least))
}

/// `true` or `false`.
pub fn flag() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean)
}

/// An ID of this kind.
pub fn id_of<T: StaticType>() -> ObjectBuilder {
    id_of_kind(T::TYPE)
}

/// An ID of the kind of this name.
pub fn id_of_kind(kind: &str) -> ObjectBuilder {
    matching(&format!("^{kind}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$")).examples([ids::example_of(kind)])
}

/// A user of ours, or one of these words.
pub fn user_or(words: &[&str]) -> ObjectBuilder {
    let words = words.join("|");
    matching(&format!("^(?:user_[0-7][0-9a-hjkmnp-tv-z]{{25}}|{words})$"))
}

/// A time as an answer shows it.
pub fn timestamp() -> ObjectBuilder {
    matching(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// A time as a client sends it in a query: RFC 3339, with any offset.
pub fn bound() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// The same, or null.
pub fn or_null(shape: impl Into<ApiSchema>) -> ApiSchema {
    let mut shape = shape.into();
    match &mut shape {
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Type(only) = object.schema_type.clone() {
                object.schema_type = SchemaType::Array(vec![only, Type::Null]);
            }
            if let Some(words) = &mut object.enum_values {
                words.push(serde_json::Value::Null);
            }
            shape
        }
        RefOr::T(Schema::Array(array)) => {
            array.schema_type = SchemaType::Array(vec![Type::Array, Type::Null]);
            shape
        }
        _ => AnyOfBuilder::new().item(shape).item(nothing()).into(),
    }
}

/// The schema with a description, unless it has one.
pub(super) fn described(shape: ApiSchema, description: &str) -> ApiSchema {
    let text = || Some(description.to_owned());
    match shape {
        RefOr::T(Schema::Object(mut object)) => {
            object.description = object.description.or_else(text);
            object.into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.description = text();
            array.into()
        }
        RefOr::T(Schema::AnyOf(mut any)) => {
            any.description = text();
            RefOr::T(Schema::AnyOf(any))
        }
        RefOr::T(Schema::OneOf(mut one)) => {
            one.description = text();
            RefOr::T(Schema::OneOf(one))
        }
        RefOr::Ref(mut reference) => {
            reference.description = description.to_owned();
            RefOr::Ref(reference)
        }
        other => other,
    }
}

/// Null.
pub fn nothing() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Null)
}

/// A list of these.
pub fn list(element: impl Into<ApiSchema>) -> ArrayBuilder {
    ArrayBuilder::new().items(element.into())
}

/// A page of these.
pub fn page(element: impl Into<ApiSchema>) -> ApiSchema {
    let data = list(element).max_items(usize::try_from(MAX_LIMIT).ok());
    Fields::shown("A page of a list.")
        .has("data", data, "The elements.")
        .has("next_cursor", or_null(opaque()), "`cursor` of the next page; null on the last one.")
        .into()
}

/// An object with named members.
pub struct Fields(ObjectBuilder);

impl Fields {
    /// An object that an answer shows: all members are there, and clients should not mind more.
    pub fn shown(description: &str) -> Self {
        Self(ObjectBuilder::new().schema_type(Type::Object).description(Some(description)))
    }

    /// A member that is always there.
    pub fn has(self, name: &str, shape: impl Into<ApiSchema>, description: &str) -> Self {
        let Self(object) = self.may_have(name, shape, description);
        Self(object.required(name))
    }

    /// A member that may be absent.
    pub fn may_have(self, name: &str, shape: impl Into<ApiSchema>, description: &str) -> Self {
        Self(self.0.property(name, described(shape.into(), description)))
    }
}

impl From<Fields> for ApiSchema {
    fn from(fields: Fields) -> Self {
        Self::T(fields.0.into())
    }
}

/// A currency.
pub fn currency() -> ObjectBuilder {
    let codes: Vec<&str> = Currency::all().map(Currency::code).collect();
    one_of(codes).examples(["EUR"])
}

/// Schemas that several functions use, by their names.
pub fn common() -> Vec<(String, ApiSchema)> {
    let schemas = Schemas::default().with::<MoneyForm>().with::<MoneyJson>().with::<AddressForm>();
    schemas.with::<Address>().components().collect()
}

/// Name of a kind of problem among the document's components.
pub fn problem_name(kind: Kind) -> String {
    let words: String = kind
        .slug()
        .split('-')
        .filter_map(|word| Some((word.get(..1)?.to_uppercase(), word.get(1..)?)))
        .map(|(first, rest)| first + rest)
        .collect();
    words + "Problem"
}
