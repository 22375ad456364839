//! Clients of the same orders, whose requests meet faults. Each has a process of the orders function, and sends a request
//! again until it is answered, or gives up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::join;
use http::Method;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use shared::auth::Role;
use tests::answer::Answer;
use tests::in_process::InProcess;
use tests::person::Person;

use crate::campaign::{Campaign, tell};
use crate::process::{Fault, Process};

/// Number of tries of a request that can have a fault.
const FAULTY_TRIES: usize = 2;

/// Number of tries of a request.
const TRIES: usize = 10;

/// Number of operations after which a client takes another access token: one ends after 15 minutes.
const TOKEN: usize = 50;

/// Knowledge of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// It may have taken effect or not.
    #[default]
    Unknown,
    /// It has taken effect.
    Acknowledged,
    /// It has taken no effect, and never will.
    Refused,
}

/// Operations by their results, and findings.
#[derive(Debug)]
struct Noted<O> {
    /// Acknowledged, refused and unknown ones.
    counts: BTreeMap<O, [usize; 3]>,
    faults: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

/// Notes of all clients.
#[derive(Debug)]
pub(crate) struct Notes<O>(Mutex<Noted<O>>);

impl<O> Default for Notes<O> {
    fn default() -> Self {
        let noted = Noted { counts: BTreeMap::new(), faults: BTreeMap::new(), wrong: Vec::new() };
        Self(Mutex::new(noted))
    }
}

impl<O: Copy + Ord + fmt::Debug> Notes<O> {
    fn noted(&self) -> MutexGuard<'_, Noted<O>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn finds(&self, wrong: impl IntoIterator<Item = String>) {
        self.noted().wrong.extend(wrong);
    }

    pub(crate) fn holds(&self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.finds([otherwise()]);
        }
    }

    pub(crate) fn count(&self, operation: O, known: Known) {
        let place = match known {
            Known::Acknowledged => 0,
            Known::Refused => 1,
            Known::Unknown => 2,
        };
        self.noted().counts.entry(operation).or_default()[place] += 1;
    }

    fn strike(&self, fault: &Fault) {
        *self.noted().faults.entry(fault.to_string()).or_default() += 1;
    }

    /// Notes an answer that is none of these problems.
    pub(crate) fn expects(&self, operation: O, answer: &Answer, refusals: &[&str]) {
        let is_expected = refusals.iter().any(|slug| answer["type"] == format!("/problems/{slug}"));
        self.holds(is_expected, || format!("{operation:?} answered {}: {:#}", answer.status, answer.body));
    }

    /// Reply to a request that was sent once, without a fault.
    pub(crate) fn reply(&self, answer: Result<Answer, String>) -> Reply {
        match answer {
            Ok(answer) if answer.status == 503 => {
                answer.problem(503, "unavailable");
                Reply { answer: None, was_lost: true }
            }
            Ok(answer) => Reply { answer: Some(answer), was_lost: false },
            Err(lost) => {
                self.finds([lost]);
                Reply { answer: None, was_lost: true }
            }
        }
    }

    /// Prints the operations and the faults, and hands the findings over: each operation and each kind of fault must be
    /// among them. Names of faults begin with their kinds.
    pub(crate) fn end(self, campaign: &mut Campaign, mix: &[(O, u32)], kinds: &[&str]) {
        let noted = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        tell("\n| operation | acknowledged | refused | unknown |\n| --- | --- | --- | --- |\n");
        for (operation, [acknowledged, refused, unknown]) in &noted.counts {
            tell(&format!("| {operation:?} | {acknowledged} | {refused} | {unknown} |\n"));
        }
        tell("\n| fault | count |\n| --- | --- |\n");
        for (fault, count) in &noted.faults {
            tell(&format!("| {fault} | {count} |\n"));
        }
        campaign.cases = noted.counts.values().flatten().sum();
        campaign.faults = noted.faults.values().sum();
        for (operation, _) in mix {
            campaign.holds(noted.counts.contains_key(operation), || format!("no operation {operation:?}"));
        }
        for kind in kinds {
            let is_met = noted.faults.keys().any(|fault| fault.starts_with(kind));
            campaign.holds(is_met, || format!("no fault of the kind {kind}"));
        }
        campaign.finds(noted.wrong);
    }
}

/// Request that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    key: Option<String>,
    body: Option<Value>,
    by: Option<Person>,
}

impl Ask {
    pub(crate) fn get(path: String) -> Self {
        Self { method: Method::GET, path, key: None, body: None, by: None }
    }

    pub(crate) fn put(path: String, body: Value) -> Self {
        Self { method: Method::PUT, path, key: None, body: Some(body), by: None }
    }

    pub(crate) fn post(path: String, key: Option<String>, body: Value) -> Self {
        Self { method: Method::POST, path, key, body: Some(body), by: None }
    }

    /// The same request of somebody else than the client.
    pub(crate) fn by(self, person: Person) -> Self {
        Self { by: Some(person), ..self }
    }

    /// Sends it as this person.
    pub(crate) async fn send(&self, person: Person) -> Result<Answer, String> {
        let mut request = person.request(self.method.clone(), &self.path);
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        person.outcome(request).await
    }
}

/// Last answer to a request, if the client has waited for one that says anything.
pub(crate) struct Reply {
    /// Answer; none if the client gave up.
    pub(crate) answer: Option<Answer>,
    /// True if an earlier try may have taken effect.
    pub(crate) was_lost: bool,
}

/// The end of a client's line: its process, its choices, and the names that it makes.
pub(crate) struct Terminal<'a, O> {
    shop: &'a InProcess,
    notes: &'a Notes<O>,
    /// Source of the client's choices.
    pub(crate) chance: StdRng,
    name: usize,
    /// Number of names that were made.
    made: usize,
    /// Number of operations that were begun.
    begun: usize,
    person: Person,
    process: Process,
}

impl<'a, O: Copy + Ord + fmt::Debug> Terminal<'a, O> {
    pub(crate) async fn open(shop: &'a InProcess, notes: &'a Notes<O>, name: usize, chance: StdRng) -> Self {
        let person = shop.people(Role::Staff, 1).remove(0);
        let process = Process::start(shop).await;
        Self { shop, notes, chance, name, made: 0, begun: 0, person, process }
    }

    /// Begins an operation. Its client signs in again from time to time.
    pub(crate) fn begin(&mut self) {
        self.begun += 1;
        if self.begun.is_multiple_of(TOKEN) {
            self.person = self.shop.people(Role::Staff, 1).remove(0);
        }
    }

    /// Makes a unique name.
    pub(crate) fn fresh(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}-{}", self.name, self.made)
    }

    /// Waits until all calls of products have come to their end.
    pub(crate) async fn rests(&self) {
        self.process.rests().await;
    }

    /// Sender of a request, who asks the shop itself.
    pub(crate) fn sender(&self, ask: &Ask) -> Person {
        ask.by.clone().unwrap_or_else(|| self.person.clone())
    }

    /// Reads a resource without a fault. `None`: it could not be read, which is a violation.
    pub(crate) async fn look(&mut self, path: String) -> Option<Value> {
        let ask = Ask::get(path);
        let mut last = "503".to_owned();
        for _ in 0..TRIES {
            let request = ask.send(self.sender(&ask).at(&self.process.base));
            let answer = self.process.send(self.shop, request, None).await.answer;
            match self.notes.reply(answer).answer {
                Some(answer) if answer.status == 200 => return Some(answer.body),
                Some(answer) => last = format!("{}: {:#}", answer.status, answer.body),
                // 503: a line that was cut may not be there again.
                None => {}
            }
        }
        self.notes.finds([format!("{} answered {last}", ask.path)]);
        None
    }

    /// Sends a request again until it is answered, the first tries under a fault if one is drawn. Some clients give up
    /// before.
    pub(crate) async fn insist(
        &mut self,
        operation: O,
        ask: &Ask,
        draw: impl Fn(&mut StdRng) -> Option<Fault>,
    ) -> Reply {
        let mut was_lost = false;
        for number in 0..TRIES {
            let fault = (number < FAULTY_TRIES).then(|| draw(&mut self.chance)).flatten();
            let request = ask.send(self.sender(ask).at(&self.process.base));
            let sent = self.process.send(self.shop, request, fault.as_ref()).await;
            if let Some(fault) = fault.filter(|_| sent.is_struck) {
                self.notes.strike(&fault);
            }
            match sent.answer {
                Ok(answer) if answer.status != 503 => return Reply { answer: Some(answer), was_lost },
                Ok(answer) => {
                    answer.problem(503, "unavailable");
                }
                Err(lost) if !sent.is_struck => self.notes.finds([lost]),
                Err(_) => {}
            }
            was_lost = true;
            if self.chance.random_ratio(1, 10) {
                return Reply { answer: None, was_lost };
            }
        }
        self.notes.finds([format!("{operation:?} has no answer after {TRIES} tries")]);
        Reply { answer: None, was_lost }
    }

    /// Sends a request twice at once: to the client's process, and to the shop.
    pub(crate) async fn insist_twice(
        &mut self,
        operation: O,
        ask: &Ask,
        draw: impl Fn(&mut StdRng) -> Option<Fault>,
    ) -> Vec<Reply> {
        let there = ask.send(self.sender(ask));
        let (here, there) = join(self.insist(operation, ask, draw), there).await;
        vec![here, self.notes.reply(there)]
    }
}
