//! Emulators of Lambda beside this process: the common part of `cargo local lambda` and `cargo local sam`.
//!
//! The functions run as the programs that are deployed. This module covers all from MongoDB to the orderly
//! end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures::future::{join_all, select_all};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::announce::announce;
use crate::cargo::own_variables;
use crate::database::MongoSource;
use crate::demo::{self, Demo};
use crate::error::CommandError;
use crate::gateway::Function;
use crate::run::{self, checkout, data_and_settings, listen, set_up, stop_signal, stopped};
use crate::schedule;
use crate::settings::Settings;
use crate::terminal::report;

/// Script that runs an emulator, and ends it when this process ends.
const SUPERVISOR: &str = include_str!("emulator.sh");

/// Time limit for a compiled function to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time limit for an emulator to end with its functions; its supervisor kills it before that.
const STOP: Duration = Duration::from_secs(10);

/// Time limit for one request, which an emulator holds until its function has started.
const REQUEST: Duration = Duration::from_secs(20);

/// Interval between polls.
const POLL: Duration = Duration::from_millis(200);

/// Path of each function that changes nothing, even without a token.
const ALIVE: [(Function, &str); 5] = [
    (Function::Console, "/console/sign-in"),
    (Function::Docs, "/health"),
    (Function::Users, "/users"),
    (Function::Products, "/products?limit=1"),
    (Function::Orders, "/orders"),
];

/// Environment of the functions.
pub(crate) struct EmulatorEnvironment {
    /// Connection string of MongoDB, as seen from this process.
    pub(crate) mongo_uri: String,
    /// Secrets and the first admin.
    pub(crate) settings: Settings,
    /// Port on 127.0.0.1 for the API.
    pub(crate) port: u16,
}

/// Runs MongoDB, the emulators of `start`, and the API on the port of `options`, until Ctrl-C or SIGTERM.
///
/// `command` is the command that the user typed.
///
/// # Errors
/// The first error, with advice.
pub(crate) async fn run(
    options: &run::Options,
    command: &str,
    start: impl AsyncFnOnce(&EmulatorEnvironment, &mut Emulators) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let stop = stop_signal()?;
    // The emulator takes the port itself. A taken port is reported here, before its log begins.
    let port = listen(options.port, command).await?.local_addr();
    let port = port.map_err(|error| CommandError::new(format!("the port is unknown: {error}")))?.port();
    let (folder, settings) = data_and_settings(options)?;
    let mut source = MongoSource::open(options, folder).await?;
    let environment = EmulatorEnvironment { mongo_uri: source.uri(), settings, port };
    let (database, local) = (source.database().clone(), source.is_local());
    let mut emulators = Emulators(Vec::new());
    let work = async {
        let EmulatorEnvironment { settings, port, .. } = &environment;
        let backend = set_up(&database, settings).await?;
        let demo = match options.demo && local {
            true => demo::load(backend.router(), settings).with_subscriber(NoSubscriber::new()).await?,
            false => Demo::Absent,
        };
        start(&environment, &mut emulators).await?;
        tokio::select! {
            answered = all_answer(*port) => answered?,
            error = emulators.ended() => return Err(error),
        }
        announce(&format!("http://127.0.0.1:{port}"), settings, demo, options.demo && !local);
        // Emulators have no schedule, so the function in this process reconciles.
        tokio::select! {
            error = emulators.ended() => Err(error),
            never = schedule::run(&backend) => match never {},
        }
    };
    let result = tokio::select! {
        result = work => result,
        error = source.ended() => Err(error),
        () = stopped(stop) => {
            report("stopping");
            Ok(())
        }
    };
    emulators.stop().await;
    source.close().await;
    result
}

/// Finds a program on the PATH.
///
/// # Errors
/// If it is not there, with the advice to install it.
pub(crate) fn find(program: &str, install: &str) -> Result<PathBuf, CommandError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(program));
    candidates
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| CommandError::new(format!("{program} is not on the PATH")).advice(install))
}

/// Command line of an emulator.
pub(crate) struct CommandSpec {
    /// Name that the user knows.
    pub(crate) name: &'static str,
    /// Program.
    pub(crate) program: PathBuf,
    /// Arguments.
    pub(crate) arguments: Vec<String>,
    /// Environment variables for its functions.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Shell commands for the cleanup after its end; may be empty.
    pub(crate) after: String,
}

/// Running emulators.
pub(crate) struct Emulators(Vec<Emulator>);

impl Emulators {
    /// Starts one more emulator.
    ///
    /// # Errors
    /// If the shell cannot be started.
    pub(crate) fn start(&mut self, spec: CommandSpec) -> Result<(), CommandError> {
        report(&format!("starting {}", spec.name));
        self.0.push(Emulator::start(spec)?);
        Ok(())
    }

    /// Returns when one of them ends by itself.
    pub(crate) async fn ended(&mut self) -> CommandError {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.iter_mut().map(|emulator| Box::pin(emulator.ended()))).await.0
    }

    /// Stops them with their functions, and waits for their end.
    async fn stop(self) {
        join_all(self.0.into_iter().map(Emulator::stop)).await;
    }
}

/// Running emulator below a shell, which ends it when this process ends.
struct Emulator {
    name: &'static str,
    shell: Child,
    /// Pipe that stays open while the emulator is to run. It is not in the child, whose `wait` would close
    /// it.
    pipe: Option<ChildStdin>,
}

impl Emulator {
    fn start(spec: CommandSpec) -> Result<Self, CommandError> {
        let CommandSpec { name, program, arguments, variables, after } = spec;
        let mut shell = Command::new("/bin/sh");
        // `cargo lambda watch` runs cargo.
        for variable in own_variables() {
            shell.env_remove(variable);
        }
        let mut shell = shell
            .args(["-c", SUPERVISOR, "emulator-supervisor", &after])
            .arg(program)
            .args(arguments)
            .current_dir(checkout())
            .envs(variables)
            .stdin(Stdio::piped())
            // Ctrl-C in a terminal reaches the whole process group; the emulator is stopped in order instead.
            .process_group(0)
            .spawn()
            .map_err(|error| CommandError::new(format!("{name} cannot be started: {error}")))?;
        let pipe = shell.stdin.take();
        Ok(Self { name, shell, pipe })
    }

    /// Returns when it ends by itself.
    async fn ended(&mut self) -> CommandError {
        let status = self.shell.wait().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        CommandError::new(format!("{} has ended ({status})", self.name))
            .advice("Its log above may explain it.")
    }

    /// Stops it with its functions, and waits for its end.
    async fn stop(mut self) {
        self.pipe = None;
        if timeout(STOP, self.shell.wait()).await.is_err() {
            report(&format!("{} does not end", self.name));
        }
    }
}

/// Waits until a process listens at an address.
///
/// # Errors
/// If there is none after two minutes.
pub(crate) async fn wait_for_listener(address: SocketAddr) -> Result<(), CommandError> {
    let connecting = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, connecting).await.map_err(|_| {
        CommandError::new(format!("nothing listens at {address}")).advice("The log above may explain it.")
    })
}

/// Waits until every function has answered.
async fn all_answer(port: u16) -> Result<(), CommandError> {
    for (function, path) in ALIVE {
        let answering = async {
            while !answers(port, path).await {
                sleep(POLL).await;
            }
        };
        timeout(PATIENCE, answering).await.map_err(|_| {
            CommandError::new(format!("the function {} does not answer at {path}", function.name()))
                .advice("Its log above may explain it.")
        })?;
    }
    Ok(())
}

/// Returns true if a path answers without a server error.
async fn answers(port: u16, path: &str) -> bool {
    let request = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut line = [0; 10];
        stream.read_exact(&mut line).await?;
        std::io::Result::Ok(line)
    };
    // Such as `HTTP/1.1 200 OK`: the first digit is enough.
    matches!(timeout(REQUEST, request).await, Ok(Ok(line)) if matches!(line[9], b'2'..=b'4'))
}
