//! Readings of what the functions and MongoDB use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use local::cost::measurements::Usage;
use local::gateway::Function;
use mongodb::Database;
use serde_json::Value;
use tests::lambda::{Lambda, Settings, programs};
use tests::meter::{mongodb_cpu, process_cpu};
use tests::mongo_tap::Tap;

/// Functions that use MongoDB.
pub(crate) const WITH_MONGODB: [Function; 3] = [Function::Orders, Function::Products, Function::Users];

/// Meters of all functions.
pub(crate) struct Meter {
    taps: BTreeMap<Function, Tap>,
    /// Folder of logs and of scripts that run the programs.
    folder: PathBuf,
}

/// Reading of a moment.
pub(crate) struct Reading {
    at: Instant,
    /// Microseconds of the processor, by function.
    cpu: BTreeMap<Function, u64>,
    /// Bytes and lines of the log, by function.
    logs: BTreeMap<Function, (u64, u64)>,
    /// Microseconds of MongoDB's processor time.
    mongodb: u64,
}

impl Meter {
    /// Puts a meter on the line of each function to this server.
    pub(crate) async fn at(server: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("oms-cost-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut taps = BTreeMap::new();
        for function in WITH_MONGODB {
            taps.insert(function, Tap::to(server).await);
        }
        Self { taps, folder }
    }

    /// Script that runs a program with its output in a file: as many bytes as CloudWatch would be sent.
    pub(crate) fn script(&self, function: &str, program: &Path) -> PathBuf {
        let script = programs::logging_to(&self.log(function), program, self.folder.join(function));
        script.expect("a script")
    }

    fn log(&self, function: &str) -> PathBuf {
        self.folder.join(format!("{function}.log"))
    }

    /// The same function, with its meter on the line to this server.
    pub(crate) fn along_tap(&self, mut settings: Settings, server: u16) -> Settings {
        if let Some((_, tap)) = self.taps.iter().find(|(function, _)| function.name() == settings.name) {
            let uri = tap.uri("cost");
            let address = uri.trim_start_matches("mongodb://").split('/').next().expect("an address");
            for (_, uri) in settings.variables.iter_mut().filter(|(name, _)| name == "MONGO_URI") {
                // The set knows itself by another address than that of the tap.
                *uri = uri.replace(&format!("127.0.0.1:{server}"), address) + "&directConnection=true";
            }
        }
        // Metrics are lines of the log, too.
        settings.variable("METRICS_NAMESPACE", "oms/measured")
    }

    /// Reads all meters, and forgets the commands so far.
    pub(crate) async fn read(&self, lambda: &Lambda, database: &Database) -> Reading {
        for tap in self.taps.values() {
            drop((tap.heard(), tap.bytes()));
        }
        lambda.record_calls();
        self.reading(lambda, database).await
    }

    async fn reading(&self, lambda: &Lambda, database: &Database) -> Reading {
        let cpu = Function::ALL.map(|function| (function, cpu_of(lambda, function))).into();
        let logs = Function::ALL.map(|function| (function, self.logged(function))).into();
        Reading { at: Instant::now(), cpu, logs, mongodb: mongodb_cpu(database).await }
    }

    fn logged(&self, function: Function) -> (u64, u64) {
        let text = std::fs::read(self.log(function.name())).unwrap_or_default();
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        (text.len().try_into().unwrap(), lines.try_into().unwrap())
    }

    /// Use since a reading by the functions that were invoked: these so many times from outside, others by calls.
    pub(crate) async fn since(
        &self,
        before: &Reading,
        (lambda, database): (&Lambda, &Database),
        (outside, times): (Function, u64),
        idle: u64,
    ) -> BTreeMap<Function, Usage> {
        let now = self.reading(lambda, database).await;
        let mut usages: BTreeMap<Function, Usage> = BTreeMap::new();
        usages.entry(outside).or_default().invocations += times;
        for call in lambda.calls() {
            let Some(callee) = named(&call.function) else { continue };
            let caller = caller(&call.payload);
            // Calls of the measurement itself are those from outside.
            let Some(caller) = caller.filter(|caller| *caller != callee && usages.contains_key(caller))
            else {
                continue;
            };
            usages.entry(callee).or_default().invocations += 1;
            *usages.entry(caller).or_default().calls.entry(callee).or_default() += 1;
        }
        for (function, usage) in &mut usages {
            usage.cpu_microseconds = now.cpu[function].saturating_sub(before.cpu[function]);
            usage.log_bytes = now.logs[function].0 - before.logs[function].0;
            usage.log_lines = now.logs[function].1 - before.logs[function].1;
            if let Some(tap) = self.taps.get(function) {
                let heard = tap.heard();
                usage.mongodb_bytes = tap.bytes().try_into().unwrap();
                usage.mongodb_round_trips = heard.len().try_into().unwrap();
                let waits = heard.iter().filter(|command| command.waits_for_journal).count();
                usage.mongodb_journal_waits = waits.try_into().unwrap();
            }
        }
        let own = u64::try_from(now.at.duration_since(before.at).as_micros()).unwrap() * idle / 1_000_000;
        share(&mut usages, (now.mongodb - before.mongodb).saturating_sub(own));
        usages
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // A leftover in the temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Shares MongoDB's processor time out by round trips.
fn share(usages: &mut BTreeMap<Function, Usage>, microseconds: u64) {
    let all: u64 = usages.values().map(|usage| usage.mongodb_round_trips).sum();
    for usage in usages.values_mut() {
        usage.mongodb_cpu_microseconds =
            (microseconds * usage.mongodb_round_trips).checked_div(all).unwrap_or(0);
    }
}

fn named(name: &str) -> Option<Function> {
    Function::ALL.into_iter().find(|function| function.name() == name)
}

/// Function that has sent a call.
fn caller(payload: &[u8]) -> Option<Function> {
    let envelope: Value = serde_json::from_slice(payload).ok()?;
    let headers = envelope["grpc"]["headers"].as_array()?;
    let caller = headers.iter().find(|header| header[0] == "oms-caller-function")?;
    named(caller[1].as_str()?)
}

/// Processor time of all processes of a function, in microseconds.
fn cpu_of(lambda: &Lambda, function: Function) -> u64 {
    lambda.environments(function.name()).iter().map(|environment| process_cpu(environment.pid())).sum()
}
