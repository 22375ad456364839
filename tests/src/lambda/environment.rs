//! An execution environment: one process, which serves one invocation at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use shared::values::clock::Clock;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::function::Settings;
use super::log::Log;
use super::process::{Exit, Process};
use super::runtime_api::{Delivery, Ending, MAX_RESPONSE, RuntimeApi};
use super::server::{self, Server};

/// Maximum time until an environment asks for its first invocation.
const INIT: Duration = Duration::from_secs(10);

/// One process. Dropped, it is killed.
pub struct Environment {
    process: Process,
    api: Arc<RuntimeApi>,
    frozen: AtomicBool,
    _server: Server,
}

/// Result of an invocation.
#[derive(Clone, Debug)]
pub struct Invoked {
    /// True if the function has failed: then the payload is `{"errorType", "errorMessage"}`.
    pub failed: bool,
    /// Answer of the function.
    pub payload: Bytes,
}

impl Invoked {
    pub(crate) fn failure(error_type: &str, message: &str) -> Self {
        let payload = json!({ "errorType": error_type, "errorMessage": message }).to_string().into();
        Self { failed: true, payload }
    }

    fn exited(request_id: &str, exit: Exit) -> Self {
        let message = format!("RequestId: {request_id} Error: Runtime exited with error: {exit}");
        Self::failure("Runtime.ExitError", &message)
    }
}

/// Interference with an environment in the middle of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Nothing.
    None,
    /// It is killed instead of being given the invocation.
    KillBefore,
    /// It is killed this long after it was given the invocation, unless it is done by then.
    KillAt(Duration),
    /// It is killed when it has done its work, and its answer is lost with it.
    KillAfter,
    /// It stops (SIGSTOP) before it can look at the invocation, and does not go on.
    Hang,
}

impl Environment {
    /// Starts the process, and waits until it has initialised itself.
    ///
    /// # Errors
    /// Answer to the invocation for which it was started.
    pub(crate) async fn start(
        function: &Settings,
        common: &[(String, String)],
        log: &Log,
    ) -> Result<Self, Invoked> {
        let failed =
            |error: std::io::Error| Invoked::failure("Runtime.InvalidEntrypoint", &error.to_string());
        let (listener, address) = server::bind().await.map_err(failed)?;
        let api = Arc::new(RuntimeApi::new());
        let answering = api.clone();
        let server = server::serve(listener, move |request| {
            let api = answering.clone();
            async move { api.answer(request).await }
        });
        let variables = function.lambda_variables(address);
        let variables = common.iter().cloned().chain(variables).chain(function.variables.iter().cloned());
        let process = Process::spawn(&function.program, variables, log).await.map_err(failed)?;
        let initialised = async {
            tokio::select! {
                biased;
                () = api.waits() => Ok(()),
                error = api.init_error() => Err(Invoked { failed: true, payload: error }),
                exit = process.ended() => Err(Invoked::exited("", exit)),
            }
        };
        match timeout(INIT, initialised).await {
            Ok(initialised) => initialised?,
            Err(_) => {
                return Err(Invoked::failure(
                    "Sandbox.Timedout",
                    "Error: initialisation took more than 10 s",
                ));
            }
        }
        Ok(Self { process, api, frozen: AtomicBool::new(false), _server: server })
    }

    /// The process ID of the function.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// True if its process has ended.
    pub fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// Kills it (SIGKILL) whatever it is doing, and waits until it is gone.
    pub async fn kill(&self) {
        self.process.kill().await;
    }

    /// Stops it (SIGSTOP) as soon as it waits for an invocation, as Lambda freezes what has nothing to do. Its next
    /// invocation thaws it.
    pub async fn freeze(&self) {
        tokio::select! {
            () = self.api.waits() => {
                self.frozen.store(true, Ordering::SeqCst);
                self.process.stop();
            }
            _ = self.process.ended() => {}
        }
    }

    /// True if it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    /// Runs one invocation, which has this request ID and this X-Ray header.
    pub(crate) async fn run(
        &self,
        function: &Settings,
        (request_id, trace): (&str, &str),
        payload: Bytes,
        blow: Blow,
    ) -> Invoked {
        if blow == Blow::KillBefore {
            return Invoked::exited(request_id, self.process.kill().await);
        }
        if blow == Blow::Hang {
            // It is given what it will never look at.
            self.process.stop();
        } else if self.frozen.swap(false, Ordering::SeqCst) {
            self.process.go_on();
        }
        let (done, ended) = oneshot::channel();
        self.api.deliver(Delivery {
            request_id: request_id.to_owned(),
            arn: function.arn(),
            deadline: Clock::system().now().after(function.timeout).millis(),
            trace_id: trace.to_owned(),
            payload,
            done,
        });
        let killed = async {
            match blow {
                Blow::KillAt(after) => tokio::time::sleep(after).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            // An answer counts also when the process ends right after it.
            biased;
            Ok(ending) = ended => match blow {
                Blow::KillAfter => Invoked::exited(request_id, self.process.kill().await),
                _ => Self::invoked(ending),
            },
            exit = self.process.ended() => Invoked::exited(request_id, exit),
            () = killed => Invoked::exited(request_id, self.process.kill().await),
            () = tokio::time::sleep(function.timeout) => {
                self.process.kill().await;
                let seconds = function.timeout.as_secs_f64();
                let message = format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds");
                Invoked::failure("Sandbox.Timedout", &message)
            }
        }
    }

    fn invoked(ending: Ending) -> Invoked {
        match ending {
            Ending::Answer(payload) => Invoked { failed: false, payload },
            Ending::Error(payload) => Invoked { failed: true, payload },
            Ending::TooLarge(size) => Invoked::failure(
                "Function.ResponseSizeTooLarge",
                &format!(
                    "Response payload size ({size} bytes) exceeded maximum allowed payload size \
                     ({MAX_RESPONSE} bytes)."
                ),
            ),
        }
    }
}
