//! The schema step with its secrets in Secrets Manager.

use local::schema;
use serde_json::json;
use shared::runtime::config::Variables;
use shared::runtime::lambda::Host;
use shared::values::clock::Clock;
use uuid::Uuid;

use crate::cloud::SecretsManager;
use crate::lambda::{Lambda, request};

const ADMIN: &str = "first@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// A URI of a database that is not there yet.
async fn new_database() -> String {
    let uri = mongod::shared_for_tests().await.unwrap();
    uri.replacen("/?", &format!("/test_{}?", Uuid::new_v4().simple()), 1)
}

#[tokio::test]
#[ignore = "needs moto, which takes a minute to install: .ci/run"]
async fn the_first_admin_signs_in_with_secrets_managers_password() {
    let (cloud, lambda, uri) = (SecretsManager::start().await, Lambda::start().await, new_database().await);
    let (stored_uri, stored_password) = (cloud.keeps(&uri).await, cloud.keeps(PASSWORD).await);
    let variables = || {
        lambda.variables(&[
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &cloud.endpoint),
            ("MONGO_URI_ARN", &stored_uri),
            ("ADMIN_EMAIL", ADMIN),
            ("ADMIN_PASSWORD_ARN", &stored_password),
            ("JWT_SECRET", "a secret of the tests, 32 bytes or more"),
        ])
    };
    schema::prepare(variables()).await.unwrap();
    // It may be run again at any time.
    schema::prepare(variables()).await.unwrap();

    let environment = users::environment::Environment::read(variables(), Clock::system()).unwrap();
    let users = Host::new(move || environment.clone().build(), Clock::system());
    let body = json!({ "email": ADMIN, "password": PASSWORD });
    let answer = request(&users, "POST", "/auth", None, Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    cloud.rotates(&stored_password, " ").await;
    let text = schema::prepare(variables()).await.unwrap_err().to_string();
    assert!(text.contains("the secret of ADMIN_PASSWORD_ARN must not be empty"), "{text}");
}

#[tokio::test]
async fn all_that_the_schema_step_needs_is_asked_for_at_once() {
    let text = schema::prepare(Variables::from_fn(|_| None)).await.unwrap_err().to_string();
    for name in [
        "MONGO_URI, MONGO_URI_FILE or MONGO_URI_ARN",
        "ADMIN_EMAIL",
        "ADMIN_PASSWORD, ADMIN_PASSWORD_FILE or ADMIN_PASSWORD_ARN",
    ] {
        assert!(text.contains(&format!("{name} is required")), "{text}");
    }
}
