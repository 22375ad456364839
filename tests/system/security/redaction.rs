//! Logs of the functions' own code have no secret, at any level.
//!
//! The logs of the deployed programs are searched in `tests/lambda/redaction.rs`.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tests::in_process::InProcess;
use tests::secrets::tell_secrets;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_default;
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

#[tokio::test]
async fn our_own_lines_have_no_secret_at_any_level() {
    let written = Written::default();
    let lines = {
        let written = written.clone();
        tracing_subscriber::fmt::layer().json().with_writer(move || written.clone())
    };
    // Of our crates alone: the client of this test is in this process too, and has what it sends.
    let ours = filter_fn(|metadata| {
        let of = metadata.target().split("::").next().unwrap_or_default();
        ["shared", "orders", "products", "users", "docs", "local"].contains(&of)
    });
    // The runtime of this test has this thread alone, and with it all that the functions do.
    let _guard = set_default(tracing_subscriber::registry().with(LevelFilter::TRACE).with(ours).with(lines));
    let shop = InProcess::open().await;
    let secrets = tell_secrets(&shop).await;
    let text = written.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lines: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    assert!(lines.len() > 50, "{} lines only: nothing was listened to", lines.len());
    let leaks = secrets.found_in(&lines);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
