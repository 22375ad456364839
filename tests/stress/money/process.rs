//! A process of the orders function, which can be killed at any command to MongoDB.
//!
//! It has a runtime and a line to MongoDB of its own. Database and other functions are those of the shop.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use shared::mongo;
use shared::rpc::channel::{Channel, Invoke};
use shared::rpc::server::RpcServer;
use shared::runtime::listener;
use shared::runtime::run::ServiceApp;
use shared::runtime::socket::{self, Reflection};
use shared::values::clock::Clock;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::proxy::{Command, Cut, Moment, Proxy};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tonic::Status;

/// Fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process is killed at this command.
    Crash(Command, Moment),
    /// The lines to MongoDB are cut at this command. The driver may send it again.
    Cut(Command, Moment),
    /// A call of products is lost, or its answer.
    Call(Moment),
    /// The answer to the client is lost.
    Answer,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(command, moment) => write!(f, "crash, {moment:?} {command}"),
            Self::Cut(command, moment) => write!(f, "cut, {moment:?} {command}"),
            Self::Call(moment) => write!(f, "call, {moment:?}"),
            Self::Answer => write!(f, "answer"),
        }
    }
}

/// Result of a request under a fault.
pub(super) struct Sent {
    /// Answer; an error if there is none.
    pub(super) answer: Result<Answer, String>,
    /// True if the fault has happened.
    pub(super) is_struck: bool,
}

/// Line to a function in the runtime of the test: its work goes on when the caller is killed.
struct Line {
    function: RpcServer,
    tests: Handle,
    losing: Mutex<Losing>,
}

/// Calls of a line that are lost.
#[derive(Default)]
struct Losing {
    /// The next call is lost: it, or its answer.
    next: Option<Moment>,
    /// True if one was lost.
    is_struck: bool,
}

impl Line {
    fn to(function: &RpcServer) -> Arc<Self> {
        Arc::new(Self { function: function.clone(), tests: Handle::current(), losing: Mutex::default() })
    }

    fn losing(&self) -> MutexGuard<'_, Losing> {
        self.losing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses the next call.
    fn lose(&self, moment: Moment) {
        *self.losing() = Losing { next: Some(moment), is_struck: false };
    }

    /// Loses no more calls. Returns true if one was lost.
    fn restore(&self) -> bool {
        std::mem::take(&mut *self.losing()).is_struck
    }

    /// Loss of this call, if it is lost.
    fn next_loss(&self) -> Option<Moment> {
        let mut losing = self.losing();
        let next = losing.next.take();
        losing.is_struck |= next.is_some();
        next
    }
}

impl Invoke for Line {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let lost = self.next_loss();
        if lost == Some(Moment::Before) {
            return Box::pin(async { Err(unavailable()) });
        }
        let called = self.tests.spawn(self.function.invoke(payload));
        Box::pin(async move {
            let answer = called.await.unwrap_or_else(|error| Err(Status::internal(error.to_string())));
            if lost.is_some() { Err(unavailable()) } else { answer }
        })
    }
}

fn unavailable() -> Status {
    Status::unavailable("503 Service Unavailable")
}

/// A process. Dropped, it is killed.
pub(super) struct Process {
    /// URL of the process.
    pub(super) base: String,
    proxy: Proxy,
    products: Arc<Line>,
    /// Until it is killed.
    runtime: Option<Runtime>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Starts a process beside those of the shop.
    pub(super) async fn start(shop: &InProcess) -> Self {
        let uri = mongod::shared_for_tests().await.unwrap();
        let server = uri.trim_start_matches("mongodb://").split('/').next().unwrap();
        let proxy = Proxy::to(server.parse().unwrap()).await.unwrap();
        let uri = format!("mongodb://{}/?directConnection=true&serverMonitoringMode=poll", proxy.address);
        let products = Line::to(&shop.backend.products.rpc);
        let (to_products, to_users) = (products.clone(), Line::to(&shop.backend.users.rpc));
        let database = shop.database.name().to_owned();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let started = runtime.spawn(async move {
            let client = mongo::connect(&uri, "tests").await.unwrap();
            let clock = Clock::system();
            let orders = orders::app(orders::Dependencies {
                database: client.client().database(&database),
                products: Channel::new(to_products, clock.clone()),
                users: Channel::new(to_users, clock.clone()),
                payment_window: orders::DEFAULT_PAYMENT_WINDOW,
                limits: orders::CustomerLimits::NONE,
                clock,
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let limits = listener::Settings::default().fitted_to_open_files();
            let function = ServiceApp::new(orders.router);
            let never = std::future::pending();
            tokio::spawn(socket::serve_within(listener, function, Reflection::Off, limits, never));
            base
        });
        // A runtime must not be dropped here, as it would be if the start failed: a process drops it in its own way.
        let mut process = Self { base: String::new(), proxy, products, runtime: Some(runtime) };
        process.base = started.await.unwrap();
        process
    }

    /// Kills the process: whatever it does ends where it waits, and its connections are closed.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Sends a request to the process under a fault. A process that was killed is replaced.
    pub(super) async fn send(
        &mut self,
        shop: &InProcess,
        request: impl Future<Output = Result<Answer, String>>,
        fault: Option<&Fault>,
    ) -> Sent {
        let (command, moment, kills) = match fault {
            None => return Sent { answer: request.await, is_struck: false },
            Some(Fault::Answer) => {
                drop(request.await);
                return Sent { answer: Err("the answer was lost".to_owned()), is_struck: true };
            }
            Some(Fault::Call(moment)) => {
                self.products.lose(*moment);
                let answer = request.await;
                return Sent { answer, is_struck: self.products.restore() };
            }
            Some(Fault::Crash(command, moment)) => (command, *moment, true),
            Some(Fault::Cut(command, moment)) => (command, *moment, false),
        };
        self.proxy.begin();
        let mut met = self.proxy.stop_at(command, moment);
        let mut request = pin!(request);
        let answered = tokio::select! {
            biased;
            Ok(()) = &mut met => None,
            answer = &mut request => Some(answer),
        };
        if let Some(answer) = answered {
            return Sent { answer, is_struck: false };
        }
        if kills {
            self.kill();
            *self = Self::start(shop).await;
            return Sent { answer: Err("the process was killed".to_owned()), is_struck: true };
        }
        self.proxy.cut(Cut::Closed);
        Sent { answer: request.await, is_struck: true }
    }
}
