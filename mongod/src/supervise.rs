//! The child process: a small shell that runs `mongod` and ends it when its parent ends, however that ends.
//!
//! A `kill -9` gives a parent no chance to stop its children, and what Linux offers for it (`PR_SET_PDEATHSIG`)
//! macOS lacks. But the kernel closes the pipes of whatever dies, so the child holds on to a pipe.

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

/// A running `mongod` and the shell above it. Dropped, it closes the pipe and does not wait.
#[derive(Debug)]
pub(crate) struct Supervised {
    pipe: Option<ChildStdin>,
    mongod: u32,
    /// `Some` once both are gone: the exit code of `mongod`, or 128 and the signal that killed it.
    exit: watch::Receiver<Option<i32>>,
}

impl Supervised {
    /// Starts `command`, whose output goes to the log. `ephemeral` is removed after the end.
    ///
    /// # Errors
    /// There is no `/bin/sh`, or no process can be made.
    pub(crate) fn spawn(command: &[OsString], ephemeral: Option<&Path>, log: &Log) -> io::Result<Self> {
        let mut child = {
            // Where a pipe cannot be made close-on-exec in one step (macOS), a child that is started at the
            // same moment would inherit it, and two servers would keep each other alive.
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            Command::new("/bin/sh")
                .args(["-c", SCRIPT, "mongod-supervisor"])
                .arg(ephemeral.unwrap_or(Path::new("")))
                .args(command)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(log.output()?)
                // Ctrl-C in a terminal goes to the whole group; the server is stopped in order instead.
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
                format!("the shell said {line:?} instead of a process ID"),
            )
        })?;

        let (tell, exit) = watch::channel(None);
        // A thread rather than tokio's process: a shared server outlives the runtime of the test that started it.
        thread::Builder::new().name("mongod-exit".to_owned()).spawn(move || {
            let code = child.wait().ok().and_then(|status| status.code());
            // No receiver is left when nobody wants to know any more.
            let _ = tell.send(Some(code.unwrap_or(-1)));
        })?;
        Ok(Self { pipe, mongod, exit })
    }

    /// The process ID of `mongod` itself.
    pub(crate) fn pid(&self) -> u32 {
        self.mongod
    }

    /// Waits until `mongod` has ended and its folder, if ephemeral, is gone. The answer is its exit code.
    pub(crate) async fn exited(&self) -> i32 {
        let mut exit = self.exit.clone();
        // An error means that the waiting thread itself is gone, which it never is without an answer.
        exit.wait_for(Option::is_some).await.ok().and_then(|code| *code).unwrap_or(-1)
    }

    /// Asks `mongod` to end in order.
    pub(crate) fn ask_to_stop(&mut self) {
        if let Some(pipe) = &mut self.pipe {
            // A broken pipe means that it has ended already.
            let _ = pipe.write_all(b"stop\n");
        }
    }

    /// Kills `mongod`.
    pub(crate) fn kill(&mut self) {
        self.pipe = None;
    }
}
