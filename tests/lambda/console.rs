//! The console on Lambda: its cookie goes through events of API Gateway, and its calls are those of its user.

use http::StatusCode;
use reqwest::redirect::Policy;
use serde_json::Value;
use tests::on_lambda::OnLambda;
use tests::person::PASSWORD;

#[tokio::test]
async fn staff_see_an_order_by_calls_with_their_own_token() {
    let shop = OnLambda::open().await;
    let (ada, staff, mug) = (shop.customer().await, shop.staff().await, shop.product(3).await);
    let order = ada.orders(&[(&mug, 1)]).await.expect(201).id();
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let url = |path: &str| format!("{}{path}", shop.lambda.url);

    let fields = [("email", staff.email.as_str()), ("password", PASSWORD)];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let sign_in = |origin: &str| {
        let request = client.post(url("/console/sign-in")).header("origin", origin);
        request.header("content-type", "application/x-www-form-urlencoded").body(body.clone()).send()
    };
    assert_eq!(sign_in("https://evil.example").await.unwrap().status(), StatusCode::FORBIDDEN);
    let answer = sign_in(&shop.lambda.url).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();

    shop.lambda.record_calls();
    let page = client.get(url(&format!("/console/orders/{order}"))).header("cookie", &cookie);
    let page = page.send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains(&order));
    let calls = shop.lambda.calls();
    // Orders and products check the token with keys of users, which they ask for on their own behalf.
    let own: Vec<_> = calls.iter().filter(|call| call.method != "GetSigningKeys").collect();
    assert!(own.iter().any(|call| call.function == "orders"), "{own:?}");
    for call in own {
        let payload: Value = serde_json::from_slice(&call.payload).unwrap();
        let headers = payload["grpc"]["headers"].as_array().unwrap();
        let has = |name: &str| headers.iter().any(|header| header[0] == name);
        assert!(has("authorization") && !has("oms-caller"), "{}", call.method);
    }

    // Without the cookie there is no page.
    let page = client.get(url(&format!("/console/orders/{order}"))).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::SEE_OTHER);
    assert_eq!(shop.lambda.environments("console").len(), 1);
}
