//! A line between a function and MongoDB that knows where a command begins and ends: it tells which commands were
//! sent, stops at one of them, and can be cut.
//!
//! Of MongoDB's wire protocol it knows as much as that takes: a message begins with its length, its own number and
//! that of the message which it answers, and a command's first field is its name.
//! <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mongodb::bson::{RawBsonRef, RawDocument};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Duration, Instant, sleep_until};

/// Length, number, number of what is answered, and kind, four bytes each.
const HEADER: usize = 16;

/// The longest message that MongoDB takes, in bytes.
const LONGEST: usize = 48_000_000;

/// The kind of message that commands are sent in, `OP_MSG`.
const COMMANDS: i32 = 2013;

/// Commands that a driver sends by itself at any time: no boundary of an operation.
const OF_THE_DRIVER: [&str; 6] = ["hello", "isMaster", "ismaster", "ping", "endSessions", "killCursors"];

/// On which side of a command the line stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The command has not reached MongoDB, and never will.
    Before,
    /// MongoDB has done it, and the answer is lost.
    After,
}

/// End of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// In order (FIN), as by a server that stops.
    Closed,
    /// With a reset (RST), as by whoever has forgotten the connection.
    Reset,
}

/// The line. Dropped, it is cut, and takes no more connections.
#[derive(Debug)]
pub struct Proxy {
    /// Address for the function: `127.0.0.1:PORT`.
    pub address: SocketAddr,
    line: Arc<Line>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Line {
    state: Mutex<State>,
    cut: watch::Sender<Option<Cut>>,
    /// Until when nothing passes, on any connection.
    silent_until: watch::Sender<Option<Instant>>,
}

/// Command to MongoDB: its name, and its number among those of this name.
///
/// A function may send several commands side by side, in no fixed order. Its number among all would name another
/// command in each run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Command and collection, such as `update orders`.
    pub name: String,
    /// The first command of this name is 1.
    pub number: usize,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.number)
    }
}

/// The request of a connection whose answer the line waits for.
type Awaited = Mutex<Option<(i32, Trap)>>;

#[derive(Debug, Default)]
struct State {
    commands: Vec<Command>,
    trap: Option<Trap>,
}

#[derive(Debug)]
struct Trap {
    command: Command,
    moment: Moment,
    /// For how long the whole line is silent; `None`: its connection, for ever.
    silence: Option<Duration>,
    sprung: oneshot::Sender<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// A line to the server at this address.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let line = Arc::new(Line {
            state: Mutex::default(),
            cut: watch::Sender::new(None),
            silent_until: watch::Sender::new(None),
        });
        let shared = line.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            // An error is of one connection alone, which its client sees.
            while let Ok((client, _)) = listener.accept().await {
                let line = shared.clone();
                connections.spawn(async move {
                    // It ends with an error where either side has gone, as it does without one.
                    let _ = line.connect(client, server).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, line, accepting: accepting.abort_handle() })
    }

    /// Forgets which commands were sent, and any trap that has not sprung.
    pub fn begin(&self) {
        *self.line.lock() = State::default();
    }

    /// Commands since [`begin`](Self::begin), in their order.
    pub fn commands(&self) -> Vec<Command> {
        self.line.lock().commands.clone()
    }

    /// Stops at a command, counted from [`begin`](Self::begin): its connection is silent from then on, while others
    /// go on. The receiver hears when it comes to that; dropped, it stops nothing any more.
    pub fn stop_at(&self, command: &Command, moment: Moment) -> oneshot::Receiver<()> {
        self.traps(command, moment, None)
    }

    /// At a command, the whole line is silent for this long: it keeps its connections, takes new ones, and lets nothing
    /// pass. Then it goes on with all that it was given meanwhile, also for clients that have hung up.
    pub fn silent_at(&self, command: &Command, moment: Moment, silence: Duration) -> oneshot::Receiver<()> {
        self.traps(command, moment, Some(silence))
    }

    fn traps(&self, command: &Command, moment: Moment, silence: Option<Duration>) -> oneshot::Receiver<()> {
        let (sprung, met) = oneshot::channel();
        self.line.lock().trap = Some(Trap { command: command.clone(), moment, silence, sprung });
        met
    }

    /// Ends a silence, and waits for none.
    pub fn speaks(&self) {
        self.line.silent_until.send_replace(None);
    }

    /// Ends all connections, also those of a process that does not run just now. New ones may be made.
    pub fn cut(&self, how: Cut) {
        self.line.cut.send_replace(Some(how));
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let mut cut = self.cut.subscribe();
        let server = TcpStream::connect(server).await?;
        // Commands are small, and must not wait for each other's acknowledgements.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        // The one command of this connection whose answer is to be lost.
        let awaited = Mutex::new(None);
        let ended = tokio::select! {
            ended = self.requests(&mut from_client, &mut to_server, &awaited) => ended.map(|()| None),
            ended = self.answers(&mut from_server, &mut to_client, &awaited) => ended.map(|()| None),
            Ok(()) = cut.changed() => Ok(*cut.borrow()),
        };
        if let Ok(Some(Cut::Reset)) = ended
            && let Ok(client) = from_client.reunite(to_client)
        {
            client.set_zero_linger()?;
        }
        ended.map(|_| ())
    }

    async fn requests(
        &self,
        client: &mut OwnedReadHalf,
        server: &mut OwnedWriteHalf,
        awaited: &Awaited,
    ) -> io::Result<()> {
        loop {
            let message = read(client).await?;
            let name = command(&message).filter(|name| !is_of_the_driver(name));
            match name.and_then(|name| self.passes(name)) {
                None => {}
                Some(Trap { moment: Moment::Before, silence: Some(silence), sprung, .. }) => {
                    self.falls_silent(silence);
                    let _ = sprung.send(());
                }
                Some(Trap { moment: Moment::Before, sprung, .. }) => {
                    // The test may have ended.
                    let _ = sprung.send(());
                    // MongoDB must see the connection end when the process ends, as it would without this line.
                    while client.read(&mut [0; 1024]).await? > 0 {}
                    return Ok(());
                }
                Some(trap) => {
                    let number = number_at(&message, 4);
                    *awaited.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, trap));
                }
            }
            self.is_heard().await;
            server.write_all(&message).await?;
        }
    }

    async fn answers(
        &self,
        server: &mut OwnedReadHalf,
        client: &mut OwnedWriteHalf,
        awaited: &Awaited,
    ) -> io::Result<()> {
        loop {
            let message = read(server).await?;
            let answers = number_at(&message, 8);
            let lost = awaited
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take_if(|(number, ..)| *number == answers);
            match lost {
                None => {}
                Some((_, Trap { silence: Some(silence), sprung, .. })) => {
                    self.falls_silent(silence);
                    let _ = sprung.send(());
                }
                Some((_, Trap { sprung, .. })) => {
                    // The test may have ended.
                    let _ = sprung.send(());
                    // The connection ends with its process.
                    return std::future::pending().await;
                }
            }
            self.is_heard().await;
            client.write_all(&message).await?;
        }
    }

    fn falls_silent(&self, silence: Duration) {
        self.silent_until.send_replace(Some(Instant::now() + silence));
    }

    /// Waits until the line is not silent.
    async fn is_heard(&self) {
        let mut silent_until = self.silent_until.subscribe();
        loop {
            let until = *silent_until.borrow_and_update();
            match until {
                Some(until) if until > Instant::now() => {
                    tokio::select! {
                        () = sleep_until(until) => {}
                        _ = silent_until.changed() => {}
                    }
                }
                _ => return,
            }
        }
    }

    /// Notes a command, and gives the trap that it has gone into.
    fn passes(&self, name: String) -> Option<Trap> {
        let mut state = self.lock();
        let before = state.commands.iter().filter(|command| command.name == name).count();
        let command = Command { name, number: before + 1 };
        let trap = state.trap.take_if(|trap| trap.command == command && !trap.sprung.is_closed());
        state.commands.push(command);
        trap
    }
}

/// A whole message, with its header.
async fn read(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    from.read_exact(&mut message).await?;
    let length = usize::try_from(number_at(&message, 0)).unwrap_or(0);
    if !(HEADER..=LONGEST).contains(&length) {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    message.resize(length, 0);
    from.read_exact(&mut message[HEADER..]).await?;
    Ok(message)
}

fn number_at(message: &[u8], place: usize) -> i32 {
    let bytes = message.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(i32::from_le_bytes).unwrap_or_default()
}

/// Command of a message, if it is one: `insert orders`, or `commitTransaction`.
fn command(message: &[u8]) -> Option<String> {
    if number_at(message, 12) != COMMANDS {
        return None;
    }
    // After the flags come sections. The driver sends the command first, and then lists of documents.
    let (kind, section) = message.get(HEADER + 4..)?.split_first()?;
    if *kind != 0 {
        return None;
    }
    let length = usize::try_from(number_at(section, 0)).ok()?;
    let (name, value) = RawDocument::from_bytes(section.get(..length)?).ok()?.iter().next()?.ok()?;
    match value {
        RawBsonRef::String(collection) => Some(format!("{name} {collection}")),
        _ => Some(name.to_string()),
    }
}

fn is_of_the_driver(command: &str) -> bool {
    command.split(' ').next().is_some_and(|name| OF_THE_DRIVER.contains(&name))
}
