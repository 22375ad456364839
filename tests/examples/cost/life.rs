//! A shop's life, operation by operation.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Method;
use local::cost::measurements::{Operation, OperationMeasurement, ProcessMeasurement, Usage};
use local::gateway::Function;
use mongod::Mongod;
use mongodb::bson::{Document, doc};
use prost::Message as _;
use proto::orders::v1::ReconcileResponse;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::holds;
use tests::lambda::Options;
use tests::meter::{idle_mongodb_cpu, peak_memory, process_cpu};
use tests::on_lambda::OnLambda;
use tests::person::{PASSWORD, Person};
use tests::shop::{new_email, order_of};

use crate::meter::Meter;

/// Products of the shop: more than a page of the list.
const PRODUCTS: usize = 40;

/// Stock of each product.
const STOCK: i64 = 1_000_000;

/// Repetitions before a measurement: connections are open then, and keys known.
const WARM: u64 = 5;

/// Cold starts that are measured.
const STARTS: u64 = 10;

/// Age after which nothing of an order is left to do, in milliseconds.
const OLD: i64 = 2 * 3_600 * 1_000;

/// Most calls of Reconcile until it has nothing left.
const MOST_RUNS: u64 = 50;

/// Calls of a function that need no secret, as the schedule and other functions send them.
const RECONCILE: &str = include_str!("../../../local/events/orders-reconcile.json");
const KEYS: &str = include_str!("../../../local/events/users-call.json");

/// A running shop with meters.
pub(crate) struct Life {
    server: Mongod,
    meter: Meter,
    shop: OnLambda,
    http: reqwest::Client,
    email: String,
    customer: Person,
    staff: Person,
    product: String,
    orders: Vec<String>,
    /// Microseconds of processor time that MongoDB takes in a second without requests.
    idle: u64,
    /// Means of operations that are measured, in microseconds of the first function's processor time.
    means: BTreeMap<Operation, u64>,
    numbers: std::ops::RangeFrom<u64>,
}

impl Life {
    /// Opens the shop, with the programs of this folder.
    pub(crate) async fn begin(folder: &Path) -> Self {
        let server = mongod::start_for_tests().await.expect("a MongoDB");
        let meter = Meter::at(server.port()).await;
        let scripts = Function::ALL.map(|function| {
            let program = folder.join(function.name());
            assert!(program.is_file(), "{}: build it first", program.display());
            (function.name(), meter.script(function.name(), &program))
        });
        let scripts = BTreeMap::from(scripts);
        let program = move |name: &str| scripts[name].clone();
        let along_taps =
            |all: Vec<_>| all.into_iter().map(|it| meter.along_tap(it, server.port())).collect::<Vec<_>>();
        let shop = OnLambda::open_programs(program, server.uri(), Options::default(), along_taps).await;
        let staff = shop.staff().await;
        let mut product = String::new();
        for _ in 0..PRODUCTS {
            product = shop.product(STOCK).await;
        }
        let email = new_email();
        let user = json!({ "email": email, "password": PASSWORD, "name": "Somebody", "role": "customer" });
        shop.admin().post("/users", user).await.expect(201);
        // Not that user, whose earlier sessions end when there are many.
        let customer = shop.customer().await;
        let idle = idle_mongodb_cpu(&shop.database).await;
        let (http, orders, means, numbers) = (reqwest::Client::new(), Vec::new(), BTreeMap::new(), 0..);
        Self { server, meter, shop, http, email, customer, staff, product, orders, idle, means, numbers }
    }

    /// Measures an operation. Beside it: the median of the times that a client waits, in microseconds.
    pub(crate) async fn measure(
        &mut self,
        operation: Operation,
        repetitions: u64,
    ) -> (OperationMeasurement, u128) {
        if operation == Operation::ReconcileOrder {
            return self.measure_reconcile().await;
        }
        if !matches!(operation, Operation::PayOrder | Operation::ShipOrder) {
            for number in 0..WARM {
                self.does(operation, number).await;
            }
        }
        let before = self.meter.read(&self.shop.lambda, &self.shop.database).await;
        let (mut answer_bytes, mut times) = (0, Vec::new());
        for number in 0..repetitions {
            let begun = Instant::now();
            answer_bytes += self.does(operation, number).await;
            times.push(begun.elapsed().as_micros());
        }
        let functions = self.usage(&before, operation, repetitions).await;
        times.sort_unstable();
        let own = functions[&function_of(operation)].cpu_microseconds / repetitions;
        self.means.insert(operation, own);
        (OperationMeasurement { operation, repetitions, answer_bytes, functions }, times[times.len() / 2])
    }

    async fn usage(
        &self,
        before: &crate::meter::Reading,
        operation: Operation,
        invocations: u64,
    ) -> BTreeMap<Function, Usage> {
        let (at, from) = ((&self.shop.lambda, &self.shop.database), (function_of(operation), invocations));
        self.meter.since(before, at, from, self.idle).await
    }

    /// Does an operation once. The bytes of its answer, if a client has one.
    async fn does(&mut self, operation: Operation, number: u64) -> u64 {
        let order = |number: u64| {
            let orders = self.orders.len();
            let place = usize::try_from(number).unwrap() % orders.max(1);
            self.orders.get(place).cloned().unwrap_or_default()
        };
        let answer = match operation {
            Operation::SignIn => {
                let body = json!({ "email": self.email, "password": PASSWORD });
                self.shop.anyone().post("/auth", body).await.expect(200)
            }
            Operation::ListProducts => self.shop.anyone().get("/products?limit=20").await.expect(200),
            Operation::ReadProduct => {
                self.shop.anyone().get(&format!("/products/{}", self.product)).await.expect(200)
            }
            Operation::PlaceOrder => {
                let key = format!("key-{}", self.numbers.next().unwrap());
                let body = order_of(&self.product, 1);
                let placed = self.customer.send_keyed(Method::POST, "/orders", &key, &body).await.expect(201);
                self.orders.push(placed.id());
                placed
            }
            Operation::ReadOrder => {
                self.customer.get(&format!("/orders/{}", order(number))).await.expect(200)
            }
            Operation::PayOrder => self.staff.moves(&order(number), "paid").await.expect(200),
            Operation::ShipOrder => self.staff.moves(&order(number), "shipped").await.expect(200),
            Operation::ReadUnknown => self.shop.anyone().get("/wp-login.php").await.expect(404),
            Operation::ReconcileOrder | Operation::ReconcileIdle => {
                self.invoke(Function::Orders, RECONCILE).await;
                return 0;
            }
            Operation::RefreshKeys => {
                self.invoke(Function::Users, KEYS).await;
                return 0;
            }
        };
        size(&answer)
    }

    /// Measures the whole work of Reconcile for the orders so far, from folding to pruning.
    async fn measure_reconcile(&self) -> (OperationMeasurement, u128) {
        let operation = Operation::ReconcileOrder;
        let before = self.meter.read(&self.shop.lambda, &self.shop.database).await;
        let begun = Instant::now();
        let mut runs = 0;
        for ages in [0, OLD, OLD] {
            self.age(ages).await;
            loop {
                let answer = self.invoke(Function::Orders, RECONCILE).await;
                runs += 1;
                assert!(runs < MOST_RUNS, "Reconcile does not finish: {answer:?}");
                if answer.finished {
                    let done = answer.jobs.iter().map(|job| format!("{} {}", job.job, job.done));
                    println!("  reconciled: {}", done.collect::<Vec<_>>().join(", "));
                    break;
                }
            }
        }
        let functions = self.usage(&before, operation, runs).await;
        let repetitions = u64::try_from(self.orders.len()).unwrap();
        let each = begun.elapsed().as_micros() / u128::from(repetitions);
        (OperationMeasurement { operation, repetitions, answer_bytes: 0, functions }, each)
    }

    /// Makes orders and holds older by so many milliseconds.
    async fn age(&self, millis: i64) {
        holds::age(&self.shop.database, millis).await;
        for (collection, time) in
            [("orders", "updated_at"), ("orders", "task_ended_at"), ("reconcile_progress", "at")]
        {
            let all = self.shop.database.collection::<Document>(collection);
            let earlier = doc! { "$subtract": [format!("${time}"), millis] };
            let there = doc! { time: { "$exists": true } };
            all.update_many(there, vec![doc! { "$set": { time: earlier } }]).await.unwrap();
        }
    }

    /// Sends a call to a function.
    async fn invoke(&self, function: Function, envelope: &str) -> ReconcileResponse {
        let url =
            format!("{}/2015-03-31/functions/{}/invocations", self.shop.lambda.endpoint, function.name());
        let answer = self.http.post(url).body(envelope.to_owned()).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let body = BASE64.decode(answer["grpc"]["body"].as_str().unwrap_or_default()).unwrap();
        assert_eq!(answer["grpc"]["trailers"], json!([["grpc-status", "0"]]), "{answer}");
        // A frame: a zero byte, four bytes of length, the message.
        match function {
            Function::Orders => ReconcileResponse::decode(body.get(5..).unwrap_or_default()).unwrap(),
            _ => ReconcileResponse::default(),
        }
    }

    /// Measures the processes of all functions.
    pub(crate) async fn processes(&mut self) -> BTreeMap<Function, ProcessMeasurement> {
        let mut processes = BTreeMap::new();
        for (function, first) in [
            (Function::Orders, Operation::ReadOrder),
            (Function::Products, Operation::ReadProduct),
            (Function::Users, Operation::RefreshKeys),
            (Function::Docs, Operation::ReadUnknown),
        ] {
            let peaks = self.pids(function).into_iter().map(peak_memory);
            let peak_memory_kib = peaks.max().expect("a process");
            let mut microseconds = 0;
            for _ in 0..STARTS {
                for environment in self.shop.lambda.environments(function.name()) {
                    environment.kill().await;
                }
                self.does(first, 0).await;
                let used: u64 = self.pids(function).into_iter().map(process_cpu).sum();
                microseconds += used.saturating_sub(self.means[&first]);
            }
            let init_cpu_microseconds = microseconds / STARTS;
            println!(
                "{:16} init CPU {init_cpu_microseconds} µs, peak {peak_memory_kib} KiB",
                function.name()
            );
            processes.insert(function, ProcessMeasurement { init_cpu_microseconds, peak_memory_kib });
        }
        processes
    }

    fn pids(&self, function: Function) -> Vec<i32> {
        self.shop.lambda.environments(function.name()).iter().map(|environment| environment.pid()).collect()
    }

    /// Version of MongoDB.
    pub(crate) async fn mongodb_version(&self) -> String {
        let info = self.shop.database.run_command(doc! { "buildInfo": 1 }).await.unwrap();
        info.get_str("version").unwrap().to_owned()
    }

    /// Stops everything.
    pub(crate) async fn end(self) {
        drop(self.shop);
        self.server.stop().await;
    }
}

/// Function that is invoked from outside.
fn function_of(operation: Operation) -> Function {
    match operation {
        Operation::SignIn | Operation::RefreshKeys => Function::Users,
        Operation::ListProducts | Operation::ReadProduct => Function::Products,
        Operation::ReadUnknown => Function::Docs,
        Operation::PlaceOrder
        | Operation::ReadOrder
        | Operation::PayOrder
        | Operation::ShipOrder
        | Operation::ReconcileOrder
        | Operation::ReconcileIdle => Function::Orders,
    }
}

/// Bytes of an answer: head and body, over HTTP/1.1.
fn size(answer: &Answer) -> u64 {
    const AROUND: usize = ": \r\n".len();
    let headers = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND);
    let head = "HTTP/1.1 200 OK\r\n\r\n".len() + headers.sum::<usize>();
    let body = if answer.body.is_null() { 0 } else { answer.body.to_string().len() };
    (head + body).try_into().unwrap()
}
