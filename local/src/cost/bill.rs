//! The monthly bill: pure computation from measurements, facts of the deployment, prices and assumptions.
//!
//! A function's billed time is made of its parts, since no two machines wait alike:
//!
//! - its processor time, stretched by the share of a core that its memory buys
//! - MongoDB's processor time and the network, for each round trip
//! - the journals of a majority, for each write
//! - the time of Lambda and of the callee, for each call of another function
//!
//! All of it is taken one after the other, and each invocation is rounded up, so the bill is rather too high.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::auth::verifier::REFRESH_AFTER;
use shared::runtime::config::{EDGE_SECRET, EDGE_SECRET_PREVIOUS, Variable};

use super::assumptions::Assumptions;
use super::deployment::Deployment;
use super::measurements::{BILLED, Measurements, Operation, OperationMeasurement, Usage};
use super::money::{Money, with_commas};
use super::prices::{Item, PriceList};
use crate::gateway::Function;

/// Hours of a month, as providers count them.
const HOURS: u128 = 730;

/// Seconds of a month.
const SECONDS: u128 = HOURS * 3_600;

/// Memory with which Lambda gives a function a whole core, in MB.
const CORE_MB: u128 = 1_769;

/// Smallest memory of a function, in MB.
const LEAST_MB: u128 = 128;

/// Time that rounding up to a millisecond adds on average, in microseconds.
const ROUNDING: u128 = 500;

/// Bytes that CloudWatch adds to each line.
const LINE_OVERHEAD: u128 = 26;

/// Bytes of the two lines that Lambda itself logs at each invocation, start and report, without the overhead.
const PLATFORM_BYTES: u128 = 600;

/// Number of these lines.
const PLATFORM_LINES: u128 = 2;

/// Percentage that CloudWatch keeps of a line after compression.
const STORED_PERCENT: u128 = 15;

/// Requests in 100 that X-Ray records beyond the first one of each second.
const TRACED_PERCENT: u128 = 5;

/// Bytes of a GB.
const GB: u128 = 1 << 30;

/// MB of a GB.
const GB_MB: u128 = 1_024;

/// Microseconds of a second.
const MICROSECONDS: u128 = 1_000_000;

/// Months' worth of lines that are stored, at 30 days of retention.
const STORED_MONTHS: u128 = 1;

/// Inputs of a bill.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Measurements.
    pub measurements: Measurements,
    /// Facts of the deployment.
    pub deployment: Deployment,
    /// Prices.
    pub prices: PriceList,
}

/// Part of the bill.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Memory times time of the functions.
    Compute,
    /// Invocations.
    Requests,
    /// API Gateway, and what is in front of it.
    Api,
    /// CloudWatch Logs.
    Logs,
    /// Metrics, alarms and the dashboard.
    Metrics,
    /// X-Ray.
    Traces,
    /// EventBridge Scheduler.
    Schedule,
    /// Secrets Manager.
    Secrets,
    /// Bytes to clients and MongoDB.
    Transfer,
    /// MongoDB Atlas.
    Database,
}

impl Part {
    /// Name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Requests => "requests",
            Self::Api => "API",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
            Self::Schedule => "schedule",
            Self::Secrets => "secrets",
            Self::Transfer => "transfer",
            Self::Database => "database",
        }
    }
}

/// Line of the bill.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Part.
    pub part: Part,
    /// Name.
    pub name: String,
    /// Quantity, for readers.
    pub quantity: String,
    /// Cost in a month.
    pub month: Money,
}

/// Bill of a month.
#[derive(Clone, Debug, Serialize)]
pub struct Bill {
    /// Code of the currency.
    pub currency: String,
    /// Number of orders.
    pub orders: u64,
    /// Lines, by part.
    pub lines: Vec<Line>,
}

impl Bill {
    /// Computes the bill.
    pub fn compute(inputs: &Inputs, assumptions: &Assumptions) -> Self {
        let month = Month::of(inputs, assumptions);
        let mut lines = month.compute();
        lines.extend(month.front());
        lines.extend(month.signals());
        lines.extend(month.rest());
        Self { currency: inputs.prices.currency.clone(), orders: assumptions.orders, lines }
    }

    /// Sum of all lines.
    pub fn total(&self) -> Money {
        self.lines.iter().map(|line| line.month).sum()
    }

    /// Sum of all lines but the database's.
    pub fn total_without_database(&self) -> Money {
        self.lines.iter().filter(|line| line.part != Part::Database).map(|line| line.month).sum()
    }
}

/// Quantities of one function in a month.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    invocations: u128,
    /// Billed time.
    microseconds: u128,
    cold_starts: u128,
    log_bytes: u128,
    mongodb_bytes: u128,
}

/// Quantities of a month.
struct Month<'a> {
    inputs: &'a Inputs,
    assumptions: &'a Assumptions,
    loads: BTreeMap<Function, Load>,
    /// Requests through API Gateway.
    requests: u128,
    reconciles: u128,
    answer_bytes: u128,
}

impl<'a> Month<'a> {
    fn of(inputs: &'a Inputs, assumptions: &'a Assumptions) -> Self {
        let reconciles = HOURS * u128::from(inputs.deployment.reconciles_per_hour);
        let loads = BILLED.into_iter().map(|function| (function, Load::default())).collect();
        let mut month = Self { inputs, assumptions, loads, requests: 0, reconciles, answer_bytes: 0 };
        for operation in &inputs.measurements.operations {
            month.add(operation);
        }
        month.start_environments();
        month
    }

    /// Number of times that an operation is done.
    fn times(&self, operation: Operation) -> u128 {
        let each = |per_order: u64| u128::from(self.assumptions.orders) * u128::from(per_order);
        match operation {
            Operation::SignIn => each(self.assumptions.sign_ins_per_order),
            Operation::ListProducts => each(self.assumptions.lists_per_order),
            Operation::ReadProduct => each(self.assumptions.reads_per_order),
            Operation::ReadOrder => each(self.assumptions.order_reads_per_order),
            Operation::PlaceOrder
            | Operation::PayOrder
            | Operation::ShipOrder
            | Operation::ReconcileOrder => each(1),
            Operation::ReconcileIdle => self.reconciles,
            // One environment of orders and one of products that are never without a request.
            Operation::RefreshKeys => 2 * SECONDS / u128::from(REFRESH_AFTER.as_secs()),
            Operation::ReadUnknown => u128::from(self.assumptions.unknown_paths),
        }
    }

    fn add(&mut self, measured: &OperationMeasurement) {
        let times = self.times(measured.operation);
        let monthly = |sum: u128| rounded(sum.saturating_mul(times), u128::from(measured.repetitions));
        if measured.operation.is_request() {
            self.requests += times;
        }
        self.answer_bytes += monthly(u128::from(measured.answer_bytes));
        for (function, usage) in &measured.functions {
            let time = self.time(measured, *function);
            let load = self.loads.entry(*function).or_default();
            load.invocations += monthly(u128::from(usage.invocations));
            let billed = monthly(time + u128::from(usage.invocations) * ROUNDING);
            load.microseconds = load.microseconds.saturating_add(billed);
            load.log_bytes += monthly(log_bytes(usage));
            load.mongodb_bytes += monthly(u128::from(usage.mongodb_bytes));
        }
    }

    /// Time of a function in an operation, summed up over its repetitions, in microseconds.
    fn time(&self, measured: &OperationMeasurement, function: Function) -> u128 {
        let Some(usage) = measured.functions.get(&function) else { return 0 };
        let core_share = self.memory_mb(function).clamp(LEAST_MB, CORE_MB);
        let own = rounded(u128::from(usage.cpu_microseconds) * CORE_MB, core_share);
        let wait = |count: u64, microseconds: u64| u128::from(count) * u128::from(microseconds);
        let mongodb = u128::from(usage.mongodb_cpu_microseconds)
            + wait(usage.mongodb_round_trips, self.assumptions.mongodb_latency.microseconds)
            + wait(usage.mongodb_journal_waits, self.assumptions.journal_latency.microseconds);
        let calls = usage.calls.iter().map(|(callee, calls)| {
            // Callees come later in `Function`, so this ends.
            let invocations = measured.functions.get(callee).map_or(1, |callee| callee.invocations);
            let of_callee = self.time(measured, *callee) * u128::from(*calls);
            wait(*calls, self.assumptions.invoke_latency.microseconds)
                + rounded(of_callee, u128::from(invocations))
        });
        own + mongodb + calls.sum::<u128>()
    }

    fn start_environments(&mut self) {
        for (function, load) in &mut self.loads {
            load.cold_starts = rounded(load.invocations * u128::from(self.assumptions.cold_starts), 1_000);
            let process = self.inputs.measurements.processes.get(function);
            let own = process.map_or(0, |process| u128::from(process.init_cpu_microseconds));
            // Lambda gives an init a whole core.
            let init = own + u128::from(self.assumptions.init_latency.microseconds);
            load.microseconds = load.microseconds.saturating_add(load.cold_starts * init);
        }
    }

    fn memory_mb(&self, function: Function) -> u128 {
        self.inputs.deployment.memory_mb.get(&function).map_or(LEAST_MB, |memory| u128::from(*memory))
    }

    fn sum(&self, quantity: impl Fn(&Load) -> u128) -> u128 {
        self.loads.values().map(quantity).sum()
    }

    /// Line with the cost of `quantity / parts` units of an item.
    fn line(
        &self,
        part: Part,
        name: &str,
        shown: String,
        (item, quantity, parts): (Item, u128, u128),
    ) -> Line {
        Line {
            part,
            name: name.to_owned(),
            quantity: shown,
            month: self.inputs.prices.of(item, quantity, parts),
        }
    }

    /// Line with the cost of a number of units.
    fn counted(&self, part: Part, name: &str, item: Item, number: u128) -> Line {
        self.line(part, name, count(number), (item, number, 1))
    }

    /// Line with the cost of a number of bytes.
    fn sized(&self, part: Part, name: &str, item: Item, bytes: u128) -> Line {
        self.line(part, name, gigabytes(bytes), (item, bytes, GB))
    }

    fn compute(&self) -> Vec<Line> {
        let lines = self.loads.iter().map(|(function, load)| {
            let memory = self.memory_mb(*function);
            let name = format!("{}, {memory} MB", function.name());
            let each = tenths(rounded(load.microseconds, load.invocations * 100));
            let shown = format!("{} of {each} ms", count(load.invocations));
            let megabytes = load.microseconds.saturating_mul(memory);
            let billed = (self.assumptions.architecture.item(), megabytes, GB_MB * MICROSECONDS);
            self.line(Part::Compute, &name, shown, billed)
        });
        let mut lines: Vec<Line> = lines.collect();
        let invocations = self.sum(|load| load.invocations);
        lines.push(self.counted(
            Part::Requests,
            "invocations of functions",
            Item::LambdaRequest,
            invocations,
        ));
        lines
    }

    fn front(&self) -> Vec<Line> {
        let mut lines = vec![self.counted(Part::Api, "HTTP API", Item::HttpApiRequest, self.requests)];
        if self.assumptions.cloudfront {
            lines.push(self.counted(Part::Api, "CloudFront", Item::CloudfrontRequest, self.requests));
        }
        if self.assumptions.cloudfront && self.assumptions.waf_rules > 0 {
            let rules = u128::from(self.assumptions.waf_rules);
            let mut acl = self.counted(Part::Api, "web ACL and its rules", Item::WebAclRule, rules);
            acl.month = acl.month + self.inputs.prices.of(Item::WebAcl, 1, 1);
            lines.push(acl);
            lines.push(self.counted(
                Part::Api,
                "requests that WAF inspects",
                Item::WebAclRequest,
                self.requests,
            ));
        }
        lines
    }

    fn signals(&self) -> Vec<Line> {
        let deployment = &self.inputs.deployment;
        let accesses = match deployment.access_log_bytes {
            0 => 0,
            bytes => self.requests * (u128::from(bytes) + LINE_OVERHEAD),
        };
        let bytes = self.sum(|load| load.log_bytes) + accesses;
        let stored = rounded(bytes * STORED_PERCENT * STORED_MONTHS, 100);
        let mut lines = vec![
            self.sized(Part::Logs, "ingestion", Item::LogIngestion, bytes),
            self.sized(Part::Logs, "storage of 30 days", Item::LogStorage, stored),
            self.counted(Part::Metrics, "custom metrics", Item::Metric, u128::from(self.assumptions.metrics)),
        ];
        for (name, item, number) in [
            ("metrics with alarms", Item::AlarmMetric, deployment.alarm_metrics),
            ("dashboards", Item::Dashboard, deployment.dashboards),
        ] {
            lines.push(self.counted(Part::Metrics, name, item, u128::from(number)));
        }
        if deployment.traces {
            let begun = self.requests + self.reconciles;
            let traces = begun.min(SECONDS + begun * TRACED_PERCENT / 100);
            lines.push(self.counted(Part::Traces, "recorded", Item::Trace, traces));
        }
        lines
    }

    fn rest(&self) -> Vec<Line> {
        let secrets = u128::from(self.inputs.deployment.secrets);
        let reads = self
            .loads
            .iter()
            .map(|(function, load)| load.cold_starts * secrets_read(*function, self.assumptions.cloudfront));
        let to_clients = match self.assumptions.cloudfront {
            true => Item::CloudfrontTransfer,
            false => Item::TransferOut,
        };
        let mongodb_bytes = self.sum(|load| load.mongodb_bytes);
        let cluster = format!("Atlas {}, three nodes", self.assumptions.cluster);
        vec![
            self.counted(Part::Schedule, "calls of Reconcile", Item::ScheduledCall, self.reconciles),
            self.counted(Part::Secrets, "secrets", Item::Secret, secrets),
            self.counted(Part::Secrets, "reads at cold starts", Item::SecretCall, reads.sum()),
            self.sized(Part::Transfer, "to clients", to_clients, self.answer_bytes),
            self.sized(Part::Transfer, "to and from MongoDB", Item::TransferToDatabase, mongodb_bytes),
            self.line(
                Part::Database,
                &cluster,
                format!("{HOURS} hours"),
                (self.assumptions.cluster.item(), HOURS, 1),
            ),
        ]
    }
}

/// Number of secrets that a function reads when it starts. That of the edge is there behind CloudFront alone, and its
/// previous value is a version of the same secret.
fn secrets_read(function: Function, cloudfront: bool) -> u128 {
    let is_read = |variable: &&Variable| {
        variable.is_secret
            && variable.name != EDGE_SECRET_PREVIOUS.name
            && (cloudfront || variable.name != EDGE_SECRET.name)
    };
    u128::try_from(function.variables().iter().filter(is_read).count()).unwrap_or_default()
}

/// Bytes that CloudWatch bills for the lines of a function and of Lambda itself.
fn log_bytes(usage: &Usage) -> u128 {
    let own = u128::from(usage.log_bytes) + u128::from(usage.log_lines) * LINE_OVERHEAD;
    own + u128::from(usage.invocations) * (PLATFORM_BYTES + PLATFORM_LINES * LINE_OVERHEAD)
}

/// Quotient, rounded half up; 0 where there is nothing to divide by.
fn rounded(number: u128, by: u128) -> u128 {
    number.saturating_add(by / 2).checked_div(by).unwrap_or(0)
}

/// Writes a number of tenths.
fn tenths(number: u128) -> String {
    format!("{}.{}", with_commas(number / 10), number % 10)
}

/// Writes a number of things: exactly up to a million.
fn count(number: u128) -> String {
    const MILLION: u128 = 1_000_000;
    if number < MILLION {
        with_commas(number)
    } else {
        format!("{} million", tenths(rounded(number * 10, MILLION)))
    }
}

fn gigabytes(bytes: u128) -> String {
    format!("{} GB", tenths(rounded(bytes * 10, GB)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::file::File;
    use super::*;

    /// Prices of 1 for each unit of everything.
    fn prices() -> PriceList {
        let row = |item: Item| {
            json!({
                "item": item, "price": "1", "per": 1, "unit": item.unit(),
                "currency": "EUR", "region": "here", "date": "2026-01",
            })
        };
        let text = json!({ "prices": Item::ALL.map(row) }).to_string();
        PriceList::read(&File { name: "prices.json".to_owned(), text }).unwrap()
    }

    /// An order that takes 12.5 ms of orders alone, and 5.5 ms of products: see the test of its times.
    fn inputs() -> Inputs {
        let usage = |cpu: u64, mongodb: u64, trips: u64, calls: &[Function]| Usage {
            invocations: 100,
            cpu_microseconds: cpu * 100,
            mongodb_cpu_microseconds: mongodb * 100,
            mongodb_round_trips: trips * 100,
            mongodb_journal_waits: 100,
            mongodb_bytes: 1_024 * 100,
            log_bytes: 322 * 100,
            log_lines: 100,
            calls: calls.iter().map(|callee| (*callee, 100)).collect(),
        };
        let place = OperationMeasurement {
            operation: Operation::PlaceOrder,
            repetitions: 100,
            answer_bytes: 1_024 * 100,
            functions: BTreeMap::from([
                (Function::Orders, usage(1_000, 500, 3, &[Function::Products])),
                (Function::Products, usage(500, 1_000, 1, &[])),
            ]),
        };
        let measurements = Measurements {
            date: String::new(),
            commit: String::new(),
            machine: String::new(),
            mongodb: String::new(),
            processes: BTreeMap::new(),
            operations: vec![place],
        };
        let deployment = Deployment {
            // So much that the processor is a whole one.
            memory_mb: BILLED.map(|function| (function, 2_048)).into(),
            reconciles_per_hour: 60,
            secrets: 2,
            ..Deployment::default()
        };
        Inputs { measurements, deployment, prices: prices() }
    }

    fn assumptions(orders: u64) -> Assumptions {
        Assumptions { orders, cold_starts: 0, ..Assumptions::DEFAULT }
    }

    fn cost(bill: &Bill, name: &str) -> String {
        let line = bill.lines.iter().find(|line| line.name == name);
        line.unwrap_or_else(|| panic!("{name} in {bill:?}")).month.rounded(6)
    }

    #[test]
    fn a_functions_time_is_the_sum_of_its_parts() {
        let (inputs, assumptions) = (inputs(), assumptions(1_000));
        let month = Month::of(&inputs, &assumptions);
        let place = &inputs.measurements.operations[0];
        // Own 0.5, MongoDB 1, one round trip of 1, journals 3.
        assert_eq!(month.time(place, Function::Products), 5_500 * 100);
        // Own 1, MongoDB 0.5, three round trips of 1, journals 3, the call 5, and products.
        assert_eq!(month.time(place, Function::Orders), (12_500 + 5_500) * 100);
        assert_eq!(month.time(place, Function::Users), 0);
    }

    #[test]
    fn a_bill_is_what_one_computes_by_hand() {
        let bill = Bill::compute(&inputs(), &assumptions(1_000));
        // 1,000 times 18.5 ms, rounded up to whole ones on average, times 2 GB.
        assert_eq!(cost(&bill, "orders, 2048 MB"), "37.000000");
        assert_eq!(cost(&bill, "products, 2048 MB"), "12.000000");
        assert_eq!(cost(&bill, "users, 2048 MB"), "0.000000");
        assert_eq!(cost(&bill, "invocations of functions"), "2,000.000000");
        assert_eq!(cost(&bill, "HTTP API"), "1,000.000000");
        // 2,000 times 322 bytes, two lines of 300, and 26 for each of the three lines: 1,000 bytes, of 2³⁰.
        assert_eq!(cost(&bill, "ingestion"), "0.001863");
        assert_eq!(cost(&bill, "calls of Reconcile"), "43,800.000000");
        assert_eq!(cost(&bill, "secrets"), "2.000000");
        // 1,000 times 1 KiB, of 1 GiB; to and from MongoDB twice as much.
        assert_eq!(cost(&bill, "to clients"), "0.000954");
        assert_eq!(cost(&bill, "to and from MongoDB"), "0.001907");
        assert_eq!(cost(&bill, "Atlas M30, three nodes"), "730.000000");
        assert!(!bill.lines.iter().any(|line| line.part == Part::Traces));
    }

    #[test]
    fn less_memory_is_less_of_a_core() {
        let mut inputs = inputs();
        inputs.deployment.memory_mb = BILLED.map(|function| (function, 256)).into();
        let assumptions = assumptions(1_000);
        let month = Month::of(&inputs, &assumptions);
        // 0.5 ms of a core are 3.455 ms of 256 / 1769 of one.
        let time = month.time(&inputs.measurements.operations[0], Function::Products);
        assert_eq!(time, 345_508 + 5_000 * 100);
    }

    #[test]
    fn a_cold_start_costs_its_init_and_reads_its_secrets() {
        let assumptions = Assumptions { cold_starts: 10, ..assumptions(1_000) };
        let bill = Bill::compute(&inputs(), &assumptions);
        // Ten of 200 ms more, at 2 GB.
        assert_eq!(cost(&bill, "products, 2048 MB"), "16.000000");
        // Ten of orders and ten of products, with one secret each.
        assert_eq!(cost(&bill, "reads at cold starts"), "20.000000");
        let behind = Assumptions { cloudfront: true, ..assumptions };
        assert_eq!(cost(&Bill::compute(&inputs(), &behind), "reads at cold starts"), "40.000000");
    }

    #[test]
    fn traces_are_one_a_second_and_a_share_of_the_rest() {
        let mut inputs = inputs();
        inputs.deployment.traces = true;
        // With the 43,800 calls of Reconcile.
        for (orders, traces) in [(1_000, 44_800), (10_000_000, SECONDS + (10_000_000 + 43_800) / 20)] {
            let bill = Bill::compute(&inputs, &assumptions(orders));
            assert_eq!(cost(&bill, "recorded"), format!("{}.000000", with_commas(traces)));
        }
    }

    #[test]
    fn cloudfront_takes_the_place_of_transfer_and_adds_requests() {
        let assumptions = Assumptions { cloudfront: true, waf_rules: 4, ..assumptions(1_000) };
        let bill = Bill::compute(&inputs(), &assumptions);
        assert_eq!(cost(&bill, "CloudFront"), "1,000.000000");
        assert_eq!(cost(&bill, "web ACL and its rules"), "5.000000");
        assert_eq!(cost(&bill, "requests that WAF inspects"), "1,000.000000");
    }

    /// Bill of the committed files.
    fn committed(orders: u64) -> Bill {
        let inputs = super::super::inputs(None, None).unwrap();
        Bill::compute(&inputs, &Assumptions { orders, ..Assumptions::DEFAULT })
    }

    #[test]
    fn twice_the_orders_double_what_depends_on_orders() {
        // Reads of secrets are rounded to whole ones for each function, at 0.000005 each.
        let tolerance = Money::parse("0.0001").unwrap();
        for orders in [1_000, 123_457, 1_000_000, 500_000_000] {
            let bills = [committed(0), committed(orders), committed(2 * orders)];
            let [none, once, twice] = bills.each_ref().map(|bill| &bill.lines);
            assert_eq!((none.len(), once.len()), (once.len(), twice.len()));
            for ((none, once), twice) in none.iter().zip(once).zip(twice) {
                let (of_once, of_twice) = (once.month - none.month, twice.month - none.month);
                let doubled = of_once + of_once;
                if once.part == Part::Traces {
                    assert!(
                        of_twice >= of_once && twice.month - once.month <= of_once + tolerance,
                        "{once:?}"
                    );
                } else {
                    assert!((doubled - of_twice) + (of_twice - doubled) <= tolerance, "{once:?} {twice:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_paid_by_the_month_does_not_depend_on_orders() {
        let (few, many) = (committed(1), committed(100_000_000));
        for (few, many) in few.lines.iter().zip(&many.lines) {
            if matches!(few.part, Part::Metrics | Part::Schedule | Part::Database) || few.name == "secrets" {
                assert_eq!(few.month, many.month, "{few:?}");
            }
        }
    }

    #[test]
    fn totals_are_the_sums_of_their_lines() {
        let bill = committed(1_000_000);
        let database = bill.lines.iter().find(|line| line.part == Part::Database).unwrap();
        assert_eq!(bill.total(), bill.total_without_database() + database.month);
        assert!(bill.total() > bill.total_without_database());
    }
}
