//! A process of the orders function, which can be killed at any command to MongoDB.
//!
//! It has a runtime and a line to MongoDB of its own. Database and other functions are those of the shop.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;

/// Time after which a late call arrives.
const LATE: Duration = Duration::from_millis(300);

/// Fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed at this command.
    Crash(Command, Moment),
    /// The lines to MongoDB are cut at this command. The driver may send it again.
    Cut(Command, Moment),
    /// This befalls the next call of products. The channel may repeat it.
    Call(Mishap),
    /// This befalls all calls of products by the request.
    Calls(Mishap),
    /// The answer to the client is lost.
    Answer,
}

/// Mishap of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It is lost, or its answer.
    Lost(Moment),
    /// Its caller gives up, and it arrives later.
    Late,
    /// It arrives twice.
    Doubled,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(command, moment) => write!(f, "crash, {moment:?} {command}"),
            Self::Cut(command, moment) => write!(f, "cut, {moment:?} {command}"),
            Self::Call(mishap) => write!(f, "call, {mishap:?}"),
            Self::Calls(mishap) => write!(f, "calls, {mishap:?}"),
            Self::Answer => write!(f, "answer"),
        }
    }
}

/// Result of a request under a fault.
pub(crate) struct Sent {
    /// Answer; an error if there is none.
    pub(crate) answer: Result<Answer, String>,
    /// True if the fault has happened.
    pub(crate) is_struck: bool,
}

/// Line to a function in the runtime of the test: its work goes on when the caller is killed.
struct Line {
    function: RpcServer,
    tests: Handle,
    mishaps: Mutex<Mishaps>,
    /// Number of calls that have not come to their end.
    open: watch::Sender<usize>,
}

/// Mishaps of the calls of a line.
#[derive(Default)]
struct Mishaps {
    /// Mishap of the next call, and whether it befalls those after it, too.
    next: Option<(Mishap, bool)>,
    /// True if it has befallen one.
    is_struck: bool,
}

impl Line {
    fn to(function: &RpcServer) -> Arc<Self> {
        let (function, open) = (function.clone(), watch::Sender::new(0));
        Arc::new(Self { function, tests: Handle::current(), mishaps: Mutex::default(), open })
    }

    fn mishaps(&self) -> MutexGuard<'_, Mishaps> {
        self.mishaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has this befall the next call, and perhaps all after it.
    fn disturb(&self, mishap: Mishap, all: bool) {
        *self.mishaps() = Mishaps { next: Some((mishap, all)), is_struck: false };
    }

    /// Ends the mishaps. Returns true if one has befallen a call.
    fn restore(&self) -> bool {
        std::mem::take(&mut *self.mishaps()).is_struck
    }

    /// Mishap of this call, if it has one.
    fn next_mishap(&self) -> Option<Mishap> {
        let mut mishaps = self.mishaps();
        let (mishap, all) = mishaps.next?;
        mishaps.is_struck = true;
        mishaps.next = Some((mishap, all)).filter(|_| all);
        Some(mishap)
    }

    /// Delivers a call after some time, whether its caller waits or not.
    fn deliver(&self, payload: Vec<u8>, after: Duration) -> JoinHandle<Result<Vec<u8>, Status>> {
        self.open.send_modify(|open| *open += 1);
        let (function, ended) = (self.function.clone(), self.open.clone());
        self.tests.spawn(async move {
            tokio::time::sleep(after).await;
            let answer = function.invoke(payload).await;
            ended.send_modify(|open| *open -= 1);
            answer
        })
    }
}

impl Invoke for Line {
    fn invoke(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
        let mishap = self.next_mishap();
        let again = match mishap {
            Some(Mishap::Lost(Moment::Before)) => return Box::pin(async { Err(unavailable()) }),
            Some(Mishap::Late) => {
                self.deliver(payload, LATE);
                return Box::pin(async { Err(unavailable()) });
            }
            Some(Mishap::Doubled) => Some(self.deliver(payload.clone(), Duration::ZERO)),
            Some(Mishap::Lost(Moment::After)) | None => None,
        };
        let called = self.deliver(payload, Duration::ZERO);
        Box::pin(async move {
            let answer = called.await.unwrap_or_else(|error| Err(Status::internal(error.to_string())));
            if let Some(again) = again {
                drop(again.await);
            }
            if let Some(Mishap::Lost(_)) = mishap { Err(unavailable()) } else { answer }
        })
    }
}

fn unavailable() -> Status {
    Status::unavailable("503 Service Unavailable")
}

/// A process. Dropped, it is killed.
pub(crate) struct Process {
    /// URL of the process.
    pub(crate) base: String,
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
    pub(crate) async fn start(shop: &InProcess) -> Self {
        Self::on(shop, Line::to(&shop.backend.products.rpc)).await
    }

    /// Starts a process with this line to products.
    async fn on(shop: &InProcess, products: Arc<Line>) -> Self {
        let uri = mongod::shared_for_tests().await.unwrap();
        let server = uri.trim_start_matches("mongodb://").split('/').next().unwrap();
        let proxy = Proxy::to(server.parse().unwrap()).await.unwrap();
        let uri = format!("mongodb://{}/?directConnection=true&serverMonitoringMode=poll", proxy.address);
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
                return_window: orders::DEFAULT_RETURN_WINDOW,
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

    /// Waits until all calls of products have come to their end, also those whose caller has given up.
    pub(crate) async fn rests(&self) {
        let mut open = self.products.open.subscribe();
        // The sender is that of the line, which is there.
        let _ = open.wait_for(|open| *open == 0).await;
    }

    /// Sends a request to the process under a fault. A process that was killed is replaced.
    pub(crate) async fn send(
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
            Some(Fault::Call(mishap) | Fault::Calls(mishap)) => {
                self.products.disturb(*mishap, matches!(fault, Some(Fault::Calls(_))));
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
            *self = Self::on(shop, self.products.clone()).await;
            return Sent { answer: Err("the process was killed".to_owned()), is_struck: true };
        }
        self.proxy.cut(Cut::Closed);
        Sent { answer: request.await, is_struck: true }
    }
}
