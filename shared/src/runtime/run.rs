//! Entry point shared by all functions: on Lambda or as an ordinary service, with an error if neither is
//! possible.

use std::convert::Infallible;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
#[cfg(feature = "socket")]
use std::time::Duration;
#[cfg(feature = "lambda")]
use std::time::Instant;

use axum::Router;
use futures::future::BoxFuture;

use crate::error;
#[cfg(feature = "lambda")]
use crate::http::base_path::BasePath;
use crate::rpc::server::RpcServer;
#[cfg(feature = "lambda")]
use crate::runtime::config::{BASE_PATH, METRICS_NAMESPACE, XRAY_SPANS, switch};
use crate::runtime::config::{ConfigErrors, Variables};
#[cfg(feature = "lambda")]
use crate::runtime::metrics::emf;
#[cfg(feature = "lambda")]
use crate::runtime::spans::xray;
#[cfg(feature = "socket")]
use crate::runtime::spans::{Recorder, otlp};
#[cfg(feature = "socket")]
use crate::runtime::telemetry::LogFormat;

/// Error that ends a function's process.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Check of what a function depends on.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), error::Error>> + Send + Sync>;

/// Work of a function beside its requests, until it is dropped. On Lambda a schedule calls the function instead.
pub type Background = Arc<dyn Fn() -> BoxFuture<'static, Infallible> + Send + Sync>;

/// Function as an application: its REST and its gRPC service.
#[derive(Clone)]
pub struct ServiceApp {
    /// REST API.
    pub router: Router,
    /// Server for calls from other functions, if it accepts any.
    pub rpc: Option<RpcServer>,
    /// Check whether it is ready. Without one it is ready while it runs.
    pub probe: Option<Probe>,
    /// Work beside its requests, if there is any.
    pub background: Option<Background>,
}

impl ServiceApp {
    /// Creates an application with a REST API alone.
    pub fn new(router: Router) -> Self {
        Self { router, rpc: None, probe: None, background: None }
    }

    /// Adds the server for calls.
    pub fn with_rpc(self, rpc: RpcServer) -> Self {
        Self { rpc: Some(rpc), ..self }
    }

    /// Adds the check whether it is ready.
    pub fn with_probe<F>(self, probe: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), error::Error>> + Send + 'static,
    {
        Self { probe: Some(Arc::new(move || Box::pin(probe()))), ..self }
    }

    /// Adds work beside its requests.
    pub fn with_background<F>(self, work: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Infallible> + Send + 'static,
    {
        Self { background: Some(Arc::new(move || Box::pin(work()))), ..self }
    }
}

/// Runs a function until it is stopped. It runs on Lambda if Lambda's runtime API is there, else as an
/// ordinary service. `port` is the service's port unless `PORT` is set. With the argument `health` it asks the service
/// of this machine whether it is ready.
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
    let is_on_lambda = std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some();
    let outcome = match std::env::args().nth(1).as_deref() {
        None if is_on_lambda => on_lambda(name, variables, read),
        None => on_a_socket(name, port, variables, read),
        Some("health") => check_health(variables, port),
        Some(_) => Err(format!("the only argument is `health`: is the {name} of this machine ready?").into()),
    };
    exit_code(name, outcome)
}

/// Status of a process with this outcome, whose error goes to standard error.
fn exit_code(name: &str, outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The error is ignored: standard error may be closed.
            let _ = writeln!(std::io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a task on Lambda until Lambda ends the process. `read` reads the environment, and creates the handler of
/// events.
#[cfg(feature = "lambda")]
pub fn task<R, H, F>(name: &str, read: R) -> ExitCode
where
    R: FnOnce(Variables) -> Result<H, ConfigErrors>,
    H: Fn(crate::runtime::task::Event) -> F + Send + Sync + 'static,
    F: Future<Output = Result<serde_json::Value, error::Error>> + Send + 'static,
{
    let run = || -> Result<(), Error> {
        if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
            return Err("tasks run on Lambda alone (AWS_LAMBDA_RUNTIME_API is not set)".into());
        }
        let started = Instant::now();
        let mut variables = Variables::of_process();
        begin_signals(name, &mut variables);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { crate::runtime::task::run(read(variables)?, started).await })
    };
    exit_code(name, run())
}

/// Begins to log, to record spans if that is asked for, and to measure if a namespace is set. `read` reports invalid
/// variables.
#[cfg(feature = "lambda")]
fn begin_signals(name: &str, variables: &mut Variables) {
    let spans = variables.or(XRAY_SPANS.name, false, switch) == Some(true);
    let recorder = spans.then(|| xray::recorder(variables));
    let (recorder, missing) = match recorder {
        Some(Err(missing)) => (None, Some(missing)),
        Some(Ok(recorder)) => (Some(recorder), None),
        None => (None, None),
    };
    crate::runtime::telemetry::init_json(recorder);
    if let Some(missing) = missing {
        tracing::warn!("no spans are recorded: {missing}");
    }
    // MongoDB's client is measured from the beginning or not at all.
    if let Some(namespace) = variables.optional(METRICS_NAMESPACE.name, emf::Namespace::parse) {
        emf::start(namespace, name);
    }
}

#[cfg(feature = "lambda")]
fn on_lambda<R, B, F>(name: &str, mut variables: Variables, read: R) -> Result<(), Error>
where
    R: FnOnce(Variables) -> Result<B, ConfigErrors>,
    B: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<ServiceApp, error::Error>> + Send + 'static,
{
    let started = Instant::now();
    begin_signals(name, &mut variables);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // `read` reports an invalid one.
    let base_path = variables.or(BASE_PATH.name, BasePath::default(), BasePath::parse).unwrap_or_default();
    runtime.block_on(async { crate::runtime::lambda::run(read(variables)?, base_path, started).await })
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
    let format = LogFormat::read(&mut variables);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exporter = otlp::Settings::read(&mut variables, name).map(|it| it.start(runtime.handle()));
    let recorder = exporter.as_ref().map(|it| Recorder::new(it.sampling()).to(it.clone()));
    format.unwrap_or_default().init(recorder);
    let served = runtime.block_on(async {
        let settings = crate::runtime::socket::Settings::read(&mut variables, port);
        let limits = crate::runtime::listener::Settings::read(&mut variables);
        let build = read(variables)?;
        // `read` has checked the variables, and would have failed.
        let settings = settings.ok_or("invalid settings of the service")?;
        let limits = limits.ok_or("invalid limits of the listener")?;
        let format = format.ok_or("invalid format of log lines")?;
        // MongoDB's client is measured from the beginning or not at all.
        let metrics = match settings.metrics {
            Some(address) => Some(crate::runtime::metrics::listen(address).await?),
            None => None,
        };
        let mut function = build().await.map_err(|error| format!("{error} ({})", error.causes()))?;
        function.rpc = function.rpc.map(|rpc| rpc.trusting(settings.callers.clone()));
        crate::runtime::socket::run(name, function, settings, limits, format, metrics).await
    });
    if let Some(exporter) = exporter {
        exporter.finish();
    }
    // Look-ups of names run on threads that cannot be stopped.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

#[cfg(feature = "socket")]
fn check_health(mut variables: Variables, port: u16) -> Result<(), Error> {
    let address = crate::runtime::socket::address(&mut variables, port);
    variables.check()?;
    let address = address.ok_or("invalid address of the service")?;
    Ok(crate::runtime::health::check(address)?)
}

#[cfg(not(feature = "socket"))]
fn check_health(_: Variables, _: u16) -> Result<(), Error> {
    Err("this binary has no server of its own".into())
}

#[cfg(not(feature = "socket"))]
fn on_a_socket<R>(name: &str, _: u16, _: Variables, _: R) -> Result<(), Error> {
    Err(format!(
        "this is not Lambda (AWS_LAMBDA_RUNTIME_API is not set), and this binary has no server of its own; \
         run one with `cargo run -p {name} --features socket`"
    )
    .into())
}
