//! Content negotiation: media types and encodings (RFC 9110, section 12).

use http::{HeaderMap, HeaderName, header};

/// True if a client prefers a page to JSON. HTML must be named: `*/*` and no `Accept` at all, as programs
/// send them, get JSON.
pub(crate) fn wants_html(request: &HeaderMap) -> bool {
    let weight = |wanted: &[&str]| {
        weights(request, header::ACCEPT)
            .filter(|(name, _)| wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)))
            .map(|(_, weight)| weight)
            .fold(0.0, f32::max)
    };
    let html = weight(&["text/html", "application/xhtml+xml"]);
    html > 0.0 && html >= weight(&["application/json", "application/problem+json"])
}

/// True if a client accepts gzip.
pub(crate) fn takes_gzip(request: &HeaderMap) -> bool {
    let weight = |wanted: &str| {
        let mut all = weights(request, header::ACCEPT_ENCODING);
        all.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, weight)| weight)
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

/// Elements of a header that is a list.
fn elements(request: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = request.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// Elements of a header with their weights, 1 by default.
fn weights(request: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (&str, f32)> {
    elements(request, name).map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (name, weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_page_is_for_who_names_html_and_does_not_prefer_json() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html", true),
            ("TEXT/HTML; charset=utf-8", true),
            ("application/xhtml+xml", true),
            ("application/json;q=0.5, text/html;q=0.9", true),
            ("*/*", false),
            ("text/*", false),
            ("", false),
            ("application/json", false),
            ("text/html;q=0", false),
            ("text/html;q=nonsense", false),
            ("text/html;q=0.5, application/json", false),
            ("application/problem+json, text/html;q=0.9", false),
        ] {
            assert_eq!(wants_html(&with(header::ACCEPT, accept)), expected, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }

    #[test]
    fn gzip_is_for_who_takes_it() {
        for (accept, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.1", true),
            ("*", true),
            ("identity", false),
            ("", false),
            ("gzip;q=0", false),
            ("gzip; q=0, *", false),
            ("*;q=0", false),
        ] {
            assert_eq!(takes_gzip(&with(header::ACCEPT_ENCODING, accept)), expected, "{accept}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
