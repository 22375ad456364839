//! Users: bodies, paths and checks.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::person::{PASSWORD, Person};
use crate::shop::Shop;

/// The body of somebody who signs up.
pub fn sign_up(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "name": "Ada" })
}

/// The path of a user.
pub fn path(person: &Person) -> String {
    format!("/users/{}", person.id)
}

/// A user has these fields and no others: so there is none in which anything of a password could be.
#[track_caller]
pub fn assert_shows_a_user(user: &Value) {
    let mut fields: Vec<_> =
        user.as_object().into_iter().flatten().map(|(field, _)| field.as_str()).collect();
    fields.sort_unstable();
    let all =
        ["address", "created_at", "email", "id", "name", "phone", "role", "status", "updated_at", "version"];
    assert_eq!(fields, all);
    let text = user.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("argon2"), "{text}");
}

/// Sends each body, which differs from a good one at one place, and fails with all that were not refused just
/// there. Some are sent at once, since each waits for the other side.
pub async fn assert_refused(person: &Person, method: Method, path: &str, rows: Vec<(&str, Value, Value)>) {
    let mut taken = Vec::new();
    for some in rows.chunks(4) {
        let answers = some.iter().map(|(_, _, body)| person.send(method.clone(), path, Some(body.clone())));
        for ((pointer, value, _), answer) in some.iter().zip(join_all(answers).await) {
            if answer.status == 422 && answer.pointers() == [*pointer] {
                answer.problem(422, "validation");
            } else {
                let value: String = value.to_string().chars().take(80).collect();
                taken.push(format!("{pointer} {value}: {} {:?}", answer.status, answer.pointers()));
            }
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

/// Signs in, with any result. The status.
pub async fn tries(shop: &Shop, person: &Person, password: &str) -> u16 {
    let credentials = json!({ "email": person.email, "password": password });
    shop.anyone().post("/auth", credentials).await.status.as_u16()
}
