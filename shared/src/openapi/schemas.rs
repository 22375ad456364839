//! Schemas of types, from their derives. What a derive cannot say is said here, once.
//!
//! - A *value* (text, a number, an ID, a time) has its schema wherever a field has it; see [`crate::value_schema`].
//!   Objects and enumerations are components with a name.
//! - Requests deny unknown fields. Answers carry every field, so that all of them are required. One that only some
//!   callers see is named by [`Schemas::seen_by_some`].

use std::any::type_name;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ArrayItems, Object, OneOf, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::ApiSchema;
use super::values::{
    currency, described, id_of, integer, line, nothing, one_of, or_null, prose, string_map, timestamp,
};
use crate::values::address::Country;
use crate::values::clock::Timestamp;
use crate::values::ids::{
    FulfillmentKind, ItemKind, OrderKind, PaymentKind, ProductKind, RefundKind, ReturnKind, UserKind,
};
use crate::values::integer::Integer;
use crate::values::money::Currency;
use crate::values::text::{Line, Prose, StringMap};

/// Gives a value the schema that stands wherever a field has it.
#[macro_export]
macro_rules! value_schema {
    ($type:ty, $schema:expr $(, $($generics:tt)*)?) => {
        impl $(<$($generics)*>)? utoipa::PartialSchema for $type {
            fn schema() -> $crate::openapi::ApiSchema {
                ($schema).into()
            }
        }

        impl $(<$($generics)*>)? utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $crate::openapi::schemas::value_name::<Self>()
            }
        }
    };
}

/// Gives a type the schema of a component with this name and description.
#[macro_export]
macro_rules! component_schema {
    ($type:ty, $name:literal, $description:literal, $schema:expr) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> $crate::openapi::ApiSchema {
                ($schema).description(Some($description)).into()
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }
        }
    };
}

/// Prefix of the names of values: no component begins with it.
const VALUE: &str = "value ";

/// Name of a value, under which its references are resolved.
pub fn value_name<T: ?Sized>() -> Cow<'static, str> {
    Cow::Owned(format!("{VALUE}{}", type_name::<T>()))
}

value_schema!(Line<MIN, MAX>, line(MIN, MAX), const MIN: usize, const MAX: usize);
value_schema!(Prose<MAX>, prose(MAX), const MAX: usize);
value_schema!(Integer<MIN, MAX>, integer(MIN, MAX), const MIN: i64, const MAX: i64);
value_schema!(StringMap, string_map());
value_schema!(Timestamp, timestamp());
value_schema!(OrderKind, id_of::<OrderKind>());
value_schema!(ProductKind, id_of::<ProductKind>());
value_schema!(UserKind, id_of::<UserKind>());
value_schema!(ItemKind, id_of::<ItemKind>());
value_schema!(PaymentKind, id_of::<PaymentKind>());
value_schema!(RefundKind, id_of::<RefundKind>());
value_schema!(FulfillmentKind, id_of::<FulfillmentKind>());
value_schema!(ReturnKind, id_of::<ReturnKind>());

impl PartialSchema for Currency {
    fn schema() -> ApiSchema {
        described(currency().into(), "A currency of ISO 4217 that is in use.")
    }
}

impl ToSchema for Currency {}

impl PartialSchema for Country {
    fn schema() -> ApiSchema {
        described(one_of(Self::all().iter().map(String::as_str)).into(), "ISO 3166-1 alpha-2.")
    }
}

impl ToSchema for Country {}

/// A list of `MIN` to `MAX` elements: a type that is only named, never made.
pub struct List<T, const MIN: usize, const MAX: usize>(PhantomData<T>);

impl<T: ToSchema, const MIN: usize, const MAX: usize> PartialSchema for List<T, MIN, MAX> {
    fn schema() -> ApiSchema {
        let element = Ref::from_schema_name(T::name());
        ArrayBuilder::new().items(element).min_items(Some(MIN)).max_items(Some(MAX)).into()
    }
}

impl<T: ToSchema, const MIN: usize, const MAX: usize> ToSchema for List<T, MIN, MAX> {
    fn name() -> Cow<'static, str> {
        value_name::<Self>()
    }

    fn schemas(schemas: &mut Vec<(String, ApiSchema)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// Schemas of several types, and of all that they mention.
#[derive(Default)]
pub struct Schemas {
    all: BTreeMap<String, ApiSchema>,
    /// Fields of answers that only some callers see, each with its type.
    seen_by_some: Vec<(String, &'static str)>,
}

impl Schemas {
    /// Adds a type.
    pub fn with<T: ToSchema>(mut self) -> Self {
        let mut found = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        self.all.extend(found);
        self
    }

    /// Says of an object that exactly one of these fields is there: a schema for each.
    pub fn exactly_one<T: ToSchema>(mut self, fields: &[&str]) -> Self {
        if let Some(RefOr::T(Schema::Object(object))) = self.all.get(T::name().as_ref()) {
            let alternatives = fields.iter().map(|field| alternative(object, field, fields));
            let one = alternatives.fold(OneOfBuilder::new(), |one, object| one.item(object));
            let one = one.description(object.description.clone());
            self.all.insert(T::name().into_owned(), one.into());
        }
        self
    }

    /// Says of an answer that only some callers see this field: it may be absent.
    pub fn seen_by_some<T: ToSchema>(mut self, field: &'static str) -> Self {
        self.seen_by_some.push((T::name().into_owned(), field));
        self
    }

    /// The components, by their names.
    pub fn components(&self) -> impl Iterator<Item = (String, ApiSchema)> + '_ {
        let named = self.all.iter().filter(|(name, _)| !name.starts_with(VALUE));
        named.map(|(name, shape)| (name.clone(), self.component(name, shape.clone())))
    }

    fn component(&self, name: &str, shape: ApiSchema) -> ApiSchema {
        match self.resolve(shape) {
            RefOr::T(Schema::Object(mut object)) if object.additional_properties.is_none() => {
                let is_required = |field: &&String| {
                    !self.seen_by_some.iter().any(|(of, other)| of == name && other == field)
                };
                object.required = object.properties.keys().filter(is_required).cloned().collect();
                object.into()
            }
            other => other,
        }
    }

    /// The schema with values in place of references to them, and with one form of "or null".
    fn resolve(&self, shape: ApiSchema) -> ApiSchema {
        match shape {
            RefOr::Ref(mut reference) => match self.referred(&reference) {
                Some((name, value)) if name.starts_with(VALUE) => {
                    let value = self.resolve(value.clone());
                    described(value, &std::mem::take(&mut reference.description))
                }
                _ => reference.into(),
            },
            RefOr::T(Schema::Object(object)) => self.resolve_object(object).into(),
            RefOr::T(Schema::Array(mut array)) => {
                if let ArrayItems::RefOrSchema(items) = array.items {
                    array.items = ArrayItems::RefOrSchema(Box::new(self.resolve(*items)));
                }
                array.into()
            }
            RefOr::T(Schema::OneOf(mut one)) => match nullable(&mut one) {
                Some(reference) => self.resolve_nullable(reference),
                None => {
                    one.items = one.items.into_iter().map(|item| self.resolve(item)).collect();
                    RefOr::T(Schema::OneOf(one))
                }
            },
            other => other,
        }
    }

    fn resolve_object(&self, mut object: Object) -> Object {
        for shape in object.properties.values_mut() {
            *shape = self.resolve(std::mem::take(shape));
        }
        if let Some(AdditionalProperties::RefOr(values)) = object.additional_properties.as_deref_mut() {
            *values = self.resolve(std::mem::take(values));
            // That the names are text is true of every object.
            object.property_names = object.property_names.filter(|names| **names != text_schema());
        }
        object
    }

    fn resolve_nullable(&self, mut reference: Ref) -> ApiSchema {
        let description = std::mem::take(&mut reference.description);
        let shape = match self.referred(&reference) {
            Some((_, RefOr::T(Schema::Object(words)))) if words.enum_values.is_some() => {
                let mut words = words.clone();
                words.description = None;
                words.into()
            }
            _ => self.resolve(reference.into()),
        };
        described(or_null(shape), &description)
    }

    fn referred(&self, reference: &Ref) -> Option<(&String, &ApiSchema)> {
        let name = reference.ref_location.strip_prefix("#/components/schemas/")?;
        self.all.get_key_value(name)
    }
}

fn text_schema() -> Schema {
    super::values::text().into()
}

/// The reference of "this reference, or null".
fn nullable(one: &mut OneOf) -> Option<Ref> {
    let null: ApiSchema = nothing().into();
    match one.items.as_slice() {
        [RefOr::Ref(reference), other] if *other == null => Some(reference.clone()),
        _ => None,
    }
}

/// The object with one of these fields, and null for the others.
fn alternative(object: &Object, chosen: &str, fields: &[&str]) -> Object {
    let mut object = object.clone();
    object.description = None;
    object.required.push(chosen.to_owned());
    for (name, shape) in &mut object.properties {
        if name != chosen && fields.contains(&name.as_str()) {
            *shape = described(nothing().into(), &format!("Not together with `{chosen}`."));
        }
    }
    object
}
