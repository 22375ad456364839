//! The samples for `cargo lambda invoke` in `local/events/` are what the code makes, and answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use local::backend::{self, Backend, BackendConfig};
use local::events::{samples, text, write};
use local::gateway::Function;
use serde_json::Value;
use shared::auth::Signer;
use shared::values::clock::Clock;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}

#[tokio::test]
async fn the_samples_are_what_the_code_makes() {
    let samples = samples().await.unwrap();
    // `UPDATE_EVENTS=1 cargo test -p local --test events` writes them anew.
    if std::env::var_os("UPDATE_EVENTS").is_some() {
        write(&folder(), &samples).unwrap();
    }
    for sample in &samples {
        let kept = std::fs::read_to_string(folder().join(sample.file)).unwrap_or_default();
        assert_eq!(kept, text(&sample.event), "{}: write it anew, with UPDATE_EVENTS=1", sample.file);
    }
    assert_eq!(std::fs::read_dir(folder()).unwrap().count(), samples.len());
    for function in Function::ALL {
        for kind in ["http", "call"] {
            let file = format!("{}-{kind}.json", function.name());
            // Neither the docs function nor the console takes calls.
            let takes_calls = !matches!(function, Function::Docs | Function::Console);
            let expected = takes_calls || kind == "http";
            assert_eq!(samples.iter().any(|sample| sample.file == file), expected, "{file}");
        }
    }
}

#[tokio::test]
async fn every_sample_of_a_call_is_answered() {
    let uri = mongod::shared_for_tests().await.unwrap();
    let client = shared::mongo::connect(uri, "tests").await.unwrap();
    let database = client.client().database(&format!("events_{}", std::process::id()));
    backend::ensure_schema(&database).await.unwrap();
    let backend = Backend::build(BackendConfig {
        database,
        signer: Signer::from_secret("a secret of the tests, 32 bytes or more").unwrap(),
        payment_window: Duration::from_secs(1),
        return_window: orders::DEFAULT_RETURN_WINDOW,
        limits: orders::CustomerLimits::NONE,
        rate_limit_per_address: 0,
        clock: Clock::system(),
    });
    for (file, rpc) in [
        ("orders-call.json", &backend.orders.rpc),
        ("orders-reconcile.json", &backend.orders.rpc),
        ("products-call.json", &backend.products.rpc),
        ("users-call.json", &backend.users.rpc),
    ] {
        let answer = rpc.handle(&std::fs::read(folder().join(file)).unwrap()).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let trailers = answer["grpc"]["trailers"].as_array().unwrap();
        assert!(trailers.contains(&serde_json::json!(["grpc-status", "0"])), "{file}: {answer:#}");
    }
}
