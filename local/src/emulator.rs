//! The functions as the programs that are deployed, under emulators of Lambda that run beside us: what
//! `cargo local lambda` and `cargo local sam` have in common, from MongoDB to the end of everything.

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

use crate::cargo::own_variables;
use crate::demo::{self, Demo};
use crate::error::CommandError;
use crate::gateway::Function;
use crate::run::{self, Source, announce, checkout, kept, listen, say, set_up, stop_signal, stopped};
use crate::schedule;
use crate::settings::Settings;

/// Runs an emulator, and ends it when we end.
const SUPERVISOR: &str = include_str!("emulator.sh");

/// How long a function, compiled already, may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long an emulator may take to end with its functions; its supervisor kills it before.
const STOP: Duration = Duration::from_secs(10);

/// How long an emulator may hold one request: until its function is started.
const REQUEST: Duration = Duration::from_secs(20);

/// How often is asked whether something is there.
const POLL: Duration = Duration::from_millis(200);

/// A path of each function that changes nothing, also without a token.
const ALIVE: [(Function, &str); 4] = [
    (Function::Docs, "/health"),
    (Function::Users, "/users"),
    (Function::Products, "/products?limit=1"),
    (Function::Orders, "/orders"),
];

/// What the functions are going to run with.
pub(crate) struct Surroundings {
    /// Where MongoDB is for this process.
    pub(crate) mongo_uri: String,
    /// The secrets.
    pub(crate) settings: Settings,
    /// The port on 127.0.0.1 for the API.
    pub(crate) port: u16,
}

/// Runs MongoDB, what `start` starts, and the API on the port of `options`, until Ctrl-C or SIGTERM. `command` is
/// what the user typed.
///
/// # Errors
/// What went wrong, and what to do.
pub(crate) async fn run(
    options: &run::Options,
    command: &str,
    start: impl AsyncFnOnce(&Surroundings, &mut Emulators) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let stop = stop_signal()?;
    // The emulator takes the port itself; that it is free is better told now than in the middle of its log.
    let port = listen(options.port, command).await?.local_addr();
    let port = port.map_err(|error| CommandError::new(format!("the port is not known: {error}")))?.port();
    let (folder, settings) = kept(options)?;
    let mut source = Source::open(options, folder).await?;
    let surroundings = Surroundings { mongo_uri: source.uri(), settings, port };
    let (database, near) = (source.database().clone(), source.is_near());
    let mut emulators = Emulators(Vec::new());
    let work = async {
        let Surroundings { settings, port, .. } = &surroundings;
        let backend = set_up(&database, settings).await?;
        let demo = match options.demo && near {
            true => demo::load(backend.router(), settings).with_subscriber(NoSubscriber::new()).await?,
            false => Demo::Left,
        };
        start(&surroundings, &mut emulators).await?;
        tokio::select! {
            answered = all_answer(*port) => answered?,
            failure = emulators.ended() => return Err(failure),
        }
        announce(&format!("http://127.0.0.1:{port}"), settings, demo, options.demo && !near);
        // No emulator has a schedule: here the function that is in this process does it.
        tokio::select! {
            failure = emulators.ended() => Err(failure),
            never = schedule::run(&backend) => match never {},
        }
    };
    let result = tokio::select! {
        result = work => result,
        failure = source.ended() => Err(failure),
        () = stopped(stop) => {
            say("stopping");
            Ok(())
        }
    };
    emulators.stop().await;
    source.close().await;
    result
}

/// Where a program is that the PATH has, or how to install it.
///
/// # Errors
/// It is not there.
pub(crate) fn find(program: &str, install: &str) -> Result<PathBuf, CommandError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(program));
    candidates
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| CommandError::new(format!("{program} is not on the PATH")).advice(install))
}

/// An emulator's command line.
pub(crate) struct Line {
    /// What the user knows it as.
    pub(crate) name: &'static str,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// What its functions are told.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// What a shell has to do after its end, however it ended; empty: nothing.
    pub(crate) after: String,
}

/// Those that run.
pub(crate) struct Emulators(Vec<Emulator>);

impl Emulators {
    /// Starts one more.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub(crate) fn start(&mut self, line: Line) -> Result<(), CommandError> {
        say(&format!("starting {}", line.name));
        self.0.push(Emulator::start(line)?);
        Ok(())
    }

    /// Returns when one of them has ended by itself.
    pub(crate) async fn ended(&mut self) -> CommandError {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.iter_mut().map(|emulator| Box::pin(emulator.ended()))).await.0
    }

    /// Ends them with their functions, and waits until they are gone.
    async fn stop(self) {
        join_all(self.0.into_iter().map(Emulator::stop)).await;
    }
}

/// A running emulator, with a shell above it that ends it when we are gone.
struct Emulator {
    name: &'static str,
    shell: Child,
    /// Open for as long as it is to run. Apart from the child, whose `wait` would close it.
    pipe: Option<ChildStdin>,
}

impl Emulator {
    fn start(line: Line) -> Result<Self, CommandError> {
        let Line { name, program, arguments, variables, after } = line;
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
            // Ctrl-C in a terminal goes to the whole group; it is stopped in order instead.
            .process_group(0)
            .spawn()
            .map_err(|error| CommandError::new(format!("{name} cannot be started: {error}")))?;
        let pipe = shell.stdin.take();
        Ok(Self { name, shell, pipe })
    }

    /// Returns when it has ended by itself.
    async fn ended(&mut self) -> CommandError {
        let status = self.shell.wait().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        CommandError::new(format!("{} has ended ({status})", self.name)).advice("Its log above may say why.")
    }

    /// Ends it with its functions, and waits until they are gone.
    async fn stop(mut self) {
        self.pipe = None;
        if timeout(STOP, self.shell.wait()).await.is_err() {
            say(&format!("{} does not end", self.name));
        }
    }
}

/// Waits until somebody listens at an address.
///
/// # Errors
/// Nobody did for two minutes.
pub(crate) async fn listened_to(address: SocketAddr) -> Result<(), CommandError> {
    let connecting = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, connecting).await.map_err(|_| {
        CommandError::new(format!("nothing listens at {address}")).advice("The log above may say why.")
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
                .advice("Its log above may say why.")
        })?;
    }
    Ok(())
}

/// Whether a path answers anything but a failure of the server.
async fn answers(port: u16, path: &str) -> bool {
    let request = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut line = [0; 10];
        stream.read_exact(&mut line).await?;
        std::io::Result::Ok(line)
    };
    // Such as `HTTP/1.1 200 OK`: the first digit says enough.
    matches!(timeout(REQUEST, request).await, Ok(Ok(line)) if matches!(line[9], b'2'..=b'4'))
}
