//! A function's process: started below a small shell that ends it with us, and sent signals.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;

use super::log::Log;

const SUPERVISOR: &str = include_str!("supervise.sh");

/// Number that a shell adds to the signal that ended a process.
const SIGNALLED: i32 = 128;

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Open for as long as it is to run.
    _pipe: ChildStdin,
    /// `Some` once it has ended: its exit code, or 128 and the signal that killed it.
    exit: watch::Receiver<Option<i32>>,
}

impl Process {
    /// Starts `program` with these variables and no others; what it says goes to the log.
    pub(crate) async fn spawn(
        program: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
        log: &Log,
    ) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SUPERVISOR, "function-supervisor"])
            .arg(program)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal goes to the whole group, which is not asked here.
            .process_group(0);
        let mut child = {
            // Where a pipe cannot be made close-on-exec in one step (macOS), a child that is started at the same
            // moment would inherit it, and would keep this one alive.
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _guard = ONE_AT_A_TIME.lock().map_err(|_| io::Error::other("a spawn has panicked"))?;
            command.spawn()?
        };
        let (Some(pipe), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the shell has no pipes"));
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other(format!("the shell said {line:?} for a process ID")))?;
        log.follow(stderr);
        let (tell, exit) = watch::channel(None);
        tokio::spawn(async move {
            let code = child.wait().await.ok().and_then(|status| status.code());
            // No receiver is left when nobody wants to know any more.
            let _ = tell.send(Some(code.unwrap_or(-1)));
        });
        Ok(Self { pid, _pipe: pipe, exit })
    }

    /// Its process ID.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// True if it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// Waits until it has ended, and tells how.
    pub(crate) async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        // An error means that the runtime is going down, and everything with it.
        Exit(exit.wait_for(Option::is_some).await.ok().and_then(|code| *code).unwrap_or(-1))
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    pub(crate) async fn kill(&self) -> Exit {
        self.signal(Signal::KILL);
        self.ended().await
    }

    /// Stops it (SIGSTOP) where it is: at the next system call or tick of the clock where it is on a processor just
    /// now, and else before it is on one again.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // The process ID of one that has ended may be somebody else's by now.
        if !self.has_ended() {
            // It fails for one that ends at this moment, and that is as good.
            let _ = kill_process(self.pid, signal);
        }
    }
}

/// End of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(i32);

impl std::fmt::Display for Exit {
    /// As Lambda says it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            code if code == SIGNALLED + Signal::KILL.as_raw() => f.write_str("signal: killed"),
            code if code > SIGNALLED => write!(f, "signal: {}", code - SIGNALLED),
            code => write!(f, "exit status {code}"),
        }
    }
}
