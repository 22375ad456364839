//! Collects every fault of a request, so that a client sees them all in one answer.

use serde::{Deserialize, Deserializer};

use crate::error::Error;

/// One value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where it stands in the body: a JSON Pointer (RFC 6901), `""` for the body itself.
    pub pointer: String,
    /// What is wrong and what is allowed; reads on from the pointer, as in "must be 1 to 10000".
    pub detail: String,
}

/// A field of a partial update: absent stays as it is, null clears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// The field stays as it is.
    #[default]
    Absent,
    /// The field is cleared.
    Null,
    /// The field is replaced.
    Value(T),
}

impl<T> Patch<T> {
    /// Whether the field is named at all.
    pub fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The field after this change.
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Absent => current,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// A protobuf field: set is a value, not set but named in the mask is null.
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

/// A part of a body that has several values: what a client sends, and what it is once all are allowed.
pub trait Form {
    /// What it is then.
    type Checked;

    /// Notes every fault below the current place; `None` when there was one.
    fn check(self, errors: &mut ValidationErrors) -> Option<Self::Checked>;
}

/// The errors found so far.
#[derive(Clone, Debug, Default)]
pub struct ValidationErrors {
    prefix: String,
    found: Vec<FieldError>,
}

impl ValidationErrors {
    /// Notes a fault at `pointer`, which is below the part that is being looked at.
    pub fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        self.found.push(FieldError { pointer: format!("{}{pointer}", self.prefix), detail: detail.into() });
    }

    /// Looks at a part: errors that `look` adds stand below `pointer`.
    pub fn nested<T>(&mut self, pointer: &str, look: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.prefix.len();
        self.prefix.push_str(pointer);
        let result = look(self);
        self.prefix.truncate(outer);
        result
    }

    /// A value that must be there.
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

    /// A value that may be absent. `None` too when it is there and not allowed: then the fault is noted.
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

    /// A change of a field that always has a value.
    pub fn change<T, U>(
        &mut self,
        pointer: &str,
        value: Patch<T>,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        match value {
            Patch::Absent => None,
            Patch::Null => {
                self.add(pointer, "cannot be null; leave it out to keep it as it is");
                None
            }
            Patch::Value(value) => self.optional(pointer, Some(value), parse),
        }
    }

    /// A change of a field that may be empty.
    pub fn nullable<T, U>(
        &mut self,
        pointer: &str,
        value: Patch<T>,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Patch<U> {
        match value {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            // A fault is noted, so what is answered here is not used.
            Patch::Value(value) => {
                self.optional(pointer, Some(value), parse).map_or(Patch::Absent, Patch::Value)
            }
        }
    }

    /// A part that may be absent.
    pub fn part<F: Form>(&mut self, pointer: &str, form: Option<F>) -> Option<F::Checked> {
        let form = form?;
        self.nested(pointer, |errors| form.check(errors))
    }

    /// A part that must be there.
    pub fn required_part<F: Form>(&mut self, pointer: &str, form: Option<F>) -> Option<F::Checked> {
        if form.is_none() {
            self.add(pointer, "is required");
        }
        self.part(pointer, form)
    }

    /// A change of a part that is always there: it is replaced whole.
    pub fn change_part<F: Form>(&mut self, pointer: &str, form: Patch<F>) -> Option<F::Checked> {
        match form {
            Patch::Absent => None,
            Patch::Null => {
                self.add(pointer, "cannot be null; leave it out to keep it as it is");
                None
            }
            Patch::Value(form) => self.part(pointer, Some(form)),
        }
    }

    /// A change of a part that may be empty: it is replaced whole.
    pub fn nullable_part<F: Form>(&mut self, pointer: &str, form: Patch<F>) -> Patch<F::Checked> {
        match form {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            Patch::Value(form) => self.part(pointer, Some(form)).map_or(Patch::Absent, Patch::Value),
        }
    }

    /// Notes what others have found, but for places at which a fault is noted already.
    pub fn merge(&mut self, others: &Self) {
        for fault in &others.found {
            if !self.found.iter().any(|known| known.pointer == fault.pointer) {
                self.found.push(fault.clone());
            }
        }
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The error that names them all.
    pub fn into_error(self) -> Error {
        Error::validation(self.found)
    }

    /// # Errors
    /// A 422 that names them all, if there are any.
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
    fn absent_null_and_a_value_are_told_apart() {
        let note = |json| serde_json::from_str::<Body>(json).unwrap().note;
        assert_eq!(note("{}"), Patch::Absent);
        assert_eq!(note(r#"{"note": null}"#), Patch::Null);
        assert_eq!(note(r#"{"note": "x"}"#), Patch::Value("x".to_owned()));
    }

    #[test]
    fn faults_of_a_part_stand_below_its_pointer() {
        let mut errors = ValidationErrors::default();
        errors.nested("/items/0", |errors| errors.add("/quantity", "must be 1 to 10000"));
        errors.required("/name", None::<String>, Ok);
        let error = errors.check().unwrap_err();
        let pointers: Vec<_> = error.errors().iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/items/0/quantity", "/name"]);
    }
}
