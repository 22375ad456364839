//! Validation that collects all errors of a request, so that one response has them all.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::error::Error;

/// Error of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) to the value in the body; `""` is the body itself.
    pub pointer: String,
    /// Problem and allowed values, as a predicate of the pointer: "must be 1 to 10000".
    pub detail: String,
    /// Origin of the names in the pointer.
    pub named_by: NamedBy,
}

/// Origin of the names in a pointer, which decides if the log may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// Names of this API.
    Code,
    /// A name that the client has sent, which may be a secret.
    Client,
}

impl FieldError {
    /// Error of the value at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>, named_by: NamedBy) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), named_by }
    }
}

/// Field of a partial update: absent keeps it, null clears it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Field stays as it is.
    #[default]
    Absent,
    /// Field is cleared.
    Null,
    /// Field is replaced.
    Value(T),
}

impl<T> Patch<T> {
    /// Reports if the request names the field.
    pub fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// Field after this change.
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Absent => current,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// Reads a protobuf field: set is a value, unset but named in the mask is null.
    pub fn from_masked(value: Option<T>, named: bool) -> Self {
        match value {
            Some(value) => Self::Value(value),
            None if named => Self::Null,
            None => Self::Absent,
        }
    }
}

// With `#[serde(default)]` on the field: serde only asks when the key is there.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(value) => Self::Value(value),
            None => Self::Null,
        })
    }
}

/// Input with several values, which becomes a domain value once all are valid.
pub trait Form {
    /// Domain value.
    type Checked;

    /// Adds every error below the current pointer; `None` when there was one.
    fn check(self, errors: &mut ValidationErrors) -> Option<Self::Checked>;
}

/// Errors found so far.
#[derive(Clone, Debug, Default)]
pub struct ValidationErrors {
    found: Vec<FieldError>,
}

impl ValidationErrors {
    /// Adds an error at `pointer`, relative to the part in progress.
    pub fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        self.found.push(FieldError::new(pointer, detail, NamedBy::Code));
    }

    /// Adds an error at a pointer with names that the client has sent.
    pub fn add_at_clients_name(&mut self, pointer: &str, detail: impl Into<String>) {
        self.found.push(FieldError::new(pointer, detail, NamedBy::Client));
    }

    /// Validates a part: errors that `look` adds get `pointer` as a prefix, which is written for them alone.
    pub fn nested<T>(&mut self, pointer: impl fmt::Display, look: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.found.len();
        let result = look(self);
        for error in self.found.iter_mut().skip(before) {
            error.pointer = format!("{pointer}{}", error.pointer);
        }
        result
    }

    /// Parses a required value.
    pub fn required<T, U>(
        &mut self,
        pointer: &str,
        value: Option<T>,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        if value.is_none() {
            self.add(pointer, "is required");
        }
        self.optional(pointer, value, parse)
    }

    /// Parses a value that may be absent. An invalid one is `None` too, with an error added.
    pub fn optional<T, U>(
        &mut self,
        pointer: &str,
        value: Option<T>,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        match parse(value?) {
            Ok(parsed) => Some(parsed),
            Err(detail) => {
                self.add(pointer, detail);
                None
            }
        }
    }

    /// Parses the change of a field that cannot be cleared.
    pub fn change<T, U>(
        &mut self,
        pointer: &str,
        value: Patch<T>,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        match value {
            Patch::Absent => None,
            Patch::Null => {
                self.add(pointer, "cannot be null; omit it to keep its value");
                None
            }
            Patch::Value(value) => self.optional(pointer, Some(value), parse),
        }
    }

    /// Parses the change of a field that may be cleared.
    pub fn nullable<T, U>(
        &mut self,
        pointer: &str,
        value: Patch<T>,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Patch<U> {
        match value {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            // After an error the result is not used.
            Patch::Value(value) => {
                self.optional(pointer, Some(value), parse).map_or(Patch::Absent, Patch::Value)
            }
        }
    }

    /// Checks a part that may be absent.
    pub fn part<F: Form>(&mut self, pointer: &str, form: Option<F>) -> Option<F::Checked> {
        let form = form?;
        self.nested(pointer, |errors| form.check(errors))
    }

    /// Checks a required part.
    pub fn required_part<F: Form>(&mut self, pointer: &str, form: Option<F>) -> Option<F::Checked> {
        if form.is_none() {
            self.add(pointer, "is required");
        }
        self.part(pointer, form)
    }

    /// Checks the change of a part that cannot be cleared. It is replaced whole.
    pub fn change_part<F: Form>(&mut self, pointer: &str, form: Patch<F>) -> Option<F::Checked> {
        match form {
            Patch::Absent => None,
            Patch::Null => {
                self.add(pointer, "cannot be null; omit it to keep its value");
                None
            }
            Patch::Value(form) => self.part(pointer, Some(form)),
        }
    }

    /// Checks the change of a part that may be cleared. It is replaced whole.
    pub fn nullable_part<F: Form>(&mut self, pointer: &str, form: Patch<F>) -> Patch<F::Checked> {
        match form {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            Patch::Value(form) => self.part(pointer, Some(form)).map_or(Patch::Absent, Patch::Value),
        }
    }

    /// Adds the errors of `others`, except at pointers that have one already.
    pub fn merge(&mut self, others: &Self) {
        for error in &others.found {
            if !self.found.iter().any(|known| known.pointer == error.pointer) {
                self.found.push(error.clone());
            }
        }
    }

    /// Reports if there is no error so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Error 422 with all of them.
    pub fn into_error(self) -> Error {
        Error::validation(self.found)
    }

    /// Ends the validation.
    ///
    /// # Errors
    /// 422 with all errors, if there are any.
    pub fn check(self) -> Result<(), Error> {
        if self.is_empty() { Ok(()) } else { Err(self.into_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        note: Patch<String>,
    }

    #[test]
    fn absent_null_and_a_value_differ() {
        let note = |json| serde_json::from_str::<Body>(json).unwrap().note;
        assert_eq!(note("{}"), Patch::Absent);
        assert_eq!(note(r#"{"note": null}"#), Patch::Null);
        assert_eq!(note(r#"{"note": "x"}"#), Patch::Value("x".to_owned()));
    }

    #[test]
    fn errors_of_a_part_stand_below_its_pointer() {
        let mut errors = ValidationErrors::default();
        errors.nested("/items/0", |errors| errors.add("/quantity", "must be 1 to 10000"));
        errors.required("/name", None::<String>, Ok);
        let error = errors.check().unwrap_err();
        let pointers: Vec<_> = error.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/items/0/quantity", "/name"]);
    }
}
