//! Payment provider that captures the money of an order, and delivers the webhook one to five times:
//!
//! ```sh
//! cargo run --package local --example provider -- http://127.0.0.1:8080 TOKEN ORDER AMOUNT
//! ```
//! The token is that of a staff user, and the amount is in minor units. Each delivery prints its request, the status of
//! the answer, and the outcome. See `docs/payment-providers.md`.

use std::error::Error;

use http::{StatusCode, header};
use local::provider::webhook::{self, Call};
use local::provider::{Plan, Provider};
use local::terminal::print_ignoring_epipe;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, token, order, amount] = arguments.as_slice() else {
        return Err("usage: provider URL TOKEN ORDER AMOUNT".into());
    };
    let mut rng = StdRng::from_os_rng();
    let mut provider = Provider::new("acme", StdRng::from_os_rng());
    let event = provider.capture(order, amount.parse()?);
    let plan = Plan::draw(&[event], &mut rng);
    let http = reqwest::Client::new();
    for event in plan.prompt.iter().chain(&plan.late) {
        let outcome = webhook::handle(provider.name(), event, async |call: &Call| {
            let answer = send(&http, base, token, call).await;
            let status = answer.as_ref().map_or("lost".to_owned(), |(status, _)| status.to_string());
            print_ignoring_epipe(format_args!("{} {} {}: {status}", call.method, call.path, call.body));
            answer
        });
        let outcome = outcome.await;
        print_ignoring_epipe(format_args!("  {outcome:?}"));
    }
    Ok(())
}

/// Sends a call. `None`: there was no answer.
async fn send(http: &reqwest::Client, base: &str, token: &str, call: &Call) -> Option<(StatusCode, Value)> {
    let request = http.request(call.method.clone(), format!("{base}{}", call.path));
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}")).json(&call.body);
    let request = match &call.key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    };
    let answer = request.send().await.ok()?;
    let status = answer.status();
    Some((status, answer.json().await.unwrap_or_default()))
}
