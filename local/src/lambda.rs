//! `cargo local lambda`: the functions as the programs that are deployed, under `cargo lambda watch`, with all
//! that they need.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mongodb::Database;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::demo::{self, Demo};
use crate::env;
use crate::failure::Failure;
use crate::gateway::Function;
use crate::run::{self, Source, announce, checkout, kept, listen, say, set_up, stop_signal, stopped};
use crate::settings::Settings;

/// Runs cargo-lambda, and ends it when we end.
const SUPERVISOR: &str = include_str!("lambda.sh");

/// How long a function, compiled already, may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long cargo-lambda may take to end with its functions; its supervisor kills it before.
const STOP: Duration = Duration::from_secs(10);

/// How long cargo-lambda may hold one request: until its function is started.
const REQUEST: Duration = Duration::from_secs(20);

/// A path of each function that changes nothing, also without a token.
const ALIVE: [(Function, &str); 4] = [
    (Function::Docs, "/health"),
    (Function::Users, "/users"),
    (Function::Products, "/products?limit=1"),
    (Function::Orders, "/orders"),
];

/// What the user wants.
#[derive(Debug)]
pub struct Options {
    /// As for `cargo local`; the port is that of `cargo lambda watch`.
    pub run: run::Options,
    /// How many instances of a function there may be at a time.
    pub concurrency: u16,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// What went wrong, and what to do.
pub async fn run(options: Options) -> Result<(), Failure> {
    let stop = stop_signal()?;
    let program = find()?;
    // cargo-lambda takes the port itself; that it is free is better told now than in the middle of its log.
    let port = listen(options.run.port, "cargo local lambda").await?.local_addr();
    let port = port.map_err(|error| Failure::new(format!("the port is not known: {error}")))?.port();
    let (folder, settings) = kept(&options.run)?;
    let mut source = Source::open(&options.run, folder).await?;
    let variables = env::variables(&source.uri(), &settings, port);
    let (database, near) = (source.database().clone(), source.is_near());
    let mut emulator = None;
    let work = async {
        let demo = prepare(&database, &settings, options.run.demo && near).await?;
        build().await?;
        let emulator = emulator.insert(Emulator::start(&program, port, options.concurrency, variables)?);
        tokio::select! {
            answered = all_answer(port) => answered?,
            failure = emulator.ended() => return Err(failure),
        }
        announce(&format!("http://127.0.0.1:{port}"), &settings, demo, options.run.demo && !near);
        Err(emulator.ended().await)
    };
    let result = tokio::select! {
        result = work => result,
        failure = source.ended() => Err(failure),
        () = stopped(stop) => {
            say("stopping");
            Ok(())
        }
    };
    if let Some(emulator) = emulator {
        emulator.stop().await;
    }
    source.close().await;
    result
}

/// The program behind `cargo lambda`.
fn find() -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("cargo-lambda"));
    candidates.find(|program| program.is_file()).ok_or_else(|| {
        Failure::new("cargo-lambda is not on the PATH").advice(
            "In a virtual environment of Python: pip install cargo-lambda. \
             Or see https://www.cargo-lambda.info/guide/installation.html",
        )
    })
}

/// Schema, first admin and, if wanted, demo data: what no function makes by itself.
async fn prepare(database: &Database, settings: &Settings, demo: bool) -> Result<Demo, Failure> {
    let house = set_up(database, settings).await?;
    match demo {
        true => demo::load(house.router(), settings).with_subscriber(NoSubscriber::new()).await,
        false => Ok(Demo::Left),
    }
}

/// Compiles the functions as cargo-lambda will, so that an error ends here and no request has to wait.
async fn build() -> Result<(), Failure> {
    say("compiling the functions");
    for function in Function::ALL {
        let name = function.name();
        let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            // Not `--package`, with which features are resolved otherwise and all is compiled again.
            .args(["build", "--quiet", "--bin", name])
            .current_dir(checkout())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|error| Failure::new(format!("cargo cannot be run: {error}")))?;
        if !status.success() {
            return Err(Failure::new(format!("the function {name} does not compile")));
        }
    }
    Ok(())
}

/// A running `cargo lambda watch`, with a shell above it that ends it when we are gone.
struct Emulator {
    shell: Child,
    /// Open for as long as it is to run. Apart from the child, whose `wait` would close it.
    pipe: Option<ChildStdin>,
}

impl Emulator {
    fn start(
        program: &Path,
        port: u16,
        concurrency: u16,
        variables: Vec<(&'static str, String)>,
    ) -> Result<Self, Failure> {
        say("starting cargo lambda watch");
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR, "cargo-lambda-supervisor"])
            .arg(program)
            .args(["lambda", "watch", "--ignore-changes", "--invoke-address", "127.0.0.1", "--invoke-port"])
            .arg(port.to_string())
            // API Gateway adds no CORS headers unless it is told to.
            .args(["--disable-cors", "--concurrency"])
            .arg(concurrency.to_string())
            .current_dir(checkout())
            .envs(variables)
            .stdin(Stdio::piped())
            // Ctrl-C in a terminal goes to the whole group; it is stopped in order instead.
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::new(format!("cargo-lambda cannot be started: {error}")))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Returns when it has ended by itself.
    async fn ended(&mut self) -> Failure {
        let status = self.shell.wait().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        Failure::new(format!("cargo lambda watch has ended ({status})")).advice("Its log above may say why.")
    }

    /// Ends it with its functions, and waits until they are gone.
    async fn stop(mut self) {
        self.pipe = None;
        if timeout(STOP, self.shell.wait()).await.is_err() {
            say("cargo lambda watch does not end");
        }
    }
}

/// Waits until every function has answered.
async fn all_answer(port: u16) -> Result<(), Failure> {
    for (function, path) in ALIVE {
        let answering = async {
            while !answers(port, path).await {
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(PATIENCE, answering).await.map_err(|_| {
            Failure::new(format!("the function {} does not answer at {path}", function.name()))
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
