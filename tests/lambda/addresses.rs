//! Whose requests are counted: those of the address that API Gateway names, whatever a client says.

use serde_json::{Value, json};
use shared::runtime::lambda::Host;
use shared::values::clock::Clock;
use uuid::Uuid;

use crate::lambda::{Lambda, TIMEOUT, deliver};

/// The status of a sign-in from this address, in API Gateway's words, by a client that says it comes from another.
async fn status(users: &Host, address: Value) -> u64 {
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/auth",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "host": "api.example.com",
            "x-forwarded-for": Uuid::new_v4().to_string(),
            "forwarded": "for=192.0.2.99",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "http": { "method": "POST", "path": "/auth", "protocol": "HTTP/1.1", "sourceIp": address },
            "requestId": "from-the-gateway",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1_795_375_353_007_i64,
        },
        "body": "{}",
        "isBase64Encoded": false,
    });
    deliver(users, event.to_string(), TIMEOUT).await["statusCode"].as_u64().unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_the_address_that_api_gateway_names() {
    let uri = mongod::shared_for_tests().await.unwrap();
    let uri = uri.replacen("/?", &format!("/test_{}?", Uuid::new_v4().simple()), 1);
    let database = shared::mongo::connect(&uri, "tests").await.unwrap();
    local::backend::ensure_schema(&database).await.unwrap();
    let lambda = Lambda::start().await;
    let variables = lambda.variables(&[
        ("MONGO_URI", &uri),
        ("JWT_SECRET", "a secret of the tests, 32 bytes or more"),
        ("RATE_LIMIT_PER_ADDRESS", "3"),
    ]);
    let environment = users::environment::Environment::read(variables, Clock::system()).unwrap();
    let users = Host::new(move || environment.clone().build(), Clock::system());
    for address in [json!("192.0.2.1"), json!("192.0.2.2"), json!("2001:db8:1:2::1"), Value::Null] {
        for expected in [422, 422, 422, 429] {
            assert_eq!(status(&users, address.clone()).await, expected, "{address}");
        }
    }
    assert_eq!(status(&users, json!("2001:db8:1:2:ffff::1")).await, 429, "the same network");
    assert_eq!(status(&users, json!("2001:db8:1:3::1")).await, 422);
}

#[tokio::test]
async fn the_rate_limit_is_sixty_a_minute_and_bad_values_are_named() {
    let read = |limit: &'static str| {
        let lambda_variables = move |name: &str| match name {
            "MONGO_URI" => Some("mongodb://127.0.0.1".to_owned()),
            "JWT_SECRET" => Some("a secret of the tests, 32 bytes or more".to_owned()),
            "RATE_LIMIT_PER_ADDRESS" => Some(limit.to_owned()),
            _ => None,
        };
        let variables = shared::runtime::config::Variables::from_fn(lambda_variables);
        users::environment::Environment::read(variables, Clock::system()).map(drop)
    };
    for good in ["", "0", "60", "1000000"] {
        assert!(read(good).is_ok(), "{good}");
    }
    for bad in ["-1", "1.5", "1000001", "many", " 60"] {
        let text = read(bad).unwrap_err().to_string();
        assert!(text.contains("RATE_LIMIT_PER_ADDRESS: must be a whole number"), "{text}");
    }
}
