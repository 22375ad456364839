//! `cargo local` from start to stop: database, schema, functions, demo data, and everything down in order.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mongod::{Data, Mongod};
use mongodb::Database;
use mongodb::bson::{Document, doc};
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

/// How long requests may take to end after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(5);

/// What the user wants.
#[derive(Debug)]
pub struct Options {
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// Where the data is kept.
    pub data: Option<PathBuf>,
    /// A fresh database, gone at the end.
    pub ephemeral: bool,
    /// Whether an empty database gets demo data.
    pub demo: bool,
    /// A MongoDB that is there already.
    pub mongo_uri: Option<String>,
    /// The Docker network whose containers reach MongoDB too.
    pub docker_network: Option<String>,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// What went wrong, and what to do.
pub async fn run(options: Options) -> Result<(), CommandError> {
    let stop = stop_signal()?;
    // First of all, so that a taken port is told at once and not after half a minute of other work.
    let listener = listen(options.port, "cargo local").await?;
    let (folder, settings) = kept(&options)?;
    let mut source = Source::open(&options, folder).await?;
    let result = serve(&options, &settings, listener, &mut source, stop).await;
    source.close().await;
    result
}

/// Becomes true at the first Ctrl-C or SIGTERM.
pub(crate) fn stop_signal() -> Result<watch::Receiver<bool>, CommandError> {
    let failed = |error: std::io::Error| CommandError::new(format!("signals cannot be listened to: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = sender.send(true);
        // The second one does not wait for anything; mongod ends with us all the same.
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
            CommandError::new(format!("the port {port} is not allowed to you"))
                .advice(format!("Choose one above 1023: {command} --port 8081"))
        }
        _ => CommandError::new(format!("the port {port} cannot be listened to: {error}")),
    })
}

/// The folder of the workspace.
pub(crate) fn checkout() -> PathBuf {
    // Cargo tells where the package is; the checkout is one above.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.as_deref().and_then(Path::parent).unwrap_or(Path::new(".")).to_owned()
}

/// The folder that keeps data and secrets, made if it is not there.
pub(crate) fn data_folder(chosen: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    let named = || std::env::var_os("OMS_DATA").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = chosen.or_else(named).unwrap_or_else(|| checkout().join(".oms"));
    std::fs::create_dir_all(&folder).map_err(|error| {
        CommandError::new(format!("{} cannot be made: {error}", folder.display()))
            .advice("Choose another folder: cargo local --data DIR")
    })?;
    Ok(folder)
}

/// The folder that keeps the data, if any does, and the secrets.
pub(crate) fn kept(options: &Options) -> Result<(Option<PathBuf>, Settings), CommandError> {
    if options.ephemeral {
        return Ok((None, Settings::random()?.overridden_by(|name| std::env::var(name).ok())));
    }
    let folder = data_folder(options.data.clone())?;
    let settings = Settings::load(&folder)?;
    Ok((Some(folder), settings))
}

/// Where MongoDB comes from.
pub(crate) enum Source {
    /// A server of ours, which ends with us.
    Ours { mongod: Mongod, database: Database, note: Option<Note> },
    /// A server of the user's. A database that is only for this run is dropped at the end.
    Theirs { uri: String, database: Database, fresh: bool, near: bool },
}

impl Source {
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
        let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|line| say(line)))
            .await
            .map_err(|error| CommandError::new(error.to_string()))??;
        say(&format!("starting MongoDB: {}", binary.display()));
        let mongod = Mongod::start(mongod::Options::new(binary, data).further_address(gateway)).await?;
        let database = connect(mongod.uri()).await?;
        let note = folder.and_then(|folder| Note::leave(&folder, mongod.uri()));
        Ok(Self::Ours { mongod, database, note })
    }

    async fn connect_to(uri: &str, fresh: bool) -> Result<Self, CommandError> {
        let mut database = connect(uri).await?;
        let hello = database.run_command(doc! { "hello": 1 }).await.map_err(|error| {
            CommandError::new(format!("the MongoDB of MONGO_URI does not answer: {error}")).advice(
                "Start it, mend MONGO_URI, or unset it: cargo local then starts a MongoDB of its own.",
            )
        })?;
        if !takes_transactions(&hello) {
            return Err(CommandError::new(
                "the MongoDB of MONGO_URI is a stand-alone server, which takes no transactions",
            )
            .advice("Start it with `--replSet rs0`, then once: mongosh --eval 'rs.initiate()'"));
        }
        if fresh {
            let name = format!("oms_{}", std::process::id());
            database = database.client().database(&name);
        }
        Ok(Self::Theirs { uri: uri.to_owned(), database, fresh, near: is_near(uri) })
    }

    /// What somebody else needs to find the same database.
    pub(crate) fn uri(&self) -> String {
        match self {
            Self::Ours { mongod, database, .. } => with_database(mongod.uri(), database.name()),
            Self::Theirs { uri, database, .. } => with_database(uri, database.name()),
        }
    }

    pub(crate) fn database(&self) -> &Database {
        match self {
            Self::Ours { database, .. } | Self::Theirs { database, .. } => database,
        }
    }

    /// Whether the data is on this machine: demo users have passwords that everybody knows.
    pub(crate) fn is_near(&self) -> bool {
        match self {
            Self::Ours { .. } => true,
            Self::Theirs { near, .. } => *near,
        }
    }

    /// Returns when a server of ours has ended by itself.
    pub(crate) async fn ended(&mut self) -> CommandError {
        match self {
            Self::Ours { mongod, .. } => mongod.exited().await.into(),
            Self::Theirs { .. } => std::future::pending().await,
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Ours { mongod, database, note } => {
                drop(note);
                database.client().clone().shutdown().await;
                mongod.stop().await;
            }
            Self::Theirs { database, fresh, .. } => {
                if fresh && let Err(error) = database.drop().await {
                    say(&format!("the database {} could not be dropped: {error}", database.name()));
                }
            }
        }
    }
}

/// A file beside the data that says where its MongoDB listens, for as long as it does: for `cargo local env`.
pub(crate) struct Note(PathBuf);

impl Note {
    const FILE: &str = "mongodb-uri";

    fn leave(folder: &Path, uri: &str) -> Option<Self> {
        let path = folder.join(Self::FILE);
        // It is a convenience for another command: without it that command says what to do.
        std::fs::write(&path, uri).ok()?;
        Some(Self(path))
    }

    /// What a run with this folder has left, also one that was killed.
    pub(crate) fn read(folder: &Path) -> Option<String> {
        std::fs::read_to_string(folder.join(Self::FILE)).ok()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether all hosts of a connection string are this machine.
pub(crate) fn is_near(uri: &str) -> bool {
    // What is looked up in the DNS (mongodb+srv) is elsewhere.
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

/// A connection string with this database in its path.
fn with_database(uri: &str, name: &str) -> String {
    let start = uri.find("://").map_or(0, |place| place + 3);
    let end = uri[start..].find(['/', '?']).map_or(uri.len(), |place| start + place);
    let options = uri[end..].find('?').map_or("", |place| &uri[end + place..]);
    format!("{}/{name}{options}", &uri[..end])
}

pub(crate) async fn connect(uri: &str) -> Result<Database, CommandError> {
    shared::mongo::connect(uri, "cargo-local").await.map_err(|error| {
        CommandError::new(format!("MONGO_URI cannot be used: {error}"))
            .advice("It looks like mongodb://127.0.0.1:27017/oms?replicaSet=rs0")
    })
}

/// A replica set's member or a router of a sharded cluster.
fn takes_transactions(hello: &Document) -> bool {
    hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid")
}

async fn serve(
    options: &Options,
    settings: &Settings,
    listener: TcpListener,
    source: &mut Source,
    stop: watch::Receiver<bool>,
) -> Result<(), CommandError> {
    let database = source.database().clone();
    let near = source.is_near();
    let base = match listener.local_addr() {
        Ok(address) => format!("http://{address}"),
        Err(error) => return Err(CommandError::new(format!("the port is not known: {error}"))),
    };
    let work = async {
        let backend = set_up(&database, settings).await?;
        let router = settings::cors()?.around(backend.router());
        let server = axum::serve(listener, router.clone()).with_graceful_shutdown(stopped(stop.clone()));
        let server = tokio::spawn(server.into_future());
        let loaded = match options.demo && near {
            // Its requests are none of the user's: they do not belong into the log.
            true => demo::load(router, settings).with_subscriber(NoSubscriber::new()).await?,
            false => demo::Demo::Left,
        };
        announce(&base, settings, loaded, options.demo && !near);
        tokio::select! {
            () = stopped(stop.clone()) => {}
            never = schedule::run(&backend) => match never {},
        }
        say("stopping");
        if tokio::time::timeout(DRAIN, server).await.is_err() {
            say("some requests did not end in time");
        }
        Ok(())
    };
    tokio::select! {
        result = or_stopped(work, stop.clone()) => result,
        failure = source.ended() => Err(failure),
    }
}

/// Ctrl-C while still starting: there are no requests to wait for.
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

/// Tells where it is and how to log in.
pub(crate) fn announce(base: &str, settings: &Settings, demo: demo::Demo, demo_withheld: bool) {
    let Settings { admin_email, admin_password, .. } = settings;
    let mut text = format!(
        "ready {base}\n\ndocs      {base}/docs  reads and tries the API in a browser\n\nadmin     {admin_email}  {admin_password}\n"
    );
    if demo == demo::Demo::There {
        let password = demo::PASSWORD;
        text.push_str(&format!("staff     {}  {password}\n", demo::STAFF));
        text.push_str(&format!("customer  {}  {password}\n", demo::CUSTOMER));
    }
    if demo_withheld {
        text.push_str(
            "\nno demo data: MONGO_URI is not on this machine, and demo users have known passwords\n",
        );
    }
    let sign_in = format!(r#"{{"email":"{admin_email}","password":"{admin_password}"}}"#);
    text.push_str(&format!(
        r#"
To paste into another terminal:

curl -s '{base}/products?limit=2'
TOKEN=$(curl -s {base}/auth -H 'content-type: application/json' -d '{sign_in}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
curl -s '{base}/orders?limit=1' -H "authorization: Bearer $TOKEN"

Ctrl-C stops everything."#
    ));
    print_ignoring_epipe(text);
}

/// Progress, for whoever waits.
pub(crate) fn say(line: &str) {
    eprint_ignoring_epipe(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_what_is_on_this_machine_with_all_its_hosts() {
        for near in [
            "mongodb://127.0.0.1:1/oms?replicaSet=rs0",
            "mongodb://localhost",
            "mongodb://me:it@[::1]:27017,127.0.0.2/?w=1",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in [
            "mongodb://db.example.net/localhost",
            "mongodb://localhost:x@db.example.net/",
            "mongodb://127.0.0.1,db.example.net/",
            "mongodb://127.0.0.1.example.net/?appName=127.0.0.1",
            "mongodb+srv://localhost/",
            "mongodb://",
        ] {
            assert!(!is_near(far), "{far}");
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
