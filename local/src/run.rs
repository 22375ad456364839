//! `cargo local` from start to stop: database, schema, functions, demo data, and an orderly end.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mongodb::Database;
use shared::auth::Signer;
use shared::runtime::listener;
use shared::values::clock::Clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::announce::announce;
use crate::backend::{self, Backend, BackendConfig};
use crate::database::MongoSource;
use crate::demo;
use crate::error::CommandError;
use crate::schedule;
use crate::settings::{self, Settings};
use crate::terminal::report;

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
    let limits = settings::listener(DRAIN)?;
    let (folder, settings) = data_and_settings(&options)?;
    let mut source = MongoSource::open(&options, folder).await?;
    let result = serve(&options, &settings, (listener, limits), &mut source, stop).await;
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
            .advice(format!("Stop what listens there, or take any free port: {command} --port 0")),
        std::io::ErrorKind::PermissionDenied => {
            CommandError::new(format!("you may not listen on the port {port}"))
                .advice(format!("Choose one above 1023, or take any free port: {command} --port 0"))
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
        CommandError::new(format!("{} cannot keep the data: {error}", folder.display()))
            .advice("Choose a new or an empty folder: --data DIR")
    })?;
    Ok(folder)
}

/// Returns the data folder, unless the run is ephemeral, and the settings.
pub(crate) fn data_and_settings(options: &Options) -> Result<(Option<PathBuf>, Settings), CommandError> {
    if options.ephemeral {
        return Ok((None, Settings::random()?.overridden_by(settings::set_variable)));
    }
    let folder = data_folder(options.data.clone())?;
    let settings = Settings::load(&folder)?;
    Ok((Some(folder), settings))
}

async fn serve(
    options: &Options,
    settings: &Settings,
    (listener, limits): (TcpListener, listener::Settings),
    source: &mut MongoSource,
    stop: watch::Receiver<bool>,
) -> Result<(), CommandError> {
    let database = source.database().clone();
    let local = source.is_local();
    let edge = settings::edge()?;
    let base = match listener.local_addr() {
        Ok(address) => format!("http://{address}{}", edge.base_path().as_str()),
        Err(error) => return Err(CommandError::new(format!("the port is unknown: {error}"))),
    };
    let work = async {
        let backend = set_up(&database, settings).await?;
        let router = backend.router();
        let server = listener::serve(listener, edge.around(router.clone()), limits, stopped(stop.clone()));
        let server = tokio::spawn(server);
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
        if !matches!(server.await, Ok(Ok(true))) {
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
        return_window: settings::return_window()?,
        limits: settings::customer_limits()?,
        rate_limit_per_address: 0,
        clock: Clock::system(),
    });
    backend.users.service.ensure_admin(&settings.admin_email, &settings.admin_password).await?;
    Ok(backend)
}
