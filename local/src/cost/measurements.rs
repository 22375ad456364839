//! Measurements of the functions, by operation: what `cargo run --example cost` has written.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::file::File;
use crate::error::CommandError;
use crate::gateway::Function;

/// Highest number in a measurement. Costs then stay far from the limits of their types.
const MOST: u64 = 1_000_000_000;

/// Operation of the shop whose cost is measured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST /auth`.
    SignIn,
    /// `GET /products`, a page of 20.
    ListProducts,
    /// `GET /products/{id}`.
    ReadProduct,
    /// `POST /orders`: one item, with an idempotency key.
    PlaceOrder,
    /// `GET /orders/{id}`.
    ReadOrder,
    /// `PUT /orders/{id}` to paid.
    PayOrder,
    /// `PUT /orders/{id}` to shipped.
    ShipOrder,
    /// Share of one order in the work of Reconcile.
    ReconcileOrder,
    /// A call of Reconcile that has nothing to do.
    ReconcileIdle,
    /// A call for the signing keys, which orders and products repeat.
    RefreshKeys,
    /// `GET` of a path that no function has.
    ReadUnknown,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::SignIn,
        Self::ListProducts,
        Self::ReadProduct,
        Self::PlaceOrder,
        Self::ReadOrder,
        Self::PayOrder,
        Self::ShipOrder,
        Self::ReconcileOrder,
        Self::ReconcileIdle,
        Self::RefreshKeys,
        Self::ReadUnknown,
    ];

    /// Name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::ListProducts => "list_products",
            Self::ReadProduct => "read_product",
            Self::PlaceOrder => "place_order",
            Self::ReadOrder => "read_order",
            Self::PayOrder => "pay_order",
            Self::ShipOrder => "ship_order",
            Self::ReconcileOrder => "reconcile_order",
            Self::ReconcileIdle => "reconcile_idle",
            Self::RefreshKeys => "refresh_keys",
            Self::ReadUnknown => "read_unknown",
        }
    }

    /// Returns true for a request that comes through API Gateway.
    pub fn is_request(self) -> bool {
        !matches!(self, Self::ReconcileOrder | Self::ReconcileIdle | Self::RefreshKeys)
    }
}

/// Use of one function, summed up over all repetitions of an operation.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Number of invocations.
    pub invocations: u64,
    /// Processor time of the function, in microseconds of a full core.
    pub cpu_microseconds: u64,
    /// Processor time of MongoDB for its commands, in microseconds: the least that the function waits.
    pub mongodb_cpu_microseconds: u64,
    /// Commands sent to MongoDB.
    pub mongodb_round_trips: u64,
    /// Commands among them whose answers wait for the journals of a majority.
    pub mongodb_journal_waits: u64,
    /// Bytes to and from MongoDB.
    pub mongodb_bytes: u64,
    /// Bytes written to standard output and standard error.
    pub log_bytes: u64,
    /// Lines among these bytes.
    pub log_lines: u64,
    /// Calls of other functions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<Function, u64>,
}

impl Usage {
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let own = [
            self.invocations,
            self.cpu_microseconds,
            self.mongodb_cpu_microseconds,
            self.mongodb_round_trips,
            self.mongodb_journal_waits,
            self.mongodb_bytes,
            self.log_bytes,
            self.log_lines,
        ];
        own.into_iter().chain(self.calls.values().copied())
    }
}

/// Measurement of an operation.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OperationMeasurement {
    /// Operation.
    pub operation: Operation,
    /// Number of repetitions, over which everything is summed up.
    pub repetitions: u64,
    /// Bytes of the answers to clients: bodies and headers.
    pub answer_bytes: u64,
    /// Functions that took part.
    pub functions: BTreeMap<Function, Usage>,
}

/// Measurement of a function's process.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessMeasurement {
    /// Processor time from the start to the first invocation, in microseconds of a full core.
    pub init_cpu_microseconds: u64,
    /// Peak of its resident memory, in KiB.
    pub peak_memory_kib: u64,
}

/// Functions that a shop's life uses. The console is not among them: some people of the staff open a few thousand pages
/// a month, which cost less than a cent.
pub const BILLED: [Function; 4] = [Function::Orders, Function::Products, Function::Users, Function::Docs];

/// Measurements of a shop's life.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// Day of the measurement, such as `2026-11-30`.
    pub date: String,
    /// Commit of the programs.
    pub commit: String,
    /// Machine: processor, number of cores, and load at the beginning and the end.
    pub machine: String,
    /// Version of MongoDB.
    pub mongodb: String,
    /// Processes of the functions.
    pub processes: BTreeMap<Function, ProcessMeasurement>,
    /// Operations.
    pub operations: Vec<OperationMeasurement>,
}

impl Measurements {
    /// Reads measurements.
    ///
    /// # Errors
    /// Something is missing, double or impossible; the error names it.
    pub(super) fn read(file: &File) -> Result<Self, CommandError> {
        let measurements: Self = file.parse()?;
        measurements.check().map_err(|problem| file.error(problem))?;
        Ok(measurements)
    }

    fn check(&self) -> Result<(), String> {
        for function in BILLED {
            if !self.processes.contains_key(&function) {
                return Err(format!("`processes` has no {}", function.name()));
            }
        }
        let mut seen = BTreeSet::new();
        for (place, operation) in self.operations.iter().enumerate() {
            operation.check().map_err(|problem| format!("`operations[{place}].{problem}"))?;
            if !seen.insert(operation.operation) {
                let name = operation.operation.name();
                return Err(format!("`operations[{place}].operation`: {name} is measured already"));
            }
        }
        match Operation::ALL.into_iter().find(|operation| !seen.contains(operation)) {
            Some(missing) => Err(format!("`operations` has no {}", missing.name())),
            None => Ok(()),
        }
    }
}

impl OperationMeasurement {
    fn check(&self) -> Result<(), String> {
        if !(1..=MOST).contains(&self.repetitions) || self.answer_bytes > MOST {
            return Err(format!("repetitions`: must be 1 to {MOST}, and `answer_bytes` at most {MOST}"));
        }
        if self.functions.is_empty() {
            return Err("functions` has none".to_owned());
        }
        for (function, usage) in &self.functions {
            let name = function.name();
            if usage.invocations == 0 || usage.numbers().any(|number| number > MOST) {
                return Err(format!(
                    "functions.{name}`: `invocations` must be 1 to {MOST}, and no number more than that"
                ));
            }
            for callee in usage.calls.keys() {
                // Callees come later, so that no chain of calls comes back to where it began.
                if *callee <= *function {
                    return Err(format!("functions.{name}.calls`: {name} never calls {}", callee.name()));
                }
                if !self.functions.contains_key(callee) {
                    return Err(format!("functions` has no {}, which {name} calls", callee.name()));
                }
            }
        }
        Ok(())
    }
}
