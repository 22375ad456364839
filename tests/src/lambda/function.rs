//! A function: how its environments are made, and which of them takes an invocation.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::environment::{Environment, Invoked};
use super::log::Log;

/// Region of the functions, as they see it.
pub(crate) const REGION: &str = "eu-central-1";

/// How many invocations of a function may run at a time, unless it is told otherwise: as many as Lambda lets an
/// account run of all its functions.
const CONCURRENCY: usize = 1000;

/// How many environments of a function start at a time. Lambda has a machine for each of them; here a hundred at once
/// would all take longer than an init may.
const STARTS: usize = 4;

/// Settings of a function.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Maximum time of an invocation.
    pub timeout: Duration,
    /// Maximum number of invocations at a time.
    pub concurrency: usize,
    /// Its own environment variables.
    pub variables: Vec<(String, String)>,
}

impl Settings {
    /// A function that may take 3 s, which is Lambda's default.
    pub fn new(name: &str, program: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            program,
            timeout: Duration::from_secs(3),
            concurrency: CONCURRENCY,
            variables: Vec::new(),
        }
    }

    /// The same with another timeout.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same with another bound on what runs at a time.
    #[must_use]
    pub fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:lambda:{REGION}:123456789012:function:{}", self.name)
    }

    /// Variables that Lambda sets for every function.
    pub(crate) fn lambda_variables(&self, runtime_api: SocketAddr) -> Vec<(String, String)> {
        let variables: [(&str, &str); 12] = [
            ("AWS_LAMBDA_RUNTIME_API", &runtime_api.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", &self.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", self.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/22/[$LATEST]0"),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            // No signature is checked here.
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("_HANDLER", "bootstrap"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

/// A function and its environments.
pub(crate) struct Function {
    pub(crate) settings: Settings,
    environments: Mutex<Environments>,
    /// A permit for each invocation that may run.
    running: Arc<Semaphore>,
    /// A permit for each environment that may start.
    starting: Semaphore,
}

#[derive(Default)]
struct Environments {
    idle: Vec<Arc<Environment>>,
    busy: Vec<Arc<Environment>>,
}

/// Why an invocation has no environment.
pub(crate) enum NoEnvironment {
    /// As many run as may.
    Throttled,
    /// One was started, and could not be initialised.
    Failed(Invoked),
}

/// An environment that nobody else uses meanwhile.
pub(crate) struct Lease {
    function: Arc<Function>,
    pub(crate) environment: Arc<Environment>,
    _running: OwnedSemaphorePermit,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut environments = self.function.lock();
        environments.busy.retain(|busy| !Arc::ptr_eq(busy, &self.environment));
        if !self.environment.has_ended() {
            environments.idle.push(self.environment.clone());
        }
    }
}

impl Function {
    pub(crate) fn new(settings: Settings) -> Self {
        let running = Arc::new(Semaphore::new(settings.concurrency));
        Self { settings, environments: Mutex::default(), running, starting: Semaphore::new(STARTS) }
    }

    /// The environment that was used last of those that are idle, or a new one.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        common: &[(String, String)],
        log: &Log,
    ) -> Result<Lease, NoEnvironment> {
        let running = self.running.clone().try_acquire_owned().map_err(|_| NoEnvironment::Throttled)?;
        let lease = |environment| Lease { function: self.clone(), environment, _running: running };
        if let Some(environment) = self.take_idle() {
            return Ok(lease(environment));
        }
        // It is never closed. Meanwhile one may have become idle.
        let _turn = self.starting.acquire().await;
        if let Some(environment) = self.take_idle() {
            return Ok(lease(environment));
        }
        let environment = Environment::start(&self.settings, common, log).await;
        let environment = Arc::new(environment.map_err(NoEnvironment::Failed)?);
        self.lock().busy.push(environment.clone());
        Ok(lease(environment))
    }

    fn take_idle(&self) -> Option<Arc<Environment>> {
        let mut environments = self.lock();
        environments.idle.retain(|idle| !idle.has_ended());
        let environment = environments.idle.pop()?;
        environments.busy.push(environment.clone());
        Some(environment)
    }

    /// All environments whose process runs, those that do nothing first.
    pub(crate) fn environments(&self) -> Vec<Arc<Environment>> {
        let environments = self.lock();
        let all = environments.idle.iter().chain(&environments.busy);
        all.filter(|environment| !environment.has_ended()).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Environments> {
        self.environments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
