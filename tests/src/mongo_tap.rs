//! A tap on the line between the functions and MongoDB: it tells which commands went over it, and can lose their answers.
//! It can also have reads of a majority show an older state, as they do on a new primary until it knows what is on a
//! majority.
//!
//! It knows as much of MongoDB's wire protocol as that takes: where a message ends, and what its command is called.

use std::sync::{Arc, Mutex, PoisonError};

use mongodb::bson::{Document, Timestamp, doc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

/// The opcode of a message that carries a command.
const OP_MSG: i32 = 2013;

/// Offset of the command in such a message: behind the header, the flags, and the kind of the first section.
const COMMAND: usize = 16 + 4 + 1;

/// Commands that the driver sends of its own accord; no request waits for them.
const OF_THE_DRIVER: [&str; 6] = ["hello", "isMaster", "ismaster", "ping", "endSessions", "killCursors"];

/// A command that went over the wire: a round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name, such as `find`.
    pub name: String,
    /// True if its answer waits for the journals of a majority.
    pub waits_for_journal: bool,
}

impl Command {
    fn of(message: &[u8]) -> Option<Self> {
        let opcode = message.get(12..16).and_then(|opcode| opcode.try_into().ok()).map(i32::from_le_bytes);
        let command = message.get(COMMAND..).filter(|_| opcode == Some(OP_MSG))?;
        let command = Document::from_reader(command).ok()?;
        let name = command.keys().next()?.clone();
        let concern = command.get_document("writeConcern");
        let waits_for_journal = concern.is_ok_and(|concern| {
            concern.get_str("w").is_ok_and(|w| w == "majority") && concern.get_bool("j").unwrap_or(false)
        });
        (!OF_THE_DRIVER.contains(&name.as_str())).then_some(Self { name, waits_for_journal })
    }
}

/// Treatment of answers.
#[derive(Clone, Copy, Debug, Default)]
struct Losing {
    /// So many come through before.
    skip: usize,
    /// So many are lost then.
    times: usize,
}

#[derive(Debug, Default)]
struct State {
    heard: Vec<Command>,
    losing: Losing,
    lost: usize,
    /// State that reads of a majority show; `None`: the latest.
    shown: Option<Timestamp>,
    /// Name of commands that wait for each other, and where they do.
    gathered: Option<(String, Arc<Barrier>)>,
    /// Bytes of all messages, to and fro.
    bytes: usize,
}

impl State {
    /// Place at which a command waits for others.
    fn gathered(&self, command: &Command) -> Option<Arc<Barrier>> {
        let (name, barrier) = self.gathered.as_ref()?;
        (*name == command.name).then(|| barrier.clone())
    }

    /// Takes down a command, and tells whether its answer is to be lost.
    fn hears(&mut self, command: Command) -> bool {
        self.heard.push(command);
        let Losing { skip, times } = &mut self.losing;
        if *skip > 0 {
            *skip -= 1;
            return false;
        }
        let loses = *times > 0;
        *times = times.saturating_sub(1);
        self.lost += usize::from(loses);
        loses
    }
}

/// A wire to a server. It goes on as long as the runtime of the test.
#[derive(Debug)]
pub struct Tap {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Tap {
    /// A wire to the server on this port of this machine.
    pub async fn to(server: u16) -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("no port: {error}"));
        let port = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}")).port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, server, shared.clone()));
            }
        });
        Self { port, state }
    }

    /// The connection string of the server by way of this wire.
    pub fn uri(&self, app_name: &str) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true&appName={app_name}", self.port)
    }

    /// From now on the answers to so many commands arrive, those to so many more are lost with their connections
    /// once the server has given them, and then answers arrive again.
    pub fn loses(&self, skip: usize, times: usize) {
        let mut state = self.state();
        state.losing = Losing { skip, times };
        state.lost = 0;
    }

    /// Loses no more answers, and tells how many it has lost.
    pub fn works(&self) -> usize {
        let mut state = self.state();
        state.losing = Losing::default();
        state.lost
    }

    /// From now on reads of a majority show the state of this time. Writes, transactions and other reads go on.
    pub fn shows(&self, state: Timestamp) {
        self.state().shown = Some(state);
    }

    /// From now on commands of this name go on by so many at once: each waits until the others are sent.
    pub fn gathers(&self, name: &str, count: usize) {
        self.state().gathered = Some((name.to_owned(), Arc::new(Barrier::new(count))));
    }

    /// Bytes of all messages, to and fro, since the last time somebody asked.
    pub fn bytes(&self) -> usize {
        std::mem::take(&mut self.state().bytes)
    }

    /// The commands since the last time somebody asked, in the order in which they were sent.
    pub fn heard(&self) -> Vec<Command> {
        std::mem::take(&mut self.state().heard)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries messages to and fro until either side has enough.
async fn connect(client: TcpStream, server: u16, state: Arc<Mutex<State>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    // Small messages that wait for each other are what this is about.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let loses = Arc::new(Mutex::new(false));
    // Whichever ends takes the other with it, and both connections close.
    tokio::select! {
        _ = there(from_client, to_server, &state, &loses) => {}
        _ = back(from_server, to_client, &state, &loses) => {}
    }
}

async fn there(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &Mutex<State>,
    loses: &Mutex<bool>,
) -> std::io::Result<()> {
    loop {
        let mut message = vec![0; 4];
        from.read_exact(&mut message).await?;
        let length = message.first_chunk().copied().map_or(0, i32::from_le_bytes);
        message.resize(usize::try_from(length).unwrap_or(0).max(4), 0);
        from.read_exact(message.get_mut(4..).unwrap_or_default()).await?;
        if let Some(command) = Command::of(&message) {
            let gathered = {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.bytes += message.len();
                let gathered = state.gathered(&command);
                *loses.lock().unwrap_or_else(PoisonError::into_inner) = state.hears(command);
                gathered
            };
            if let Some(gathered) = gathered {
                gathered.wait().await;
            }
        }
        let shown = state.lock().unwrap_or_else(PoisonError::into_inner).shown;
        let message = shown.and_then(|state| as_of(&message, state)).unwrap_or(message);
        to.write_all(&message).await?;
    }
}

/// A read of a majority or of a snapshot, outside of a transaction, as one of this earlier state. `None` for other
/// messages, and for reads of what is later or of a time of their own: MongoDB would let them wait.
fn as_of(message: &[u8], state: Timestamp) -> Option<Vec<u8>> {
    Command::of(message)?;
    let (head, command) = message.split_at_checked(COMMAND)?;
    let mut command = Document::from_reader(command).ok()?;
    let concern = command.get_document("readConcern").ok()?;
    let is_of_a_majority = matches!(concern.get_str("level"), Ok("majority" | "snapshot"));
    let is_later = concern.get_timestamp("afterClusterTime").is_ok_and(|after| after > state);
    if !is_of_a_majority
        || is_later
        || concern.contains_key("atClusterTime")
        || command.contains_key("startTransaction")
    {
        return None;
    }
    command.insert("readConcern", doc! { "level": "snapshot", "atClusterTime": state });
    let command = command.to_vec().ok()?;
    let length = i32::try_from(head.len() + command.len()).ok()?;
    Some([&length.to_le_bytes(), head.get(4..)?, &command].concat())
}

async fn back(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &Mutex<State>,
    loses: &Mutex<bool>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        // The server answers once the command is done.
        if length == 0 || *loses.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(());
        }
        state.lock().unwrap_or_else(PoisonError::into_inner).bytes += length;
        to.write_all(bytes.get(..length).unwrap_or_default()).await?;
    }
}
