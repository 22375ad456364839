//! `cargo local lambda`: the deployed programs under `cargo lambda watch`.

use std::process::Stdio;

use tokio::process::Command;

use crate::cargo::own_variables;
use crate::emulator::{self, CommandSpec};
use crate::env;
use crate::error::CommandError;
use crate::gateway::Function;
use crate::run::{self, checkout};
use crate::terminal::report;

/// Advice to install cargo-lambda.
pub(crate) const INSTALL: &str = "In a virtual environment of Python: pip install cargo-lambda. \
                                  Or see https://www.cargo-lambda.info/guide/installation.html";

/// Options of the command.
#[derive(Debug)]
pub struct Options {
    /// Options as for `cargo local`; the port is that of `cargo lambda watch`.
    pub run: run::Options,
    /// Maximum number of instances of each function.
    pub concurrency: u16,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// The first error, with advice.
pub async fn run(options: Options) -> Result<(), CommandError> {
    let Options { run, concurrency } = options;
    let program = emulator::find("cargo-lambda", INSTALL)?;
    emulator::run(&run, "cargo local lambda", async |environment, emulators| {
        build().await?;
        let port = environment.port;
        let watch = ["lambda", "watch", "--ignore-changes", "--invoke-address", "127.0.0.1", "--invoke-port"];
        let mut arguments: Vec<String> = watch.map(str::to_owned).into();
        arguments.push(port.to_string());
        // API Gateway adds no CORS headers unless it is configured to.
        arguments.extend(["--disable-cors", "--concurrency"].map(str::to_owned));
        arguments.push(concurrency.to_string());
        let endpoint = format!("http://127.0.0.1:{port}");
        let variables = env::variables(&environment.mongo_uri, &environment.settings, &endpoint);
        let after = String::new();
        emulators.start(CommandSpec { name: "cargo lambda watch", program, arguments, variables, after })
    })
    .await
}

/// Compiles the functions as cargo-lambda will, so that a compile error ends here and no request has to wait.
async fn build() -> Result<(), CommandError> {
    report("compiling the functions");
    for function in Function::ALL {
        let name = function.name();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        for variable in own_variables() {
            cargo.env_remove(variable);
        }
        let status = cargo
            // Not `--package`: it resolves features differently, so that all is compiled again.
            .args(["build", "--quiet", "--bin", name])
            .current_dir(checkout())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|error| CommandError::new(format!("cargo cannot be run: {error}")))?;
        if !status.success() {
            return Err(CommandError::new(format!("the function {name} does not compile")));
        }
    }
    Ok(())
}
