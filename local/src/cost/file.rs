//! Input files: JSON, read strictly.

use serde::de::DeserializeOwned;

use crate::error::CommandError;

/// Text of a file, and its name for errors.
pub(super) struct File {
    /// Path as the user gave it, or that of the committed file.
    pub(super) name: String,
    /// Content.
    pub(super) text: String,
}

impl File {
    /// Parses the text.
    ///
    /// # Errors
    /// Error that names the file, the field and the line.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, CommandError> {
        let mut json = serde_json::Deserializer::from_str(&self.text);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let field = error.path().to_string();
            match field.as_str() {
                "." => self.error(error.inner()),
                _ => self.error(format!("`{field}`: {}", error.inner())),
            }
        })?;
        json.end().map_err(|error| self.error(error))?;
        Ok(value)
    }

    /// Error about this file.
    pub(super) fn error(&self, problem: impl std::fmt::Display) -> CommandError {
        CommandError::new(format!("{}: {problem}", self.name))
    }
}
