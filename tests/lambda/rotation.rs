//! Secrets that are rotated in Secrets Manager, while requests run.
//!
//! These need moto, which takes a minute to install; `.ci/run` runs them:
//! `cargo test --test lambda -- --ignored`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use mongodb::Database;
use mongodb::bson::doc;
use serde_json::{Value, json};
use shared::auth::Signer;
use shared::mongo;
use shared::runtime::lambda::Host;
use shared::values::clock::Clock;
use users::tokens::KeyRing;
use uuid::Uuid;

use crate::cloud::SecretsManager;
use crate::lambda::{Lambda, request};

const PASSWORD: &str = "correct horse battery staple";
const ADMIN: &str = "admin@example.com";

/// The functions, with their secrets in Secrets Manager.
struct Deployment {
    cloud: SecretsManager,
    lambda: Lambda,
    database: Database,
    jwt_secret: String,
    mongo_uri: String,
    /// Seconds that the functions' clock is ahead.
    ahead: Arc<AtomicU64>,
}

impl Deployment {
    async fn start() -> Self {
        let uri = mongod::shared_for_tests().await.unwrap();
        let name = format!("test_{}", Uuid::new_v4().simple());
        let uri = uri.replacen("/?", &format!("/{name}?"), 1);
        let database = mongo::connect(&uri, "tests").await.unwrap();
        local::backend::ensure_schema(&database).await.unwrap();
        let signer = Signer::from_secret(&secret(0)).unwrap();
        let keys = KeyRing::fixed(signer, Clock::system());
        let parts = users::Dependencies {
            database: database.clone(),
            keys,
            rate_limit_per_address: 0,
            clock: Clock::system(),
        };
        users::app(parts).service.ensure_admin(ADMIN, PASSWORD).await.unwrap();

        let cloud = SecretsManager::start().await;
        let jwt_secret = cloud.keeps(&secret(0)).await;
        let mongo_uri = cloud.keeps(&uri).await;
        let (lambda, ahead) = (Lambda::start().await, Arc::default());
        let deployment = Self { cloud, lambda, database, jwt_secret, mongo_uri, ahead };
        deployment.starts_users().await;
        deployment.starts_users().await;
        let variables = deployment.variables();
        let products = products::environment::Environment::read(variables, deployment.clock()).unwrap();
        let products = Host::new(move || products.clone().build(), deployment.clock());
        deployment.lambda.starts("products", products).await;
        let variables = deployment.variables();
        let orders = orders::environment::Environment::read(variables, deployment.clock()).unwrap();
        let orders = Host::new(move || orders.clone().build(), deployment.clock());
        deployment.lambda.starts("orders", orders).await;
        deployment
    }

    fn variables(&self) -> shared::runtime::config::Variables {
        self.lambda.variables(&[
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.cloud.endpoint),
            ("MONGO_URI_ARN", &self.mongo_uri),
            ("JWT_SECRET_ARN", &self.jwt_secret),
        ])
    }

    /// The machine's clock, and what a test adds; what Lambda says of deadlines is beyond it then.
    fn clock(&self) -> Clock {
        let (system, ahead) = (Clock::system(), self.ahead.clone());
        Clock::from_fn(move || system.now().after(Duration::from_secs(ahead.load(Ordering::SeqCst))))
    }

    /// A cold start of the users function.
    async fn starts_users(&self) -> Arc<Host> {
        let users = users::environment::Environment::read(self.variables(), self.clock()).unwrap();
        self.lambda.starts("users", Host::new(move || users.clone().build(), self.clock())).await
    }

    async fn ask(&self, function: &str, method: &str, path: &str, token: &str, body: Option<Value>) -> Value {
        let answer = request(&self.lambda.environment(function), method, path, Some(token), body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.body
    }

    async fn status_of(&self, function: &str, path: &str, token: &str) -> u64 {
        request(&self.lambda.environment(function), "GET", path, Some(token), None).await.status
    }

    async fn signs_in(&self) -> String {
        signs_in_at(&self.lambda.environment("users")).await
    }
}

async fn signs_in_at(users: &Host) -> String {
    let body = json!({ "email": ADMIN, "password": PASSWORD });
    let answer = request(users, "POST", "/auth", None, Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["access_token"].as_str().unwrap().to_owned()
}

fn secret(generation: usize) -> String {
    format!("the secret of generation {generation:08}, long enough")
}

#[tokio::test]
#[ignore = "needs moto, which takes a minute to install: .ci/run"]
async fn rotating_a_signing_secret_fails_no_request() {
    let shop = Deployment::start().await;
    let token = shop.signs_in().await;
    let price = json!({ "amount": 100, "currency": "EUR" });
    let product = json!({ "sku": "MUG", "name": "Mug", "price": price, "stock": 100_000 });
    let product = shop.ask("products", "POST", "/products", &token, Some(product)).await["id"].clone();
    let address = json!({ "line1": "1 Analytical Way", "city": "London", "country": "GB" });
    let order = json!({ "items": [{ "product_id": product, "quantity": 1 }], "shipping_address": address });

    let (stop, rounds) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    let client = async |rounds: &AtomicUsize| {
        while !stop.load(Ordering::SeqCst) {
            let token = shop.signs_in().await;
            shop.ask("orders", "POST", "/orders", &token, Some(order.clone())).await;
            shop.ask(
                "products",
                "PUT",
                &format!("/products/{}", product.as_str().unwrap()),
                &token,
                Some(json!({ "description": null })),
            )
            .await;
            shop.ask("users", "GET", "/users", &token, None).await;
            rounds.fetch_add(1, Ordering::SeqCst);
        }
    };
    // A token lives as long as two secrets, and each client must get a new one.
    let all_go_on = async || {
        let before = rounds.each_ref().map(|round| round.load(Ordering::SeqCst));
        while rounds.iter().zip(before).any(|(round, before)| round.load(Ordering::SeqCst) < before + 2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // Two make a token outlive its key; the rest repeats them under load.
    let generations = if std::env::var("OMS_LONG").is_ok_and(|long| long == "1") { 20 } else { 3 };
    let rotations = async {
        for generation in 1..=generations {
            shop.cloud.rotates(&shop.jwt_secret, &secret(generation)).await;
            // One environment knows it now; the other one only hears of it by the tokens that it signs.
            let newest = shop.starts_users().await;
            shop.lambda.retires_oldest("users");
            all_go_on().await;
            // By chance the other one may have met no such token yet. Until it does, or for a minute, it signs with
            // the old key, and a rotation within that minute would leave its tokens without one.
            let token = signs_in_at(&newest).await;
            for users in shop.lambda.environments("users") {
                assert_eq!(request(&users, "GET", "/users", Some(&token), None).await.status, 200);
            }
            all_go_on().await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(rotations, join_all(rounds.iter().map(client)));
}

#[tokio::test]
#[ignore = "needs moto, which takes a minute to install: .ci/run"]
async fn a_token_outlives_one_rotation_and_not_two() {
    let shop = Deployment::start().await;
    let old = shop.signs_in().await;
    let everywhere = async |token: &str| {
        let users = shop.status_of("users", "/users", token).await;
        let orders = shop.status_of("orders", "/orders", token).await;
        [users, orders]
    };
    assert_eq!(everywhere(&old).await, [200, 200]);
    for (generation, statuses) in [(1, [200, 200]), (2, [401, 401])] {
        shop.cloud.rotates(&shop.jwt_secret, &secret(generation)).await;
        shop.ahead.fetch_add(61, Ordering::SeqCst);
        // What was known is a minute old, so the new secret signs.
        let new = shop.signs_in().await;
        assert_eq!(everywhere(&new).await, [200, 200]);
        assert_eq!(everywhere(&old).await, statuses, "after rotation {generation}");
    }
}

#[tokio::test]
#[ignore = "needs moto, which takes a minute to install: .ci/run"]
async fn a_secret_that_becomes_too_short_stops_no_environment() {
    let shop = Deployment::start().await;
    shop.cloud.rotates(&shop.jwt_secret, "short").await;
    shop.ahead.fetch_add(61, Ordering::SeqCst);
    let token = shop.signs_in().await;
    assert_eq!(shop.status_of("orders", "/orders", &token).await, 200);

    let cold = shop.starts_users().await;
    let answer = request(&cold, "GET", "/users", Some(&token), None).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    shop.cloud.rotates(&shop.jwt_secret, &secret(1)).await;
    let token = signs_in_at(&cold).await;
    let answer = request(&cold, "GET", "/users", Some(&token), None).await;
    assert_eq!(answer.status, 200, "mended in Secrets Manager, without a deployment: {answer:?}");
}

#[tokio::test]
#[ignore = "needs moto, which takes a minute to install: .ci/run"]
async fn replacing_a_database_user_fails_no_request() {
    let shop = Deployment::start().await;
    let admin = shop.database.client().database("admin");
    let name = |generation: usize| format!("{}_{generation}", shop.database.name());
    let appears = async |generation: usize| {
        let role = doc! { "role": "readWrite", "db": shop.database.name() };
        let command = doc! { "createUser": name(generation), "pwd": "p", "roles": [role] };
        admin.run_command(command).await.unwrap();
        let hosts = mongod::shared_for_tests().await.unwrap().strip_prefix("mongodb://").unwrap();
        let (host, options) = hosts.split_once("/?").unwrap();
        // Connections that end at once, as in a freeze: each request has to open one. Whoever was waiting for one
        // when another was refused waits for as long as for a server that is away.
        let uri = format!(
            "mongodb://{}:p@{host}/{}?{options}&authSource=admin&maxIdleTimeMS=1&serverSelectionTimeoutMS=500",
            name(generation),
            shop.database.name()
        );
        shop.cloud.rotates(&shop.mongo_uri, &uri).await;
    };
    appears(0).await;
    let variables = shop.variables();
    let orders = orders::environment::Environment::read(variables, shop.clock()).unwrap();
    let builds = Arc::new(AtomicUsize::new(0));
    let (count, clock) = (builds.clone(), shop.clock());
    let build = move || {
        count.fetch_add(1, Ordering::SeqCst);
        orders.clone().build()
    };
    shop.lambda.starts("orders", Host::new(build, clock)).await;
    shop.lambda.retires_oldest("orders");
    let token = shop.signs_in().await;
    for generation in 1..=4 {
        appears(generation).await;
        admin.run_command(doc! { "dropUser": name(generation - 1) }).await.unwrap();
        for _ in 0..5 {
            join_all((0..4).map(|_| shop.ask("orders", "GET", "/orders", &token, None))).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            builds.load(Ordering::SeqCst),
            1 + generation,
            "the secret was fetched once for each user"
        );
    }
    admin.run_command(doc! { "dropUser": name(4) }).await.unwrap();
}
