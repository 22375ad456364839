//! Bad clients of `cargo local`: silent ones, some that hang up, and a page under a foreign name.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::{Folder, Run, configured, database_of, program, sign_in};

/// More than a process with a limit of 1,024 open files can have.
const SILENT: usize = 1_100;

/// The program, started by a shell with this limit of open files.
fn program_with_few_files(arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -Sn 1024; exec "$0" "$@""#, env!("CARGO_BIN_EXE_oms-local")]);
    configured(shell, arguments)
}

/// IDs of orders for which stock is held.
async fn held_for(database: &Database) -> BTreeSet<String> {
    let held = doc! { "pending.o": { "$exists": true } };
    let mut ids = database.collection::<Document>("stock").distinct("pending.o", held).await.unwrap();
    ids.extend(database.collection::<Document>("stock_holds").distinct("_id", doc! {}).await.unwrap());
    ids.iter().map(Bson::to_string).collect()
}

/// IDs of all orders.
async fn order_ids(database: &Database) -> BTreeSet<String> {
    let ids = database.collection::<Document>("orders").distinct("_id", doc! {}).await.unwrap();
    ids.iter().map(Bson::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_clients_neither_stop_cargo_local_nor_break_it() {
    // This test has as many connections as the program.
    let own = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: own.maximum, ..own }).unwrap();
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    let run = Run::start(&mut program_with_few_files(&["--port", "0", "--data", data]));
    let address = run.base.trim_start_matches("http://").to_owned();
    let http = reqwest::Client::new();

    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    let health = http.get(format!("{}/health", run.base)).send().await.unwrap();
    assert_eq!(health.status(), 200);
    // It made room, or raised its limit of files.
    drop(silent);

    for (path, host, status) in [
        ("/health", "evil.example:8080", 421),
        ("/docs", "evil.example:8080", 421),
        ("/docs", "localhost:8080", 200),
    ] {
        let answer = http.get(format!("{}{path}", run.base)).header("host", host).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path} of {host}");
    }

    let token = sign_in(&run.base, local::demo::CUSTOMER, local::demo::PASSWORD).await;
    let products: Value = http
        .get(format!("{}/products?limit=1&in_stock=true", run.base))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let product = products["data"][0]["id"].as_str().unwrap();
    let clients = (0..60_u64).map(|number| {
        let address = json!({ "line1": "1 Way", "city": "Bonn", "country": "DE" });
        let order =
            json!({ "items": [{ "product_id": product, "quantity": 1 }], "shipping_address": address });
        // A connection of its own, which ends with it.
        let request =
            reqwest::Client::new().post(format!("{}/orders", run.base)).bearer_auth(&token).json(&order);
        async move {
            // What came of it is asked of the database.
            drop(tokio::time::timeout(Duration::from_millis(number * 40 / 60), request.send()).await);
        }
    });
    futures::future::join_all(clients).await;

    // The stop waits for the work whose clients have gone, and for no silent connection.
    let mut kept = TcpStream::connect(&address).await.unwrap();
    run.signal("-TERM");
    assert_eq!(kept.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(run.ended(), Some(0));
    let again = Run::start(&mut program(&["--port", "0", "--data", data]));
    let database = database_of(&folder).await;
    let (held_for, orders) = (held_for(&database).await, order_ids(&database).await);
    assert!(!held_for.is_empty() && held_for.is_subset(&orders), "{:?}", held_for.difference(&orders));
    let checked = program(&["check", "--data", data]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    again.signal("-TERM");
    assert_eq!(again.ended(), Some(0));
}
