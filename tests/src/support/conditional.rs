//! Conditional requests.

use http::{Method, header};
use serde_json::Value;

use crate::answer::Answer;
use crate::emulator_quirks::Quirk;
use crate::person::Person;

/// A request with a condition of one or several lines.
pub async fn send_if(
    person: &Person,
    method: Method,
    path: &str,
    condition: (header::HeaderName, &[&str]),
    body: Option<&Value>,
) -> Answer {
    let mut request = person.request(method, path);
    let (name, lines) = condition;
    let joined = lines.join(", ");
    let lines = if Quirk::KeepsOneLineOfAHeader.is_here() { &[joined.as_str()] } else { lines };
    for line in lines {
        request = request.header(&name, *line);
    }
    if let Some(body) = body {
        request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
    }
    person.answer(request).await
}

/// A change with an `If-Match`.
pub async fn put_if(person: &Person, path: &str, tag: &str, body: &Value) -> Answer {
    send_if(person, Method::PUT, path, (header::IF_MATCH, &[tag]), Some(body)).await
}

/// The answer, which must be a 412 that says what the version is.
#[track_caller]
pub fn outdated(answer: Answer, current: i64) -> Answer {
    let answer = answer.problem(412, "version-mismatch");
    assert_eq!(answer["current_version"], current, "{}: {:#}", answer.request, answer.body);
    answer
}
