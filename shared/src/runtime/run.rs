//! Entry point shared by all functions: on Lambda or as an ordinary service, with an error if neither is
//! possible.

use std::io::Write as _;
use std::process::ExitCode;

use axum::Router;

use crate::error;
use crate::rpc::server::RpcServer;
use crate::runtime::config::{ConfigErrors, Variables};

/// Error that ends a function's process.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Function as an application: its REST and its gRPC service.
#[derive(Clone)]
pub struct ServiceApp {
    /// REST API.
    pub router: Router,
    /// Server for calls from other functions, if it accepts any.
    pub rpc: Option<RpcServer>,
}

/// Runs a function until it is stopped. It runs on Lambda if Lambda's runtime API is there, else as an
/// ordinary service. `port` is the service's port unless `PORT` is set.
///
/// `read` reads and checks the function's own variables. Only a new deployment can correct those, so an error
/// ends the process. The result of `read` builds the function. It is called again if a dependency was
/// unavailable.
pub fn function<R, B, F>(name: &str, port: u16, read: R) -> ExitCode
where
    R: FnOnce(Variables) -> Result<B, ConfigErrors>,
    B: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<ServiceApp, error::Error>> + Send + 'static,
{
    let variables = Variables::of_process();
    let outcome = match std::env::var_os("AWS_LAMBDA_RUNTIME_API") {
        Some(_) => on_lambda(name, variables, read),
        None => on_a_socket(name, port, variables, read),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The error is ignored: standard error may be closed.
            let _ = writeln!(std::io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "lambda")]
fn on_lambda<R, B, F>(_: &str, variables: Variables, read: R) -> Result<(), Error>
where
    R: FnOnce(Variables) -> Result<B, ConfigErrors>,
    B: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<ServiceApp, error::Error>> + Send + 'static,
{
    crate::runtime::telemetry::init_json();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { crate::runtime::lambda::run(read(variables)?).await })
}

#[cfg(not(feature = "lambda"))]
fn on_lambda<R>(name: &str, _: Variables, _: R) -> Result<(), Error> {
    Err(format!(
        "AWS_LAMBDA_RUNTIME_API is set, and this binary is not made for Lambda; build one with \
         `cargo lambda build --release -p {name}`"
    )
    .into())
}

#[cfg(feature = "socket")]
fn on_a_socket<R, B, F>(name: &str, port: u16, mut variables: Variables, read: R) -> Result<(), Error>
where
    R: FnOnce(Variables) -> Result<B, ConfigErrors>,
    B: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<ServiceApp, error::Error>> + Send + 'static,
{
    crate::runtime::telemetry::init_text();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let settings = crate::runtime::socket::Settings::read(&mut variables, port);
        let limits = crate::runtime::listener::Settings::read(&mut variables);
        let build = read(variables)?;
        // `read` has checked the variables, and would have failed.
        let settings = settings.ok_or("invalid settings of the service")?;
        let limits = limits.ok_or("invalid limits of the listener")?;
        let mut function = build().await.map_err(|error| format!("{error} ({})", error.causes()))?;
        function.rpc = function.rpc.map(|rpc| rpc.trusting(settings.callers.clone()));
        crate::runtime::socket::run(name, function, settings, limits).await
    })
}

#[cfg(not(feature = "socket"))]
fn on_a_socket<R>(name: &str, _: u16, _: Variables, _: R) -> Result<(), Error> {
    Err(format!(
        "this is not Lambda (AWS_LAMBDA_RUNTIME_API is not set), and this binary has no server of its own; \
         run one with `cargo run -p {name} --features socket`"
    )
    .into())
}
