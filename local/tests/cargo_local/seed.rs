//! `cargo local seed`: a large shop, as consistent as if it had been run for years.

use std::process::Output;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use crate::{Folder, Run, database_of, program, refused, sign_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_shop_is_consistent_and_its_orders_continue() {
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    let run = Run::start(&mut program(&["--port", "0", "--data", data, "--no-demo"]));
    let amounts = ["--products", "60", "--orders", "700", "--users", "40"];
    let load = || {
        let Output { status, stderr, .. } =
            program(&["seed", "--data", data]).args(amounts).output().unwrap();
        let says = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{says}");
        assert!(says.contains("loaded 60 products, 700 orders and 40 users"), "{says}");
    };
    load();
    // The second run adds to the first.
    load();
    let checked = program(&["check", "--data", data]).output().unwrap();
    let says = String::from_utf8(checked.stdout).unwrap();
    assert!(says.contains("120 products and 1400 orders: nothing is wrong"), "{says}");
    // The check spends most time on held stock; and the validators were there when all was written.
    let database = database_of(&folder).await;
    let holds = database.collection::<Document>("stock_holds");
    assert!(holds.count_documents(doc! { "live": true }).await.unwrap() > 10);

    let settings: Value =
        serde_json::from_slice(&std::fs::read(folder.0.join("local.json")).unwrap()).unwrap();
    let [email, password] = ["admin_email", "admin_password"].map(|it| settings[it].as_str().unwrap());
    let admin = sign_in(&run.base, email, password).await;
    let http = reqwest::Client::new();
    let get = async |path: &str| -> Value {
        let answer = http.get(format!("{}{path}", run.base)).bearer_auth(&admin).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    };
    let mut lengths = Vec::new();
    for list in ["/products", "/orders", "/users"] {
        let (mut length, mut cursor) = (0, String::new());
        loop {
            let page = get(&format!("{list}?limit=100{cursor}")).await;
            length += page["data"].as_array().unwrap().len();
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        lengths.push(length);
    }
    // The first admin is one of the users.
    assert_eq!(lengths, [120, 1400, 81]);
    for status in ["placed", "paid", "shipped", "delivered", "cancelled", "returned", "refunded"] {
        let page = get(&format!("/orders?status={status}")).await;
        assert!(!page["data"].as_array().unwrap().is_empty(), "no order is {status}");
    }

    // An unpaid order is paid and shipped, and its units leave the warehouse.
    let order = get("/orders?status=placed&limit=1").await["data"][0].clone();
    let (id, item) = (order["id"].as_str().unwrap(), &order["items"][0]);
    let product = format!("/products/{}", item["product_id"].as_str().unwrap());
    let before = get(&product).await["stock"].clone();
    let moves = async |body: Value| {
        let url = format!("{}/orders/{id}", run.base);
        let answer = http.put(url).bearer_auth(&admin).json(&body).send().await.unwrap();
        answer.error_for_status().unwrap().json::<Value>().await.unwrap()
    };
    moves(json!({ "status": "paid", "payment": { "reference": "pi_1" } })).await;
    let shipped = json!({ "status": "shipped", "tracking": { "carrier": "DHL", "number": "1" } });
    assert_eq!(moves(shipped).await["version"], 3);
    let after = get(&product).await["stock"].clone();
    for count in ["on_hand", "reserved"] {
        let less = before[count].as_i64().unwrap() - after[count].as_i64().unwrap();
        assert_eq!(less, item["quantity"].as_i64().unwrap(), "{count}");
    }
    let newest = get(&format!("{product}/stock/movements?limit=1")).await["data"][0].clone();
    assert_eq!((&newest["reason"], &newest["order_id"]), (&json!("shipped"), &json!(id)));
    let checked = program(&["check", "--data", data]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    // Loaded users can sign in.
    let users = get("/users?role=customer&status=active&limit=1").await;
    let customer =
        sign_in(&run.base, users["data"][0]["email"].as_str().unwrap(), local::demo::PASSWORD).await;
    let own = http.get(format!("{}/orders", run.base)).bearer_auth(customer).send().await.unwrap();
    assert_eq!(own.status(), 200);
    run.signal("-TERM");
    assert_eq!(run.ended(), Some(0));
}

#[test]
fn a_remote_database_is_seeded_only_on_request() {
    let folder = Folder::new();
    let mut load = program(&["seed", "--data", folder.0.to_str().unwrap()]);
    let says = refused(load.env("MONGO_URI", "mongodb://db.example.net/oms"));
    assert!(says.contains("not on this machine") && says.contains("--remote"), "{says}");
}

#[test]
fn load_is_an_alias_of_seed() {
    let help = |command| {
        let Output { status, stdout, .. } = program(&[command, "--help"]).output().unwrap();
        assert!(status.success());
        String::from_utf8(stdout).unwrap()
    };
    assert!(help("seed").contains("Usage: cargo local seed"), "{}", help("seed"));
    assert_eq!(help("load"), help("seed"));
}
