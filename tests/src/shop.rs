//! The shop that a test is about: the target's, or one of its own in this process, on a fresh database and
//! behind a real socket. Or one of its own whose functions run as the programs that are deployed, on a small Lambda.

use std::ops::Deref;
use std::time::Duration;

use local::backend::{self, Backend, BackendConfig};
use mongodb::Database;
use serde_json::{Value, json};
use shared::auth::{Role, Signer};
use shared::rpc::server::CallerTrust;
use shared::runtime::run::ServiceApp;
use shared::runtime::socket;
use shared::values::clock::Clock;
use shared::values::ids::UserId;
use tokio::net::TcpListener;
use users::tokens::KeyRing;
use uuid::Uuid;

use crate::answer::Answer;
use crate::lambda::{Lambda, Options, Settings};
use crate::person::{PASSWORD, Person, address};
use crate::target::{Target, tally, target};

/// Signs the tokens of all tests.
pub const JWT_SECRET: &str = "a secret of the tests, 32 bytes or more";

/// The whole system, as its users see it.
pub struct Shop {
    /// Where it listens, such as `http://127.0.0.1:PORT`.
    pub base: String,
    http: reqwest::Client,
    admin: Person,
}

/// A shop in this process, on a database of its own, that one can look into.
pub struct InProcess {
    shop: Shop,
    /// The functions.
    pub backend: Backend,
    /// What they keep.
    pub database: Database,
}

impl Deref for InProcess {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl InProcess {
    /// Users known by their tokens alone, each another one: a sign-up costs more than an order.
    pub fn people(&self, role: Role, count: usize) -> Vec<Person> {
        let signer = Signer::from_secret(JWT_SECRET).unwrap_or_else(|error| panic!("{error:?}"));
        let now = Clock::system().now();
        let person = |_| {
            let token = signer.access_token(UserId::new(), role, now);
            self.anyone().with_token(token.unwrap_or_else(|error| panic!("{error:?}")))
        };
        (0..count).map(person).collect()
    }
}

/// A shop on a small Lambda and a database of its own.
pub struct OnLambda {
    shop: Shop,
    /// Where its functions run.
    pub lambda: Lambda,
    /// What they keep.
    pub database: Database,
}

impl Deref for OnLambda {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl Shop {
    /// Opens a shop that has an admin: on the target, whose products, users and orders are not those of the
    /// test alone, else in process.
    pub async fn open() -> Self {
        match target() {
            None => {
                tally("anywhere");
                Self::open_in_process().await.shop
            }
            Some(target) => {
                tally("target");
                let Target { base, admin_email, admin_password } = target;
                let mut shop = Self::with_admin(base.clone(), admin_email, admin_password).await;
                // The test's own: whatever it does to its admin, the others go on.
                shop.admin = shop.person("admin").await;
                shop
            }
        }
    }

    /// Opens a shop in this process, whatever the target is: without products or customers.
    pub async fn open_in_process() -> InProcess {
        Self::open_with_clock(Clock::system()).await
    }

    /// The same, with another clock.
    pub async fn open_with_clock(clock: Clock) -> InProcess {
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        Self::open_at(uri, clock).await
    }

    /// The same, with a limit of so many requests a minute from one address to where one signs in or up, which the admin
    /// of the shop has used one of. It listens as an ordinary service does.
    pub async fn open_limited(clock: Clock, rate_limit_per_address: u32) -> InProcess {
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        Self::open_house(uri, clock, rate_limit_per_address).await
    }

    /// The same, on another MongoDB server: a connection string without a database.
    pub async fn open_at(uri: &str, clock: Clock) -> InProcess {
        Self::open_house(uri, clock, 0).await
    }

    async fn open_house(uri: &str, clock: Clock, rate_limit_per_address: u32) -> InProcess {
        tally("in-process");
        let client = shared::mongo::connect(uri, "tests").await.unwrap_or_else(|error| panic!("{error:?}"));
        let database = client.client().database(&format!("test_{}", Uuid::new_v4().simple()));
        backend::ensure_schema(&database).await.unwrap_or_else(|error| panic!("{error:?}"));
        let signer = Signer::from_secret(JWT_SECRET).unwrap_or_else(|error| panic!("{error:?}"));
        let payment_window = Duration::from_secs(86_400);
        let backend = Backend::build(BackendConfig {
            database: database.clone(),
            signer,
            payment_window,
            rate_limit_per_address,
            clock,
        });

        let listener =
            TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        // Ends with the runtime of the test.
        let function = ServiceApp { router: backend.router(), rpc: None };
        tokio::spawn(socket::serve(listener, function, CallerTrust::Tokens, std::future::pending()));

        let email = "admin@example.com";
        let made = backend.users.service.ensure_admin(email, PASSWORD).await;
        made.unwrap_or_else(|error| panic!("{error:?}"));
        let shop = Self::with_admin(format!("http://{address}"), email, PASSWORD).await;
        InProcess { shop, backend, database }
    }

    /// Opens a shop whose functions are processes, on a small Lambda: without products or customers.
    pub async fn on_lambda() -> OnLambda {
        Self::on_lambda_with(Options::default(), |functions| functions).await
    }

    /// The same, with a Lambda or functions that differ from those of the template.
    pub async fn on_lambda_with(
        options: Options,
        differ: impl FnOnce(Vec<Settings>) -> Vec<Settings>,
    ) -> OnLambda {
        let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error:?}"));
        Self::on_lambda_at(uri, options, differ).await
    }

    /// The same, on another MongoDB server: a connection string without a database.
    pub async fn on_lambda_at(
        uri: &str,
        options: Options,
        differ: impl FnOnce(Vec<Settings>) -> Vec<Settings>,
    ) -> OnLambda {
        tally("lambda");
        let name = format!("test_{}", Uuid::new_v4().simple());
        let uri = uri.replacen("/?", &format!("/{name}?"), 1);
        let database =
            shared::mongo::connect(&uri, "tests").await.unwrap_or_else(|error| panic!("{error:?}"));
        backend::ensure_schema(&database).await.unwrap_or_else(|error| panic!("{error:?}"));
        let email = "admin@example.com";
        let signer = Signer::from_secret(JWT_SECRET).unwrap_or_else(|error| panic!("{error:?}"));
        let (clock, keys) = (Clock::system(), KeyRing::fixed(signer, Clock::system()));
        let users = users::app(users::Dependencies {
            database: database.clone(),
            keys,
            rate_limit_per_address: 0,
            clock,
        });
        let made = users.service.ensure_admin(email, PASSWORD).await;
        made.unwrap_or_else(|error| panic!("{error:?}"));

        // Cargo may have to link the programs: the runtime of the test must go on.
        let functions = tokio::task::spawn_blocking(move || Lambda::functions(&uri, JWT_SECRET)).await;
        let functions = functions.unwrap_or_else(|error| panic!("{error}"));
        let lambda = Lambda::start(differ(functions), options).await;
        let lambda = lambda.unwrap_or_else(|error| panic!("no port: {error}"));
        Self::on(lambda, database).await
    }

    /// The shop on a Lambda that runs already, whose schema step has made the tests' admin.
    pub async fn on(lambda: Lambda, database: Database) -> OnLambda {
        let shop = Self::with_admin(lambda.url.clone(), "admin@example.com", PASSWORD).await;
        OnLambda { shop, lambda, database }
    }

    async fn with_admin(base: String, email: &str, password: &str) -> Self {
        let http = reqwest::Client::new();
        let mut admin = Person::anyone(http.clone(), &base).signs_in(email, password).await;
        admin.id = admin.own_id();
        Self { base, http, admin }
    }

    /// Somebody without a token.
    pub fn anyone(&self) -> Person {
        Person::anyone(self.http.clone(), &self.base)
    }

    /// The first admin.
    pub fn admin(&self) -> Person {
        self.admin.clone()
    }

    /// A new customer, who has signed in.
    pub async fn customer(&self) -> Person {
        self.person("customer").await
    }

    /// A new member of the staff, who has signed in.
    pub async fn staff(&self) -> Person {
        self.person("staff").await
    }

    /// A new user of this role, who has signed in.
    pub async fn person(&self, role: &str) -> Person {
        let email = new_email();
        let user = json!({ "email": email, "password": PASSWORD, "name": "Somebody", "role": role });
        let user = self.admin.post("/users", user).await.expect(201);
        let mut person = self.anyone().signs_in(&email, PASSWORD).await;
        person.id = user.id();
        person
    }

    /// A new active product at 5.00 EUR, with so many pieces on hand. Its ID.
    pub async fn product(&self, on_hand: i64) -> String {
        self.product_with(json!({ "stock": on_hand })).await.id()
    }

    /// A new product, with some fields of its own.
    pub async fn product_with(&self, fields: Value) -> Answer {
        let mut product = json!({
            "sku": new_sku(),
            "name": "Mug",
            "price": { "amount": 500, "currency": "EUR" },
        });
        if let (Some(product), Value::Object(fields)) = (product.as_object_mut(), fields) {
            product.extend(fields);
        }
        self.admin.post("/products", product).await.expect(201)
    }

    /// On hand, reserved and available of a product, as staff see it.
    pub async fn stock(&self, product: &str) -> (i64, i64, i64) {
        let answer = self.admin.get(&format!("/products/{product}")).await.expect(200);
        let count = |field: &str| answer["stock"][field].as_i64().unwrap_or(-1);
        (count("on_hand"), count("reserved"), count("available"))
    }

    /// A new order of a new customer for one piece of a new product, walked to a status by the admin.
    pub async fn order_in(&self, status: &str) -> (Person, String) {
        let customer = self.customer().await;
        let product = self.product(10).await;
        let order = customer.orders(&[(&product, 1)]).await.expect(201).id();
        for step in steps_to(status) {
            self.admin.moves(&order, step).await.expect(200);
        }
        (customer, order)
    }
}

/// The changes that lead to a status. `paid, cancelled` is a cancelled order that was paid.
pub fn steps_to(status: &str) -> &'static [&'static str] {
    match status {
        "paid" => &["paid"],
        "shipped" => &["paid", "shipped"],
        "delivered" => &["paid", "shipped", "delivered"],
        "returned" => &["paid", "shipped", "delivered", "returned"],
        "refunded" => &["paid", "shipped", "delivered", "returned", "refunded"],
        "cancelled" => &["cancelled"],
        "paid, cancelled" => &["paid", "cancelled"],
        _ => &[],
    }
}

/// The body of an order.
pub fn order_of(product: &str, quantity: i64) -> Value {
    json!({ "items": [{ "product_id": product, "quantity": quantity }], "shipping_address": address() })
}

/// An e-mail address that nobody has.
pub fn new_email() -> String {
    format!("{}@example.com", Uuid::new_v4().simple())
}

/// A SKU that no product has.
pub fn new_sku() -> String {
    format!("SKU-{}", Uuid::new_v4().simple())
}
