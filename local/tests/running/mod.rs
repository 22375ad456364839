//! `cargo local` with data that nobody keeps, as a test runs it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A `cargo local` that runs until it is dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it listens: `http://HOST:PORT`.
    pub(crate) base: String,
}

impl Running {
    /// Starts one on a free port, and waits until it is ready. Also gives the lines that it prints from there on.
    pub(crate) fn start() -> (Self, impl Iterator<Item = String>) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oms-local"))
            .args(["--port", "0", "--ephemeral"])
            .env_remove("MONGO_URI")
            .env_remove("JWT_SECRET")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let base = lines.find_map(|line| line.strip_prefix("ready ").map(str::to_owned)).unwrap();
        (Self { child, base }, lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
