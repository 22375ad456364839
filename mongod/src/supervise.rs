//! Child process: a small shell that runs `mongod`, and ends it when the parent ends in any way.
//!
//! A `kill -9` gives a parent no chance to stop its children. Linux has `PR_SET_PDEATHSIG` for that, but
//! macOS has nothing like it. The kernel closes the pipes of every process that dies, so the child holds a
//! pipe.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use tokio::sync::watch;

use crate::log::Log;

const SCRIPT: &str = include_str!("supervise.sh");

/// Running `mongod` and the shell above it. On drop it closes the pipe and does not wait.
#[derive(Debug)]
pub(crate) struct Supervised {
    pipe: Option<ChildStdin>,
    mongod: u32,
    /// `Some` once both have ended: the exit code of `mongod`, or 128 plus the signal that killed it.
    exit: watch::Receiver<Option<i32>>,
}

impl Supervised {
    /// Starts `command`, whose output goes to the log. `ephemeral` is removed at the end.
    ///
    /// # Errors
    /// If there is no `/bin/sh`, or no process can be created.
    pub(crate) fn spawn(command: &[OsString], ephemeral: Option<&Path>, log: &Log) -> io::Result<Self> {
        let mut child = {
            // macOS cannot create a pipe close-on-exec in one step. A child started at the same moment would
            // inherit it, and two servers would keep each other alive.
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            Command::new("/bin/sh")
                .args(["-c", SCRIPT, "mongod-supervisor"])
                .arg(ephemeral.unwrap_or(Path::new("")))
                .args(command)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(log.output()?)
                // Ctrl-C in a terminal reaches the whole process group; the server is shut down in order
                // instead.
                .process_group(0)
                .spawn()?
        };
        let pipe = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let mongod = line.trim().parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the shell printed {line:?} instead of a process ID"),
            )
        })?;

        let (sender, exit) = watch::channel(None);
        // A thread, not tokio's process: a shared server outlives the runtime of the test that started it.
        thread::Builder::new().name("mongod-exit".to_owned()).spawn(move || {
            let code = child.wait().ok().and_then(|status| status.code());
            // Without a receiver, the code is not needed any more.
            let _ = sender.send(Some(code.unwrap_or(-1)));
        })?;
        Ok(Self { pipe, mongod, exit })
    }

    /// Returns the process ID of `mongod` itself.
    pub(crate) fn pid(&self) -> u32 {
        self.mongod
    }

    /// Waits until `mongod` has ended and its ephemeral folder is gone, and returns its exit code.
    pub(crate) async fn exited(&self) -> i32 {
        let mut exit = self.exit.clone();
        // An error means that the thread ended without a result, which it never does.
        exit.wait_for(Option::is_some).await.ok().and_then(|code| *code).unwrap_or(-1)
    }

    /// Asks `mongod` to shut down in order.
    pub(crate) fn ask_to_stop(&mut self) {
        if let Some(pipe) = &mut self.pipe {
            // A broken pipe means that it has already ended.
            let _ = pipe.write_all(b"stop\n");
        }
    }

    /// Kills `mongod`.
    pub(crate) fn kill(&mut self) {
        self.pipe = None;
    }
}
