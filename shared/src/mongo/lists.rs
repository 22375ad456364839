//! Bound on reads of lists: no client takes all connections to MongoDB.
//!
//! A list reads up to thousands of keys, a hundred times as many as anything else that a client asks for. All requests
//! wait for connections in one line. So a client that asks for many lists at once would keep those waiting who place
//! orders.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::auth::Caller;
use crate::error::Error;
use crate::runtime::context::Context;
use crate::values::ids::UserId;

/// Maximum number of lists that a process reads at once: fewer than [`MIN_POOL`](super::MIN_POOL), which leaves
/// connections to everything else.
const MAX_LISTS: usize = 6;

/// Maximum number of these for one reader.
const MAX_OF_READER: usize = 3;

/// Maximum time that a list waits.
const PATIENCE: Duration = Duration::from_secs(5);

static LISTS: LazyLock<Lists> = LazyLock::new(Lists::default);

/// Reads a list for the caller of this context, once neither the caller nor all callers read too many.
///
/// # Errors
/// Error of `read`. 503 when it would have to wait for long.
pub async fn bounded_list<T>(
    context: &Context,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    LISTS.read(Reader::of(context), read).await
}

/// Reader of lists, with a share of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reader {
    /// Signed-in user.
    User(UserId),
    /// Anonymous callers of a network; none for callers whose address is unknown.
    Network(Option<IpAddr>),
    /// Functions of the system.
    System,
}

impl Reader {
    fn of(context: &Context) -> Self {
        match context.caller {
            Caller::User { id, .. } => Self::User(id),
            Caller::System => Self::System,
            Caller::Anonymous => Self::Network(context.source.map(|source| source.network())),
        }
    }
}

struct Lists {
    all: Semaphore,
    /// Places of the readers that read or wait now, with the number of their lists.
    by_reader: Mutex<HashMap<Reader, (usize, Arc<Semaphore>)>>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { all: Semaphore::new(MAX_LISTS), by_reader: Mutex::default() }
    }
}

impl Lists {
    async fn read<T>(
        &self,
        reader: Reader,
        read: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let share = Share::of(self, reader);
        // A reader waits for its own lists first. So each has a few places in the common line, and none fills it.
        let places = async {
            let own = share.places.acquire().await;
            let common = self.all.acquire().await;
            (own, common)
        };
        // The semaphores are never closed, so acquiring never fails.
        let Ok(_places) = timeout(PATIENCE, places).await else {
            return Err(Error::unavailable("too many lists are read at once"));
        };
        read.await
    }
}

/// Use of a reader's places. The last one removes them.
struct Share<'a> {
    lists: &'a Lists,
    reader: Reader,
    places: Arc<Semaphore>,
}

impl<'a> Share<'a> {
    fn of(lists: &'a Lists, reader: Reader) -> Self {
        let mut all = lists.by_reader.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, places) =
            all.entry(reader).or_insert_with(|| (0, Arc::new(Semaphore::new(MAX_OF_READER))));
        *count += 1;
        Self { lists, reader, places: places.clone() }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut all = self.lists.by_reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, _)) = all.get_mut(&self.reader) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.reader);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::{join_all, pending};
    use futures::poll;

    use super::*;

    fn network(last: u8) -> Reader {
        Reader::Network(Some([192, 0, 2, last].into()))
    }

    #[tokio::test(start_paused = true)]
    async fn one_reader_reads_a_few_lists_at_once() {
        let (lists, now, most) = (Lists::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let read = |reader| {
            lists.read(reader, async {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        };
        for read in join_all((0..100).map(|_| read(network(1)))).await {
            read.unwrap();
        }
        assert_eq!(most.swap(0, Ordering::SeqCst), MAX_OF_READER);
        for read in join_all((0..100).map(|last| read(network(last)))).await {
            read.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), MAX_LISTS);
        assert!(lists.by_reader.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_of_many_lists_keeps_no_other_waiting() {
        let lists = Lists::default();
        let forever = || Box::pin(lists.read(network(1), pending::<Result<(), Error>>()));
        let mut greedy: Vec<_> = (0..50).map(|_| forever()).collect();
        for read in &mut greedy {
            assert!(poll!(read).is_pending());
        }
        lists.read(network(2), async { Ok(()) }).await.unwrap();
        // Those that wait for too long are refused.
        let late = lists.read(network(1), async { Ok(()) }).await.unwrap_err();
        assert_eq!(late.kind(), crate::error::Kind::Unavailable);
        drop(greedy);
        lists.read(network(1), async { Ok(()) }).await.unwrap();
        assert!(lists.by_reader.lock().unwrap().is_empty());
    }
}
