//! Start of real servers, and every way to end them.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "this is a test"
)]

mod folder;

use std::{
    env,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use folder::Folder;
use mongod::{Data, Error, Mongod, Options};
use mongodb::{
    Client, Collection, Database,
    bson::{Document, doc},
    error::ErrorKind,
};

/// Variable set for the process that is to be killed.
const PARENT: &str = "MONGOD_TEST_PARENT";

fn binary() -> PathBuf {
    mongod::find_or_fetch(&|line| eprintln!("{line}")).unwrap_or_else(|error| panic!("{error}"))
}

async fn start(data: Data) -> Mongod {
    Mongod::start(Options::new(binary(), data)).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn start_in(folder: &Path) -> Mongod {
    start(Data::Folder(folder.to_owned())).await
}

async fn collection(mongod: &Mongod) -> Collection<Document> {
    Client::with_uri_str(mongod.uri()).await.unwrap().database("shop").collection("mugs")
}

/// Waits, within a limit, for a condition that is not announced.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "after 10 s, still not so: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the process group of a process. The supervisor has its own, with all of its children.
fn group_of(pid: u32) -> String {
    let ps = Command::new("ps").args(["-o", "pgid=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8(ps.stdout).unwrap().trim().to_owned()
}

/// Lists the running processes of a process group, without zombies.
fn running_in(group: &str) -> Vec<String> {
    let ps = Command::new("ps").args(["-A", "-o", "pgid=,stat=,comm="]).output().unwrap();
    let processes = String::from_utf8(ps.stdout).unwrap();
    let is_running = |line: &&str| {
        let mut fields = line.split_whitespace();
        fields.next() == Some(group) && !fields.next().is_some_and(|state| state.starts_with('Z'))
    };
    processes.lines().filter(is_running).map(str::to_owned).collect()
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn transactions_work() {
    let mongod = start(Data::Ephemeral).await;
    let mugs = collection(&mongod).await;
    let mut session = mugs.client().start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    mugs.insert_one(doc! { "_id": "blue" }).session(&mut session).await.unwrap();
    mugs.insert_one(doc! { "_id": "red" }).session(&mut session).await.unwrap();
    assert_eq!(mugs.count_documents(doc! {}).await.unwrap(), 0);
    session.commit_transaction().await.unwrap();
    assert_eq!(mugs.count_documents(doc! {}).await.unwrap(), 2);
    mongod.stop().await;
}

#[tokio::test]
async fn data_is_there_after_a_restart_on_another_port() {
    let folder = Folder::new();
    let data = folder.path().join("made").join("if missing");

    let mongod = start_in(&data).await;
    let first_port = mongod.port();
    collection(&mongod).await.insert_one(doc! { "_id": "blue" }).await.unwrap();
    mongod.stop().await;

    // Another listener has the old port by now, and closes every connection.
    if let Ok(taken) = TcpListener::bind(("127.0.0.1", first_port)) {
        thread::spawn(move || taken.incoming().for_each(drop));
    }
    let mongod = start_in(&data).await;
    assert_ne!(mongod.port(), first_port);
    let mugs = collection(&mongod).await;
    assert!(mugs.find_one(doc! { "_id": "blue" }).await.unwrap().is_some());
    mugs.insert_one(doc! { "_id": "red" }).await.unwrap();
    mongod.stop().await;
}

#[tokio::test]
#[ignore = "takes half a minute: the server waits for an answer from its old port"]
async fn a_silent_listener_on_the_old_port_only_delays_the_start() {
    let folder = Folder::new();
    let mongod = start_in(folder.path()).await;
    let port = mongod.port();
    mongod.stop().await;
    let _silent = TcpListener::bind(("127.0.0.1", port)).unwrap();
    start_in(folder.path()).await.stop().await;
}

#[tokio::test]
async fn a_folder_moves_to_a_server_on_another_port() {
    let folder = Folder::new();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mongod = start_in(&one).await;
    collection(&mongod).await.insert_one(doc! { "_id": "one" }).await.unwrap();
    let port = mongod.port();
    mongod.stop().await;

    let options = Options { port: Some(port), ..Options::new(binary(), Data::Folder(two)) };
    let second = Mongod::start(options).await.unwrap();
    // The configuration of the first names an address at which the second answers now.
    let first = start_in(&one).await;
    assert!(collection(&first).await.find_one(doc! { "_id": "one" }).await.unwrap().is_some());
    assert!(collection(&second).await.find_one(doc! { "_id": "one" }).await.unwrap().is_none());
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_start_right_after_a_kill_waits_and_finds_the_data() {
    let folder = Folder::new();
    for round in 0..3 {
        let mongod = start_in(folder.path()).await;
        let mugs = collection(&mongod).await;
        assert_eq!(mugs.count_documents(doc! {}).await.unwrap(), round);
        mugs.insert_one(doc! {}).await.unwrap();
        drop(mongod);
    }
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_advice() {
    let folder = Folder::new();
    let mongod = start_in(folder.path()).await;
    let options = Options::new(binary(), Data::Folder(folder.path().to_owned())).with_password();
    let Err(error) = Mongod::start(options).await else { panic!("two servers on one folder") };
    assert!(matches!(error, Error::DataFolderInUse { pid, .. } if pid == Some(mongod.pid())), "{error}");
    assert!(error.to_string().contains("stop it or give --data another folder"), "{error}");
    collection(&mongod).await.insert_one(doc! {}).await.unwrap();
    mongod.stop().await;
}

#[tokio::test]
async fn a_folder_with_spaces_and_quotes_works() {
    let folder = Folder::new();
    let data = folder.path().join("it's $HOME; `false` \"half\" * done\\");
    let mongod = start_in(&data).await;
    assert_eq!(mongod.data_folder(), data.canonicalize().unwrap());
    collection(&mongod).await.insert_one(doc! {}).await.unwrap();
    assert!(data.join("mongod.log").exists());
    mongod.stop().await;
}

#[tokio::test]
async fn an_ephemeral_folder_is_gone_after_the_stop() {
    let mongod = start(Data::Ephemeral).await;
    let (data, group) = (mongod.data_folder().to_owned(), group_of(mongod.pid()));
    assert!(data.exists());
    assert!(!running_in(&group).is_empty());
    mongod.stop().await;
    assert!(!data.exists());
    assert_eq!(running_in(&group), Vec::<String>::new());
}

#[tokio::test]
async fn a_stop_leaves_no_process() {
    let folder = Folder::new();
    let mongod = start_in(folder.path()).await;
    let group = group_of(mongod.pid());
    mongod.stop().await;
    assert!(folder.path().exists());
    // The watcher is killed last, and not waited for.
    eventually("nothing runs", || running_in(&group).is_empty());
}

#[tokio::test]
async fn a_drop_leaves_neither_process_nor_ephemeral_folder() {
    let mongod = start(Data::Ephemeral).await;
    let (data, group) = (mongod.data_folder().to_owned(), group_of(mongod.pid()));
    drop(mongod);
    eventually("the folder is gone", || !data.exists());
    eventually("nothing runs", || running_in(&group).is_empty());
}

// Other systems have no second loopback address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_further_address_accepts_connections_only_if_wanted() {
    let binary = binary();
    let address = std::net::IpAddr::from([127, 0, 0, 2]);
    for wanted in [Some(address), None] {
        let options = Options::new(&binary, Data::Ephemeral).further_address(wanted);
        let mongod = Mongod::start(options).await.unwrap();
        let connected = std::net::TcpStream::connect((address, mongod.port()));
        assert_eq!(connected.is_ok(), wanted.is_some());
        mongod.stop().await;
    }
}

#[tokio::test]
async fn a_taken_port_is_refused_and_its_owner_is_left_alone() {
    let other = start(Data::Ephemeral).await;
    let options = Options { port: Some(other.port()), ..Options::new(binary(), Data::Ephemeral) };
    let Err(error) = Mongod::start(options).await else { panic!("two servers on one port") };
    assert!(matches!(error, Error::PortInUse { port } if port == other.port()), "{error}");
    collection(&other).await.insert_one(doc! {}).await.unwrap();
    other.stop().await;
}

#[tokio::test]
async fn the_exit_of_a_server_tells_how_it_died() {
    let mongod = start(Data::Ephemeral).await;
    let (data, group) = (mongod.data_folder().to_owned(), group_of(mongod.pid()));
    kill(mongod.pid());
    let error = mongod.exited().await;
    assert!(matches!(error, Error::Ended { code: 137, .. }), "{error}");
    assert!(error.to_string().starts_with("the database ended: killed by signal 9"), "{error}");
    assert!(!data.exists());
    eventually("nothing runs", || running_in(&group).is_empty());
}

#[tokio::test]
async fn a_start_that_fails_is_explained_by_the_log() {
    let options = Options::new(binary(), Data::Ephemeral).parameter("noSuchParameter", "1");
    let Err(error) = Mongod::start(options).await else { panic!("it took the parameter") };
    assert!(matches!(error, Error::Ended { .. }), "{error}");
    assert!(error.to_string().contains("noSuchParameter"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_explained_by_the_shell() {
    let Err(error) = Mongod::start(Options::new("/no/such/mongod", Data::Ephemeral)).await else {
        panic!("it started nothing")
    };
    assert!(matches!(error, Error::Ended { code: 127, .. }), "{error}");
    assert!(error.to_string().contains("/no/such/mongod"), "{error}");
}

/// Separate process that starts a server and then waits to be killed.
struct Parent {
    process: Child,
    mongod: u32,
    data: PathBuf,
}

impl Parent {
    /// Runs this test binary again, with only the test `name`, which must then call [`be_a_parent`].
    fn spawn(name: &str, data: &str) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(PARENT, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let started =
            lines.filter_map(|line| line.split_once("started ").map(|(_, rest)| rest.to_owned())).next();
        let (mongod, data) = started.as_deref().and_then(|rest| rest.split_once(' ')).unwrap();
        Self { process, mongod: mongod.parse().unwrap(), data: data.into() }
    }
}

async fn be_a_parent(data: &str) {
    let mongod =
        start(if data.is_empty() { Data::Ephemeral } else { Data::Folder(PathBuf::from(data)) }).await;
    collection(&mongod).await.insert_one(doc! { "_id": "blue" }).await.unwrap();
    println!("started {} {}", mongod.pid(), mongod.data_folder().display());
    // It ends when it is killed, or when the test that started it has ended.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

#[tokio::test]
async fn a_killed_parent_takes_its_mongod_along() {
    if let Ok(data) = env::var(PARENT) {
        return be_a_parent(&data).await;
    }
    let mut parent = Parent::spawn("a_killed_parent_takes_its_mongod_along", "");
    let group = group_of(parent.mongod);
    assert!(!running_in(&group).is_empty());
    assert!(parent.data.exists());
    parent.process.kill().unwrap();
    parent.process.wait().unwrap();
    eventually("the folder is gone", || !parent.data.exists());
    eventually("nothing runs", || running_in(&group).is_empty());
}

#[tokio::test]
async fn the_data_of_a_killed_parent_is_there_at_once() {
    if let Ok(data) = env::var(PARENT) {
        return be_a_parent(&data).await;
    }
    let folder = Folder::new();
    let path = folder.path().to_str().unwrap();
    let mut parent = Parent::spawn("the_data_of_a_killed_parent_is_there_at_once", path);
    parent.process.kill().unwrap();
    let mongod = start_in(folder.path()).await;
    assert!(collection(&mongod).await.find_one(doc! { "_id": "blue" }).await.unwrap().is_some());
    parent.process.wait().unwrap();
    mongod.stop().await;
}

#[test]
fn tests_share_one_server_whose_starter_may_be_gone() {
    let one_test = |name: &'static str| {
        let test = async move {
            let uri = mongod::shared_for_tests().await.unwrap_or_else(|error| panic!("{error}"));
            let client = Client::with_uri_str(uri).await.unwrap();
            client.database(name).collection("mugs").insert_one(doc! {}).await.unwrap();
            let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
            client.database("admin").run_command(off).await.unwrap();
            uri
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    };
    let uris: Vec<&str> = thread::scope(|scope| {
        let tests = ["a", "b", "c"].map(|name| scope.spawn(move || one_test(name)));
        tests.into_iter().map(|test| test.join().unwrap()).collect()
    });
    let uri = one_test("d");
    assert!(uris.iter().all(|other| *other == uri), "{uris:?} {uri}");
}

#[tokio::test]
async fn one_of_several_is_primary_only_of_an_initiated_set() {
    let mongod = Mongod::start(Options::new(binary(), Data::Ephemeral).one_of_several());
    let mongod = mongod.await.unwrap_or_else(|error| panic!("{error}"));
    let direct = format!("mongodb://127.0.0.1:{}/?directConnection=true", mongod.port());
    let admin = Client::with_uri_str(direct).await.unwrap().database("admin");
    let hello = admin.run_command(doc! { "hello": 1 }).await.unwrap();
    assert!(!hello.get_bool("isWritablePrimary").unwrap());
    let member = doc! { "_id": 0, "host": format!("127.0.0.1:{}", mongod.port()) };
    let config = doc! { "_id": mongod::SET_NAME, "members": [member] };
    admin.run_command(doc! { "replSetInitiate": config }).await.unwrap();
    let of_the_set = Client::with_uri_str(mongod.uri()).await.unwrap();
    of_the_set.database("shop").collection("mugs").insert_one(doc! { "_id": 1 }).await.unwrap();
    mongod.stop().await;
}

/// Starts a server that asks for a password.
async fn start_closed(data: Data) -> Mongod {
    let started = Mongod::start(Options::new(binary(), data).with_password()).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// Connects to a port without a password.
async fn without_password(port: u16) -> Client {
    let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=10000");
    Client::with_uri_str(uri).await.unwrap()
}

/// Returns true if an operation was refused because nobody is signed in.
fn is_unauthorized<T>(result: &Result<T, mongodb::error::Error>) -> bool {
    let code = result.as_ref().err().map(|error| error.kind.as_ref());
    matches!(code, Some(ErrorKind::Command(error)) if error.code == 13)
}

/// Returns true if there was no answer.
fn is_broken_line<T>(result: &Result<T, mongodb::error::Error>) -> bool {
    let kind = result.as_ref().err().map(|error| error.kind.as_ref());
    matches!(
        kind,
        Some(ErrorKind::Io(_) | ErrorKind::ServerSelection { .. } | ErrorKind::ConnectionPoolCleared { .. })
    )
}

/// Waits until something listens on a port. The driver alone would look only twice a second.
async fn listening(port: u16) {
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Tries to make a user that may do everything.
async fn intrude(admin: &Database) -> Result<Document, mongodb::error::Error> {
    admin.run_command(doc! { "createUser": "intruder", "pwd": "x", "roles": ["root"] }).await
}

#[tokio::test]
async fn without_the_password_nothing_is_read_or_written() {
    let mongod = start_closed(Data::Ephemeral).await;
    collection(&mongod).await.insert_one(doc! { "_id": "blue" }).await.unwrap();

    let stranger = without_password(mongod.port()).await;
    let mugs = stranger.database("shop").collection::<Document>("mugs");
    assert!(is_unauthorized(&mugs.find_one(doc! {}).await));
    assert!(is_unauthorized(&mugs.insert_one(doc! {}).await));
    assert!(is_unauthorized(&mugs.drop().await));
    assert!(is_unauthorized(&stranger.list_databases().await));
    assert!(is_unauthorized(&intrude(&stranger.database("admin")).await));

    let (_, rest) = mongod.uri().split_once('@').unwrap();
    let wrong = Client::with_uri_str(format!("mongodb://oms:{}@{rest}", "0".repeat(64))).await.unwrap();
    let refused = wrong.database("shop").collection::<Document>("mugs").find_one(doc! {}).await.unwrap_err();
    assert!(matches!(refused.kind.as_ref(), ErrorKind::Authentication { .. }), "{refused}");
    mongod.stop().await;
}

#[tokio::test]
async fn the_passwords_are_in_a_private_file_and_nowhere_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mongod = start_closed(Data::Folder(folder.path().to_owned())).await;
    collection(&mongod).await.insert_one(doc! {}).await.unwrap();
    let file = mongod.data_folder().join("mongod.key");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(file).unwrap();
    let password = mongod.uri().split([':', '@']).nth(2).unwrap();
    assert!(key.len() >= 64 && password.len() >= 64 && key != password);
    let ps = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
    let log = std::fs::read_to_string(mongod.log()).unwrap();
    for public in [String::from_utf8_lossy(&ps.stdout).into_owned(), log, format!("{mongod:?}")] {
        assert!(!public.contains(&key) && !public.contains(password));
    }
    mongod.stop().await;
}

#[tokio::test]
async fn nobody_makes_a_user_while_a_server_starts() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut refused = 0;
    let intruding = async {
        listening(port).await;
        let admin = without_password(port).await.database("admin");
        loop {
            let member = doc! { "_id": 0, "host": format!("127.0.0.1:{port}") };
            let config = doc! { "_id": mongod::SET_NAME, "members": [member] };
            let initiated = admin.run_command(doc! { "replSetInitiate": config }).await;
            for answer in [initiated, intrude(&admin).await] {
                if is_unauthorized(&answer) {
                    refused += 1;
                } else if !is_broken_line(&answer) {
                    // Any other answer, such as "not primary", is one for a user with that right.
                    panic!("it was answered {answer:?}");
                }
            }
        }
    };
    let starting = Mongod::start(
        Options { port: Some(port), ..Options::new(binary(), Data::Ephemeral) }.with_password(),
    );
    let mongod = tokio::select! {
        never = intruding => never,
        mongod = starting => mongod.unwrap(),
    };
    assert!(refused > 0, "it was not tried");
    let admin = Client::with_uri_str(mongod.uri()).await.unwrap().database("admin");
    let users = admin.run_command(doc! { "usersInfo": { "forAllDBs": true } }).await.unwrap();
    assert_eq!(users.get_array("users").unwrap().len(), 1, "{users}");
    mongod.stop().await;
}

#[tokio::test]
async fn a_folder_from_before_passwords_keeps_its_data() {
    let folder = Folder::new();
    let data = || Data::Folder(folder.path().to_owned());
    let open = start(data()).await;
    collection(&open).await.insert_one(doc! { "_id": "blue" }).await.unwrap();
    open.stop().await;
    let mut uris = Vec::new();
    for _ in 0..2 {
        let closed = start_closed(data()).await;
        assert_eq!(collection(&closed).await.count_documents(doc! {}).await.unwrap(), 1);
        let stranger = without_password(closed.port()).await.database("shop");
        assert!(is_unauthorized(&stranger.list_collection_names().await));
        uris.push(closed.uri().split_once('@').unwrap().0.to_owned());
        // As if this process were killed.
        drop(closed);
    }
    assert_ne!(uris[0], uris[1], "a password is good for one run");
    let open = start(data()).await;
    assert_eq!(collection(&open).await.count_documents(doc! {}).await.unwrap(), 1);
    open.stop().await;
}

/// Milestones of a first start, as they are seen without a password.
#[derive(Clone, Copy, Debug)]
enum Milestone {
    Key,
    Listening,
    Initiated,
    Primary,
}

impl Milestone {
    async fn reached(self, folder: &Path, port: u16) {
        let hello = async || {
            listening(port).await;
            let asked = without_password(port).await.database("admin").run_command(doc! { "hello": 1 }).await;
            asked.unwrap_or_default()
        };
        loop {
            let is_there = match self {
                Self::Key => folder.join("mongod.key").exists(),
                Self::Listening => {
                    listening(port).await;
                    true
                }
                Self::Initiated => hello().await.contains_key("setName"),
                Self::Primary => hello().await.get_bool("isWritablePrimary").unwrap_or(false),
            };
            if is_there {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn a_first_start_may_be_killed_after_each_step() {
    let folder = Folder::new();
    let closed = || Options::new(binary(), Data::Folder(folder.path().to_owned())).with_password();
    for milestone in [Milestone::Key, Milestone::Listening, Milestone::Initiated, Milestone::Primary] {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let key = folder.path().join("mongod.key");
        if !matches!(milestone, Milestone::Key) {
            // The key of the killed start is worthless, even if it was only half written.
            std::fs::write(&key, "half").unwrap();
        }
        tokio::select! {
            biased;
            () = milestone.reached(folder.path(), port) => {}
            // Dropped by the other branch, it kills the server.
            started = Mongod::start(Options { port: Some(port), ..closed() }) => {
                started.unwrap_or_else(|error| panic!("{milestone:?}: {error}"));
            }
        }
    }
    let mongod = Mongod::start(closed()).await.unwrap_or_else(|error| panic!("{error}"));
    collection(&mongod).await.insert_one(doc! {}).await.unwrap();
    mongod.stop().await;
}
