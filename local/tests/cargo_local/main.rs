//! `cargo local` as its users see it: the real program, its real output, its real signals.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how one fails")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

mod access;
mod bad_clients;
mod seed;

/// Longer than any start here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Folder that is removed at the end of the test. Its name has a space, as folders of users may.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("cargo local {}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Run of the program that has printed `ready`.
struct Run {
    child: Child,
    base: String,
    said: Vec<String>,
    errors: JoinHandle<String>,
}

fn program(arguments: &[&str]) -> Command {
    configured(Command::new(env!("CARGO_BIN_EXE_oms-local")), arguments)
}

/// A command that runs the program, with these arguments and an environment that is known.
fn configured(mut command: Command, arguments: &[&str]) -> Command {
    for variable in
        ["MONGO_URI", "MONGO_URI_ARN", "JWT_SECRET", "ADMIN_EMAIL", "ADMIN_PASSWORD", "ADMIN_PASSWORD_ARN"]
    {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Run {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        // Read to its end, so that the program never blocks on the pipe.
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        for line in lines.by_ref().map_while(Result::ok) {
            said.push(line);
            if said.last().is_some_and(|line| line.starts_with("Ctrl-C")) {
                break;
            }
        }
        let Some(base) = said.iter().find_map(|line| line.strip_prefix("ready ")) else {
            panic!("not ready: {said:?}; {}", errors.join().unwrap());
        };
        Self { child, base: base.to_owned(), said, errors }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Returns all that it has written to standard error, at its end.
    fn errors(self) -> String {
        self.errors.join().unwrap()
    }

    fn ended(mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Returns the lines that it printed for the user to paste.
    fn curl_lines(&self) -> String {
        let pasted = self.said.iter().filter(|line| line.starts_with("curl") || line.starts_with("TOKEN="));
        pasted.cloned().collect::<Vec<_>>().join("\n")
    }
}

/// Runs a program that must fail, and returns its errors.
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

/// Returns true if any process has this folder in its command line.
fn has_processes(folder: &Path) -> bool {
    let listed = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).contains(folder.to_str().unwrap())
}

fn assert_no_processes(folder: &Path) {
    let started = Instant::now();
    while has_processes(folder) {
        assert!(started.elapsed() < PATIENCE, "something is left running in {}", folder.display());
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

async fn sign_in(base: &str, email: &str, password: &str) -> String {
    let body = json!({ "email": email, "password": password });
    let answer: Value = reqwest::Client::new()
        .post(format!("{base}/auth"))
        .json(&body)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_all_acknowledged_orders_are_there() {
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    let run = Run::start(&mut program(&["--port", "0", "--data", data]));
    let base = run.base.clone();
    let token = sign_in(&base, local::demo::CUSTOMER, local::demo::PASSWORD).await;
    let http = reqwest::Client::new();
    let products: Value =
        http.get(format!("{base}/products?limit=100")).send().await.unwrap().json().await.unwrap();
    let product = products["data"][0]["id"].as_str().unwrap().to_owned();

    // Orders are placed until the program dies in the middle of one.
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let placing = tokio::spawn({
        let (http, base, token, product) = (http.clone(), base.clone(), token.clone(), product.clone());
        async move {
            let address = json!({ "line1": "1 Way", "city": "Bonn", "country": "DE" });
            let order =
                json!({ "items": [{ "product_id": product, "quantity": 1 }], "shipping_address": address });
            loop {
                let request = http.post(format!("{base}/orders")).bearer_auth(&token).json(&order);
                let Ok(answer) = request.send().await else { return };
                let Ok(order) = answer.json::<Value>().await else { return };
                sender.send(order["id"].as_str().unwrap().to_owned()).unwrap();
            }
        }
    });
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 20 {
        acknowledged.push(receiver.recv().await.unwrap());
    }
    run.signal("-KILL");
    placing.await.unwrap();
    while let Ok(id) = receiver.try_recv() {
        acknowledged.push(id);
    }
    assert_eq!(run.ended(), None);

    // The same port, the same folder, at once.
    let port = base.rsplit(':').next().unwrap().to_owned();
    let again = Run::start(&mut program(&["--port", &port, "--data", data]));
    // The secret was kept: the old token is still good.
    for id in &acknowledged {
        let answer =
            http.get(format!("{}/orders/{id}", again.base)).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "the order {id} is lost");
    }
    again.signal("-TERM");
    assert_eq!(again.ended(), Some(0));
    assert_no_processes(&folder.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_everything_and_a_restart_finds_the_data() {
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    let run =
        Run::start(program(&["--port", "0", "--data", data]).env("ADMIN_PASSWORD", "a password of mine"));
    let base = run.base.clone();
    let token = sign_in(&base, "admin@example.com", "a password of mine").await;
    let http = reqwest::Client::new();
    let product = json!({ "sku": "KEPT", "name": "Kept", "price": { "amount": 1, "currency": "EUR" } });
    let made = http.post(format!("{base}/products")).bearer_auth(&token).json(&product).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let location = made.headers()["location"].to_str().unwrap().to_owned();
    run.signal("-INT");
    assert_eq!(run.ended(), Some(0));
    assert_no_processes(&folder.0);

    let again = Run::start(&mut program(&["--port", "0", "--data", data]));
    let found = http.get(format!("{}{location}", again.base)).send().await.unwrap();
    assert_eq!(found.status(), 200);
    again.signal("-TERM");
    assert_eq!(again.ended(), Some(0));
}

/// Connects to the database of a run, without its API.
async fn database_of(folder: &Folder) -> mongodb::Database {
    let uri = std::fs::read_to_string(folder.0.join("mongodb-uri")).unwrap();
    shared::mongo::connect(&uri, "tests").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_lists_only_what_was_changed_by_hand() {
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    let none = refused(&mut program(&["check", "--data", data]));
    assert!(none.contains("no MongoDB is running"), "{none}");
    let run = Run::start(&mut program(&["--port", "0", "--data", data]));
    let check = || program(&["check", "--data", data]).output().unwrap();
    let Output { status, stdout, .. } = check();
    let says = String::from_utf8(stdout).unwrap();
    assert!(status.success() && says.contains(" orders: nothing is wrong"), "{says}");

    let stock = database_of(&folder).await.collection::<Document>("stock");
    stock.update_one(doc! {}, doc! { "$inc": { "on_hand": 1_i64 } }).await.unwrap();
    let Output { status, stdout, stderr } = check();
    let (says, errors) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(1));
    assert!(says.starts_with("ledger-is-not-the-sum  product_"), "{says}");
    assert!(errors.contains(": 1 violation") && errors.contains("nothing was repaired"), "{errors}");
    run.signal("-TERM");
    assert_eq!(run.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_cancels_the_orders_that_expired_meanwhile() {
    let folder = Folder::new();
    let data = folder.0.to_str().unwrap();
    let run = Run::start(&mut program(&["--port", "0", "--data", data]));
    // The orders were not paid in time.
    let orders = database_of(&folder).await.collection::<Document>("orders");
    let placed = doc! { "status": "placed" };
    let long_ago = doc! { "$set": { "expires_at": mongodb::bson::DateTime::from_millis(0) } };
    assert!(orders.update_many(placed.clone(), long_ago).await.unwrap().modified_count > 0);
    run.signal("-INT");
    assert_eq!(run.ended(), Some(0));

    let again = Run::start(&mut program(&["--port", "0", "--data", data]));
    let orders = database_of(&folder).await.collection::<Document>("orders");
    let started = Instant::now();
    while orders.count_documents(placed.clone()).await.unwrap() > 0 {
        assert!(started.elapsed() < PATIENCE, "the order is not cancelled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    again.signal("-TERM");
    assert_eq!(again.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_run_prints_working_lines_and_leaves_nothing() {
    let temporary = Folder::new();
    let run = Run::start(program(&["--port", "0", "--ephemeral"]).env("TMPDIR", &temporary.0));
    let pasted = Command::new("sh").args(["-e", "-c", &run.curl_lines()]).output().unwrap();
    assert!(pasted.status.success(), "{}", String::from_utf8_lossy(&pasted.stderr));
    let answers = String::from_utf8(pasted.stdout).unwrap();
    assert_eq!(answers.matches("\"data\":[{").count(), 2, "{answers}");
    let docs = run.said.iter().find_map(|line| line.strip_prefix("docs ")).unwrap();
    let page = reqwest::get(docs.split_whitespace().next().unwrap()).await.unwrap();
    assert!(page.text().await.unwrap().contains("<title>Order management API</title>"));
    run.signal("-TERM");
    assert_eq!(run.ended(), Some(0));
    assert_no_processes(&temporary.0);
    assert_eq!(std::fs::read_dir(&temporary.0).unwrap().count(), 0);
}

#[test]
fn a_given_password_is_not_printed_and_pasted_lines_are_quoted() {
    let folder = Folder::new();
    let (email, password) = ("o'neil@example.com", "it's; touch x; echo 'y");
    let mut command = program(&["--port", "0", "--ephemeral", "--no-demo"]);
    let run = Run::start(command.env("ADMIN_EMAIL", email).env("ADMIN_PASSWORD", password));
    assert!(!run.said.join("\n").contains(password), "{:?}", run.said);
    let lines = run.curl_lines();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &lines]).current_dir(&folder.0).env("ADMIN_PASSWORD", password);
    let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    assert_eq!(said.matches(r#""data":[]"#).count(), 2, "{lines}\n{said}");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "a pasted line ran a part of the password");
    run.signal("-TERM");
    run.ended();
}

#[test]
fn an_email_with_a_quote_can_be_pasted() {
    let mut command = program(&["--port", "0", "--ephemeral", "--no-demo"]);
    let run = Run::start(command.env("ADMIN_EMAIL", "o'neil@example.com"));
    let pasted = Command::new("sh").args(["-e", "-c", &run.curl_lines()]).output().unwrap();
    let said = String::from_utf8(pasted.stdout).unwrap();
    assert_eq!(said.matches(r#""data":[]"#).count(), 2, "{said}");
    run.signal("-TERM");
    run.ended();
}

#[test]
fn data_and_secrets_are_closed_to_other_users() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let data = folder.0.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = Run::start(&mut program(&["--port", "0", "--data", data.to_str().unwrap()]));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("local.json"))), (0o700, 0o600));
    run.signal("-TERM");
    run.ended();
}

#[test]
fn a_folder_with_other_files_is_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&folder.0, readable).unwrap();
    std::fs::write(folder.0.join("holiday.jpg"), "").unwrap();
    let says = refused(&mut program(&["--port", "0", "--data", folder.0.to_str().unwrap()]));
    assert!(says.contains("holiday.jpg") && says.contains("--data DIR"), "{says}");
    assert_eq!(std::fs::metadata(&folder.0).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_orders_are_in_every_state_and_may_be_left_out() {
    let run = Run::start(&mut program(&["--port", "0", "--ephemeral"]));
    let token = sign_in(&run.base, local::demo::STAFF, local::demo::PASSWORD).await;
    let http = reqwest::Client::new();
    for status in ["placed", "paid", "shipped", "delivered", "cancelled", "returned", "refunded"] {
        let url = format!("{}/orders?status={status}", run.base);
        let page: Value = http.get(url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
        assert!(!page["data"].as_array().unwrap().is_empty(), "no order is {status}");
    }
    let url = format!("{}/orders?limit=100", run.base);
    let page: Value = http.get(url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    let has = |is_so: fn(&Value) -> bool| page["data"].as_array().unwrap().iter().any(is_so);
    assert!(has(|order| order["fulfillments"].as_array().unwrap().len() == 2), "no order has two parcels");
    assert!(has(|order| order["return_status"] == "partial" && order["refunds"][0]["return_id"].is_string()));
    assert!(has(|order| order["status"] == "paid" && order["items"][0]["cancelled"] == 1));
    let url = format!("{}/products?limit=100", run.base);
    let page: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(page["data"].as_array().unwrap().len(), 30);
    run.signal("-TERM");
    run.ended();

    let empty = Run::start(&mut program(&["--port", "0", "--ephemeral", "--no-demo"]));
    let url = format!("{}/products", empty.base);
    let page: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(page["data"], json!([]));
    empty.signal("-TERM");
    empty.ended();
}

#[test]
fn a_taken_port_is_refused_with_advice() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let says = refused(&mut program(&["--port", &port.to_string(), "--ephemeral"]));
    assert!(says.contains(&format!("the port {port} is taken")) && says.contains("--port 0"), "{says}");
}

#[test]
fn a_dead_database_is_refused_with_advice() {
    // Bound and dropped: nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let uri = format!("mongodb://127.0.0.1:{port}/");
    let says = refused(program(&["--port", "0", "--ephemeral"]).env("MONGO_URI", uri));
    assert!(says.contains("does not answer") && says.contains("unset it"), "{says}");
    let says = refused(program(&["--port", "0", "--ephemeral"]).env("MONGO_URI", "nonsense"));
    assert!(says.contains("MONGO_URI cannot be used"), "{says}");
}

#[test]
fn a_stand_alone_database_is_refused_with_advice() {
    let folder = Folder::new();
    let binary = mongod::find_or_fetch(&|_| ()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut alone = Command::new(binary)
        .args(["--port", &port, "--bind_ip", "127.0.0.1", "--dbpath"])
        .arg(&folder.0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It may not listen yet: the program itself waits for it.
    let uri = format!("mongodb://127.0.0.1:{port}/");
    let says = refused(program(&["--port", "0", "--ephemeral"]).env("MONGO_URI", uri));
    alone.kill().unwrap();
    alone.wait().unwrap();
    assert!(says.contains("--replSet rs0") && says.contains("rs.initiate()"), "{says}");
}

#[test]
fn errors_name_the_variable_or_option_to_correct() {
    let says = refused(program(&["--port", "0", "--ephemeral"]).env("ADMIN_PASSWORD", "short"));
    assert!(says.contains("cargo local: ADMIN_PASSWORD must have 12"), "{says}");
    let says = refused(&mut program(&["schema"]));
    assert!(
        says.contains("MONGO_URI, MONGO_URI_FILE or MONGO_URI_ARN is required") && says.contains("Example: "),
        "{says}"
    );
    let Output { status, stderr, .. } = program(&["seed", "--orders", "0"]).output().unwrap();
    let says = String::from_utf8(stderr).unwrap();
    assert!(status.code() == Some(2) && says.contains("a whole number, 1 or more"), "{says}");
}

#[test]
fn an_empty_variable_counts_as_absent_in_an_ephemeral_run() {
    let mut command = program(&["--port", "0", "--ephemeral", "--no-demo"]);
    for variable in ["MONGO_URI", "JWT_SECRET", "ADMIN_EMAIL", "ADMIN_PASSWORD"] {
        command.env(variable, "");
    }
    let run = Run::start(&mut command);
    run.signal("-TERM");
    assert_eq!(run.ended(), Some(0));
}

#[test]
fn a_weak_secret_is_refused() {
    let says = refused(program(&["--port", "0", "--ephemeral"]).env("JWT_SECRET", "short"));
    assert!(says.contains("at least 32 bytes"), "{says}");
}

#[test]
fn a_secret_in_aws_is_refused_with_the_build_that_reads_it() {
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:oms";
    for (set, stored) in [("MONGO_URI", "ADMIN_PASSWORD_ARN"), ("ADMIN_PASSWORD", "MONGO_URI_ARN")] {
        let mut schema = program(&["schema"]);
        schema.env("ADMIN_EMAIL", "you@example.com").env(set, "mongodb://127.0.0.1:1").env(stored, arn);
        let errors = refused(&mut schema);
        assert!(errors.contains("cargo run --package local --features aws -- schema"), "{errors}");
        assert!(!errors.contains(arn), "{errors}");
    }
}

#[test]
fn a_command_runs_in_a_terminal() {
    // Standard error is a terminal, where lines of the log could have colours.
    let in_terminal =
        "import pty, subprocess, sys; sys.exit(subprocess.call(sys.argv[1:], stderr=pty.openpty()[1]))";
    let mut command = Command::new("python3");
    command.args(["-c", in_terminal, env!("CARGO_BIN_EXE_oms-local")]).env("RUST_BACKTRACE", "0");
    let Output { status, stderr, .. } = configured(command, &["cost"]).output().unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
}

#[test]
fn help_says_what_it_does_and_where_things_come_from() {
    let help = program(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for expected in [
        "--port",
        "--data",
        "--ephemeral",
        "--no-demo",
        "MONGO_URI",
        "JWT_SECRET",
        "ADMIN_EMAIL",
        "/docs",
        "Examples:",
    ] {
        assert!(help.contains(expected), "{expected} is not in {help}");
    }
}
