//! The way to MongoDB: one client a process, writes that wait for the journal of a majority.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use mongodb::bson::{self, Document, doc};
use mongodb::error::{
    Error as MongoError, ErrorKind, RETRYABLE_WRITE_ERROR, TRANSIENT_TRANSACTION_ERROR,
    UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};
use mongodb::options::{ClientOptions, ReadConcern, WriteConcern};
use mongodb::{Client, ClientSession, Database};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use type_safe_id::{StaticType, TypeSafeId};

use crate::error::Error;
use crate::runtime::secrets::SecretSource;
use crate::values::clock::Timestamp;

pub mod conflict_retry;
pub mod json_schema;
pub mod keyset;
mod schema;

pub use schema::{Collection, Index};

/// The database when the URI names none.
const DEFAULT_DATABASE: &str = "oms";

/// The code of a duplicate key.
pub const DUPLICATE_KEY: i32 = 11000;

/// Codes that say: not now, perhaps later. Shutdowns, elections, conflicts, time limits.
const TRANSIENT_CODES: [i32; 14] = [6, 7, 50, 64, 89, 91, 112, 189, 251, 262, 9001, 10107, 11600, 11602];

/// Codes that say: you may not do this, or are not who you say. The driver's own user has the rights that it
/// needs, so this means that its password was changed, or that it was replaced by another user.
const REFUSED_CODES: [i32; 2] = [13, 18];

/// How long [`open`] waits for MongoDB: less than init has, so that the log says what was away.
const OPEN_TIMEOUT: Duration = Duration::from_millis(2500);

/// Where the schema step notes what it has made: `{_id: function, version}`.
const SCHEMA: &str = "schema";

/// Connects with the secret that holds now, and makes sure that the schema is what this build needs: one query,
/// which also opens the connection that the first request will use.
///
/// # Errors
/// 503 with a cause that says what to do.
pub async fn open(uri: &dyn SecretSource, function: &str, version: i32) -> Result<Database, Error> {
    let uri = uri.current().await?;
    let opening = async {
        let database = connect(uri.expose(), function).await.map_err(|error| match error.kind.as_ref() {
            // Its text may repeat a part of the URI.
            ErrorKind::InvalidArgument { .. } => {
                Error::unavailable("MONGO_URI is not a connection string that the driver takes")
            }
            _ => Error::unavailable(error),
        })?;
        check_schema(&database, function, version).await?;
        Ok(database)
    };
    let late = |_| {
        Err(Error::unavailable("MongoDB did not answer in time; see its hosts in MONGO_URI, and the network"))
    };
    tokio::time::timeout(OPEN_TIMEOUT, opening).await.unwrap_or_else(late)
}

/// # Errors
/// 503 when the schema step of this version has not run, or MongoDB is away.
pub async fn check_schema(database: &Database, function: &str, version: i32) -> Result<(), Error> {
    let noted = database.collection::<Document>(SCHEMA).find_one(doc! { "_id": function }).await?;
    let found = noted.and_then(|noted| noted.get_i32("version").ok()).unwrap_or(0);
    if found >= version {
        return Ok(());
    }
    Err(Error::unavailable(format!(
        "the schema of {function} in the database {} has version {found}, and this build needs {version}: run \
         `MONGO_URI=… ADMIN_EMAIL=… ADMIN_PASSWORD=… cargo local schema`",
        database.name()
    )))
}

/// Notes that the schema of a function has this version now; a higher one that is there stays. The last thing
/// that the schema step does.
///
/// # Errors
/// When MongoDB refuses, or is away.
pub async fn note_schema(database: &Database, function: &str, version: i32) -> Result<(), MongoError> {
    let schema = database.collection::<Document>(SCHEMA);
    let note =
        || schema.update_one(doc! { "_id": function }, doc! { "$max": { "version": version } }).upsert(true);
    match note().await {
        // Another schema step was faster with the first note.
        Err(error) if is_duplicate_key(&error) => note().await.map(drop),
        noted => noted.map(drop),
    }
}

tokio::task_local! {
    static REFUSED: Cell<bool>;
}

/// Runs `work`, and tells whether MongoDB has refused us in its course: then the credentials may be stale. What it
/// refused was not done.
pub async fn track_auth_failures<T>(work: impl Future<Output = T>) -> (T, bool) {
    let watched = async {
        let done = work.await;
        (done, REFUSED.with(Cell::get))
    };
    REFUSED.scope(Cell::new(false), watched).await
}

/// Whether MongoDB does not believe who we are, or may not have when a connection was to be opened.
fn is_refusal(error: &MongoError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => true,
        ErrorKind::Command(error) => REFUSED_CODES.contains(&error.code),
        // Who waits for a connection while another one is refused is told only that the pool was emptied. It is
        // also emptied when a server goes away; nothing was sent then either, and to connect anew does no harm.
        ErrorKind::ConnectionPoolCleared { .. } => true,
        _ => false,
    }
}

/// Connects; nothing is sent before the first query.
///
/// # Errors
/// When the URI cannot be read, or names a host that cannot be resolved.
pub async fn connect(uri: &str, app_name: &str) -> Result<Database, MongoError> {
    let mut options = ClientOptions::parse(uri).await?;
    options.app_name.get_or_insert_with(|| app_name.to_owned());
    // The driver's own are 30 s and 10 s: longer than a client of ours waits.
    options.server_selection_timeout.get_or_insert(Duration::from_secs(5));
    options.connect_timeout.get_or_insert(Duration::from_secs(3));
    // What is idle for longer has died in a freeze, or is about to.
    options.max_idle_time.get_or_insert(Duration::from_secs(60));
    // 0 is no limit.
    options.max_pool_size = options.max_pool_size.map(|size| if size == 0 { 0 } else { size.max(MIN_POOL) });
    // Acknowledged means: on the disks of a majority. Whatever the URI says, no less is acceptable.
    options.write_concern =
        Some(WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build());
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria =
        Some(mongodb::options::SelectionCriteria::ReadPreference(mongodb::options::ReadPreference::Primary));
    let database = options.default_database.clone().unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
    Ok(Client::with_options(options)?.database(&database))
}

/// Whether the error says that a unique index has this key already.
pub fn is_duplicate_key(error: &MongoError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

impl From<MongoError> for Error {
    fn from(error: MongoError) -> Self {
        if is_refusal(&error) {
            // Outside of a function that watches there is nobody to tell.
            let _ = REFUSED.try_with(|refused| refused.set(true));
            return Self::unavailable(error);
        }
        let transient = match error.kind.as_ref() {
            ErrorKind::Io(_)
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
            ErrorKind::Write(WriteFailure::WriteError(error)) => TRANSIENT_CODES.contains(&error.code),
            ErrorKind::Command(error) => TRANSIENT_CODES.contains(&error.code),
            _ => false,
        };
        if transient
            // Where one is expected, the query has given it a meaning. What is left comes of two writes at once, such
            // as upserts: the next try finds what the other has written.
            || is_duplicate_key(&error)
            || error.contains_label(RETRYABLE_WRITE_ERROR)
            || error.contains_label(TRANSIENT_TRANSACTION_ERROR)
        {
            Self::unavailable(error)
        } else {
            Self::internal(error)
        }
    }
}

/// An ID as it is stored: 16 bytes, subtype 4.
pub fn uuid<T: StaticType>(id: TypeSafeId<T>) -> bson::Uuid {
    bson::Uuid::from_bytes(id.uuid().into_bytes())
}

/// An ID as it was stored.
pub fn id<T: StaticType>(stored: bson::Uuid) -> TypeSafeId<T> {
    TypeSafeId::from_uuid(uuid::Uuid::from_bytes(stored.bytes()))
}

/// A time as it is stored.
pub fn date(time: Timestamp) -> bson::DateTime {
    bson::DateTime::from_millis(time.millis())
}

/// A time as it was stored.
pub fn timestamp(stored: bson::DateTime) -> Timestamp {
    Timestamp::from_millis(stored.timestamp_millis())
}

/// An entry of a map as it is stored: a list of these and not an object, because keys are what people write,
/// `$` and dots included.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    k: String,
    v: String,
}

/// A map as it is stored.
pub fn entries(map: &BTreeMap<String, String>) -> Vec<Entry> {
    map.iter().map(|(key, value)| Entry { k: key.clone(), v: value.clone() }).collect()
}

/// A map as it was stored.
pub fn map(stored: Vec<Entry>) -> BTreeMap<String, String> {
    stored.into_iter().map(|entry| (entry.k, entry.v)).collect()
}

/// Bytes as they are stored.
pub fn binary(bytes: &[u8]) -> bson::Binary {
    bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: bytes.to_vec() }
}

/// How many lone writes run at once in a process: fewer than [`MIN_POOL`], which leaves connections to transactions.
const BOUNDED_WRITES: usize = 8;

/// The smallest pool of connections: the driver's own.
const MIN_POOL: u32 = 10;

/// Runs a write outside of transactions to documents, or to a unique index, that transactions of this process write
/// too. Beside an open transaction the server lets such a write wait, with its connection. If these had all
/// connections, the transaction could not end, and all would wait for each other.
pub async fn bounded_write<W: IntoFuture>(write: W) -> W::Output {
    static RUNNING: Semaphore = Semaphore::const_new(BOUNDED_WRITES);
    // Never closed, so there is always a permit in the end.
    let _permit = RUNNING.acquire().await;
    write.await
}

/// How long a transaction is run again when others are in its way: less than a caller waits.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(8);

/// How a transaction's body ends when nothing went wrong.
#[derive(Debug)]
pub enum TxOutcome<T> {
    /// What it wrote becomes visible, all at once.
    Commit(T),
    /// What it wrote is forgotten.
    Abort(T),
}

/// Runs `body` in a transaction, again with growing pauses and jitter while others are in its way or its commit gets
/// lost, for a bounded time. `body` may thus run more than once, and must do nothing but read and write in its session.
///
/// # Errors
/// What `body` met, or the commit. After a lost answer to the commit it is not known whether it is done:
/// what is written must be such that it can be found out.
pub async fn transaction<T, F>(database: &Database, mut body: F) -> Result<T, MongoError>
where
    F: for<'s> FnMut(&'s mut ClientSession) -> BoxFuture<'s, Result<TxOutcome<T>, MongoError>>,
{
    let mut session = database.client().start_session().await?;
    let started = Instant::now();
    let mut attempt: u32 = 0;
    loop {
        attempt += 1;
        session.start_transaction().await?;
        let error = match body(&mut session).await {
            Ok(TxOutcome::Commit(result)) => match commit(&mut session, started).await {
                Ok(()) => return Ok(result),
                Err(error) => error,
            },
            Ok(TxOutcome::Abort(result)) => {
                session.abort_transaction().await?;
                return Ok(result);
            }
            Err(error) => {
                // The server may have ended it already; what went wrong first is what counts.
                let _ = session.abort_transaction().await;
                error
            }
        };
        if started.elapsed() > TRANSACTION_PATIENCE || !error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            return Err(error);
        }
        pause(attempt).await;
    }
}

/// Commits, again while it is not known whether that is done, for the rest of the time. The driver tries twice. A commit
/// that never arrives leaves the transaction open, and others wait for its documents until the server ends it, after
/// a minute.
async fn commit(session: &mut ClientSession, started: Instant) -> Result<(), MongoError> {
    let mut attempt: u32 = 0;
    loop {
        attempt += 1;
        let Err(error) = session.commit_transaction().await else { return Ok(()) };
        let is_known = !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
            || error.contains_label(TRANSIENT_TRANSACTION_ERROR);
        if is_known || started.elapsed() > TRANSACTION_PATIENCE {
            return Err(error);
        }
        pause(attempt).await;
    }
}

/// Waits after so many attempts, at random and longer each time, so that those who met once do not meet again.
async fn pause(attempts: u32) {
    let longest = Duration::from_millis(2 << attempts.min(7));
    tokio::time::sleep(longest.mul_f64(rand::random())).await;
}
