//! What the `main`s of all functions share: whether this is Lambda or an ordinary service, and what is said
//! when it can be neither.

use std::io::Write as _;
use std::process::ExitCode;

use axum::Router;

use crate::config::Variables;
use crate::rpc::entrance::Entrance;

/// Whatever ends a function.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A function's two faces.
#[derive(Clone)]
pub struct Function {
    /// REST.
    pub router: Router,
    /// Calls from other functions, if it takes any.
    pub entrance: Option<Entrance>,
}

/// Runs a function until it is ended: on Lambda if Lambda's runtime API is there, else as an ordinary
/// service on `port` (`PORT` says another).
///
/// `start` reads the variables that are the function's own, checks all of them, and connects.
pub fn function<S, F>(name: &str, port: u16, start: S) -> ExitCode
where
    S: FnOnce(Variables) -> F,
    F: Future<Output = Result<Function, Error>>,
{
    let variables = Variables::of_process();
    let outcome = match std::env::var_os("AWS_LAMBDA_RUNTIME_API") {
        Some(_) => on_lambda(name, variables, start),
        None => on_a_socket(name, port, variables, start),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "lambda")]
fn on_lambda<S, F>(_: &str, variables: Variables, start: S) -> Result<(), Error>
where
    S: FnOnce(Variables) -> F,
    F: Future<Output = Result<Function, Error>>,
{
    crate::telemetry::init_for_lambda();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { crate::lambda::run(start(variables).await?).await })
}

#[cfg(not(feature = "lambda"))]
fn on_lambda<S>(name: &str, _: Variables, _: S) -> Result<(), Error> {
    Err(format!(
        "AWS_LAMBDA_RUNTIME_API is set, and this binary is not made for Lambda: `cargo lambda build --release \
         -p {name}` makes one that is"
    )
    .into())
}

#[cfg(feature = "socket")]
fn on_a_socket<S, F>(name: &str, port: u16, mut variables: Variables, start: S) -> Result<(), Error>
where
    S: FnOnce(Variables) -> F,
    F: Future<Output = Result<Function, Error>>,
{
    crate::telemetry::init_for_people();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let settings = crate::socket::Settings::read(&mut variables, port);
        let function = start(variables).await?;
        // `start` has checked the variables, and would have failed.
        let settings = settings.ok_or("PORT, LISTEN_ADDRESS or TRUST_CALLERS is not as it must be")?;
        crate::socket::run(name, function, settings).await
    })
}

#[cfg(not(feature = "socket"))]
fn on_a_socket<S>(name: &str, _: u16, _: Variables, _: S) -> Result<(), Error> {
    Err(format!(
        "this is not Lambda (AWS_LAMBDA_RUNTIME_API is not set), and this binary cannot listen by itself: \
         `cargo run -p {name} --features socket` makes one that can"
    )
    .into())
}
