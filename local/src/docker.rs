//! Docker: a network for each run, and the image that the functions run in.
//!
//! Containers of a network reach this machine at its gateway, an address that only this machine has.
//! Listening there avoids listening on all interfaces.
//!
//! The network also identifies the containers of this run, because sam's labels are the same for every user.
//! Elsewhere than on Linux, containers run in a virtual machine, from which a gateway's address leads
//! nowhere.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::error::CommandError;
use crate::run::checkout;
use crate::terminal::report;

/// Script that creates an image from the files of this machine.
const MAKE_IMAGE: &str = include_str!("image.sh");

/// Name of that image, which must not be mistaken for AWS's.
const OWN_IMAGE: &str = "localhost/oms-lambda-base";

/// Returns the architecture of this machine, in the terms of Lambda.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

/// Runs docker, and returns its output if it succeeds.
async fn docker(arguments: &[&str]) -> Result<String, CommandError> {
    let output =
        Command::new("docker").args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let Output { status, stdout, stderr } = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CommandError::new("docker is not on the PATH").advice(
            "On Debian or Ubuntu: sudo apt-get install docker.io. \
             Or see https://docs.docker.com/engine/install/",
        ),
        _ => CommandError::new(format!("docker cannot be run: {error}")),
    })?;
    let text = |output: Vec<u8>| String::from_utf8_lossy(&output).trim().to_owned();
    match status.success() {
        true => Ok(text(stdout)),
        false => Err(CommandError::new(format!("docker {}: {}", arguments[0], text(stderr)))),
    }
}

/// Checks that Docker runs and is accessible.
///
/// # Errors
/// If it does not answer, with advice.
pub(crate) async fn check() -> Result<(), CommandError> {
    if cfg!(not(target_os = "linux")) {
        return Err(CommandError::new("containers run in a virtual machine here, and cannot reach MongoDB")
            .advice("This command works on Linux. Elsewhere use cargo local lambda."));
    }
    match docker(&["version", "--format", "{{.Server.Version}}"]).await {
        Ok(_) => Ok(()),
        Err(error) if error.has_advice() => Err(error),
        Err(error) => Err(error.advice(
            "Start it (sudo systemctl start docker), and allow yourself to use it: \
             sudo usermod -aG docker $USER, then log in again.",
        )),
    }
}

/// Prefix of the networks of runs, before the process ID.
const RUN: &str = "oms-sam-";

/// Creates a network for this run alone, and returns its name.
///
/// # Errors
/// If Docker refuses.
pub(crate) async fn make_network() -> Result<String, CommandError> {
    remove_unused_networks().await?;
    let name = format!("{RUN}{}", std::process::id());
    docker(&["network", "create", &name]).await?;
    Ok(name)
}

/// Removes the networks of killed runs that had no containers yet, so that no supervisor removed them.
async fn remove_unused_networks() -> Result<(), CommandError> {
    let names =
        docker(&["network", "ls", "--filter", &format!("name=^{RUN}"), "--format", "{{.Name}}"]).await?;
    for name in names.lines() {
        let process = name.strip_prefix(RUN).map(|id| Path::new("/proc").join(id));
        if process.is_some_and(|process| !process.exists()) {
            // Docker refuses if the network has containers, and then it is in use.
            let _ = docker(&["network", "rm", name]).await;
        }
    }
    Ok(())
}

/// Returns the address at which containers of a network reach this machine.
///
/// # Errors
/// If there is no such network, or its gateway is on another machine.
pub(crate) async fn gateway(network: &str) -> Result<IpAddr, CommandError> {
    let template = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
    let output =
        docker(&["network", "inspect", network, "--format", template]).await.map_err(|error| match error
            .has_advice()
        {
            true => error,
            false => error.advice(format!("Create it: docker network create {network}")),
        })?;
    let address: Option<IpAddr> = output.split_whitespace().find_map(|address| address.parse().ok());
    let address = address.ok_or_else(|| {
        CommandError::new(format!("the Docker network {network} has no gateway"))
            .advice("Docker's own networks have none; create one: docker network create oms")
    })?;
    TcpListener::bind((address, 0)).await.map_err(|_| {
        CommandError::new(format!(
            "{address}, the gateway of the Docker network {network}, is not on this machine"
        ))
        .advice("Docker Desktop and rootless Docker have separate networks; use Docker Engine itself.")
    })?;
    Ok(address)
}

/// Returns shell commands that remove a network and all of its containers; safe to repeat.
pub(crate) fn remove_network(name: &str) -> String {
    format!(
        "for id in $(docker ps --all --quiet --filter network={name}); do docker rm --force $id; done; \
         docker network rm {name}"
    )
}

/// Returns the image for the functions: AWS's own, pulled if possible, else one from this machine's files.
///
/// # Errors
/// If neither is available, with advice.
pub(crate) async fn base_image() -> Result<String, CommandError> {
    let architecture = architecture();
    let official = format!("public.ecr.aws/lambda/provided:al2023-{architecture}");
    if docker(&["image", "inspect", &official]).await.is_ok() {
        report(&format!("base image: {official}, already present"));
        return Ok(official);
    }
    report(&format!("pulling {official}"));
    let refusal = match docker(&["pull", "--quiet", &official]).await {
        Ok(_) => {
            report(&format!("base image: {official}, pulled"));
            return Ok(official);
        }
        Err(refusal) => refusal,
    };
    let name = format!("{OWN_IMAGE}:{architecture}");
    // sam keeps its derived image under this name, even if the base image has changed.
    let derived = format!("{OWN_IMAGE}:rapid-{architecture}");
    let making = Command::new("/bin/sh")
        .args(["-c", MAKE_IMAGE, "make-image", &name, &derived])
        .current_dir(checkout())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| CommandError::new(format!("/bin/sh cannot be run: {error}")))?;
    if !making.status.success() {
        let output = String::from_utf8_lossy(&making.stderr).trim().to_owned();
        return Err(CommandError::new(format!(
            "no base image: {refusal}; and none can be created here: {output}"
        ))
        .advice(format!("With network access: docker pull {official}")));
    }
    report(&format!("base image: {name}, created from this machine's own files, because of: {refusal}"));
    Ok(name)
}
