//! MongoDB access: one client per process, and writes that wait for the journal of a majority.

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
use tracing::Instrument as _;
use tracing::instrument::WithSubscriber as _;
use type_safe_id::{StaticType, TypeSafeId};

use self::fenced::FencedDatabase;
use crate::error::{Cause, DatabaseFailure, Error};
use crate::runtime::secrets::{Secret, SecretSource};
use crate::values::clock::Timestamp;

pub mod changes;
mod commands;
mod confirmed;
pub mod conflict_retry;
pub mod fenced;
pub mod json_schema;
pub mod keyset;
pub mod lease;
mod lists;
pub mod request_counts;
mod schema;
pub mod unreadable;

pub use confirmed::{confirm_refusals, confirmed};
pub use lists::bounded_list;
pub use schema::{ANY_WRITER, Collection, Index, Schema, SchemaStep};

/// Database name if the URI has none.
const DEFAULT_DATABASE: &str = "oms";

/// Error code of a duplicate key.
pub const DUPLICATE_KEY: i32 = 11000;

/// Error code of a write that conflicts with another one.
const WRITE_CONFLICT: i32 = 112;

/// Error codes of temporary conditions: shutdowns, elections, conflicts, time limits. Two of them (134, 246)
/// are those of a new primary that does not know yet what is on a majority, and one (239) is that of a snapshot
/// that has become too old.
const TRANSIENT_CODES: [i32; 17] =
    [6, 7, 50, 64, 89, 91, 112, 134, 189, 239, 246, 251, 262, 9001, 10107, 11600, 11602];

/// Error code of a document that violates the validation rules of its collection.
const INVALID_DOCUMENT: i32 = 121;

/// Error codes of a server that is shut down, not the primary, out of reach, or refuses the credentials.
const AWAY_CODES: [i32; 14] = [6, 7, 13, 18, 64, 89, 91, 189, 9001, 10107, 11600, 11602, 13435, 13436];

/// Error codes of failed authentication or authorization. The user of the driver has all rights that it
/// needs. So they mean that its password was changed, or that another user replaced it.
const REFUSED_CODES: [i32; 2] = [13, 18];

/// Timeout of [`open`]: shorter than Lambda's init phase, so that the log names the missing dependency.
const OPEN_TIMEOUT: Duration = Duration::from_millis(2500);

/// Connects with the current secret, and checks that the schema and this build fit each other. That is one
/// query, which also opens the connection that the first request will use.
///
/// # Errors
/// 503 with a cause that names the remedy.
pub async fn open(uri: &dyn SecretSource, schema: Schema) -> Result<Database, Error> {
    let uri = uri.current().await?;
    let opening = async {
        let database = connect_with(&uri, schema.function).await?;
        schema.check(&database).await?;
        Ok(database)
    };
    let timed_out = |_| {
        Err(Error::unavailable(
            "MongoDB did not answer in time; check the hosts in MONGO_URI, and the network",
        ))
    };
    tokio::time::timeout(OPEN_TIMEOUT, opening).await.unwrap_or_else(timed_out)
}

/// Refusal of an operation by MongoDB for a reason that concerns the function, and not the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The credentials are refused. They may be outdated.
    Credentials,
    /// The build is too old to write.
    Build,
}

tokio::task_local! {
    static REFUSED: Cell<Option<Refusal>>;
}

/// Runs `work`, and reports whether MongoDB refused the credentials or the build meanwhile. The refused
/// operations were not performed. No other error is a refusal: a connection that breaks or stays silent may
/// have carried the operation.
pub async fn track_refusals<T>(work: impl Future<Output = T>) -> (T, Option<Refusal>) {
    let tracked = async {
        let done = work.await;
        (done, REFUSED.with(Cell::get))
    };
    REFUSED.scope(Cell::new(None), tracked).await
}

fn note_refusal(refusal: Refusal) {
    // Outside of `track_refusals` there is no flag to set.
    let _ = REFUSED.try_with(|refused| refused.set(Some(refusal)));
}

/// Returns true if MongoDB refused the credentials, in the handshake of a connection or for the operation.
///
/// An operation that waits for a connection while the handshake of another one is refused has that as its error, with
/// the cause in its text alone. So has one that comes later and finds no server. The test of replaced database users
/// pins the texts. An operation that was sent, and whose connection a heartbeat then gave up, has an error of the same
/// kind: that is no refusal.
fn is_refusal(error: &MongoError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => true,
        ErrorKind::Command(error) => REFUSED_CODES.contains(&error.code),
        ErrorKind::ConnectionPoolCleared { message, .. } => {
            message.contains("because another operation failed with") && message.contains(" failure: ")
        }
        ErrorKind::ServerSelection { message, .. } => message.contains("SCRAM failure: "),
        _ => false,
    }
}

/// Connects with the connection string in a secret, which no error repeats.
///
/// # Errors
/// 503 for an invalid connection string, or one whose DNS records cannot be read.
pub async fn connect_with(uri: &Secret, app_name: &str) -> Result<Database, Error> {
    connect(uri.expose(), app_name).await.map_err(|error| match error.kind.as_ref() {
        // The driver's text may repeat a part of the URI.
        ErrorKind::InvalidArgument { .. } => Error::unavailable("MONGO_URI is not a valid connection string"),
        _ => Error::unavailable(error),
    })
}

/// Creates a client; nothing is sent before the first query.
///
/// # Errors
/// Error of the driver if the URI is invalid or names a host that cannot be resolved.
pub async fn connect(uri: &str, app_name: &str) -> Result<Database, MongoError> {
    let mut options = ClientOptions::parse(uri).await?;
    options.app_name.get_or_insert_with(|| app_name.to_owned());
    // The driver's defaults are 30 s and 10 s: longer than a client of this API waits.
    options.server_selection_timeout.get_or_insert(Duration::from_secs(5));
    options.connect_timeout.get_or_insert(Duration::from_secs(3));
    // Connections idle for longer are dead after a freeze of the environment, or soon will be.
    options.max_idle_time.get_or_insert(Duration::from_secs(60));
    // 0 means no limit.
    options.max_pool_size = options.max_pool_size.map(|size| if size == 0 { 0 } else { size.max(MIN_POOL) });
    // A write counts as acknowledged once it is on the disks of a majority. The URI cannot weaken this.
    options.write_concern =
        Some(WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build());
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria =
        Some(mongodb::options::SelectionCriteria::ReadPreference(mongodb::options::ReadPreference::Primary));
    commands::observe(&mut options);
    let database = options.default_database.clone().unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
    Ok(Client::with_options(options)?.database(&database))
}

/// Returns true if a unique index already has this key.
pub fn is_duplicate_key(error: &MongoError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

/// Returns true if another write to the same document was faster, so that nothing was written.
pub fn is_write_conflict(error: &MongoError) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == WRITE_CONFLICT)
}

/// Returns true if a write has no answer: it may be written or not.
pub fn is_answer_lost(error: &MongoError) -> bool {
    failure_of(error) == DatabaseFailure::Away && !is_refusal(error)
}

/// Returns the places of the documents of an insert that break a rule, if the others are inserted or were there.
///
/// # Errors
/// The error, if it is another one.
pub fn invalid_inserts(error: MongoError) -> Result<Vec<usize>, MongoError> {
    let ErrorKind::InsertMany(failed) = error.kind.as_ref() else { return Err(error) };
    let refused = || failed.write_errors.iter().flatten();
    let is_known = refused().all(|it| [DUPLICATE_KEY, INVALID_DOCUMENT].contains(&it.code));
    if failed.write_concern_error.is_some() || !is_known || fenced::is_outdated(&error) {
        return Err(error);
    }
    Ok(refused().filter(|it| it.code == INVALID_DOCUMENT).map(|it| it.index).collect())
}

/// Kind and code of an error of the driver. Its text may repeat what is stored: the key of a duplicate, the values of a
/// document that a validator refuses.
impl From<MongoError> for Cause {
    fn from(error: MongoError) -> Self {
        text_of(&error).of_database(failure_of(&error))
    }
}

fn text_of(error: &MongoError) -> Cause {
    if fenced::is_outdated(error) {
        return "MongoDB: the build is too old to write; deploy a later one".into();
    }
    let (code, name) = match error.kind.as_ref() {
        ErrorKind::Command(error) => (error.code, error.code_name.clone()),
        ErrorKind::Write(WriteFailure::WriteError(error)) => {
            (error.code, error.code_name.clone().unwrap_or_default())
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => (error.code, error.code_name.clone()),
        // They name a host and a reason, and were raised before any document was read.
        ErrorKind::ServerSelection { message, .. } => return format!("MongoDB: {message}").into(),
        ErrorKind::Io(error) => return format!("the connection to MongoDB: {}", error.kind()).into(),
        ErrorKind::Authentication { .. } => return "MongoDB refused the credentials".into(),
        ErrorKind::ConnectionPoolCleared { .. } => {
            return "the connections to MongoDB were closed while one was used".into();
        }
        _ => return format!("the driver of MongoDB: {}", kind_name(error)).into(),
    };
    format!("MongoDB: code {code} {name}").into()
}

fn failure_of(error: &MongoError) -> DatabaseFailure {
    if fenced::is_outdated(error) {
        return DatabaseFailure::Outdated;
    }
    let code = match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => return DatabaseFailure::Away,
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code,
        ErrorKind::Command(error) => error.code,
        _ => return DatabaseFailure::Other,
    };
    match code {
        INVALID_DOCUMENT => DatabaseFailure::Invalid,
        code if AWAY_CODES.contains(&code) => DatabaseFailure::Away,
        _ => DatabaseFailure::Other,
    }
}

/// Name of an error's kind, without what it holds.
fn kind_name(error: &MongoError) -> String {
    let debug = format!("{:?}", error.kind);
    debug.chars().take_while(char::is_ascii_alphanumeric).collect()
}

impl From<MongoError> for Error {
    fn from(error: MongoError) -> Self {
        if is_refusal(&error) {
            note_refusal(Refusal::Credentials);
            return Self::unavailable(error);
        }
        if fenced::is_outdated(&error) {
            note_refusal(Refusal::Build);
            return Self::unavailable(error);
        }
        let transient = match error.kind.as_ref() {
            ErrorKind::Io(_)
            // It may have been sent: the driver interrupts operations in progress when a heartbeat times out.
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
            ErrorKind::Write(WriteFailure::WriteError(error)) => TRANSIENT_CODES.contains(&error.code),
            ErrorKind::Command(error) => TRANSIENT_CODES.contains(&error.code),
            _ => false,
        };
        if transient
            // Queries that expect a duplicate key handle it themselves. The others come from concurrent
            // writes, such as two upserts: a retry finds the document of the other one.
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

/// Converts an ID to its stored form: 16 bytes, subtype 4.
pub fn uuid<T: StaticType>(id: TypeSafeId<T>) -> bson::Uuid {
    bson::Uuid::from_bytes(id.uuid().into_bytes())
}

/// Converts a stored ID back.
pub fn id<T: StaticType>(stored: bson::Uuid) -> TypeSafeId<T> {
    TypeSafeId::from_uuid(uuid::Uuid::from_bytes(stored.bytes()))
}

/// Condition for a document whose field is a date itself: a range of dates matches lists that have one, too.
pub fn is_date(field: &str) -> Document {
    doc! { "$expr": { "$eq": [{ "$type": format!("${field}") }, "date"] } }
}

/// Condition that an ID is a UUID. BSON sorts bytes by length, then subtype, then content.
pub fn any_uuid() -> Document {
    doc! { "$gte": bson::Uuid::from_bytes([0; 16]), "$lte": bson::Uuid::from_bytes([u8::MAX; 16]) }
}

/// Converts a time to its stored form.
pub fn date(time: Timestamp) -> bson::DateTime {
    bson::DateTime::from_millis(time.millis())
}

/// Converts a stored time back.
pub fn timestamp(stored: bson::DateTime) -> Timestamp {
    Timestamp::from_millis(stored.timestamp_millis())
}

/// Entry of a stored map. Maps are stored as lists of entries and not as objects. Clients choose the keys,
/// which may contain `$` and dots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    k: String,
    v: String,
}

/// Converts a map to its stored form.
pub fn entries(map: &BTreeMap<String, String>) -> Vec<Entry> {
    map.iter().map(|(key, value)| Entry { k: key.clone(), v: value.clone() }).collect()
}

/// Converts a stored map back.
pub fn map(stored: Vec<Entry>) -> BTreeMap<String, String> {
    stored.into_iter().map(|entry| (entry.k, entry.v)).collect()
}

/// Converts bytes to their stored form.
pub fn binary(bytes: &[u8]) -> bson::Binary {
    bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: bytes.to_vec() }
}

/// Maximum of concurrent [`bounded_write`]s in a process: fewer than [`MIN_POOL`], which leaves connections
/// to transactions.
const BOUNDED_WRITES: usize = 8;

/// Smallest size of the connection pool: the driver's own default.
const MIN_POOL: u32 = 10;

/// Runs a write outside of transactions, to documents or a unique index that transactions of this process
/// write too.
///
/// Beside an open transaction the server lets such a write wait, and the write occupies its connection. If
/// such writes had all connections, the transaction could not end: a deadlock.
pub async fn bounded_write<W: IntoFuture>(write: W) -> W::Output {
    static RUNNING: Semaphore = Semaphore::const_new(BOUNDED_WRITES);
    // The semaphore is never closed, so acquiring never fails.
    let _permit = RUNNING.acquire().await;
    write.await
}

/// Time limit for repeating a transaction after conflicts: shorter than a caller waits.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(8);

/// Time for the last attempt to commit, after the time for repeating it.
const LAST_COMMIT: Duration = Duration::from_secs(2);

/// Outcome of a transaction's body without an error.
#[derive(Debug)]
pub enum TxOutcome<T> {
    /// Commits: all its writes become visible at once, and all that it has read is on a majority. So a refusal
    /// commits, too, if there is nothing to discard.
    Commit(T),
    /// Aborts: its writes are discarded.
    Abort(T),
}

/// Runs `body` in a transaction. Repeats it after conflicts, or if its commit gets lost, for a bounded time,
/// with growing random pauses.
///
/// So `body` may run more than once, and must do nothing but read and write in its session.
///
/// # Errors
/// Error of `body` or of the commit. After a lost answer to the commit its outcome is unknown. The documents
/// must be such that a later read can tell.
pub async fn transaction<T, F>(database: &FencedDatabase, body: F) -> Result<T, MongoError>
where
    F: for<'s> FnMut(&'s mut ClientSession) -> BoxFuture<'s, Result<TxOutcome<T>, MongoError>>,
{
    transaction_within(database, TRANSACTION_PATIENCE, body).await
}

/// Runs a [`transaction`], and repeats it for this time at most.
///
/// # Errors
/// As [`transaction`].
pub async fn transaction_within<T, F>(
    database: &FencedDatabase,
    patience: Duration,
    body: F,
) -> Result<T, MongoError>
where
    F: for<'s> FnMut(&'s mut ClientSession) -> BoxFuture<'s, Result<TxOutcome<T>, MongoError>>,
{
    transact(database.start_session().await?, patience, body).await
}

async fn transact<T, F>(mut session: ClientSession, patience: Duration, mut body: F) -> Result<T, MongoError>
where
    F: for<'s> FnMut(&'s mut ClientSession) -> BoxFuture<'s, Result<TxOutcome<T>, MongoError>>,
{
    let started = Instant::now();
    let mut attempt: u32 = 0;
    loop {
        attempt += 1;
        session.start_transaction().await?;
        let error = match body(&mut session).await {
            Ok(TxOutcome::Commit(result)) => {
                // In a task of its own. If the caller goes now, the driver takes the transaction for committed already,
                // and the server keeps it open. The task ends even if no majority ever answers: it has a connection.
                let committing = async move {
                    let committing = commit(&mut session, started, patience);
                    let committed = tokio::time::timeout(patience + LAST_COMMIT, committing).await;
                    let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
                    (session, committed.unwrap_or_else(late))
                };
                let committing = tokio::spawn(committing.in_current_span().with_current_subscriber());
                let (returned, committed) = committing.await.map_err(MongoError::custom)?;
                session = returned;
                match committed {
                    Ok(()) => return Ok(result),
                    Err(error) => error,
                }
            }
            Ok(TxOutcome::Abort(result)) => {
                session.abort_transaction().await?;
                return Ok(result);
            }
            Err(error) => {
                // The server may have aborted it already; the first error is the one that counts.
                let _ = session.abort_transaction().await;
                error
            }
        };
        if started.elapsed() > patience || !error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            return Err(error);
        }
        tracing::debug!(attempt, "a transaction met a conflict and begins anew");
        pause(attempt).await;
    }
}

/// Commits, and repeats that while the outcome is unknown, for the rest of the time.
///
/// The driver tries twice. If the commit never arrives, the transaction stays open. Others then wait for its
/// documents until the server aborts it, after a minute.
async fn commit(session: &mut ClientSession, started: Instant, patience: Duration) -> Result<(), MongoError> {
    let mut attempt: u32 = 0;
    let mut unknown = None;
    loop {
        attempt += 1;
        let Err(error) = session.commit_transaction().await else { return Ok(()) };
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            return Err(error);
        }
        if !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
            // After an attempt whose outcome is unknown, a refusal says nothing about that attempt.
            return Err(unknown.unwrap_or(error));
        }
        if started.elapsed() > patience {
            return Err(error);
        }
        unknown = Some(error);
        pause(attempt).await;
    }
}

/// Waits after so many attempts, longer each time: up to a quarter of a second. The time is random, so that two
/// writers in conflict do not meet again.
pub async fn pause(attempts: u32) {
    let longest = Duration::from_millis(2 << attempts.min(7));
    tokio::time::sleep(longest.mul_f64(rand::random())).await;
}
