//! `cargo local bench`: cost of the functions beside floors of the same run.
//!
//! - [`rows`]: rows of the table, and their goals
//! - [`results`]: measurements, as a table and as a file
//! - [`chart`]: measurements as a picture
//!
//! `tests/examples/bench/` measures. It runs the programs as they are deployed, and the floors of `tests/floors/`, on the
//! small Lambda of the tests.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::cargo::own_variables;
use crate::emulator;
use crate::error::CommandError;
use crate::run::checkout;
use crate::terminal::{print_ignoring_epipe, report, shell_quoted};
use results::Results;
use rows::Row;

pub mod chart;
pub mod results;
pub mod rows;

/// Packages whose programs are measured.
const PACKAGES: [&str; 6] = ["orders", "products", "users", "docs", "console", "floors"];

/// Options of the command.
#[derive(Debug)]
pub struct Options {
    /// Rows to measure; if there is none, all but extra ones.
    pub only: Vec<Row>,
    /// True: fewer repetitions.
    pub quick: bool,
    /// File to write the results to.
    pub json: Option<PathBuf>,
    /// File to draw the results in.
    pub svg: Option<PathBuf>,
    /// File of earlier results.
    pub compare: Option<PathBuf>,
}

/// Order to the program that measures, as its argument in JSON.
#[derive(Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Folder of the programs.
    pub programs: PathBuf,
    /// Rows to measure.
    pub rows: Vec<Row>,
    /// True: fewer repetitions.
    pub quick: bool,
    /// Program that runs the function with Fastify, if its row is measured.
    pub fastify: Option<PathBuf>,
    /// Program of the functions in Go, if one of their rows is measured.
    pub go: Option<PathBuf>,
    /// File to write the results to.
    pub results: PathBuf,
}

/// Builds the programs, measures them, and prints the table.
///
/// # Errors
/// A file cannot be read or written, or something does not compile or start.
pub async fn run(options: Options) -> Result<(), CommandError> {
    let earlier = options.compare.as_deref().map(Results::read).transpose()?;
    report("compiling the functions as they are deployed; the first time takes some minutes");
    let mut packages = vec!["build", "--quiet", "--release"];
    packages.extend(PACKAGES.iter().flat_map(|package| ["--package", package]));
    cargo(&packages).await?;
    let target = target_folder().await?;
    let results = target.join("bench.json");
    let rows = if options.only.is_empty() { default_rows() } else { options.only };
    let fastify = if rows.contains(&Row::FastifyCpu) { Some(fastify(&target).await?) } else { None };
    let needs_go = rows.iter().any(|row| matches!(row, Row::GoLatency | Row::GoCpu | Row::GoRate));
    let go = if needs_go { Some(go(&target).await?) } else { None };
    let programs = target.join("release");
    let plan = Plan { programs, rows, quick: options.quick, fastify, go, results: results.clone() };
    let plan = serde_json::to_string(&plan).map_err(|error| CommandError::new(error.to_string()))?;
    report("compiling the measurement");
    cargo(&["run", "--quiet", "--profile", "bench", "--package", "tests", "--example", "bench", "--", &plan])
        .await?;
    let measured = Results::read(&results)?;
    print_ignoring_epipe(measured.table(earlier.as_ref()).trim_end());
    if let Some(file) = options.json {
        write(&file, &measured.json())?;
    }
    if let Some(file) = options.svg {
        write(&file, &chart::svg(&measured))?;
    }
    Ok(())
}

fn default_rows() -> Vec<Row> {
    Row::ALL.into_iter().filter(|row| !row.is_extra()).collect()
}

/// Installs the packages of the function with Fastify, and writes a program that runs it.
async fn fastify(target: &Path) -> Result<PathBuf, CommandError> {
    const FILES: [(&str, &str); 2] = [
        ("package.json", include_str!("../../tests/floors/fastify/package.json")),
        ("function.mjs", include_str!("../../tests/floors/fastify/function.mjs")),
    ];
    let (node, npm) = (emulator::find("node", NODE)?, emulator::find("npm", NODE)?);
    let folder = target.join("fastify");
    std::fs::create_dir_all(&folder)
        .map_err(|error| CommandError::new(format!("{}: {error}", folder.display())))?;
    for (name, text) in FILES {
        write(&folder.join(name), text)?;
    }
    report("installing the packages of the function with Fastify");
    let install = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"];
    let status = Command::new(npm).args(install).current_dir(&folder).stdin(Stdio::null()).status().await;
    if !status.is_ok_and(|status| status.success()) {
        return Err(CommandError::new(format!("npm install failed in {}", folder.display())));
    }
    let program = folder.join("function");
    let function = shell_quoted(&folder.join("function.mjs").display().to_string());
    let text = format!("#!/bin/sh\nexec {} {function}\n", shell_quoted(&node.display().to_string()));
    write(&program, &text)?;
    make_executable(&program)?;
    Ok(program)
}

/// Builds the functions in Go, with the modules that they name.
async fn go(target: &Path) -> Result<PathBuf, CommandError> {
    const FILES: [(&str, &str); 7] = [
        ("go.mod", include_str!("../../tests/floors/go/go.mod")),
        ("main.go", include_str!("../../tests/floors/go/main.go")),
        ("documents.go", include_str!("../../tests/floors/go/documents.go")),
        ("ids.go", include_str!("../../tests/floors/go/ids.go")),
        ("orders.go", include_str!("../../tests/floors/go/orders.go")),
        ("products.go", include_str!("../../tests/floors/go/products.go")),
        ("tokens.go", include_str!("../../tests/floors/go/tokens.go")),
    ];
    let go = emulator::find("go", GO)?;
    let folder = target.join("go");
    std::fs::create_dir_all(&folder)
        .map_err(|error| CommandError::new(format!("{}: {error}", folder.display())))?;
    for (name, text) in FILES {
        write(&folder.join(name), text)?;
    }
    report("building the functions in Go");
    // As AWS builds them: stripped, and without the RPC of the former runtime.
    let build =
        ["build", "-mod=mod", "-trimpath", "-tags=lambda.norpc", "-ldflags=-s -w", "-o", "function", "."];
    let mut command = Command::new(go);
    command.args(build).env("CGO_ENABLED", "0").current_dir(&folder).stdin(Stdio::null());
    if !command.status().await.is_ok_and(|status| status.success()) {
        return Err(CommandError::new(format!("go build failed in {}", folder.display())));
    }
    Ok(folder.join("function"))
}

/// Advice to install Go.
const GO: &str = "Install Go 1.25 or later: https://go.dev/dl";

/// Advice to install Node.js.
const NODE: &str = "Install Node.js 20.19 or later, with npm: https://nodejs.org";

fn make_executable(program: &Path) -> Result<(), CommandError> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| CommandError::new(format!("{}: {error}", program.display())))
}

/// Command of cargo in the checkout.
fn command(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    for variable in own_variables() {
        cargo.env_remove(variable);
    }
    cargo.args(arguments).current_dir(checkout()).stdin(Stdio::null()).kill_on_drop(true);
    cargo
}

async fn cargo(arguments: &[&str]) -> Result<(), CommandError> {
    let status = command(arguments).status().await;
    let status = status.map_err(|error| CommandError::new(format!("cargo cannot be run: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(CommandError::new(format!("cargo {} failed", arguments.first().copied().unwrap_or_default())))
}

/// Folder to which cargo builds.
async fn target_folder() -> Result<PathBuf, CommandError> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let metadata = command(&["metadata", "--format-version", "1", "--no-deps"]).output().await;
    let metadata = metadata.map_err(|error| CommandError::new(format!("cargo cannot be run: {error}")))?;
    let metadata: Metadata = serde_json::from_slice(&metadata.stdout)
        .map_err(|error| CommandError::new(format!("cargo metadata: {error}")))?;
    Ok(metadata.target_directory)
}

fn write(file: &Path, text: &str) -> Result<(), CommandError> {
    std::fs::write(file, text).map_err(|error| CommandError::new(format!("{}: {error}", file.display())))
}
