//! The query string of a page, and links with another one.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use form_urlencoded::Serializer;
use http::request::Parts;

/// Query string as pairs, in their order. Unknown names are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a query string.
    pub(crate) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// First value of this name, trimmed. `None` if it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of this name, trimmed, without empty ones.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The same query, with this value as the only one of its name.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut query = self.without(name);
        query.0.push((name.to_owned(), value.to_owned()));
        query
    }

    /// The same query, without values of this name.
    pub(crate) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(known, _)| known != name).cloned().collect())
    }

    /// Path with this query.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{path}{self}")
    }
}

/// Writes `?a=1&b=2`, without empty values; nothing for a query without pairs.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Serializer::new(String::new());
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            pairs.append_pair(name, value);
        }
        let pairs = pairs.finish();
        if pairs.is_empty() { Ok(()) } else { write!(f, "?{pairs}") }
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_the_other_filters_and_the_new_value() {
        let query = Query::parse("status=paid&q=a%20%26b&cursor=old&empty=");
        assert_eq!(query.get("q"), Some("a &b"));
        assert_eq!(query.get("empty"), None);
        let next = query.with("cursor", "n=1");
        assert_eq!(next.link("/console/orders"), "/console/orders?status=paid&q=a+%26b&cursor=n%3D1");
        assert_eq!(next.without("cursor").without("q").to_string(), "?status=paid");
    }

    #[test]
    fn a_query_without_pairs_is_no_question_mark() {
        assert_eq!(Query::default().link("/console/orders"), "/console/orders");
        assert_eq!(Query::parse("a=&b=").to_string(), "");
    }

    #[test]
    fn several_values_of_a_name_are_kept_in_order() {
        let query = Query::parse("status=paid&status=+shipped+&status=");
        assert_eq!(query.all("status").collect::<Vec<_>>(), ["paid", "shipped"]);
        assert_eq!(query.with("status", "x").all("status").collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn markup_in_a_query_is_encoded_in_links() {
        let link = Query::parse("q=%22%3E%3Cscript%3E").to_string();
        assert_eq!(link, "?q=%22%3E%3Cscript%3E");
    }
}
