//! Confirmed reads: as of all writes that were acknowledged.
//!
//! Other reads show the state that the primary knows to be on a majority. A new primary knows that late. So just
//! after an election they may show the state from before the last acknowledged writes. No refusal rests on such a
//! read: [`confirm_refusals`] decides it again.
//!
//! A confirmed read is one in a transaction that commits. Such a transaction reads the latest state. Its commit, even
//! of nothing but reads, waits until a majority has all that it has read, and no other primary was elected before.

use std::time::Duration;

use futures::future::BoxFuture;
use mongodb::error::Error as MongoError;
use mongodb::{Client, ClientSession};

use super::{TxOutcome, transact};
use crate::error::Error;

/// Maximum time of a confirmed read.
const PATIENCE: Duration = Duration::from_secs(2);

tokio::task_local! {
    static CONFIRMED: ();
}

/// Runs `reading`, in which every [`find_one`](super::fenced::FencedCollection::find_one) is confirmed.
pub async fn confirmed<R: IntoFuture>(reading: R) -> R::Output {
    CONFIRMED.scope((), reading.into_future()).await
}

/// Returns true within [`confirmed`].
pub(super) fn is_confirmed() -> bool {
    CONFIRMED.try_with(|()| ()).is_ok()
}

/// Runs `decide`, which reads and decides but writes nothing. If it refuses, decides again on confirmed reads.
///
/// # Errors
/// Error of `decide`. 503 when a refusal cannot be confirmed.
pub async fn confirm_refusals<T, D>(decide: impl Fn() -> D) -> Result<T, Error>
where
    D: Future<Output = Result<T, Error>>,
{
    match decide().await {
        Err(refusal) if refusal.kind().status().is_client_error() => confirmed(decide()).await,
        decided => decided,
    }
}

/// Runs reads in a transaction, and commits it.
pub(super) async fn read<T, F>(client: &Client, reads: F) -> Result<T, MongoError>
where
    F: for<'s> FnMut(&'s mut ClientSession) -> BoxFuture<'s, Result<TxOutcome<T>, MongoError>>,
{
    let reading = async { transact(client.start_session().await?, PATIENCE, reads).await };
    let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(late)
}
