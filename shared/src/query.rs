//! The query of a list: known parameters, each at most once and not empty.

use crate::error::{Error, Kind};

/// The parameters that a client sent, all of them known.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// # Errors
    /// 400 for a parameter that is unknown, repeated or empty.
    pub fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Error> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(invalid(format!(
                    "`{name}` is not a parameter here; known: {}.",
                    known.join(", ")
                )));
            }
            if parameters.iter().any(|(seen, _)| *seen == name) {
                return Err(invalid(format!("`{name}` must be given once.")));
            }
            if value.is_empty() {
                return Err(invalid(format!("`{name}` must not be empty.")));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// What a parameter says, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A parameter that does not say what it may.
pub fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Kind::InvalidQuery, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_repeated_and_empty_parameters_are_refused() {
        let parse = |query| Query::parse(Some(query), &["status", "limit"]);
        assert_eq!(parse("status=a%20b&limit=5").unwrap().get("status"), Some("a b"));
        for bad in ["stauts=a", "status=a&status=b", "status=", "status", "status[$ne]=a", "Status=a"] {
            assert_eq!(parse(bad).unwrap_err().kind(), Kind::InvalidQuery, "{bad}");
        }
        assert!(Query::parse(None, &[]).unwrap().get("status").is_none());
    }
}
