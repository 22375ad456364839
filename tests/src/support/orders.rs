//! Lists of orders.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::answer::Answer;
use crate::person::Person;

/// The IDs on a page, in its order.
pub fn ids(page: &Answer) -> Vec<String> {
    page.data().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
}

/// The IDs that a list of orders has, in its order.
pub async fn list(person: &Person, query: &str) -> Vec<String> {
    ids(&person.get(&format!("/orders{query}")).await.expect(200))
}
