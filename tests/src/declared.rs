//! The rows of the route tables and the fields of request bodies, for tests that hold for each of them.

use std::sync::LazyLock;

use local::gateway::Function;
use serde_json::Value;
use shared::auth::Access;
use shared::http::routes::RouteSpec;

/// The committed OpenAPI document. A test of `local` compares it with the code.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../functions/docs/openapi.json")).unwrap_or_default()
});

/// A row of a route table.
#[derive(Clone, Copy)]
pub struct Route {
    /// A route around the API, such as `/docs`.
    pub is_docs: bool,
    /// The row itself.
    pub spec: &'static RouteSpec,
}

impl Route {
    /// Method and path, with `{id}` for any parameter.
    pub fn name(&self) -> String {
        format!("{} {}", self.spec.method, self.spec.path_of("{id}"))
    }

    /// Access that the committed document promises for it.
    pub fn promised_access(&self) -> Option<Access> {
        let operation = &DOCUMENT["paths"][self.spec.path][self.spec.method.as_str().to_lowercase()];
        Access::ALL.into_iter().find(|access| operation["x-access"] == access.name())
    }

    /// First segment of the path: `products`.
    pub fn resource(&self) -> &'static str {
        self.spec.path.split('/').nth(1).unwrap_or_default()
    }
}

/// The rows of all route tables.
pub fn routes() -> Vec<Route> {
    let rows = |function: Function| {
        function.specs().into_iter().map(move |spec| Route { is_docs: function == Function::Docs, spec })
    };
    Function::ALL.into_iter().flat_map(rows).collect()
}

/// Recorded requests with a body of this schema.
fn examples(schema: &str) -> impl Iterator<Item = &'static Value> {
    let paths = DOCUMENT["paths"].as_object().into_iter().flatten();
    let operations = paths.filter_map(|(_, path)| path.as_object()).flat_map(|path| path.values());
    let contents = operations.map(|operation| &operation["requestBody"]["content"]["application/json"]);
    let name = format!("#/components/schemas/{schema}");
    let contents = contents.filter(move |content| content["schema"]["$ref"] == name.as_str());
    let examples = contents.filter_map(|content| content["examples"].as_object());
    examples.flat_map(|examples| examples.values()).map(|example| &example["value"])
}

/// A recorded request with a body of this schema.
pub fn example(schema: &str) -> Option<Value> {
    examples(schema).next().cloned()
}

/// A value of this field in a recorded request with a body of this schema.
pub fn example_of(schema: &str, field: &str) -> Option<Value> {
    examples(schema).map(|body| &body[field]).find(|value| !value.is_null()).cloned()
}

/// The fields of a schema of the OpenAPI document, in all of its alternatives.
pub fn fields_of(schema: &str) -> Vec<String> {
    let schema = &DOCUMENT["components"]["schemas"][schema];
    let alternatives = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
    let mut fields: Vec<String> = alternatives
        .iter()
        .filter_map(|alternative| alternative["properties"].as_object())
        .flat_map(|properties| properties.keys().cloned())
        .collect();
    fields.sort();
    fields.dedup();
    fields
}
