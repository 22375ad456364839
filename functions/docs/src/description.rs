//! Description of the API as it is served: the committed OpenAPI document, below the base path.

use std::io;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use shared::error::Kind;
use shared::http::base_path::BasePath;

use crate::assets::{self, File};
use crate::http::PLACES;

/// Description of a router's API. Below a base path it is made at the first request for it.
#[derive(Clone, Default)]
pub struct Description(Arc<OnceLock<File>>);

impl Description {
    /// The document. All requests of a router have the same base path.
    ///
    /// # Errors
    /// Error if the document in the binary is damaged.
    pub(crate) fn below(&self, base_path: &BasePath) -> io::Result<&File> {
        if base_path.is_empty() {
            return Ok(assets::OPENAPI);
        }
        if let Some(made) = self.0.get() {
            return Ok(made);
        }
        let made = assets::OPENAPI.changed(|document| {
            let mut document = serde_json::from_slice(document)?;
            move_below(base_path, &mut document);
            Ok(serde_json::to_vec_pretty(&document)?)
        })?;
        Ok(self.0.get_or_init(|| made))
    }
}

/// Moves a document below a base path: the server, and the paths in schemas and examples. The paths of operations
/// are relative to the server.
fn move_below(base_path: &BasePath, document: &mut Value) {
    document["servers"] = json!([{ "url": base_path.as_str() }]);
    let types = Kind::ALL.into_iter().map(Kind::reference);
    let paths: Vec<String> = types.chain(PLACES.iter().map(|(_, path)| (*path).to_owned())).collect();
    for part in ["paths", "components"] {
        move_strings(base_path, &paths, "", &mut document[part]);
    }
}

/// Moves what answers have below a base path: types of problems, places of the index, and the members `instance`.
fn move_strings(base_path: &BasePath, paths: &[String], name: &str, value: &mut Value) {
    match value {
        Value::String(text) if paths.contains(text) || (name == "instance" && text.starts_with('/')) => {
            *text = base_path.of(text);
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(|element| move_strings(base_path, paths, name, element));
        }
        Value::Object(members) => {
            members.iter_mut().for_each(|(name, member)| move_strings(base_path, paths, name, member));
        }
        _ => {}
    }
}
