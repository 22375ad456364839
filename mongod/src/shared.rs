//! One server for all tests of a process.

use std::thread;

use tokio::sync::{OnceCell, oneshot};

use crate::{
    error::Error,
    find::find_or_fetch,
    server::{Data, Mongod, Options},
};

/// The connection string of an ephemeral server with test commands (`configureFailPoint`), which is started at
/// the first call and shared by all tests of this process. Let each test use a database of its own.
///
/// # Errors
/// The server could not be found, fetched or started. It is tried once: every call answers the same error.
pub async fn shared_for_tests() -> Result<&'static str, &'static Error> {
    // A static is never dropped. The server ends when the kernel closes the pipe of this process.
    static SHARED: OnceCell<Result<Mongod, Error>> = OnceCell::const_new();
    let shared = SHARED.get_or_init(start_apart).await;
    shared.as_ref().map(Mongod::uri)
}

/// Starts it on a thread and a runtime of its own: a test's runtime ends with the test, in the middle of a start
/// too, while others wait for it.
async fn start_apart() -> Result<Mongod, Error> {
    let (tell, told) = oneshot::channel();
    let start = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Spawn { source })?;
        let binary = find_or_fetch(&to_standard_error)?;
        let options = Options::new(binary, Data::Ephemeral).parameter("enableTestCommands", "1");
        runtime.block_on(Mongod::start(options))
    };
    let thread = thread::Builder::new().name("mongod-start".to_owned()).spawn(move || {
        // Nobody listens if the test that asked has ended; then the server is dropped, and the next test asks again.
        let _ = tell.send(start());
    });
    thread.map_err(|source| Error::Spawn { source })?;
    told.await.unwrap_or_else(|_| {
        Err(Error::Spawn { source: std::io::Error::other("the thread that starts the server ended") })
    })
}

/// Tests have nobody else to tell.
fn to_standard_error(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
