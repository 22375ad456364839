//! Four hours of a shop in four minutes, for the picture of the dashboard that `.ci/dashboard` draws:
//!
//! ```sh
//! cargo run --example dashboard -- FOLDER
//! ```
//! The functions' own programs run on the small Lambda, and customers and staff use them. A second stands for a
//! minute: Reconcile runs each second, and each second the orders get a minute older. No duration is changed.
//!
//! The folder gets two kinds of files:
//!
//! - `FUNCTION.log`: the log of each function, with its metrics
//! - `run.json`: times of begin and end, the milliseconds of a minute, the minute at which MongoDB becomes silent and
//!   for how many, and the measurements of Lambda and API Gateway

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a picture that cannot be drawn is of no use"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use mongodb::bson::{Document, doc};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use shared::values::clock::Clock;
use tests::answer::Answer;
use tests::holds;
use tests::lambda::{Lambda, Options, Settings, programs};
use tests::on_lambda::OnLambda;
use tests::person::{PASSWORD, Person, to};
use tests::shop::order_of;
use tokio::time::{Instant, sleep, sleep_until};

/// Length of the run, in minutes of the shop.
const MINUTES: u32 = 240;

/// A minute of the shop.
const MINUTE: Duration = Duration::from_secs(1);

/// Time after the last minute in which requests come to their end.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// Number of customers.
const CUSTOMERS: usize = 30;

/// Most visits a minute that begin, at the height of the day.
const MOST_VISITS: f64 = 4.0;

/// Minute at which a product is restocked that has run out before.
const RESTOCKED: u32 = 130;

/// Minute at which a customer orders again and again.
const IMPATIENT: u32 = 60;

/// Minute at which somebody guesses passwords.
const GUESSED: u32 = 95;

/// Minute from which MongoDB is silent, and for how many.
const SILENT: (u32, u32) = (170, 8);

/// Interval of the consistency check, which begins with its half.
const CHECK: u32 = 60;

/// The call of the schedule.
const RECONCILE: &str = include_str!("../../local/events/orders-reconcile.json");

/// Shop with its people.
struct Life {
    shop: OnLambda,
    http: reqwest::Client,
    customers: Vec<Person>,
    staff: Person,
    /// Products, the scarce one last.
    products: Vec<String>,
}

#[tokio::main]
async fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("the folder for what is written"));
    std::fs::create_dir_all(&folder).expect("the folder");
    let folder = std::fs::canonicalize(folder).expect("the folder");
    let server = mongod::start_for_tests().await.expect("a MongoDB");
    let mongod = Pid::from_raw(server.pid().try_into().unwrap()).expect("a process ID");
    let life = Arc::new(Life::begin(&folder, server.uri()).await);
    let began = Clock::system().now().millis();
    life.shop.lambda.measure();
    let start = Instant::now();
    for minute in 0..MINUTES {
        sleep_until(start + MINUTE * minute).await;
        if minute % 20 == 0 {
            eprintln!("minute {minute} of {MINUTES}");
        }
        for _ in 0..visits(minute) {
            tokio::spawn(life.clone().visit());
        }
        tokio::spawn(life.clone().invoke("orders", RECONCILE));
        tokio::spawn(life.clone().grow_older());
        match minute {
            IMPATIENT => drop(tokio::spawn(life.clone().order_again_and_again())),
            GUESSED => drop(tokio::spawn(life.clone().guess_passwords())),
            RESTOCKED => drop(tokio::spawn(life.clone().restock())),
            _ if minute == SILENT.0 => kill_process(mongod, Signal::STOP).expect("a signal"),
            _ if minute == SILENT.0 + SILENT.1 => kill_process(mongod, Signal::CONT).expect("a signal"),
            _ if minute % CHECK == CHECK / 2 => drop(tokio::spawn(life.clone().invoke("consistency", "{}"))),
            _ => {}
        }
    }
    sleep_until(start + MINUTE * MINUTES).await;
    let ended = Clock::system().now().millis();
    sleep(LAST_REQUESTS).await;
    let run = json!({
        "began": began,
        "ended": ended,
        "minute": u64::try_from(MINUTE.as_millis()).unwrap(),
        "silent": SILENT,
        "measured": life.shop.lambda.measured(),
    });
    std::fs::write(folder.join("run.json"), run.to_string()).expect("run.json");
    server.stop().await;
}

/// Number of visits that begin in a minute: few at first, and most of them at noon.
fn visits(minute: u32) -> usize {
    let day = (f64::from(minute) / f64::from(MINUTES) * std::f64::consts::PI).sin();
    let mean = 0.5 + (MOST_VISITS - 0.5) * day;
    (0..8).filter(|_| chance(mean / 8.0)).count()
}

fn chance(probability: f64) -> bool {
    rand::rng().random_bool(probability)
}

fn any_of<T>(all: &[T]) -> &T {
    all.choose(&mut rand::rng()).unwrap()
}

/// A pause of so many minutes of the shop.
async fn minutes(range: std::ops::Range<f64>) {
    let pause = MINUTE.mul_f64(rand::rng().random_range(range));
    sleep(pause).await;
}

/// Sends a request. `None` if it was lost or refused.
async fn sent(person: &Person, method: Method, path: &str, body: Option<Value>) -> Option<Answer> {
    let mut request = person.request(method, path);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = person.outcome(request).await.ok()?;
    answer.status.is_success().then_some(answer)
}

impl Life {
    /// Opens the shop, whose functions write their logs into this folder.
    async fn begin(folder: &Path, uri: &str) -> Self {
        let logged = {
            let folder = folder.to_owned();
            move |name: &str| {
                let (log, script) = (folder.join(format!("{name}.log")), folder.join(name));
                programs::logging_to(&log, &programs::of_workspace(name), script).expect("a script")
            }
        };
        let check = {
            let folder = folder.to_owned();
            tokio::task::spawn_blocking(move || {
                let mut check = Lambda::task("consistency", Duration::from_secs(60));
                let (log, script) = (folder.join("consistency.log"), folder.join("consistency"));
                check.program = programs::logging_to(&log, &check.program, script).expect("a script");
                check.variable("ORDER_SERVICE_URL", "lambda:orders")
            })
        };
        let check = check.await.unwrap();
        let differ =
            |functions: Vec<Settings>| functions.into_iter().chain([check]).map(like_a_shop).collect();
        let shop = OnLambda::open_programs(logged, uri, Options::default(), differ).await;
        let staff = shop.staff().await;
        let mut products = Vec::new();
        for number in 0..12 {
            let currency = if number % 4 == 3 { "USD" } else { "EUR" };
            let price = json!({ "amount": 900 + 350 * number, "currency": currency });
            products.push(shop.product_with(json!({ "stock": 100_000, "price": price })).await.id());
        }
        products.push(shop.product(60).await);
        let mut customers = Vec::new();
        for _ in 0..CUSTOMERS {
            customers.push(shop.customer().await);
        }
        // From here on it is as after a deployment: no environment runs.
        for function in ["orders", "products", "users", "docs"] {
            for environment in shop.lambda.environments(function) {
                environment.kill().await;
            }
        }
        Self { shop, http: reqwest::Client::new(), customers, staff, products }
    }

    fn customer(&self) -> &Person {
        any_of(&self.customers)
    }

    /// A visit of a customer, who looks around and may order something.
    async fn visit(self: Arc<Self>) {
        minutes(0.0..1.0).await;
        let (anyone, customer) = (self.shop.anyone(), self.customer());
        if chance(0.05) {
            sent(&anyone, Method::GET, "/wp-login.php", None).await;
            return;
        }
        if chance(0.15) {
            // One of five is mistaken.
            let password = if chance(0.2) { "wrong password" } else { PASSWORD };
            let body = json!({ "email": customer.email, "password": password });
            sent(&anyone, Method::POST, "/auth", Some(body)).await;
        }
        sent(&anyone, Method::GET, "/products?limit=20", None).await;
        minutes(0.1..2.0).await;
        let scarce = self.products.last().unwrap();
        let product = if chance(0.2) { scarce } else { any_of(&self.products) };
        sent(&anyone, Method::GET, &format!("/products/{product}"), None).await;
        if chance(0.6) {
            minutes(0.1..2.0).await;
            self.order(customer, product).await;
        }
    }

    /// An order from its placement to its end.
    async fn order(&self, customer: &Person, product: &str) {
        let quantity = rand::rng().random_range(1..=3);
        let Some(placed) = sent(customer, Method::POST, "/orders", Some(order_of(product, quantity))).await
        else {
            return;
        };
        let path = format!("/orders/{}", placed.id());
        sent(customer, Method::GET, &path, None).await;
        minutes(1.0..6.0).await;
        if chance(0.12) {
            sent(customer, Method::PUT, &path, Some(to("cancelled"))).await;
            return;
        }
        // Of these nobody pays, so they expire.
        if chance(0.08) {
            return;
        }
        sent(&self.staff, Method::PUT, &path, Some(to("paid"))).await;
        for (status, pause) in [("shipped", 10.0..30.0), ("delivered", 20.0..40.0)] {
            minutes(pause).await;
            sent(&self.staff, Method::PUT, &path, Some(to(status))).await;
        }
        sent(customer, Method::GET, &path, None).await;
        if chance(0.15) {
            minutes(2.0..20.0).await;
            sent(&self.staff, Method::PUT, &path, Some(to("returned"))).await;
        }
    }

    /// A customer orders faster than one may, and pays for nothing.
    async fn order_again_and_again(self: Arc<Self>) {
        for _ in 0..90 {
            let life = self.clone();
            tokio::spawn(async move {
                let order = order_of(&life.products[0], 1);
                sent(&life.customers[0], Method::POST, "/orders", Some(order)).await;
            });
            minutes(0.1..0.2).await;
        }
    }

    /// Somebody tries passwords of customers.
    async fn guess_passwords(self: Arc<Self>) {
        let anyone = self.shop.anyone();
        for number in 0..60 {
            let body = json!({ "email": self.customer().email, "password": format!("guess {number}") });
            sent(&anyone, Method::POST, "/auth", Some(body)).await;
            minutes(0.05..0.2).await;
        }
    }

    /// The product that runs out is there again.
    async fn restock(self: Arc<Self>) {
        let path = format!("/products/{}/stock", self.products.last().unwrap());
        sent(&self.staff, Method::PUT, &path, Some(json!({ "delta": 10_000, "reason": "delivery" }))).await;
    }

    /// Calls a function, as a schedule does.
    async fn invoke(self: Arc<Self>, function: &'static str, payload: &'static str) {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.shop.lambda.endpoint);
        // A failure is in the metrics.
        let _ = self.http.post(url).body(payload).send().await;
    }

    /// Makes all that waits for its time older by what a minute has more than a second.
    async fn grow_older(self: Arc<Self>) {
        const MORE: i64 = 59_000;
        let database = &self.shop.database;
        holds::age(database, MORE).await;
        for (collection, time) in [
            ("orders", "updated_at"),
            ("orders", "expires_at"),
            ("orders", "task_ended_at"),
            ("reconcile_progress", "at"),
        ] {
            let earlier = doc! { "$subtract": [format!("${time}"), MORE] };
            let there = doc! { time: { "$type": "date" } };
            let all = database.collection::<Document>(collection);
            all.update_many(there, vec![doc! { "$set": { time: earlier } }]).await.unwrap();
        }
    }
}

/// A function with the limits of a small deployment.
fn like_a_shop(function: Settings) -> Settings {
    let concurrency = if function.name == "users" { 4 } else { 12 };
    let shop = function.concurrency(concurrency).variable("METRICS_NAMESPACE", "oms/shop");
    match shop.name.as_str() {
        "orders" => shop.variable("MAX_OPEN_ORDERS", "20").variable("ORDER_RATE_PER_CUSTOMER", "60"),
        _ => shop,
    }
}
