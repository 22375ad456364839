//! One server for all tests of a process, or of all processes of a test run.

use std::{env, sync::OnceLock, thread};

use tokio::sync::{OnceCell, oneshot};

use crate::{
    error::Error,
    find::find_or_fetch,
    server::{Data, Mongod, Options},
};

/// Names a running server for tests. `cargo nextest run` gives each test a process of its own, and one server to all.
pub const TEST_URI_VARIABLE: &str = "OMS_TEST_MONGO_URI";

/// The connection string of an ephemeral server with test commands (`configureFailPoint`), shared by all tests of this
/// process: the one that the environment names, else one that the first call starts. Let each test use a database of
/// its own.
///
/// # Errors
/// The server could not be found, fetched or started. It is tried once: every call answers the same error.
pub async fn shared_for_tests() -> Result<&'static str, &'static Error> {
    static GIVEN: OnceLock<Option<String>> = OnceLock::new();
    let given = || env::var(TEST_URI_VARIABLE).ok().filter(|uri| !uri.is_empty());
    if let Some(uri) = GIVEN.get_or_init(given) {
        return Ok(uri);
    }
    // A static is never dropped. The server ends when the kernel closes the pipe of this process.
    static SHARED: OnceCell<Result<Mongod, Error>> = OnceCell::const_new();
    let shared = SHARED.get_or_init(start_apart).await;
    shared.as_ref().map(Mongod::uri)
}

/// Starts an ephemeral server with test commands.
///
/// # Errors
/// The server could not be found, fetched or started.
pub async fn start_for_tests() -> Result<Mongod, Error> {
    let binary = find_or_fetch(&to_standard_error)?;
    Mongod::start(Options::new(binary, Data::Ephemeral).parameter("enableTestCommands", "1")).await
}

/// Starts the server on its own thread and runtime, so that a test ending early cannot abort the start others wait
/// for.
async fn start_apart() -> Result<Mongod, Error> {
    let (sender, receiver) = oneshot::channel();
    let start = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Spawn { source })?;
        runtime.block_on(start_for_tests())
    };
    let thread = thread::Builder::new().name("mongod-start".to_owned()).spawn(move || {
        // Fails if the test that asked has ended. Then the server is dropped, and the next test starts one.
        let _ = sender.send(start());
    });
    thread.map_err(|source| Error::Spawn { source })?;
    receiver.await.unwrap_or_else(|_| {
        Err(Error::Spawn { source: std::io::Error::other("the thread that starts the server ended") })
    })
}

/// Reports progress where a test's output goes.
fn to_standard_error(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
