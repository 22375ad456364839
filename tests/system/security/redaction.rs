//! Logs of the functions' own code have no secret, at any level.
//!
//! The logs of the deployed programs are searched in `tests/lambda/redaction.rs`.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use http::Method;
use tests::in_process::InProcess;
use tests::secrets::tell_secrets;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn lines(&self) -> Vec<String> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }
}

/// Second subscriber, beside that of a test. If there is one alone, a place in the code that another thread reaches first
/// asks that thread's subscriber whether it is of interest, and is silent for all.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// Collects what our own crates log on this thread from now on, at every level.
fn listen() -> (Written, DefaultGuard) {
    let written = Written::default();
    let lines = {
        let written = written.clone();
        tracing_subscriber::fmt::layer().json().with_writer(move || written.clone())
    };
    // Of our crates alone: the client of this test is in this process too, and has what it sends.
    let ours = filter_fn(|metadata| {
        let of = metadata.target().split("::").next().unwrap_or_default();
        ["shared", "orders", "products", "users", "docs", "console", "local"].contains(&of)
    });
    LazyLock::force(&SECOND);
    // The runtime of this test has this thread alone, and with it all that the functions do.
    let guard = set_default(tracing_subscriber::registry().with(LevelFilter::TRACE).with(ours).with(lines));
    (written, guard)
}

#[tokio::test]
async fn our_own_lines_have_no_secret_at_any_level() {
    let (written, _guard) = listen();
    let shop = InProcess::open().await;
    let secrets = tell_secrets(&shop).await;
    let lines = written.lines();
    assert!(lines.len() > 50, "{} lines only: nothing was listened to", lines.len());
    let leaks = secrets.found_in(&lines);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test]
async fn no_part_of_a_request_makes_a_line_of_the_log_long() {
    let (written, _guard) = listen();
    let shop = InProcess::open().await;
    let ada = shop.customer().await;
    let long = "X".repeat(9_000);
    let method = |name: &str| Method::from_bytes(name.as_bytes()).unwrap();
    let get = |path: &str| ada.request(Method::GET, path);
    let mut requests = vec![
        get(&format!("/{long}")),
        get(&format!("/orders/{long}")),
        get(&format!("/orders?{long}=1")),
        get(&format!("/orders?cursor={long}")),
        get(&format!("/products?sku={long}")),
        get("/orders").header(format!("x-{}", long.to_lowercase()), "1"),
    ];
    for path in ["/orders", "/users", "/products", "/health", "/nowhere", &format!("/{long}")] {
        requests.push(ada.request(method(&long), path));
        requests.push(ada.request(method("QUERY"), path));
    }
    for header in
        ["host", "x-request-id", "traceparent", "tracestate", "authorization", "content-type", "origin"]
    {
        requests.push(get("/orders").header(header, &long));
        requests.push(ada.request(Method::POST, "/orders").header(header, &long).body("{}"));
    }
    let before = written.lines().len();
    let count = requests.len();
    for request in requests {
        // Some are refused before they reach a function.
        drop(ada.outcome(request).await);
    }
    let lines = written.lines();
    assert!(lines.len() >= before + count / 2, "{} lines", lines.len() - before);
    for line in &lines {
        assert!(line.len() <= 2_000, "{} bytes: {line:.200}", line.len());
        assert!(!line.contains("\"QUERY\""), "{line}");
    }
    assert!(lines.iter().any(|line| line.contains(r#""method":"OTHER","route":"/orders","status":405"#)));
}
