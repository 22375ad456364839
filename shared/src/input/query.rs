//! Query parameters of lists: known names, each at most once and not empty.

use axum::response::Response;
use form_urlencoded::Serializer;
use http::{HeaderValue, header};

use crate::error::{Error, Kind};
use crate::values::clock::Timestamp;

/// Parameters of a request, all of them known.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a query string.
    ///
    /// # Errors
    /// 400 for a parameter that is unknown, repeated or empty.
    pub fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Error> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(invalid(format!("Unknown parameter `{name}`. Allowed: {}.", known.join(", "))));
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

    /// Value of a parameter, parsed by a rule; `None` if it is absent.
    ///
    /// # Errors
    /// 400 with the message of the rule.
    pub fn parse_with<T>(
        &self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        optional(name, self.get(name), rule)
    }

    /// Adds the `Link` to the next page (RFC 8288): `path` and the same parameters with another cursor.
    pub fn linked(&self, path: &str, next_cursor: Option<&str>, mut answer: Response) -> Response {
        let Some(cursor) = next_cursor else { return answer };
        let mut query = Serializer::new(String::new());
        for (name, value) in self.0.iter().filter(|(name, _)| name != "cursor") {
            query.append_pair(name, value);
        }
        query.append_pair("cursor", cursor);
        let link = format!("<{path}?{}>; rel=\"next\"", query.finish());
        if let Ok(link) = HeaderValue::from_str(&link) {
            answer.headers_mut().insert(header::LINK, link);
        }
        answer
    }

    /// Value of a parameter; `None` if it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Turns the result of a rule into that of a request.
///
/// # Errors
/// 400 with the message of the rule.
pub fn checked<T>(name: &str, checked: Result<T, String>) -> Result<T, Error> {
    checked.map_err(|detail| invalid(format!("`{name}` {detail}.")))
}

/// Applies a rule to a parameter that may be absent.
///
/// # Errors
/// 400 with the message of the rule.
pub fn optional<T, U>(
    name: &str,
    value: Option<T>,
    rule: impl FnOnce(T) -> Result<U, String>,
) -> Result<Option<U>, Error> {
    value.map(|value| checked(name, rule(value))).transpose()
}

/// Rule: one of these names.
///
/// # Errors
/// A message that lists the names.
pub fn one_of<T: Copy>(known: &[(&str, T)], name: &str) -> Result<T, String> {
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, it)| *it).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("must be one of {}", names.join(", "))
    })
}

/// Rule: one or several values of another rule, with commas between. A value that stands twice counts once.
///
/// # Errors
/// The message of the other rule.
pub fn several<T: PartialEq>(
    rule: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Vec<T>, String> {
    move |text| {
        let mut values = Vec::new();
        for part in text.split(',') {
            let value = rule(part)?;
            if !values.contains(&value) {
                values.push(value);
            }
        }
        Ok(values)
    }
}

/// Rule: an integer within these bounds.
///
/// # Errors
/// A message with the bounds.
pub fn integer(least: i64, most: i64) -> impl Fn(&str) -> Result<i64, String> {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("must be an integer from {least} to {most}"))
    }
}

/// Rule: a time (RFC 3339), rounded up to the millisecond.
///
/// Stored times have whole milliseconds. Rounded up, a bound separates them exactly as the sent time does.
///
/// # Errors
/// A message with an example.
pub fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| {
        format!("must be a time of RFC 3339, such as {EXAMPLE_TIME}; a + in an offset is written %2B")
    })
}

/// A time of RFC 3339, for messages.
pub const EXAMPLE_TIME: &str = "2026-11-22T19:22:33.007Z";

/// Error 400 for a bad parameter.
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

    #[test]
    fn several_values_have_commas_between() {
        let parse = several(|text| one_of(&[("a", 1), ("b", 2)], text));
        assert_eq!(parse("a"), Ok(vec![1]));
        assert_eq!(parse("b,a,b"), Ok(vec![2, 1]));
        for bad in ["", "a,", ",a", "a, b", "a;b", "c"] {
            assert_eq!(parse(bad), Err("must be one of a, b".to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_link_has_all_parameters_and_the_new_cursor() {
        let query = Query::parse(Some("q=a%20%22%3E&cursor=old&limit=5"), &["q", "limit", "cursor"]).unwrap();
        let linked = query.linked("/products", Some("new"), Response::default());
        let link = linked.headers()[header::LINK].to_str().unwrap();
        assert_eq!(link, "</products?q=a+%22%3E&limit=5&cursor=new>; rel=\"next\"");
        assert!(!query.linked("/products", None, Response::default()).headers().contains_key(header::LINK));
    }

    #[test]
    fn times_are_rounded_up_to_the_millisecond() {
        let millis = |text| time(text).map(Timestamp::millis);
        assert_eq!(millis("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(millis("1970-01-01T01:00:00.0050+01:00"), Ok(5));
        assert_eq!(millis("1970-01-01T00:00:00.0050001Z"), Ok(6));
        assert_eq!(millis("1969-12-31T23:59:59.9985Z"), Ok(-1));
        for bad in
            ["", "now", "2026-11-22", "2026-11-22T19:22:33", "2026-02-30T00:00:00Z", "1700000000", "\0"]
        {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn integers_have_bounds_and_no_other_form() {
        assert_eq!(integer(0, 9)("9"), Ok(9));
        for bad in ["10", "-1", "1.0", "1e0", " 1", "", "9223372036854775808"] {
            assert!(integer(0, 9)(bad).is_err(), "{bad}");
        }
    }
}
