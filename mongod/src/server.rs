//! [`Mongod`]: server from its start to its stop.

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::{self, TryLockError},
    io,
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{sleep, timeout, timeout_at};

use crate::{
    access::{self, Access, Passwords},
    error::Error,
    folder::Temporary,
    log::Log,
    replica_set::{self, Target},
    supervise::Supervised,
};

/// Time limit for a start, including recovery from the journal.
///
/// A server whose port has changed first connects to its former address. If another process accepts there and
/// stays silent, it waits for 30 s.
const START: Duration = Duration::from_secs(40);
/// Time limit for a data folder in use to become free: the server of a killed parent is about to end.
const FOLDER: Duration = Duration::from_secs(10);
/// Time limit for an orderly shutdown; then the server is killed.
const STOP: Duration = Duration::from_secs(10);
/// Interval between checks whether a folder is free again.
const POLL: Duration = Duration::from_millis(100);

/// Settings of a server to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Program, as returned by [`find_or_fetch`](crate::find_or_fetch).
    pub binary: PathBuf,
    /// Location of the data.
    pub data: Data,
    /// Port on 127.0.0.1; `None` takes any free one.
    pub port: Option<u16>,
    /// Additional address of this machine to listen on, with the same port.
    pub further_address: Option<IpAddr>,
    /// Additional server parameters by name, as for `--setParameter`.
    pub parameters: Vec<(String, String)>,
    /// Replica set that the server belongs to.
    pub membership: Membership,
}

/// Replica set membership of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Replica set of its own; the server is its primary once it has started.
    Alone(Access),
    /// Set of several servers, [`SET_NAME`](crate::SET_NAME). The caller initiates it by `replSetInitiate`
    /// once all of them have started. Until then the server only answers. Access is open.
    OneOfSeveral,
}

impl Options {
    /// Describes a server on any free port, without a password.
    ///
    /// That is for tests alone: their data is made up, gone in minutes, and on a port that changes. Some also
    /// connect by the port, through proxies.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, data: Data) -> Self {
        Self {
            binary: binary.into(),
            data,
            port: None,
            further_address: None,
            parameters: Vec::new(),
            membership: Membership::Alone(Access::Open),
        }
    }

    /// Adds an address of this machine to listen on; `None` leaves 127.0.0.1 alone.
    #[must_use]
    pub fn further_address(mut self, address: Option<IpAddr>) -> Self {
        self.further_address = address;
        self
    }

    /// Lets only those in who have the connection string of this run.
    #[must_use]
    pub fn with_password(mut self) -> Self {
        self.membership = Membership::Alone(Access::Password);
        self
    }

    /// Makes the server a member of a set that the caller initiates.
    #[must_use]
    pub fn one_of_several(mut self) -> Self {
        self.membership = Membership::OneOfSeveral;
        self
    }

    /// Adds a server parameter, as for `--setParameter`.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Location of the data.
#[derive(Clone, Debug)]
pub enum Data {
    /// Folder that is created if missing, and kept for the next start.
    Folder(PathBuf),
    /// Temporary folder that is removed at the end, even if this process is killed.
    Ephemeral,
}

/// Running server on 127.0.0.1: writable primary of a replica set of one, unless it is one of several.
///
/// At an additional address its clients need `directConnection=true`, because the set lists the first address
/// only.
///
/// The server ends with this process, however this process ends. A drop kills it without waiting, which its
/// journal makes safe. Prefer [`stop`](Self::stop) where there is time.
pub struct Mongod {
    supervised: Supervised,
    log: Log,
    folder: PathBuf,
    is_ephemeral: bool,
    uri: String,
    port: u16,
}

impl Mongod {
    /// Starts a server, and waits until it is writable; one of several only has to answer.
    ///
    /// # Errors
    /// If the folder or the port is in use, or the server ends or is not ready within 40 s.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let start = tokio::time::Instant::now();
        loop {
            let error = match Self::try_start(&options, start + START).await {
                Err(error) => error,
                started => return started,
            };
            match error {
                Error::DataFolderInUse { .. } if start.elapsed() < FOLDER => sleep(POLL).await,
                // Another process may take a free port before the server does.
                Error::PortInUse { .. } if options.port.is_none() && start.elapsed() < START => {}
                error => return Err(error),
            }
        }
    }

    async fn try_start(options: &Options, deadline: tokio::time::Instant) -> Result<Self, Error> {
        let (folder, ephemeral) = match &options.data {
            Data::Folder(folder) => (make(folder)?, None),
            Data::Ephemeral => {
                let ephemeral = make_ephemeral()?;
                (ephemeral.path().to_owned(), Some(ephemeral))
            }
        };
        let spawning = |source| Error::Spawn { source };
        let log = Log::open(&folder).map_err(|error| match error {
            TryLockError::WouldBlock => in_use(&folder),
            TryLockError::Error(source) => Error::DataFolder { folder: folder.clone(), source },
        })?;
        let port = match options.port {
            Some(port) => port,
            None => free_port().map_err(spawning)?,
        };
        let passwords = match options.membership {
            Membership::Alone(Access::Password) => Some(Passwords::generate().map_err(spawning)?),
            Membership::Alone(Access::Open) | Membership::OneOfSeveral => None,
        };
        // Only now, with the log locked: a server that runs here has its key in the same file.
        let key = passwords.as_ref().map(|passwords| passwords.write_key(&folder)).transpose();
        let key = key.map_err(|source| Error::DataFolder { folder: folder.clone(), source })?;
        let command = command(options, &folder, port, key.as_deref()).map_err(spawning)?;
        let supervised =
            Supervised::spawn(&command, ephemeral.as_ref().map(Temporary::path), &log).map_err(spawning)?;
        // From here on the supervisor removes the folder.
        let is_ephemeral = ephemeral.map(Temporary::keep).is_some();
        let host = format!("127.0.0.1:{port}");
        let uri = match &passwords {
            Some(passwords) => passwords.uri(&host, replica_set::NAME),
            None => format!("mongodb://{host}/?replicaSet={}", replica_set::NAME),
        };
        let mongod = Self { supervised, log, folder, is_ephemeral, uri, port };

        let mut last = None;
        let target = Target {
            port,
            folder: &mongod.folder,
            passwords: passwords.as_ref(),
            is_alone: matches!(options.membership, Membership::Alone(_)),
        };
        let ready = async {
            tokio::select! {
                () = replica_set::make_ready(&target, &mut last) => Ok(()),
                code = mongod.supervised.exited() => Err(code),
            }
        };
        match timeout_at(deadline, ready).await {
            Ok(Ok(())) => Ok(mongod),
            Ok(Err(code)) => Err(mongod.why_it_ended(code)),
            Err(_) => {
                Err(Error::NotReady { after: START, source: last, last_lines: mongod.log.last_lines() })
            }
        }
    }

    /// Returns the connection string, without a database. It may contain a password.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process ID of the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.supervised.pid()
    }

    /// Returns the data folder.
    #[must_use]
    pub fn data_folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of the server's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.log.path()
    }

    /// Waits until the server ends by itself, and returns the reason from its log. It is cancel-safe.
    pub async fn exited(&self) -> Error {
        let code = self.supervised.exited().await;
        self.ended(code)
    }

    /// Stops the server in order, which takes about a second, and waits until it has ended.
    ///
    /// A server that does not end within 10 s is killed. One with an ephemeral folder is killed at once.
    pub async fn stop(mut self) {
        if !self.is_ephemeral {
            self.supervised.ask_to_stop();
            if timeout(STOP, self.supervised.exited()).await.is_ok() {
                return;
            }
        }
        self.supervised.kill();
        // A process that survives a kill waits for its disk; nothing more can be done.
        let _ = timeout(STOP, self.supervised.exited()).await;
    }

    fn why_it_ended(&self, code: i32) -> Error {
        // Only with a server that was not started from here, since that one holds no lock on the log.
        if self.log.contains("DBPathInUse") {
            in_use(&self.folder)
        } else if self.log.contains("Address already in use") {
            Error::PortInUse { port: self.port }
        } else {
            self.ended(code)
        }
    }

    fn ended(&self, code: i32) -> Error {
        let log = (!self.is_ephemeral).then(|| self.log.path().to_owned());
        Error::Ended { code, last_lines: self.log.last_lines(), log }
    }
}

impl fmt::Debug for Mongod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the connection string, which may contain a password.
        f.debug_struct("Mongod")
            .field("folder", &self.folder)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

fn in_use(folder: &Path) -> Error {
    // MongoDB's own file, with its process ID.
    let lock = fs::read_to_string(folder.join("mongod.lock"));
    Error::DataFolderInUse {
        folder: folder.to_owned(),
        pid: lock.ok().and_then(|text| text.trim().parse().ok()),
    }
}

fn make(folder: &Path) -> Result<PathBuf, Error> {
    // The server reports its folder as given, so the path is canonicalized for the comparison.
    fs::create_dir_all(folder)
        .and_then(|()| folder.canonicalize())
        .map_err(|source| Error::DataFolder { folder: folder.to_owned(), source })
}

fn make_ephemeral() -> Result<Temporary, Error> {
    let parent = env::temp_dir();
    parent
        .canonicalize()
        .and_then(|parent| Temporary::inside(&parent, "oms-mongod-"))
        .map_err(|source| Error::DataFolder { folder: parent, source })
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn command(options: &Options, folder: &Path, port: u16, key: Option<&Path>) -> io::Result<Vec<OsString>> {
    let mut command = vec![std::path::absolute(&options.binary)?.into_os_string()];
    command.extend(["--dbpath".into(), folder.into()]);
    command.extend(["--port".into(), port.to_string().into()]);
    let addresses = match options.further_address {
        Some(address) => format!("127.0.0.1,{address}"),
        None => "127.0.0.1".to_owned(),
    };
    command.extend(["--bind_ip".into(), addresses.into(), "--nounixsocket".into()]);
    command.extend(["--replSet", replica_set::NAME].map(OsString::from));
    // By default it would take half of the machine's memory.
    command.extend(["--wiredTigerCacheSizeGB", "0.25"].map(OsString::from));
    // Each collection and each index is a file, which stays open for ten minutes by default. One database has
    // some sixty of them, and each of hundreds of tests has a database: the server would reach the limit on
    // open files.
    let files = "file_manager=(close_idle_time=10,close_scan_interval=2,close_handle_minimum=500)";
    command.extend(["--wiredTigerEngineConfigString", files].map(OsString::from));
    let defaults = [
        // A set of one has no other members to wait for; the default is 15 s.
        ("shutdownTimeoutMillisForSignaledShutdown", "0"),
        // Statistics for MongoDB's support, written every second.
        ("diagnosticDataCollectionEnabled", "false"),
    ];
    let mut for_access: &[(&str, &str)] = &[];
    if let Some(key) = key {
        // With a key a server asks everyone for a password.
        command.extend(["--keyFile".into(), key.into()]);
        for_access = &access::PARAMETERS;
    }
    let parameters = options.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in defaults.into_iter().chain(for_access.iter().copied()).chain(parameters) {
        command.extend(["--setParameter".into(), format!("{name}={value}").into()]);
    }
    Ok(command)
}
