//! Silence: at every command to MongoDB and every call between functions, of every operation that writes, the line
//! stays open and answers nothing for a while. What these are is recorded from a run in which nothing goes wrong.
//!
//! However long it lasts, the operation has one effect or none, and an answer that says so is true.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::lambda::Fault;
use tests::person::{PASSWORD, Person, address, to, to_for};
use tests::proxy::{Command, Moment};
use tests::shop::{new_email, new_sku};

use crate::fixture::Fixture;
use crate::report::{Report, seeds};

const NAME: &str = "silence";
const TEST: &str = "every_operation_has_one_effect_beside_a_silent_line";

/// Lengths of a silence: shorter and longer than a heartbeat takes to fail, and than an operation waits.
const SILENCES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(6), Duration::from_secs(12), Duration::from_secs(20)];

/// Milliseconds between heartbeats: the driver's default of 10 s, and a short one.
const HEARTBEATS: [Option<u32>; 2] = [None, Some(1_000)];

/// Shops for each heartbeat. Cases mostly wait, so that several run at once.
const SHOPS: usize = 5;

/// A short run goes through one of so many cases.
const SHARE: u64 = 127;

/// Longer than any request takes, so that no transaction ends before its request does.
const TRANSACTION_SECONDS: i32 = 30;

/// Maximum time in which all is healed: a transaction that was left open ends first.
const HEALING: Duration = Duration::from_secs(60);

/// Declares the operations, and the list of all.
macro_rules! operations {
    ($($operation:ident),+ $(,)?) => {
        /// Operation that writes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Operation {
            $($operation),+
        }

        use Operation::{$($operation),+};

        const OPERATIONS: [Operation; [$(stringify!($operation)),+].len()] = [$($operation),+];
    };
}

operations! {
    PlaceOneItem,
    PlaceTwoItems,
    PlaceUnderAKey,
    ChangeItems,
    Pay,
    Ship,
    ShipUnits,
    Cancel,
    CancelUnits,
    Return,
    CreateProduct,
    ChangeProduct,
    MoveStock,
    CreateUser,
    ChangeUser,
    DeleteUser,
    SignIn,
    Refresh,
    SignOut,
    Reconcile,
}

/// Place at which a line falls silent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Boundary {
    /// A command of a function.
    Command { function: &'static str, command: Command },
    /// A call of this method, the first one being 1: the function that is called.
    Call { function: String, method: String, number: u64 },
}

#[derive(Clone, Debug)]
struct Case {
    operation: Operation,
    boundary: Boundary,
    moment: Moment,
    silence: Duration,
    heartbeat: Option<u32>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, boundary, moment, silence, heartbeat } = self;
        write!(f, "{operation:?}, {moment:?} ")?;
        match boundary {
            Boundary::Command { function, command } => write!(f, "{command} of {function}")?,
            Boundary::Call { function, method, number } => {
                write!(f, "call {number} of {function}, {method}")?
            }
        }
        write!(f, ", {} s", silence.as_secs())?;
        if heartbeat.is_some() { write!(f, ", short heartbeats") } else { Ok(()) }
    }
}

/// Things that an operation is about. Each case has its own.
struct Subject {
    ada: Person,
    staff: Person,
    admin: Person,
    products: [String; 2],
    order: String,
    /// The first item of the order.
    item: String,
    sku: String,
    email: String,
    refresh_token: String,
}

/// An answer's knowledge of an operation.
struct Outcome {
    acknowledged: bool,
    /// False for an answer that may not be given to a request like this one.
    allowed: bool,
    said: String,
}

impl Subject {
    async fn prepare(fixture: &Fixture, operation: Operation) -> Self {
        let shop = &fixture.shop;
        let (ada, staff) = (shop.customer().await, shop.staff().await);
        let products = [shop.product(100).await, shop.product(100).await];
        let mut subject = Self {
            ada,
            staff,
            admin: shop.person("admin").await,
            products,
            order: String::new(),
            item: String::new(),
            sku: new_sku(),
            email: new_email(),
            refresh_token: String::new(),
        };
        if operation == Reconcile {
            // It folds all journals. So that each run of it sends the same, those of others are folded before.
            fixture.folds().await.unwrap();
        }
        let statuses: Option<&[&str]> = match operation {
            ChangeItems | Pay | Cancel | CancelUnits | Reconcile => Some(&[]),
            Ship | ShipUnits => Some(&["paid"]),
            Return => Some(&["paid", "shipped", "delivered"]),
            _ => None,
        };
        if let Some(statuses) = statuses {
            let [hat, mug] = &subject.products;
            let placed = subject.ada.orders(&[(hat, 2), (mug, 1)]).await.expect(201);
            subject.item = placed["items"][0]["id"].as_str().unwrap().to_owned();
            subject.order = placed.id();
            for status in statuses {
                subject.staff.moves(&subject.order, status).await.expect(200);
            }
        }
        if operation == Reconcile {
            fixture.sets(&subject.order, doc! { "expires_at": DateTime::from_millis(0) }).await;
        }
        if matches!(operation, Refresh | SignOut) {
            let pair = subject.ada.post("/auth", subject.credentials()).await.expect(200);
            subject.refresh_token = pair.text("refresh_token");
        }
        subject
    }

    fn credentials(&self) -> Value {
        json!({ "email": self.ada.email, "password": PASSWORD })
    }

    async fn acts(&self, fixture: &Fixture, operation: Operation) -> Outcome {
        if operation == Reconcile {
            let healed = fixture.reconciles().await;
            // A run that was disturbed says so, and the next one goes on.
            let acknowledged = healed.as_ref().is_ok_and(|it| it.finished && it.set_aside == 0);
            return Outcome { acknowledged, allowed: true, said: format!("{healed:?}") };
        }
        let [hat, mug] = &self.products;
        let item = |product: &String, quantity: i64| json!({ "product_id": product, "quantity": quantity });
        let order = |items: Value| json!({ "items": items, "shipping_address": address() });
        let one = || order(json!([item(hat, 2)]));
        let price = json!({ "amount": 500, "currency": "EUR" });
        let (of_order, of_product) = (format!("/orders/{}", self.order), format!("/products/{hat}"));
        let (of_stock, of_user) = (format!("{of_product}/stock"), format!("/users/{}", self.ada.id));
        let with_token = json!({ "refresh_token": self.refresh_token });
        let anyone = fixture.shop.anyone();
        let unit = json!({ "items": [{ "id": self.item, "quantity": 1 }] });
        let (shipments, cancellations) =
            (format!("{of_order}/fulfillments"), format!("{of_order}/cancellations"));
        let put = Method::PUT;
        let (person, method, path, body) = match operation {
            PlaceOneItem | PlaceUnderAKey => (&self.ada, Method::POST, "/orders", one()),
            PlaceTwoItems => (&self.ada, Method::POST, "/orders", order(json!([item(hat, 2), item(mug, 1)]))),
            ChangeItems => (&self.ada, put, &*of_order, json!({ "items": [item(hat, 3), item(mug, 1)] })),
            Pay => (&self.staff, put, &*of_order, to_for(&self.order, "paid")),
            Ship => (&self.staff, put, &*of_order, to("shipped")),
            ShipUnits => (&self.staff, Method::POST, &*shipments, unit),
            CancelUnits => (&self.ada, Method::POST, &*cancellations, unit),
            Cancel => (&self.ada, put, &*of_order, to("cancelled")),
            Return => (&self.staff, put, &*of_order, json!({ "status": "returned", "restock": true })),
            CreateProduct => {
                let product = json!({ "sku": self.sku, "name": "Mug", "price": price, "stock": 7 });
                (&self.staff, Method::POST, "/products", product)
            }
            ChangeProduct => (&self.staff, put, &*of_product, json!({ "name": "Another" })),
            MoveStock => (&self.staff, put, &*of_stock, json!({ "delta": 10 })),
            CreateUser => {
                let user = json!({ "email": self.email, "password": PASSWORD, "name": "Ada" });
                (&anyone, Method::POST, "/users", user)
            }
            ChangeUser => (&self.ada, put, &*of_user, json!({ "name": "Another" })),
            DeleteUser => (&self.admin, Method::DELETE, &*of_user, json!({})),
            SignIn => (&anyone, Method::POST, "/auth", self.credentials()),
            Refresh => (&anyone, Method::POST, "/auth/refresh", with_token),
            SignOut => (&anyone, Method::POST, "/auth/logout", with_token),
            Reconcile => unreachable!("answered above"),
        };
        let mut request = person.request(method, path).json(&body);
        if operation == PlaceUnderAKey {
            request = request.header("idempotency-key", &self.sku);
        }
        Self::told(&person.outcome(request).await)
    }

    fn told(answer: &Result<Answer, String>) -> Outcome {
        let status = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
        let (acknowledged, said) = ((200..300).contains(&status), format!("{answer:?}"));
        Outcome { acknowledged, allowed: acknowledged || status == 503, said }
    }

    /// Number of times that the operation took effect.
    async fn effects(&self, fixture: &Fixture, operation: Operation) -> i64 {
        let shop = &fixture.shop;
        let count = async |collection: &str, filter: Document| {
            let all = shop.database.collection::<Document>(collection);
            i64::try_from(all.count_documents(filter).await.unwrap()).unwrap()
        };
        let [hat, _] = &self.products;
        let order = async || shop.admin().get(&format!("/orders/{}", self.order)).await.expect(200);
        let reached = async |status: &str| {
            let history = order().await["history"].as_array().cloned().unwrap_or_default();
            let of_it = history.iter().filter(|entry| entry["event"] == "status" && entry["to"] == status);
            i64::try_from(of_it.count()).unwrap()
        };
        match operation {
            PlaceOneItem | PlaceTwoItems | PlaceUnderAKey => {
                let placed = self.ada.get("/orders").await.expect(200).data().len();
                let placed = i64::try_from(placed).unwrap();
                // Nothing else is held.
                assert_eq!(shop.stock(hat).await.1, placed * 2, "held for {placed} orders");
                placed
            }
            ChangeItems => order().await["items"][0]["quantity"].as_i64().unwrap() - 2,
            Pay => reached("paid").await,
            Ship => reached("shipped").await,
            ShipUnits | CancelUnits => {
                let order = order().await;
                let count = |field: &str| order["items"][0][field].as_i64().unwrap();
                let (on_hand, reserved, _) = shop.stock(hat).await;
                let moved = (100 - on_hand, 2 - reserved);
                let (shipped, cancelled) = (count("shipped"), count("cancelled"));
                assert_eq!(moved, (shipped, shipped + cancelled), "by {shipped} and {cancelled}");
                shipped + cancelled
            }
            Cancel | Reconcile => reached("cancelled").await,
            Return => reached("returned").await,
            CreateProduct => count("products", doc! { "sku": &self.sku }).await,
            ChangeProduct => {
                shop.admin().get(&format!("/products/{hat}")).await["version"].as_i64().unwrap() - 1
            }
            MoveStock => (shop.stock(hat).await.0 - 100) / 10,
            CreateUser => count("users", doc! { "email": &self.email }).await,
            ChangeUser => {
                shop.admin().get(&format!("/users/{}", self.ada.id)).await["version"].as_i64().unwrap() - 1
            }
            DeleteUser => {
                let found = shop.admin().get(&format!("/users/{}", self.ada.id)).await;
                i64::from(found.status == 404)
            }
            // Sessions more or less harm nobody. Only the answer must be true.
            SignIn | Refresh => 1,
            SignOut => {
                let token = json!({ "refresh_token": self.refresh_token });
                i64::from(shop.anyone().post("/auth/refresh", token).await.status == 401)
            }
        }
    }
}

/// Gives the functions processes that are new, connected, and know the keys of tokens.
async fn begins(fixture: &Fixture, subject: &Subject) {
    for (function, proxy) in &fixture.proxies {
        proxy.speaks();
        fixture.kill(function).await;
    }
    fixture.warm().await;
    subject.admin.get("/users?limit=1").await.expect(200);
    for (_, proxy) in &fixture.proxies {
        proxy.begin();
    }
    fixture.shop.lambda.record_calls();
}

/// The boundaries of an operation, from a run in which nothing goes wrong.
async fn boundaries(fixture: &Fixture, operation: Operation) -> Vec<Boundary> {
    // A case begins when all of the one before is healed: Reconcile then has no walk to end.
    fixture.heals().await.unwrap();
    let subject = Subject::prepare(fixture, operation).await;
    begins(fixture, &subject).await;
    let outcome = subject.acts(fixture, operation).await;
    assert!(outcome.acknowledged, "{operation:?}: {}", outcome.said);
    let mut boundaries = Vec::new();
    for (function, proxy) in &fixture.proxies {
        let commands = proxy.commands().into_iter();
        boundaries.extend(commands.map(|command| Boundary::Command { function, command }));
    }
    let calls = fixture.shop.lambda.calls();
    for (place, call) in calls.iter().enumerate() {
        let number = calls[..=place].iter().filter(|it| it.method == call.method).count();
        boundaries.push(Boundary::Call {
            function: call.function.clone(),
            method: call.method.clone(),
            number: u64::try_from(number).unwrap(),
        });
    }
    assert_eq!(subject.effects(fixture, operation).await, 1, "{operation:?}");
    assert!(!boundaries.is_empty(), "{operation:?}");
    boundaries
}

/// Runs a case, and gives what must not be.
async fn violations_of(fixture: &Fixture, case: &Case) -> Vec<String> {
    let Case { operation, boundary, moment, silence, .. } = case;
    let subject = Subject::prepare(fixture, *operation).await;
    begins(fixture, &subject).await;
    let mut violations = Vec::new();
    let lambda = &fixture.shop.lambda;
    let outcome = match boundary {
        Boundary::Command { function, command } => {
            let mut met = fixture.proxy(function).silent_at(command, *moment, *silence);
            let outcome = subject.acts(fixture, *operation).await;
            if met.try_recv().is_err() {
                violations.push(format!("the boundary was not met: {}", outcome.said));
            }
            outcome
        }
        Boundary::Call { function, method, number } => {
            let passing = lambda.on_call(function, method).times(number - 1, Fault::Repeat(1));
            let silent = lambda.on_call(function, method).once(Fault::Silent(*moment, *silence));
            let outcome = subject.acts(fixture, *operation).await;
            passing.lift();
            silent.lift();
            if silent.struck() != 1 {
                violations.push(format!("the boundary was not met: {}", outcome.said));
            }
            outcome
        }
    };
    if !outcome.allowed {
        violations.push(format!("the answer: {}", outcome.said));
    }
    // All that is still under way arrives, however late.
    tokio::time::sleep(*silence).await;
    for (_, proxy) in &fixture.proxies {
        proxy.speaks();
    }
    if let Err(left) = fixture.heals_within(HEALING).await {
        violations.push(left);
    }
    match subject.effects(fixture, *operation).await {
        1 => {}
        0 if !outcome.acknowledged => {}
        effects => violations.push(format!("{effects} effects, and it was answered {}", outcome.said)),
    }
    violations.extend(fixture.inconsistencies().await);
    violations
}

#[tokio::test]
async fn every_operation_has_one_effect_beside_a_silent_line() {
    // Its transactions live longer than those of the other campaigns, which want to see them end.
    let server = mongod::start_for_tests().await.unwrap();
    let open = |heartbeat| Fixture::open_on(server.uri(), TRANSACTION_SECONDS, heartbeat);
    let mut report = Report::of(NAME, TEST);
    let mut cases = [Vec::new(), Vec::new()];
    let recording = open(None).await;
    for operation in OPERATIONS {
        for boundary in boundaries(&recording, operation).await {
            for moment in [Moment::Before, Moment::After] {
                for silence in SILENCES {
                    for (heartbeat, cases) in HEARTBEATS.into_iter().zip(&mut cases) {
                        let case = Case { operation, boundary: boundary.clone(), moment, silence, heartbeat };
                        if report.runs_one_of(SHARE, &case.to_string()) {
                            cases.push(case);
                        }
                    }
                }
            }
        }
    }
    let found = RefCell::new(Vec::new());
    let queues = cases.map(RefCell::new);
    join_all(HEARTBEATS.into_iter().zip(&queues).flat_map(|(heartbeat, queue)| {
        let (found, shops) = (&found, SHOPS.min(queue.borrow().len()));
        (0..shops).map(move |_| async move {
            let mut fixture = open(heartbeat).await;
            loop {
                let Some(case) = queue.borrow_mut().pop() else { return };
                // All cases take longer than an access token lasts.
                fixture.sign_in_again().await;
                let violations = violations_of(&fixture, &case).await;
                found.borrow_mut().push((case, violations));
            }
        })
    }))
    .await;
    for (case, violations) in found.into_inner() {
        report.faults(1);
        for violation in violations {
            report.violation(seeds().start, &case.to_string(), violation);
        }
    }
    report.ends();
}
