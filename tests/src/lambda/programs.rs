//! The functions' own programs: those of this checkout, built once, or those of the folder that `OMS_PROGRAMS` names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use local::cargo::own_variables;
use local::gateway::Function;
use serde::Deserialize;

/// The program of a function of this workspace, `maintenance` among them, or of the example `hello`, built if it is not there or not of this
/// code.
///
/// It has the features that the tests have, `lambda` and `socket`: so all that it is made of is compiled already,
/// and only has to be linked.
///
/// With `OMS_PROGRAMS`, the absolute path of a folder, it is the file of this name there. The file may start another
/// processor's program in an emulator.
pub fn of_workspace(name: &str) -> PathBuf {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    if let Some(folder) = std::env::var_os("OMS_PROGRAMS") {
        return Path::new(&folder).join(name);
    }
    let built = BUILT.get_or_init(build);
    built.get(name).unwrap_or_else(|| panic!("cargo did not say where the program {name} is")).clone()
}

/// Writes a script that runs a program with its output appended to a file: as many bytes as CloudWatch would be
/// sent.
///
/// # Errors
/// The script cannot be written.
pub fn logging_to(log: &Path, program: &Path, script: PathBuf) -> io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let text = format!("#!/bin/sh\nexec '{}' >>'{}' 2>&1\n", program.display(), log.display());
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

fn build() -> BTreeMap<String, PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--quiet", "--message-format", "json-render-diagnostics"]);
    for name in Function::ALL.map(Function::name).into_iter().chain([maintenance::NAME]) {
        cargo.args(["--bin", name]);
    }
    // With an example cargo takes the features of dev-dependencies too, as it does for tests.
    cargo.args(["--example", "hello"]);
    for name in own_variables() {
        cargo.env_remove(name);
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = cargo.current_dir(workspace).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("cargo cannot be run: {error}"));
    assert!(output.status.success(), "the functions do not compile");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    messages
        .filter_map(|message| match (message.target, message.executable) {
            (Some(target), Some(program)) if target.kind == ["bin"] || target.kind == ["example"] => {
                Some((target.name, program))
            }
            _ => None,
        })
        .collect()
}
