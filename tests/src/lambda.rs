//! A small Lambda on this machine, with an API Gateway in front: it runs the functions' own programs, each process
//! serving one invocation at a time, and can do to them what a bad day does.
//!
//! - [`programs`]: the programs, built by cargo
//! - [`environment`]: one process, from its start to its end; [`process`]: how it is started and signalled
//! - [`runtime_api`]: where a process gets its invocations from
//! - [`function`]: which environment takes an invocation, and when there is a new one
//! - [`invoke_api`]: how functions call each other; [`gateway`] and [`event`]: how HTTP reaches them
//! - [`fault`]: what may go wrong, by rules; [`recording`]: which calls there were
//! - [`cloudwatch`]: what Lambda and API Gateway measure by themselves
//! - [`server`], [`log`]: sockets, and what the functions say
//!
//! Like Lambda it goes on with an invocation whose caller has hung up, ends a process that takes too long, and
//! knows nothing of what it carries. Unlike Lambda it runs an `Event` once only, and gives a process all of the
//! machine's processors.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

pub mod cloudwatch;
pub mod environment;
mod event;
pub mod fault;
pub mod function;
mod gateway;
mod invoke_api;
mod log;
mod process;
pub mod programs;
pub mod recording;
mod runtime_api;
mod server;

pub use cloudwatch::Measured;
pub use environment::{Environment, Invoked};
pub use fault::{Fault, On};
pub use function::Settings;
pub use log::Log;
pub use recording::Call;
pub use runtime_api::MAX_RESPONSE;

use cloudwatch::{CloudWatch, Ending, Stopwatch};
use environment::Blow;
use fault::{Action, Held, Kind, Rules};
use function::{Function, NoEnvironment};
use recording::Recording;
use server::Server;

use crate::proxy::Moment;

/// The largest payload of an invocation, in bytes: 6 MB.
pub const MAX_REQUEST: usize = 6 * 1024 * 1024;

/// A running Lambda. Dropped, it ends with all its processes.
pub struct Lambda {
    backend: Arc<Backend>,
    /// URL of API Gateway: `http://127.0.0.1:PORT`.
    pub url: String,
    /// URL of the Invoke API: `http://127.0.0.1:PORT`.
    pub endpoint: String,
    _servers: [Server; 2],
}

/// Options of the small Lambda.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// True: an idle environment is frozen (SIGSTOP), as on Lambda.
    pub freezes: bool,
    /// True: X-Ray keeps the traces that begin here.
    pub keeps_traces: bool,
}

impl Lambda {
    /// Starts it with these functions; their processes start when they are needed.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(functions: Vec<Settings>, options: Options) -> io::Result<Self> {
        let (invoke_listener, invoke_address) = server::bind().await?;
        let (gateway_listener, gateway_address) = server::bind().await?;
        let endpoint = format!("http://{invoke_address}");
        let functions = functions.into_iter();
        let backend = Arc::new(Backend {
            functions: functions.map(|it| (it.name.clone(), Arc::new(Function::new(it)))).collect(),
            common: vec![("AWS_ENDPOINT_URL_LAMBDA".to_owned(), endpoint.clone())],
            rules: Rules::default(),
            recording: Recording::default(),
            cloudwatch: CloudWatch::default(),
            log: Log::default(),
            options,
        });
        let (invoking, serving) = (backend.clone(), backend.clone());
        let invoke_api = server::serve(invoke_listener, move |it| invoke_api::answer(invoking.clone(), it));
        let gateway = server::serve(gateway_listener, move |it| gateway::answer(serving.clone(), it));
        let url = format!("http://{gateway_address}");
        Ok(Self { backend, url, endpoint, _servers: [invoke_api, gateway] })
    }

    /// The functions of this workspace, with timeouts and variables as `template.yaml` has them.
    pub fn functions(mongo_uri: &str, jwt_secret: &str) -> Vec<Settings> {
        Self::functions_of(programs::of_workspace, mongo_uri, jwt_secret)
    }

    /// The same, with the programs that `program` has for their names.
    pub fn functions_of(
        program: impl Fn(&str) -> PathBuf,
        mongo_uri: &str,
        jwt_secret: &str,
    ) -> Vec<Settings> {
        let function = |name: &str, seconds| {
            Settings::new(name, program(name))
                .timeout(Duration::from_secs(seconds))
                .variable("METRICS_NAMESPACE", "oms/tests")
        };
        vec![
            function("orders", 28)
                .variable("MONGO_URI", mongo_uri)
                .variable("MAX_OPEN_ORDERS", "0")
                .variable("ORDER_RATE_PER_CUSTOMER", "0")
                .variable("PRODUCT_SERVICE_URL", "lambda:products")
                .variable("USER_SERVICE_URL", "lambda:users"),
            function("products", 20)
                .variable("MONGO_URI", mongo_uri)
                .variable("USER_SERVICE_URL", "lambda:users"),
            function("users", 15)
                .variable("MONGO_URI", mongo_uri)
                .variable("JWT_SECRET", jwt_secret)
                .variable("RATE_LIMIT_PER_ADDRESS", "0"),
            function("docs", 5),
            function("console", 29)
                .variable("CONSOLE_SECRET", crate::CONSOLE_SECRET)
                .variable("ORDER_SERVICE_URL", "lambda:orders")
                .variable("PRODUCT_SERVICE_URL", "lambda:products")
                .variable("USER_SERVICE_URL", "lambda:users"),
        ]
    }

    /// A task of the maintenance function, under its own name.
    pub fn task(name: &str, timeout: Duration) -> Settings {
        let program = programs::of_workspace(maintenance::NAME);
        Settings::new(name, program).timeout(timeout).variable("_HANDLER", name)
    }

    /// Calls of a function by others: those of this gRPC method, such as `HoldStock`.
    pub fn on_call(&self, function: &str, method: &str) -> On {
        On::call(&self.backend.rules, function, method)
    }

    /// Requests that API Gateway hands to a function: those of this method and path.
    pub fn on_request(&self, function: &str, method: Method, path: &str) -> On {
        On::request(&self.backend.rules, function, method, path)
    }

    /// All invocations of a function.
    pub fn on_any(&self, function: &str) -> On {
        On::any(&self.backend.rules, function)
    }

    /// The environments of a function whose processes run, those that do nothing first.
    pub fn environments(&self, function: &str) -> Vec<Arc<Environment>> {
        self.backend.functions.get(function).map(|it| it.environments()).unwrap_or_default()
    }

    /// Freezes every environment as soon as it has nothing to do. The next invocation thaws it.
    pub async fn freeze(&self) {
        for function in self.backend.functions.values() {
            for environment in function.environments() {
                environment.freeze().await;
            }
        }
    }

    /// Notes calls between functions from here on, and forgets those before.
    pub fn record_calls(&self) {
        self.backend.recording.begin();
    }

    /// The calls since [`record_calls`](Self::record_calls), in the order in which they came, repeated ones too.
    pub fn calls(&self) -> Vec<Call> {
        self.backend.recording.calls()
    }

    /// Measures invocations and requests from here on, and forgets those before.
    pub fn measure(&self) {
        self.backend.cloudwatch.begin();
    }

    /// Invocations and requests since [`measure`](Self::measure), in the order in which they ended.
    pub fn measured(&self) -> Measured {
        self.backend.cloudwatch.measured()
    }

    /// Log of the functions.
    pub fn log(&self) -> &Log {
        &self.backend.log
    }
}

/// State that the sockets share.
struct Backend {
    functions: BTreeMap<String, Arc<Function>>,
    /// Variables of all functions.
    common: Vec<(String, String)>,
    rules: Rules,
    recording: Recording,
    cloudwatch: CloudWatch,
    log: Log,
    options: Options,
}

/// End of an invocation for its caller.
enum Reply {
    Invoked(Invoked),
    Refused(Refusal),
    /// The connection is lost.
    Lost,
}

/// Why Lambda does not run an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    UnknownFunction,
    TooLarge,
    Throttled,
}

impl Backend {
    /// Runs an invocation. Dropped, it goes on, as Lambda does when a caller hangs up.
    ///
    /// `caller` is the caller's X-Ray header, if it has sent one.
    async fn invoke(self: Arc<Self>, function: String, payload: Bytes, caller: Option<String>) -> Reply {
        let (here, gone) = watch::channel(());
        let trace = trace_header(caller.as_deref(), self.options.keeps_traces);
        let running = tokio::spawn(async move { self.deliver(&function, payload, &trace, gone).await });
        let reply = running.await.unwrap_or(Reply::Lost);
        drop(here);
        reply
    }

    async fn deliver(&self, name: &str, payload: Bytes, trace: &str, mut gone: watch::Receiver<()>) -> Reply {
        let Some(function) = self.functions.get(name) else {
            return Reply::Refused(Refusal::UnknownFunction);
        };
        if payload.len() > MAX_REQUEST {
            return Reply::Refused(Refusal::TooLarge);
        }
        // An event that is delivered several times keeps its ID, as Lambda's own do.
        let id = Uuid::new_v4().to_string();
        let run = |blow| self.run(function, (&id, trace), payload.clone(), blow);
        let kind = Kind::of(&payload);
        self.recording.note(name, &kind, &payload);
        match self.rules.strike(name, &kind) {
            None => run(Blow::None).await,
            Some(Action::Hold(holding)) => {
                let (go, may_go) = oneshot::channel();
                // Where nobody takes it, it is lost on its way.
                let _ = holding.send(Held { go, gone });
                let Ok(done) = may_go.await else { return Reply::Lost };
                let reply = run(Blow::None).await;
                let _ = done.send(());
                reply
            }
            Some(Action::Strike(fault)) => match fault {
                Fault::KillBefore => run(Blow::KillBefore).await,
                Fault::KillAt(after) => run(Blow::KillAt(after)).await,
                Fault::KillAfter => run(Blow::KillAfter).await,
                Fault::Hang => run(Blow::Hang).await,
                Fault::Throttle => Reply::Refused(Refusal::Throttled),
                Fault::DropRequest => Reply::Lost,
                Fault::DropAnswer => {
                    run(Blow::None).await;
                    Reply::Lost
                }
                Fault::Repeat(times) => {
                    let first = run(Blow::None).await;
                    for _ in 1..times {
                        run(Blow::None).await;
                    }
                    first
                }
                Fault::Silent(Moment::Before, duration) => {
                    tokio::time::sleep(duration).await;
                    run(Blow::None).await
                }
                Fault::Silent(Moment::After, duration) => {
                    let reply = run(Blow::None).await;
                    tokio::time::sleep(duration).await;
                    reply
                }
                Fault::Late => {
                    while gone.changed().await.is_ok() {}
                    run(Blow::None).await
                }
            },
        }
    }

    async fn run(&self, function: &Arc<Function>, ids: (&str, &str), payload: Bytes, blow: Blow) -> Reply {
        let note = |ending, watch| self.cloudwatch.note_invocation(&function.settings.name, ending, watch);
        let arrived = Stopwatch::start();
        let lease = match function.lease(&self.common, &self.log).await {
            Ok(lease) => lease,
            Err(NoEnvironment::Throttled) => {
                note(Ending::Throttled, arrived);
                return Reply::Refused(Refusal::Throttled);
            }
            Err(NoEnvironment::Failed(failure)) => {
                note(Ending::Failed, arrived);
                return Reply::Invoked(failure);
            }
        };
        // The init of a new environment is no part of the duration, as on Lambda.
        let running = Stopwatch::start();
        let invoked = lease.environment.run(&function.settings, ids, payload, blow).await;
        note(if invoked.failed { Ending::Failed } else { Ending::Answered }, running);
        if self.options.freezes {
            // The caller waits for that, so that its next request meets what is frozen.
            lease.environment.freeze().await;
        }
        Reply::Invoked(invoked)
    }
}

/// X-Ray header of an invocation: in the caller's trace if it has one, else in a new one, which X-Ray keeps or not.
fn trace_header(caller: Option<&str>, keeps: bool) -> String {
    let field = |name: &str| caller?.split(';').find(|field| field.starts_with(name)).map(str::to_owned);
    let random = Uuid::new_v4().as_u128();
    let root = field("Root=").unwrap_or_else(|| format!("Root=1-{:08x}-{:024x}", 0, random >> 32));
    let sampled = field("Sampled=").unwrap_or_else(|| format!("Sampled={}", u8::from(keeps)));
    // The segment of the invocation, which Lambda makes itself.
    format!("{root};Parent={:016x};{sampled}", Uuid::new_v4().as_u128() >> 64)
}
