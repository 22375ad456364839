//! The functions under the least rights of `local/mongodb-roles.json`, on a server that knows its users: all of them work,
//! and none may touch what is another's.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::future::join_all;
use local::roles::Role;
use mongodb::Database;
use mongodb::bson::doc;
use serde_json::json;
use shared::auth::Signer;
use shared::mongo;
use shared::values::clock::Clock;
use tests::JWT_SECRET;
use tests::lambda::{Lambda, Options};
use tests::on_lambda::OnLambda;
use tests::person::PASSWORD;
use tests::shop::order_of;
use tokio::process::{Child, Command};
use users::tokens::KeyRing;
use uuid::Uuid;

/// The code of what somebody has no right to.
const UNAUTHORIZED: i32 = 13;

/// The database of the functions.
const NAME: &str = "oms";

/// A server that knows its users. It ends with us, also if we are killed: the shell in between waits for our end of a
/// pipe.
struct Guarded {
    _shell: Child,
    folder: PathBuf,
    port: u16,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Guarded {
    async fn start() -> Self {
        let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|_| {})).await.unwrap().unwrap();
        let folder = std::env::temp_dir().join(format!("oms-guarded-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).unwrap();
        let key = folder.join("key");
        let mut file = std::fs::OpenOptions::new();
        let mut file = file.write(true).create_new(true).mode(0o600).open(&key).unwrap();
        std::io::Write::write_all(&mut file, Uuid::new_v4().simple().to_string().as_bytes()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let shell = Command::new("/bin/sh")
            .args(["-c", "\"$@\" > /dev/null & mongod=$!; read -r _; kill -KILL $mongod", "guarded"])
            .arg(binary)
            .args([
                "--replSet",
                "rs0",
                "--bind_ip",
                "127.0.0.1",
                "--nounixsocket",
                "--wiredTigerCacheSizeGB",
                "0.25",
            ])
            .args(["--port", &port.to_string(), "--dbpath"])
            .arg(&folder)
            .arg("--keyFile")
            .arg(&key)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self { _shell: shell, folder, port };
        // Whoever is on this machine may do this much as long as there are no users.
        let admin = server.connect("", "admin", "directConnection=true").await;
        let member = doc! { "_id": 0, "host": format!("127.0.0.1:{port}") };
        let config = doc! { "replSetInitiate": { "_id": "rs0", "members": [member] } };
        server.eventually(async || admin.run_command(config.clone()).await.is_ok()).await;
        let owner = doc! { "createUser": "owner", "pwd": "owner-pwd", "roles": ["root"] };
        server.eventually(async || admin.run_command(owner.clone()).await.is_ok()).await;
        server
    }

    async fn eventually(&self, done: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !done().await {
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not get ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn uri(&self, credentials: &str, database: &str, options: &str) -> String {
        format!("mongodb://{credentials}127.0.0.1:{}/{database}?{options}", self.port)
    }

    async fn connect(&self, credentials: &str, database: &str, options: &str) -> Database {
        mongo::connect(&self.uri(credentials, database, options), "tests").await.unwrap()
    }

    /// The connection string of a user of the functions' database.
    fn uri_of(&self, user: &str) -> String {
        let options = format!("replicaSet=rs0&authSource={NAME}");
        self.uri(&format!("{user}:{user}-pwd@"), NAME, &options)
    }
}

async fn shop_under_roles(server: &Guarded, roles: &[Role]) -> OnLambda {
    let owner = server.connect("owner:owner-pwd@", NAME, "replicaSet=rs0&authSource=admin").await;
    for role in roles {
        // Several at once, and again, change nothing.
        for _ in 0..2 {
            for made in join_all((0..4).map(|_| role.make(&owner))).await {
                made.unwrap();
            }
            let password = format!("{}-pwd", role.user());
            for made in join_all((0..4).map(|_| role.make_user(&owner, &password))).await {
                made.unwrap();
            }
        }
    }
    let schema = mongo::connect(&server.uri_of("schema"), "tests").await.unwrap();
    local::backend::ensure_schema(&schema).await.unwrap();
    let keys = KeyRing::fixed(Signer::from_secret(JWT_SECRET).unwrap(), Clock::system());
    let step =
        users::Dependencies { database: schema, keys, rate_limit_per_address: 0, clock: Clock::system() };
    users::app(step).service.ensure_admin("admin@example.com", PASSWORD).await.unwrap();

    let uri = server.uri_of("nobody");
    let functions = tokio::task::spawn_blocking(move || Lambda::functions(&uri, JWT_SECRET)).await.unwrap();
    let functions = functions.into_iter().map(|function| {
        let uri = server.uri_of(&function.name);
        match function.name.as_str() {
            // They have no database.
            "docs" | "console" => function,
            // With its limits, so that it also counts.
            "orders" => function
                .variable("MONGO_URI", &uri)
                .variable("MAX_OPEN_ORDERS", "20")
                .variable("ORDER_RATE_PER_CUSTOMER", "60"),
            _ => function.variable("MONGO_URI", &uri),
        }
    });
    let lambda = Lambda::start(functions.collect(), Options::default()).await.unwrap();
    OnLambda::on(lambda, owner).await
}

#[tokio::test]
async fn every_function_works_with_its_own_rights_and_has_no_others() {
    let (server, roles) = (Guarded::start().await, Role::all().unwrap());
    let shop = shop_under_roles(&server, &roles).await;
    journey(&shop).await;

    let collections: Vec<&String> = roles.iter().flat_map(|role| role.collections.keys()).collect();
    let mut refused = 0;
    for role in roles.iter().filter(|role| role.user() != "schema") {
        let database = mongo::connect(&server.uri_of(role.user()), "tests").await.unwrap();
        for name in collections.iter().filter(|name| !name.is_empty()) {
            let own = role.collections.get(*name).cloned().unwrap_or_default();
            for (action, command) in [
                ("find", doc! { "find": *name }),
                ("insert", doc! { "insert": *name, "documents": [{}] }),
                (
                    "update",
                    doc! { "update": *name, "updates": [{ "q": { "_id": 0 }, "u": { "$set": { "a": 1 } } }] },
                ),
                ("remove", doc! { "delete": *name, "deletes": [{ "q": { "_id": 0 }, "limit": 1 }] }),
                ("dropCollection", doc! { "drop": *name }),
                ("collMod", doc! { "collMod": *name, "validator": {} }),
                (
                    "createIndex",
                    doc! { "createIndexes": *name, "indexes": [{ "key": { "a": 1 }, "name": "a" }] },
                ),
            ] {
                if own.iter().any(|own| own == action) {
                    continue;
                }
                let error = database.run_command(command).await.unwrap_err();
                assert_eq!(code(&error), Some(UNAUTHORIZED), "{} {action} {name}: {error}", role.role);
                refused += 1;
            }
        }
        for command in [
            doc! { "dropDatabase": 1 },
            doc! { "usersInfo": 1 },
            doc! { "createUser": "x", "pwd": "x", "roles": ["readWrite"] },
        ] {
            assert_eq!(
                code(&database.run_command(command).await.unwrap_err()),
                Some(UNAUTHORIZED),
                "{}",
                role.role
            );
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
}

fn code(error: &mongodb::error::Error) -> Option<i32> {
    match error.kind.as_ref() {
        mongodb::error::ErrorKind::Command(error) => Some(error.code),
        _ => None,
    }
}

/// Requests that use every part of every function.
async fn journey(shop: &OnLambda) {
    let (ada, admin) = (shop.customer().await, shop.admin());
    let (mug, cup) = (shop.product(10).await, shop.product(10).await);
    let path = format!("/products/{mug}");
    admin.put(&path, json!({ "description": "round" })).await.expect(200);
    let count = json!({ "delta": 2, "reason": "count" });
    admin.send_keyed(http::Method::PUT, &format!("{path}/stock"), "a-count", &count).await.expect(200);
    admin.get(&format!("{path}/stock/movements")).await.expect(200);
    shop.anyone().get("/products").await.expect(200);

    let order =
        ada.send_keyed(http::Method::POST, "/orders", "an-order", &order_of(&mug, 2)).await.expect(201).id();
    ada.send_keyed(http::Method::POST, "/orders", "an-order", &order_of(&mug, 2)).await.expect(201);
    let items =
        json!({ "items": [{ "product_id": mug, "quantity": 1 }, { "product_id": cup, "quantity": 3 }] });
    ada.put(&format!("/orders/{order}"), items).await.expect(200);
    for status in ["paid", "shipped", "delivered"] {
        admin.moves(&order, status).await.expect(200);
    }
    admin
        .put(&format!("/orders/{order}"), json!({ "status": "returned", "restock": true }))
        .await
        .expect(200);
    let other = ada.orders(&[(&mug, 1), (&cup, 1)]).await.expect(201).id();
    ada.moves(&other, "cancelled").await.expect(200);
    ada.get("/orders").await.expect(200);
    admin.get("/orders/consistency").await.expect(200);
    reconciles(shop).await;

    let path = format!("/users/{}", ada.id);
    ada.put(&path, json!({ "phone": "+49 228 1" })).await.expect(200);
    shop.anyone()
        .post("/auth", json!({ "email": ada.email, "password": "not the password" }))
        .await
        .expect(401);
    admin.get("/users").await.expect(200);
    let user = json!({ "email": "bob@example.com", "password": PASSWORD, "name": "Bob" });
    shop.anyone().send_keyed(http::Method::POST, "/users", "a-sign-up", &user).await.expect(201);
    admin.put(&path, json!({ "role": "admin" })).await.expect(200);
    admin.delete(&path).await.expect(204);
    assert_eq!((shop.stock(&mug).await, shop.stock(&cup).await), ((12, 0, 12), (10, 0, 10)));
}

/// Call that the schedule makes every minute.
async fn reconciles(shop: &OnLambda) {
    let event = include_str!("../../local/events/orders-reconcile.json");
    let url = format!("{}/2015-03-31/functions/orders/invocations", shop.lambda.endpoint);
    let answer = reqwest::Client::new().post(url).body(event).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(answer["grpc"]["trailers"], json!([["grpc-status", "0"]]), "{answer}");
}
