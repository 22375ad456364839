//! The OpenAPI 3.1 document: schemas that each function adds, and parameters and responses from the rows of routes.
//!
//! [`values`] has the schemas of common values. Limits, enumerations and problem types come from the code that checks
//! them. `openapi.rs` of the end-to-end tests sends requests to check the rest.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::{Ref, RefOr, Required};

use crate::http::routes::{self, ParameterValue, ResponseBody, RouteSpec};

pub mod schemas;
pub mod values;

/// A schema, or the name of one.
pub type ApiSchema = RefOr<Schema>;

/// The schemas of one function.
#[derive(Default)]
pub struct ApiPart {
    /// Schemas by their names.
    pub schemas: Vec<(String, ApiSchema)>,
}

impl ApiPart {
    /// Adds a schema that others, and operations, name.
    pub fn schema(mut self, name: impl Into<String>, schema: impl Into<ApiSchema>) -> Self {
        self.schemas.push((name.into(), schema.into()));
        self
    }
}

/// The parameters of a route: common ones, path, query, and those of its headers.
pub fn parameters(spec: &RouteSpec) -> Vec<RefOr<Parameter>> {
    let mut all = vec![parameter_ref("RequestId"), parameter_ref("TraceParent")];
    let in_path = spec.path_parameter.iter().chain(&spec.part_parameter);
    all.extend(in_path.map(|it| parameter(it, ParameterIn::Path)));
    all.extend(spec.query.iter().map(|it| parameter(it, ParameterIn::Query)));
    if let Some(page) = spec.page {
        let limit = values::integer(1, page.max).default(Some(page.default.into()));
        let limit = described("limit", ParameterIn::Query, limit, "The most elements that the page has.");
        let cursor =
            "Where the page begins: the `next_cursor` of the page before, with the same filters and sort.";
        all.extend([limit, described("cursor", ParameterIn::Query, values::opaque(), cursor)]);
    }
    let headers = [
        (spec.idempotent, "IdempotencyKey"),
        (spec.if_match, "IfMatch"),
        (spec.if_none_match, "IfNoneMatch"),
    ];
    all.extend(headers.into_iter().filter(|(is_read, _)| *is_read).map(|(_, name)| parameter_ref(name)));
    all
}

fn parameter(declared: &routes::Parameter, place: ParameterIn) -> RefOr<Parameter> {
    let description = match declared.value {
        ParameterValue::Id(kind) if place == ParameterIn::Path => format!("The ID of the {kind}."),
        _ => declared.description.to_owned(),
    };
    described(declared.name, place, value(declared.value), &description)
}

fn described(
    name: &str,
    place: ParameterIn,
    schema: impl Into<ApiSchema>,
    description: &str,
) -> RefOr<Parameter> {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let schema = schema.into();
    // A list has commas between its values, and not the name of the parameter before each.
    let is_list = matches!(schema, ApiSchema::T(Schema::Array(_)));
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .style(is_list.then_some(ParameterStyle::Form))
        .explode(is_list.then_some(false))
        .schema(Some(schema));
    parameter.build().into()
}

fn value(value: ParameterValue) -> ApiSchema {
    let text = |min: Option<usize>, max: Option<usize>, schema: ObjectBuilder| {
        schema.min_length(min).max_length(max).into()
    };
    match value {
        ParameterValue::Text { min, max } => text(Some(min), max, values::text()),
        ParameterValue::Line { min, max } => values::line(min, max).into(),
        ParameterValue::Pattern { pattern, length: (min, max) } => {
            text(min, max, values::matching(&pattern()))
        }
        ParameterValue::OneOf(words) => values::one_of(words()).into(),
        ParameterValue::SomeOf(words) => values::some_of(words()).into(),
        ParameterValue::Sort(names) => {
            let names = names();
            let default = names.first().map(|name| (*name).into());
            values::one_of(names).default(default).into()
        }
        ParameterValue::Id(kind) => values::id_of_kind(kind).into(),
        ParameterValue::Integer { min, max } => values::integer(min, max).into(),
        ParameterValue::Boolean => values::flag().into(),
        ParameterValue::Time => values::bound().into(),
        ParameterValue::Schema(name) => values::named(name),
    }
}

/// The schema of a response body.
pub fn body(body: ResponseBody) -> ApiSchema {
    let schema = values::named(body.schema);
    if body.is_page { values::page(schema) } else { schema }
}

fn parameter_ref(name: &str) -> RefOr<Parameter> {
    RefOr::Ref(Ref::new(format!("#/components/parameters/{name}")))
}
