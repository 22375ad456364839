//! What is asked of Docker: a network of our own, and the image that functions run in.
//!
//! Containers of a network reach this machine at its gateway, an address that only this machine has; and by the
//! network our containers are told apart from those of anybody else.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::error::CommandError;
use crate::run::{checkout, say};

/// Makes an image from what this machine has.
const MAKE_IMAGE: &str = include_str!("image.sh");

/// The name of that image: its own, so that nobody takes it for AWS's.
const OWN_IMAGE: &str = "localhost/oms-lambda-base";

/// This machine's architecture, as Lambda calls it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

/// Runs docker; its output if it succeeds.
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
    let said = |text: Vec<u8>| String::from_utf8_lossy(&text).trim().to_owned();
    match status.success() {
        true => Ok(said(stdout)),
        false => Err(CommandError::new(format!("docker {}: {}", arguments[0], said(stderr)))),
    }
}

/// Makes sure that Docker is there and answers us.
///
/// # Errors
/// It does not; with what to do.
pub(crate) async fn check() -> Result<(), CommandError> {
    if cfg!(not(target_os = "linux")) {
        return Err(CommandError::new(
            "containers here run in a machine of their own, which does not reach MongoDB",
        )
        .advice("It works on Linux. Elsewhere use cargo local lambda."));
    }
    match docker(&["version", "--format", "{{.Server.Version}}"]).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.has_advice() => Err(failure),
        Err(failure) => Err(failure.advice(
            "Start it (sudo systemctl start docker), and see that you may use it: sudo usermod -aG docker $USER, \
             then log in again.",
        )),
    }
}

/// What the networks of runs are called, before the process ID.
const RUN: &str = "oms-sam-";

/// Makes a network for this run alone. Its name.
///
/// # Errors
/// Docker refuses.
pub(crate) async fn make_network() -> Result<String, CommandError> {
    remove_unused_networks().await?;
    let name = format!("{RUN}{}", std::process::id());
    docker(&["network", "create", &name]).await?;
    Ok(name)
}

/// Removes what a run has left that was killed before it had any containers: then nobody is there to do it.
async fn remove_unused_networks() -> Result<(), CommandError> {
    let names =
        docker(&["network", "ls", "--filter", &format!("name=^{RUN}"), "--format", "{{.Name}}"]).await?;
    for name in names.lines() {
        let process = name.strip_prefix(RUN).map(|id| Path::new("/proc").join(id));
        if process.is_some_and(|process| !process.exists()) {
            // Refused where there are containers in it, and then it is not unused.
            let _ = docker(&["network", "rm", name]).await;
        }
    }
    Ok(())
}

/// Where containers of a network reach this machine.
///
/// # Errors
/// There is no such network, or its gateway is on another machine.
pub(crate) async fn gateway(network: &str) -> Result<IpAddr, CommandError> {
    let template = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
    let said =
        docker(&["network", "inspect", network, "--format", template]).await.map_err(
            |failure| match failure.has_advice() {
                true => failure,
                false => failure.advice(format!("Make it: docker network create {network}")),
            },
        )?;
    let address: Option<IpAddr> = said.split_whitespace().find_map(|address| address.parse().ok());
    let address = address.ok_or_else(|| {
        CommandError::new(format!("the Docker network {network} says no gateway"))
            .advice("Docker's own networks do not; make one: docker network create oms")
    })?;
    TcpListener::bind((address, 0)).await.map_err(|_| {
        CommandError::new(format!(
            "{address}, the gateway of the Docker network {network}, is not on this machine"
        ))
        .advice("Docker Desktop and rootless Docker have networks apart; it takes Docker Engine itself.")
    })?;
    Ok(address)
}

/// Shell commands that remove a network and all containers in it. They may run more than once.
pub(crate) fn remove_network(name: &str) -> String {
    format!(
        "for id in $(docker ps --all --quiet --filter network={name}); do docker rm --force $id; done; \
         docker network rm {name}"
    )
}

/// The image for the functions: AWS's own, pulled where that is possible; else one of our own.
///
/// # Errors
/// Neither can be had; with what to do.
pub(crate) async fn base_image() -> Result<String, CommandError> {
    let architecture = architecture();
    let official = format!("public.ecr.aws/lambda/provided:al2023-{architecture}");
    if docker(&["image", "inspect", &official]).await.is_ok() {
        say(&format!("base image: {official}, which is here already"));
        return Ok(official);
    }
    say(&format!("pulling {official}"));
    let refusal = match docker(&["pull", "--quiet", &official]).await {
        Ok(_) => {
            say(&format!("base image: {official}, pulled"));
            return Ok(official);
        }
        Err(refusal) => refusal,
    };
    let name = format!("{OWN_IMAGE}:{architecture}");
    // The name under which sam keeps what it makes of a base image, whatever has become of that.
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
        let said = String::from_utf8_lossy(&making.stderr).trim().to_owned();
        return Err(CommandError::new(format!(
            "no base image: {refusal}; and none can be made here: {said}"
        ))
        .advice(format!("Where there is a network: docker pull {official}")));
    }
    say(&format!("base image: {name}, made from this machine's own files, since {refusal}"));
    Ok(name)
}
