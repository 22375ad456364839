//! `cargo local sam`: the functions as `sam build` packs them, under `sam local start-api`, with calls between them
//! through `sam local start-lambda`.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Stdio;

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::cargo::own_variables;
use crate::docker;
use crate::emulator::{self, CommandSpec};
use crate::env;
use crate::error::CommandError;
use crate::lambda;
use crate::run::{self, checkout};
use crate::terminal::report;

/// Default port of `sam local start-api`.
pub const PORT: u16 = 3000;

/// Advice to install the SAM CLI.
const INSTALL: &str = "In a virtual environment of Python: pip install aws-sam-cli cargo-lambda. \
                       Or see https://docs.aws.amazon.com/serverless-application-model/";

/// Options of every `sam local` command.
///
/// A container that stays answers in milliseconds, the image is already present, and no code changes while it
/// runs.
const ALWAYS: [&str; 4] = ["--skip-pull-image", "--warm-containers", "EAGER", "--no-watch"];

/// Options of the command.
#[derive(Debug)]
pub struct Options {
    /// Options as for `cargo local`; the port is that of `sam local start-api`.
    pub run: run::Options,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// The first error, with advice.
pub async fn run(options: Options) -> Result<(), CommandError> {
    let Options { mut run } = options;
    let program = emulator::find("sam", INSTALL)?;
    emulator::find("cargo-lambda", lambda::INSTALL)?;
    docker::check().await?;
    // A network of this run alone: everything in it may be removed. Not `--docker-network host`, which sam
    // ignores.
    let network = Network(docker::make_network().await?);
    let gateway = docker::gateway(&network.0).await?;
    run.docker_network = Some(network.0.clone());
    emulator::run(&run, "cargo local sam", async |environment, emulators| {
        build(&program).await?;
        let image = docker::base_image().await?;
        let calls = free_address(gateway).await?;
        let mongo_uri = env::for_containers(&environment.mongo_uri, gateway);
        let variables = env::for_sam(&mongo_uri, &environment.settings, &format!("http://{calls}"));
        let spec = |name, command: &str, address: SocketAddr| {
            let mut arguments: Vec<String> = ["local", command].map(str::to_owned).into();
            arguments.extend(ALWAYS.map(str::to_owned));
            let further = [
                ("--invoke-image", image.clone()),
                ("--docker-network", network.0.clone()),
                ("--parameter-overrides", format!("Architecture={}", docker::architecture())),
                ("--host", address.ip().to_string()),
                ("--port", address.port().to_string()),
            ];
            arguments.extend(further.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
            let after = docker::remove_network(&network.0);
            let variables = [variables.clone(), vec![("SAM_CLI_TELEMETRY", "0".to_owned())]].concat();
            CommandSpec { name, program: program.clone(), arguments, variables, after }
        };
        emulators.start(spec("sam local start-lambda", "start-lambda", calls))?;
        tokio::select! {
            listening = emulator::wait_for_listener(calls) => listening?,
            error = emulators.ended() => return Err(error),
        }
        let api = SocketAddr::from(([127, 0, 0, 1], environment.port));
        emulators.start(spec("sam local start-api", "start-api", api))
    })
    .await
}

/// Network that is removed with its containers, even if no emulator is started to remove it at its end.
struct Network(String);

impl Drop for Network {
    fn drop(&mut self) {
        // After an emulator has run it is already removed, and there is nothing to do.
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", &docker::remove_network(&self.0)]);
        let _ = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Compiles and packs the functions; their dependencies are compiled once.
async fn build(program: &Path) -> Result<(), CommandError> {
    report("sam build: the first time it compiles everything, for size, which takes some minutes");
    let log = std::io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let log = log.map_err(|error| CommandError::new(format!("standard error cannot be used: {error}")))?;
    let mut sam = Command::new(program);
    for variable in own_variables() {
        sam.env_remove(variable);
    }
    let status = sam
        .args(["build", "--parameter-overrides", &format!("Architecture={}", docker::architecture())])
        .current_dir(checkout())
        .env("SAM_CLI_TELEMETRY", "0")
        .stdin(Stdio::null())
        // Standard output is for the text that is printed when all is ready.
        .stdout(log)
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| CommandError::new(format!("sam cannot be run: {error}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(CommandError::new("sam build has failed").advice("Its log above says why.")),
    }
}

/// Finds an address with a free port.
async fn free_address(ip: IpAddr) -> Result<SocketAddr, CommandError> {
    let free = async { TcpListener::bind((ip, 0)).await?.local_addr() };
    free.await.map_err(|error| CommandError::new(format!("there is no free port at {ip}: {error}")))
}
