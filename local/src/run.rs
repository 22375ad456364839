//! `cargo local` from start to stop: database, schema, functions, demo data, and an orderly end.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mongod::{Data, Mongod};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::json;
use shared::auth::Signer;
use shared::values::clock::Clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::backend::{self, Backend, BackendConfig};
use crate::demo;
use crate::docker;
use crate::error::CommandError;
use crate::schedule;
use crate::settings::{self, Settings};
use crate::terminal::{eprint_ignoring_epipe, print_ignoring_epipe};

/// Time limit for open requests after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(5);

/// Options of the command.
#[derive(Debug)]
pub struct Options {
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Folder that keeps the data.
    pub data: Option<PathBuf>,
    /// True for a new database that is removed at the end.
    pub ephemeral: bool,
    /// True if an empty database gets demo data.
    pub demo: bool,
    /// Connection string of an existing MongoDB.
    pub mongo_uri: Option<String>,
    /// Docker network whose containers reach MongoDB too.
    pub docker_network: Option<String>,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// The first error, with advice.
pub async fn run(options: Options) -> Result<(), CommandError> {
    let stop = stop_signal()?;
    // First of all, so that a taken port is reported at once and not after half a minute of other work.
    let listener = listen(options.port, "cargo local").await?;
    let (folder, settings) = data_and_settings(&options)?;
    let mut source = MongoSource::open(&options, folder).await?;
    let result = serve(&options, &settings, listener, &mut source, stop).await;
    source.close().await;
    result
}

/// Returns a flag that becomes true at the first Ctrl-C or SIGTERM.
pub(crate) fn stop_signal() -> Result<watch::Receiver<bool>, CommandError> {
    let failed = |error: std::io::Error| CommandError::new(format!("cannot handle signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = sender.send(true);
        // The second signal exits at once; mongod still ends with this process.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(receiver)
}

pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender lives as long as the process.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

pub(crate) async fn listen(port: u16, command: &str) -> Result<TcpListener, CommandError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => CommandError::new(format!("the port {port} is taken"))
            .advice(format!("Stop what listens there, or choose another one: {command} --port 8081")),
        std::io::ErrorKind::PermissionDenied => {
            CommandError::new(format!("you may not listen on the port {port}"))
                .advice(format!("Choose one above 1023: {command} --port 8081"))
        }
        _ => CommandError::new(format!("cannot listen on the port {port}: {error}")),
    })
}

/// Returns the folder of the workspace.
pub(crate) fn checkout() -> PathBuf {
    // Cargo sets the folder of the package; the checkout is its parent.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.as_deref().and_then(Path::parent).unwrap_or(Path::new(".")).to_owned()
}

/// Returns the folder that keeps data and secrets, which is created if it is missing.
pub(crate) fn data_folder(chosen: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    let named = || std::env::var_os("OMS_DATA").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = chosen.or_else(named).unwrap_or_else(|| checkout().join(".oms"));
    settings::private_folder(&folder).map_err(|error| {
        CommandError::new(format!("{} cannot be created: {error}", folder.display()))
            .advice("Choose another folder: cargo local --data DIR")
    })?;
    Ok(folder)
}

/// Returns the data folder, unless the run is ephemeral, and the settings.
pub(crate) fn data_and_settings(options: &Options) -> Result<(Option<PathBuf>, Settings), CommandError> {
    if options.ephemeral {
        return Ok((None, Settings::random()?.overridden_by(|name| std::env::var(name).ok())));
    }
    let folder = data_folder(options.data.clone())?;
    let settings = Settings::load(&folder)?;
    Ok((Some(folder), settings))
}

/// Origin of MongoDB.
pub(crate) enum MongoSource {
    /// Server that was started by this process, and ends with it.
    Started { mongod: Mongod, database: Database, note: Option<Note> },
    /// Server of the user. A database that is only for this run is dropped at the end.
    External { uri: String, database: Database, fresh: bool, local: bool },
}

impl MongoSource {
    pub(crate) async fn open(options: &Options, folder: Option<PathBuf>) -> Result<Self, CommandError> {
        if let Some(uri) = &options.mongo_uri {
            return Self::connect_to(uri, options.ephemeral).await;
        }
        let gateway = match &options.docker_network {
            Some(network) => Some(docker::gateway(network).await?),
            None => None,
        };
        let data = match &folder {
            Some(folder) => Data::Folder(folder.join("mongodb")),
            None => Data::Ephemeral,
        };
        let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|line| report(line)))
            .await
            .map_err(|error| CommandError::new(error.to_string()))??;
        report(&format!("starting MongoDB: {}", binary.display()));
        let mongod = Mongod::start(mongod::Options::new(binary, data).further_address(gateway)).await?;
        let database = connect(mongod.uri()).await?;
        let note = folder.and_then(|folder| Note::leave(&folder, mongod.uri()));
        Ok(Self::Started { mongod, database, note })
    }

    async fn connect_to(uri: &str, fresh: bool) -> Result<Self, CommandError> {
        let mut database = connect(uri).await?;
        let hello = database.run_command(doc! { "hello": 1 }).await.map_err(|error| {
            CommandError::new(format!("the MongoDB of MONGO_URI does not answer: {error}"))
                .advice("Start it, correct MONGO_URI, or unset it: cargo local then starts its own MongoDB.")
        })?;
        if !takes_transactions(&hello) {
            return Err(CommandError::new(
                "the MongoDB of MONGO_URI is a stand-alone server, which has no transactions",
            )
            .advice("Start it with `--replSet rs0`, then once: mongosh --eval 'rs.initiate()'"));
        }
        if fresh {
            let name = format!("oms_{}", std::process::id());
            database = database.client().database(&name);
        }
        Ok(Self::External { uri: uri.to_owned(), database, fresh, local: is_local(uri) })
    }

    /// Returns a connection string with the database, for other processes.
    pub(crate) fn uri(&self) -> String {
        match self {
            Self::Started { mongod, database, .. } => with_database(mongod.uri(), database.name()),
            Self::External { uri, database, .. } => with_database(uri, database.name()),
        }
    }

    pub(crate) fn database(&self) -> &Database {
        match self {
            Self::Started { database, .. } | Self::External { database, .. } => database,
        }
    }

    /// Returns true if the data is on this machine: the passwords of demo users are published.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Started { .. } => true,
            Self::External { local, .. } => *local,
        }
    }

    /// Returns when a server that was started here ends by itself.
    pub(crate) async fn ended(&mut self) -> CommandError {
        match self {
            Self::Started { mongod, .. } => mongod.exited().await.into(),
            Self::External { .. } => std::future::pending().await,
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Started { mongod, database, note } => {
                drop(note);
                database.client().clone().shutdown().await;
                mongod.stop().await;
            }
            Self::External { database, fresh, .. } => {
                if fresh && let Err(error) = database.drop().await {
                    report(&format!("the database {} could not be dropped: {error}", database.name()));
                }
            }
        }
    }
}

/// File beside the data with the connection string of a running MongoDB, for `cargo local env`.
pub(crate) struct Note(PathBuf);

impl Note {
    const FILE: &str = "mongodb-uri";

    fn leave(folder: &Path, uri: &str) -> Option<Self> {
        let path = folder.join(Self::FILE);
        // The file is a convenience: without it the other command gives advice.
        std::fs::write(&path, uri).ok()?;
        Some(Self(path))
    }

    /// Reads the file of a run with this folder, even of one that was killed.
    pub(crate) fn read(folder: &Path) -> Option<String> {
        std::fs::read_to_string(folder.join(Self::FILE)).ok()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Returns true if all hosts of a connection string are this machine.
pub(crate) fn is_local(uri: &str) -> bool {
    // A DNS name list (mongodb+srv) is elsewhere.
    let Some(rest) = uri.strip_prefix("mongodb://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').all(|host| {
        let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((name, _)) => name,
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        let is_loopback = name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        is_loopback || name.eq_ignore_ascii_case("localhost")
    })
}

/// Returns the connection string with this database in its path.
fn with_database(uri: &str, name: &str) -> String {
    let start = uri.find("://").map_or(0, |place| place + 3);
    let end = uri[start..].find(['/', '?']).map_or(uri.len(), |place| start + place);
    let options = uri[end..].find('?').map_or("", |place| &uri[end + place..]);
    format!("{}/{name}{options}", &uri[..end])
}

pub(crate) async fn connect(uri: &str) -> Result<Database, CommandError> {
    shared::mongo::connect(uri, "cargo-local").await.map_err(|error| {
        CommandError::new(format!("MONGO_URI cannot be used: {error}"))
            .advice("Example: mongodb://127.0.0.1:27017/oms?replicaSet=rs0")
    })
}

/// Returns true for a member of a replica set or a router of a sharded cluster.
fn takes_transactions(hello: &Document) -> bool {
    hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid")
}

async fn serve(
    options: &Options,
    settings: &Settings,
    listener: TcpListener,
    source: &mut MongoSource,
    stop: watch::Receiver<bool>,
) -> Result<(), CommandError> {
    let database = source.database().clone();
    let local = source.is_local();
    let base = match listener.local_addr() {
        Ok(address) => format!("http://{address}"),
        Err(error) => return Err(CommandError::new(format!("the port is unknown: {error}"))),
    };
    let work = async {
        let backend = set_up(&database, settings).await?;
        let router = settings::cors()?.around(backend.router());
        let server = axum::serve(listener, router.clone()).with_graceful_shutdown(stopped(stop.clone()));
        let server = tokio::spawn(server.into_future());
        let loaded = match options.demo && local {
            // Its requests are not the user's, so they are not logged.
            true => demo::load(router, settings).with_subscriber(NoSubscriber::new()).await?,
            false => demo::Demo::Absent,
        };
        announce(&base, settings, loaded, options.demo && !local);
        tokio::select! {
            () = stopped(stop.clone()) => {}
            never = schedule::run(&backend) => match never {},
        }
        report("stopping");
        if tokio::time::timeout(DRAIN, server).await.is_err() {
            report("some requests did not end in time");
        }
        Ok(())
    };
    tokio::select! {
        result = or_stopped(work, stop.clone()) => result,
        error = source.ended() => Err(error),
    }
}

/// Ends the work some time after Ctrl-C, even during the start.
async fn or_stopped(
    work: impl Future<Output = Result<(), CommandError>>,
    stop: watch::Receiver<bool>,
) -> Result<(), CommandError> {
    tokio::select! {
        result = work => result,
        () = async {
            stopped(stop).await;
            tokio::time::sleep(DRAIN + Duration::from_secs(1)).await;
        } => Ok(()),
    }
}

pub(crate) async fn set_up(database: &Database, settings: &Settings) -> Result<Backend, CommandError> {
    backend::ensure_schema(database).await?;
    let signer = Signer::from_secret(&settings.jwt_secret).map_err(|error| {
        CommandError::new(error).advice("Set JWT_SECRET to 32 random bytes or more, or unset it.")
    })?;
    let backend = Backend::build(BackendConfig {
        database: database.clone(),
        signer,
        payment_window: settings::payment_window()?,
        rate_limit_per_address: 0,
        clock: Clock::system(),
    });
    backend.users.service.ensure_admin(&settings.admin_email, &settings.admin_password).await?;
    Ok(backend)
}

/// Quotes a word for a POSIX shell.
fn shell_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Argument of curl that is the body of a sign-in. A password of the environment is taken from there again.
fn sign_in_body(settings: &Settings) -> String {
    let Settings { admin_email, admin_password, password_is_given, .. } = settings;
    if !password_is_given {
        return shell_quoted(&json!({ "email": admin_email, "password": admin_password }).to_string());
    }
    // A text of JSON is one of Python, too.
    let email = json!(admin_email);
    let program = format!(
        r#"import json, os; print(json.dumps({{"email": {email}, "password": os.environ["ADMIN_PASSWORD"]}}))"#
    );
    format!(r#""$(python3 -c {})""#, shell_quoted(&program))
}

/// Prints the address and the accounts.
pub(crate) fn announce(base: &str, settings: &Settings, demo: demo::Demo, demo_withheld: bool) {
    let admin_email = &settings.admin_email;
    let admin_password =
        if settings.password_is_given { "(your ADMIN_PASSWORD)" } else { &settings.admin_password };
    let mut text = format!(
        "ready {base}\n\ndocs      {base}/docs  read and try the API in a browser\n\nadmin     {admin_email}  {admin_password}\n"
    );
    if demo == demo::Demo::Present {
        let password = demo::PASSWORD;
        text.push_str(&format!("staff     {}  {password}\n", demo::STAFF));
        text.push_str(&format!("customer  {}  {password}\n", demo::CUSTOMER));
    }
    if demo_withheld {
        text.push_str(
            "\nno demo data: MONGO_URI is not on this machine, and the passwords of demo users are published\n",
        );
    }
    let sign_in = sign_in_body(settings);
    text.push_str(&format!(
        r#"
To paste into another terminal:

curl -s '{base}/products?limit=2'
TOKEN=$(curl -s {base}/auth -H 'content-type: application/json' -d {sign_in} | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
curl -s '{base}/orders?limit=1' -H "authorization: Bearer $TOKEN"

Ctrl-C stops everything."#
    ));
    print_ignoring_epipe(text);
}

/// Prints progress to standard error.
pub(crate) fn report(line: &str) {
    eprint_ignoring_epipe(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_means_that_all_hosts_are_this_machine() {
        for local in [
            "mongodb://127.0.0.1:1/oms?replicaSet=rs0",
            "mongodb://localhost",
            "mongodb://me:it@[::1]:27017,127.0.0.2/?w=1",
        ] {
            assert!(is_local(local), "{local}");
        }
        for far in [
            "mongodb://db.example.net/localhost",
            "mongodb://localhost:x@db.example.net/",
            "mongodb://127.0.0.1,db.example.net/",
            "mongodb://127.0.0.1.example.net/?appName=127.0.0.1",
            "mongodb+srv://localhost/",
            "mongodb://",
        ] {
            assert!(!is_local(far), "{far}");
        }
    }

    #[test]
    fn a_connection_string_gets_another_database() {
        for (uri, expected) in [
            ("mongodb://127.0.0.1:1/?replicaSet=rs0", "mongodb://127.0.0.1:1/x?replicaSet=rs0"),
            ("mongodb://127.0.0.1:1/oms?replicaSet=rs0", "mongodb://127.0.0.1:1/x?replicaSet=rs0"),
            ("mongodb+srv://me:it@a,b/oms", "mongodb+srv://me:it@a,b/x"),
            ("mongodb://a,b:2", "mongodb://a,b:2/x"),
            ("mongodb://a?w=1", "mongodb://a/x?w=1"),
        ] {
            assert_eq!(with_database(uri, "x"), expected);
        }
    }
}
