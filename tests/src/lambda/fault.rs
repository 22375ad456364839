//! What may go wrong on the way to a function and in it: rules that say which invocations it strikes, and how.
//!
//! ```ignore
//! let killed = lambda.on_call("products", "HoldStock").once(Fault::KillAfter);
//! let held = lambda.on_call("products", "HoldStock").hold();
//! ```
//! A rule strikes at what it names and not at a time, so that a test of a fault is no test of luck.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

use crate::proxy::Moment;

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The environment is killed instead of being given the invocation: nothing is done.
    KillBefore,
    /// It is killed this long after it was given the invocation, unless it is done by then. The one fault of which
    /// nobody knows what it leaves behind: for campaigns.
    KillAt(Duration),
    /// It is killed when it has done its work, and the answer is lost.
    KillAfter,
    /// It stops when it is given the invocation, until it times out and is killed: nothing is done.
    Hang,
    /// The caller loses its connection, and nothing is done.
    DropRequest,
    /// The caller loses its connection when the work is done.
    DropAnswer,
    /// It is done so many times, one after another; the caller gets the first answer, after the last one.
    Repeat(u32),
    /// The line is silent for this long, before the work or after it, and then goes on.
    Silent(Moment, Duration),
    /// It is done only when the caller has given up and hung up.
    Late,
    /// Lambda refuses it, as if too many ran at a time: nothing is done.
    Throttle,
}

/// Effect of a rule.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Strike(Fault),
    Hold(mpsc::UnboundedSender<Held>),
}

/// Kind of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call of another function: `/package.Service/Method`.
    Call(String),
    /// A request through API Gateway.
    Request(String, String),
    Other,
}

impl Kind {
    pub(crate) fn of(payload: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Event {
            grpc: Option<Grpc>,
            #[serde(rename = "rawPath")]
            raw_path: Option<String>,
            #[serde(rename = "requestContext")]
            context: Option<Context>,
        }
        #[derive(Deserialize)]
        struct Grpc {
            path: String,
        }
        #[derive(Deserialize)]
        struct Context {
            http: Http,
        }
        #[derive(Deserialize)]
        struct Http {
            method: String,
        }
        match serde_json::from_slice(payload) {
            Ok(Event { grpc: Some(grpc), .. }) => Self::Call(grpc.path),
            Ok(Event { raw_path: Some(path), context: Some(context), .. }) => {
                Self::Request(context.http.method, path)
            }
            _ => Self::Other,
        }
    }
}

#[derive(Clone, Debug)]
enum Which {
    Call(String),
    Request(Method, String),
    Any,
}

impl Which {
    fn is(&self, kind: &Kind) -> bool {
        match (self, kind) {
            (Self::Any, _) => true,
            (Self::Call(method), Kind::Call(path)) => path.rsplit('/').next() == Some(method),
            (Self::Request(method, path), Kind::Request(its, at)) => method.as_str() == its && path == at,
            _ => false,
        }
    }
}

/// A rule, in the hands of whoever made it. It stays in force when this is dropped.
#[derive(Debug)]
pub struct Rule {
    rules: Rules,
    id: u64,
    struck: watch::Receiver<u64>,
}

impl Rule {
    /// Number of invocations that it has struck so far.
    pub fn struck(&self) -> u64 {
        *self.struck.borrow()
    }

    /// Waits until it has struck so many.
    pub async fn has_struck(&mut self, times: u64) {
        // An error means that it is used up, and will strike no more.
        let _ = self.struck.wait_for(|struck| *struck >= times).await;
    }

    /// Takes it back.
    pub fn lift(&self) {
        self.rules.lock().0.retain(|entry| entry.id != self.id);
    }
}

/// Invocations that are held back, in the order in which they came.
#[derive(Debug)]
pub struct Holding {
    rule: Rule,
    held: AsyncMutex<mpsc::UnboundedReceiver<Held>>,
}

impl Holding {
    /// The next one; waits for it.
    pub async fn next(&self) -> Held {
        let next = self.held.lock().await.recv().await;
        next.unwrap_or_else(|| panic!("the rule was lifted, and nothing is held any more"))
    }

    /// Holds back no more; those that are held stay so.
    pub fn lift(&self) {
        self.rule.lift();
    }
}

/// An invocation that waits to be delivered, and its caller with it. Dropped, it is lost on its way.
#[derive(Debug)]
pub struct Held {
    pub(crate) go: oneshot::Sender<oneshot::Sender<()>>,
    pub(crate) gone: watch::Receiver<()>,
}

impl Held {
    /// Delivers it, and waits until it is done. The caller gets the answer if it still waits.
    pub async fn deliver(self) {
        let (done, is_done) = oneshot::channel();
        if self.go.send(done).is_ok() {
            // An error is as good: whoever was to tell is gone.
            let _ = is_done.await;
        }
    }

    /// Waits until the caller has given up and hung up.
    pub async fn caller_gives_up(&mut self) {
        while self.gone.changed().await.is_ok() {}
    }
}

/// All rules of a Lambda, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(Arc<Mutex<(Vec<Entry>, u64)>>);

#[derive(Debug)]
struct Entry {
    id: u64,
    function: String,
    which: Which,
    /// Number of strikes left; `None`: no limit.
    left: Option<u64>,
    action: Action,
    struck: watch::Sender<u64>,
}

impl Rules {
    /// Effect on an invocation, by the first rule that matches.
    pub(crate) fn strike(&self, function: &str, kind: &Kind) -> Option<Action> {
        let mut rules = self.lock();
        let place = rules.0.iter().position(|rule| rule.function == function && rule.which.is(kind))?;
        let rule = &mut rules.0[place];
        rule.struck.send_modify(|struck| *struck += 1);
        let action = rule.action.clone();
        if let Some(left) = &mut rule.left {
            *left -= 1;
            if *left == 0 {
                rules.0.remove(place);
            }
        }
        Some(action)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<Entry>, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Filter of invocations; the methods make it a rule.
#[derive(Debug)]
pub struct On {
    rules: Rules,
    function: String,
    which: Which,
}

impl On {
    pub(crate) fn call(rules: &Rules, function: &str, method: &str) -> Self {
        Self { rules: rules.clone(), function: function.to_owned(), which: Which::Call(method.to_owned()) }
    }

    pub(crate) fn request(rules: &Rules, function: &str, method: Method, path: &str) -> Self {
        let which = Which::Request(method, path.to_owned());
        Self { rules: rules.clone(), function: function.to_owned(), which }
    }

    pub(crate) fn any(rules: &Rules, function: &str) -> Self {
        Self { rules: rules.clone(), function: function.to_owned(), which: Which::Any }
    }

    /// Strikes the next one.
    pub fn once(self, fault: Fault) -> Rule {
        self.times(1, fault)
    }

    /// Strikes the next ones, so many.
    pub fn times(self, times: u64, fault: Fault) -> Rule {
        self.rule(Some(times), Action::Strike(fault))
    }

    /// Strikes all, until it is lifted.
    pub fn always(self, fault: Fault) -> Rule {
        self.rule(None, Action::Strike(fault))
    }

    /// Holds all back, to be delivered one by one, in any order, early or late.
    pub fn hold(self) -> Holding {
        let (sender, held) = mpsc::unbounded_channel();
        Holding { rule: self.rule(None, Action::Hold(sender)), held: AsyncMutex::new(held) }
    }

    fn rule(self, left: Option<u64>, action: Action) -> Rule {
        let Self { rules, function, which } = self;
        let (sender, struck) = watch::channel(0);
        let id = {
            let mut all = rules.lock();
            all.1 += 1;
            let id = all.1;
            if left != Some(0) {
                all.0.push(Entry { id, function, which, left, action, struck: sender });
            }
            id
        };
        Rule { rules, id, struck }
    }
}
