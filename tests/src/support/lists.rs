//! Pages of lists, and walks over them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;

use crate::answer::Answer;
use crate::person::Person;

/// A page of a list.
pub async fn page(person: &Person, list: &str, query: &[(&str, &str)]) -> Answer {
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    person.get(&format!("{list}?{}", query.join("&"))).await
}

/// Walks to the end, with `limits` taken in turn, and does `between` after each page.
pub async fn walk(
    person: &Person,
    list: &str,
    limits: &[&str],
    mut between: impl AsyncFnMut(),
) -> Vec<Value> {
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    for limit in limits.iter().cycle() {
        let (base, query) = list.split_once('?').unwrap_or((list, "limit=100"));
        let filter = query.split_once('=').filter(|(name, _)| *name != "limit");
        let mut query = vec![("limit", *limit)];
        query.extend(filter);
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let answer = page(person, base, &query).await.expect(200);
        assert!(answer.data().len() <= limit.parse().unwrap());
        seen.extend_from_slice(answer.data());
        assert!(seen.len() <= 1000, "the walk does not end");
        cursor = answer["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            assert!(answer["next_cursor"].is_null());
            break;
        }
        between().await;
    }
    seen
}

/// The IDs on a page, in its order.
pub fn ids(page: &[Value]) -> Vec<&str> {
    page.iter().map(|it| it["id"].as_str().unwrap()).collect()
}

/// Newest first, and of those made at the same time the larger ID first.
pub fn assert_newest_first(seen: &[Value]) {
    for pair in seen.windows(2) {
        let key = |it: &Value| (it["created_at"].to_string(), it["id"].to_string());
        assert!(key(&pair[0]) > key(&pair[1]), "{pair:#?}");
    }
}
