//! An ephemeral `cargo local` for tests.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Running `cargo local`, killed on drop.
pub(crate) struct Running {
    child: Child,
    /// Base URL: `http://HOST:PORT`.
    pub(crate) base: String,
}

impl Running {
    /// Starts one on a free port, waits until it is ready, and returns the lines that it prints after that.
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
