//! Access to the MongoDB of a run: only with its connection string, which is in a private file alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use mongod::{Data, Mongod};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use serde_json::Value;

use crate::{Folder, Run, database_of, program, refused};

fn is_unauthorized<T>(result: Result<T, mongodb::error::Error>) -> bool {
    let error = result.err();
    matches!(error.as_ref().map(|error| error.kind.as_ref()), Some(ErrorKind::Command(error)) if error.code == 13)
}

/// Splits a connection string into its password and the text after it.
fn password_and_host(uri: &str) -> (String, String) {
    let (user, host) = uri.split_once('@').unwrap();
    (user.rsplit_once(':').unwrap().1.to_owned(), host.to_owned())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn number_of_products(base: &str) -> usize {
    let page = reqwest::get(format!("{base}/products?limit=100")).await.unwrap();
    page.json::<Value>().await.unwrap()["data"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_password_the_shop_is_closed() {
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    let run = Run::start(&mut program(&["--port", "0", "--data", data]));
    let uri = std::fs::read_to_string(folder.0.join("mongodb-uri")).unwrap();
    let (password, host) = password_and_host(&uri);

    let stranger = Client::with_uri_str(format!("mongodb://{}", host.replace("&authSource=admin", "")));
    let shop = stranger.await.unwrap().database("oms");
    let users = shop.collection::<Document>("users");
    assert!(is_unauthorized(users.find_one(doc! {}).await));
    assert!(is_unauthorized(users.update_many(doc! {}, doc! { "$set": { "role": "admin" } }).await));
    assert!(is_unauthorized(shop.drop().await));

    let key_file = folder.0.join("mongodb").join("mongod.key");
    let key = std::fs::read_to_string(&key_file).unwrap();
    assert_eq!(
        [mode(&folder.0), mode(&key_file), mode(&folder.0.join("mongodb-uri"))],
        [0o700, 0o600, 0o600]
    );
    let ps = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
    let processes = String::from_utf8_lossy(&ps.stdout).into_owned();
    assert!(processes.contains("--keyFile"));
    let said = run.said.join("\n");
    run.signal("-TERM");
    let errors = run.errors();
    let log = std::fs::read_to_string(folder.0.join("mongodb").join("mongod.log")).unwrap();
    for public in [processes, said, errors, log] {
        assert!(!public.contains(&password) && !public.contains(&key));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_a_run_opens_its_database() {
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    let run = Run::start(&mut program(&["--port", "0", "--data", data]));
    let Output { status, stdout, .. } = program(&["env", "--data", data]).output().unwrap();
    assert!(status.success());
    let script = format!("{}\nprintf %s \"$MONGO_URI\"", String::from_utf8(stdout).unwrap());
    let uri = Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
    let database = shared::mongo::connect(std::str::from_utf8(&uri).unwrap(), "tests").await.unwrap();
    assert_eq!(database.name(), "oms");
    assert_eq!(database.collection::<Document>("products").count_documents(doc! {}).await.unwrap(), 30);
    run.signal("-TERM");
    assert_eq!(run.ended(), Some(0));
}

// Other systems have no second loopback address.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn containers_need_the_password_and_it_is_enough() {
    // Stands for the gateway of a Docker network.
    let gateway = std::net::IpAddr::from([127, 0, 0, 2]);
    let binary = mongod::find_or_fetch(&|_| ()).unwrap();
    let options =
        mongod::Options::new(binary, Data::Ephemeral).further_address(Some(gateway)).with_password();
    let mongod = Mongod::start(options).await.unwrap();
    let uri = local::env::for_containers(mongod.uri(), gateway);
    let items = shared::mongo::connect(&uri, "tests").await.unwrap().collection::<Document>("items");
    items.insert_one(doc! {}).await.unwrap();
    let (_, host) = password_and_host(&uri);
    assert!(host.starts_with(&format!("{gateway}:{}", mongod.port())));
    let stranger = Client::with_uri_str(format!("mongodb://{}", host.replace("authSource=admin&", "")));
    let items = stranger.await.unwrap().database("oms").collection::<Document>("items");
    assert!(is_unauthorized(items.find_one(doc! {}).await));
    mongod.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_from_before_passwords_is_opened_and_kept() {
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    // A build from before had its MongoDB in the same place, without a password.
    let binary = mongod::find_or_fetch(&|_| ()).unwrap();
    let old = mongod::Options::new(binary, Data::Folder(folder.0.join("mongodb")));
    let old = Mongod::start(old).await.unwrap();
    let run = Run::start(program(&["--port", "0", "--data", data]).env("MONGO_URI", old.uri()));
    assert_eq!(number_of_products(&run.base).await, 30);
    run.signal("-TERM");
    assert_eq!(run.ended(), Some(0));
    // It left a file that others could read.
    let note = folder.0.join("mongodb-uri");
    std::fs::write(&note, old.uri()).unwrap();
    std::fs::set_permissions(&note, std::fs::Permissions::from_mode(0o644)).unwrap();
    old.stop().await;

    for _ in 0..2 {
        let run = Run::start(&mut program(&["--port", "0", "--no-demo", "--data", data]));
        assert_eq!(number_of_products(&run.base).await, 30);
        assert_eq!(mode(&note), 0o600);
        let products = database_of(&folder).await.collection::<Document>("products");
        assert_eq!(products.count_documents(doc! {}).await.unwrap(), 30);
        run.signal("-KILL");
        run.ended();
    }
}

#[test]
fn the_database_of_another_shop_is_not_taken_for_ones_own() {
    let (killed, other) = (Folder::new(), Folder::new());
    let run = Run::start(&mut program(&["--port", "0", "--no-demo", "--data", other.0.to_str().unwrap()]));
    // A killed run has left its file, and the other shop has its port by now.
    let uri = std::fs::read_to_string(other.0.join("mongodb-uri")).unwrap();
    let (password, host) = password_and_host(&uri);
    let stale = format!("mongodb://oms:{}@{host}", "0".repeat(password.len()));
    std::fs::write(killed.0.join("mongodb-uri"), stale).unwrap();
    for command in ["check", "env"] {
        let says = refused(&mut program(&[command, "--data", killed.0.to_str().unwrap()]));
        assert!(says.contains("no MongoDB is running"), "{says}");
    }
    run.signal("-TERM");
    assert_eq!(run.ended(), Some(0));
}

#[test]
fn a_password_in_a_wrong_uri_is_not_printed() {
    for uri in [
        "mongodb://me:hunter2@x@127.0.0.1/",
        "mongodb://me:hunter2/x@127.0.0.1/",
        "mongodb://me:hunter2:x@h/",
    ] {
        for command in [&["--ephemeral", "--port", "0"][..], &["schema"]] {
            let mut run = program(command);
            run.env("MONGO_URI", uri)
                .env("ADMIN_EMAIL", "you@example.com")
                .env("ADMIN_PASSWORD", "coffee and tea");
            let says = refused(&mut run);
            assert!(says.contains("MONGO_URI") && !says.contains("hunter2"), "{says}");
        }
    }
}
