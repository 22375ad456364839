//! Connections and requests of a listener: their number, also by address, and the choice of those that make room.
//!
//! A request has a place among those at work while the listener works on it. While it waits for its client, for the
//! body or for the answer to be taken, it costs memory alone. That has a limit in bytes, beyond which requests that
//! wait are broken off.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::future::AbortHandle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::activity::Activity;
use super::limits::{CLOSING, Limits};
use crate::runtime::context::SourceAddress;

/// Memory of a request beside its bodies: its head and its tasks.
const HEAD: usize = 16 * 1024;

/// Bytes that a client is expected to move in a second. As many put the begin of its request's wait off by one.
const BYTES_PER_SECOND: u32 = 16 * 1024;

/// Longest wait of one request that counts against its connection.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Part of the limit that is free after requests were broken off. The search is then rare.
const FREE_PART: usize = 8;

/// Time that one line of the log about refusals stands for.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Source of connections that shares one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    /// This machine or a trusted proxy: it has no limit of its own.
    Unlimited,
    /// Network of an address.
    Network(IpAddr),
}

impl Source {
    /// Client that a proxy names. Only a peer is this machine: what a header says may be made up.
    pub(super) fn behind_a_proxy(address: IpAddr) -> Self {
        match Self::of(address) {
            Self::Unlimited => Self::Network(Ipv4Addr::LOCALHOST.into()),
            source => source,
        }
    }

    pub(super) fn of(address: IpAddr) -> Self {
        if address.to_canonical().is_loopback() {
            Self::Unlimited
        } else {
            Self::Network(SourceAddress(address).network())
        }
    }
}

/// Number of connections and of requests at work, and the bytes of requests that wait for their clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    connections: usize,
    at_work: usize,
    waiting_bytes: usize,
}

struct Connection {
    source: Source,
    activity: Arc<Activity>,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Connection>,
    requests: HashMap<u64, Entry>,
    total: Count,
    by_source: HashMap<Source, Count>,
    /// Requests at work of each socket, also those that have lost it.
    at_work_by_socket: HashMap<u64, usize>,
    /// Sockets, also those that are being closed.
    sockets: usize,
    unlogged: Unlogged,
}

/// Number of refusals that no line of the log has named yet.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Unlogged {
    refused: u64,
    broken_off: u64,
}

/// Request from its head on, until its client has the answer and its work has ended.
struct Entry {
    source: Source,
    socket: u64,
    activity: Arc<Activity>,
    /// Task of the request, if it has one of its own, as over HTTP/2.
    task: Option<AbortHandle>,
    stage: Stage,
    is_answered: bool,
    /// Bytes that are kept: those of the body until the work has ended, then those of the answer.
    bytes: usize,
    /// Begin of the wait, put off by what the client has moved since.
    since: Instant,
    /// Pieces of the answer that are handed over, and not sent yet.
    unsent: usize,
    /// Wakes the reader of the body, or the body of the answer.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Has come in just now.
    Begun,
    /// Has a place, and is not touched.
    AtWork,
    /// Waits for its client's body.
    Receiving,
    /// Has an answer that waits to be taken.
    Answered,
    /// Is to end: it no longer counts.
    BrokenOff,
}

impl Entry {
    fn count(&self) -> Count {
        let waits = matches!(self.stage, Stage::Receiving | Stage::Answered);
        Count {
            connections: 0,
            at_work: usize::from(self.stage == Stage::AtWork),
            waiting_bytes: if waits { self.bytes.saturating_add(HEAD) } else { 0 },
        }
    }

    /// Puts the begin of the wait off.
    fn moves(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let time = Duration::from_secs(bytes.into()) / BYTES_PER_SECOND;
        self.since = (self.since + time).min(Instant::now());
    }
}

/// Action on a request that is broken off. It is taken without the lock.
enum End {
    /// Wakes the body, which then fails.
    Body(Waker),
    /// Ends the request's own task: nothing of its answer is with HTTP/2 yet.
    Task(AbortHandle),
    /// Closes the connection, which has no other request.
    Connection(Arc<Activity>),
}

impl End {
    fn run(self) {
        match self {
            Self::Body(waker) => waker.wake(),
            Self::Task(task) => task.abort(),
            Self::Connection(activity) => activity.close(),
        }
    }
}

/// Open connections and their requests.
pub(super) struct Connections {
    most: usize,
    most_of_one_source: usize,
    most_of_one_socket: usize,
    most_bytes: usize,
    open: Mutex<Open>,
    closed: Notify,
}

impl Connections {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let most_of_one_source = match limits.connections_per_address {
            0 => usize::MAX,
            most => most,
        };
        Arc::new(Self {
            most: limits.connections,
            most_of_one_source,
            most_of_one_socket: usize::try_from(limits.streams).unwrap_or(usize::MAX),
            most_bytes: limits.waiting_bytes,
            open: Mutex::default(),
            closed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn most_of(&self, source: Source) -> usize {
        if source == Source::Unlimited { usize::MAX } else { self.most_of_one_source }
    }

    /// Waits until one more socket may be open.
    pub(super) async fn room(&self) {
        loop {
            let closed = self.closed.notified();
            if self.lock().sockets < self.most.saturating_add(CLOSING) {
                return;
            }
            closed.await;
        }
    }

    /// Counts a socket. It is a connection too unless all others are at work.
    pub(super) fn admit(self: &Arc<Self>, source: Source, activity: Arc<Activity>) -> Socket {
        let mut open = self.lock();
        open.sockets += 1;
        let is_full = |open: &Open| {
            open.connections.len() >= self.most || open.of(source).connections >= self.most_of(source)
        };
        if open.of(source).connections >= self.most_of(source) {
            open.close_one(Some(source));
        } else if open.connections.len() >= self.most {
            open.close_one(None);
        }
        let id = open.next;
        open.next += 1;
        let is_admitted = !is_full(&open);
        if is_admitted {
            open.connections.insert(id, Connection { source, activity });
            open.change(source, |count| count.connections += 1);
        }
        Socket { connections: self.clone(), id, is_admitted }
    }

    /// Number of connections.
    #[cfg(test)]
    pub(super) fn number(&self) -> usize {
        self.lock().connections.len()
    }

    /// Bytes of requests that wait for their clients.
    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.lock().total.waiting_bytes
    }

    /// Bytes of bodies that are kept, also those of requests that were broken off.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.lock().requests.values().map(|entry| entry.bytes).sum()
    }

    /// Closes the connection that is missed least, if any is without work.
    pub(super) fn close_one(&self) {
        self.lock().close_one(None);
    }

    /// Begins a request of a socket. `task` is its own, if it has one.
    pub(super) fn begin_request(
        self: &Arc<Self>,
        socket: u64,
        source: Source,
        activity: Arc<Activity>,
        task: Option<AbortHandle>,
    ) -> Request {
        let mut open = self.lock();
        let id = open.next;
        open.next += 1;
        let entry = Entry {
            source,
            socket,
            activity,
            task,
            stage: Stage::Begun,
            is_answered: false,
            bytes: 0,
            since: Instant::now(),
            unsent: 0,
            waker: None,
        };
        open.requests.insert(id, entry);
        Request { connections: self.clone(), id }
    }

    /// Changes a request and what depends on it, and makes room if it then waits with too much.
    fn change_request<T>(self: &Arc<Self>, id: u64, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut open = self.lock();
        let result = open.change_request(id, change);
        let mut ends = Vec::new();
        if open.total.waiting_bytes > self.most_bytes {
            ends = open.break_off(self.most_bytes - self.most_bytes / FREE_PART);
            let broken_off = u64::try_from(ends.len()).unwrap_or(u64::MAX);
            self.note(&mut open, Unlogged { broken_off, refused: 0 });
        }
        drop(open);
        ends.into_iter().for_each(End::run);
        result
    }

    /// Counts refusals. A line of the log names their number after a while, however many there are.
    fn note(self: &Arc<Self>, open: &mut Open, more: Unlogged) {
        let is_first = open.unlogged == Unlogged::default();
        open.unlogged.refused += more.refused;
        open.unlogged.broken_off += more.broken_off;
        if is_first && open.unlogged != Unlogged::default() {
            let connections = self.clone();
            tokio::spawn(async move {
                sleep(LOG_EVERY).await;
                let Unlogged { refused, broken_off } = std::mem::take(&mut connections.lock().unlogged);
                tracing::warn!(refused, broken_off, "too many connections or requests at once");
            });
        }
    }
}

impl Open {
    fn of(&self, source: Source) -> Count {
        self.by_source.get(&source).copied().unwrap_or_default()
    }

    fn change_request<T>(&mut self, id: u64, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.requests.get_mut(&id)?;
        let before = entry.count();
        let result = change(entry);
        let (source, socket, after) = (entry.source, entry.socket, entry.count());
        self.recount(source, socket, before, after);
        Some(result)
    }

    fn recount(&mut self, source: Source, socket: u64, before: Count, after: Count) {
        if before == after {
            return;
        }
        let change = |count: &mut Count| {
            count.at_work = count.at_work + after.at_work - before.at_work;
            count.waiting_bytes = count.waiting_bytes + after.waiting_bytes - before.waiting_bytes;
        };
        change(&mut self.total);
        self.change(source, change);
        let at_work = self.at_work_by_socket.entry(socket).or_default();
        *at_work = *at_work + after.at_work - before.at_work;
        if *at_work == 0 {
            self.at_work_by_socket.remove(&socket);
        }
    }

    /// Breaks off requests that wait for their clients until their bytes are no more than `most`.
    ///
    /// The source with the most bytes gives one each time: of the connection whose requests have waited longest
    /// together, the one that has waited longest. What a client moves shortens its wait. So a slow client is spared
    /// while others move nothing.
    fn break_off(&mut self, most: usize) -> Vec<End> {
        let now = Instant::now();
        let wait = |entry: &Entry| now.saturating_duration_since(entry.since).min(LONGEST_WAIT);
        let mut by_socket: HashMap<u64, Duration> = HashMap::new();
        let waiting = || self.requests.iter().filter(|(_, entry)| entry.count().waiting_bytes > 0);
        for (_, entry) in waiting() {
            *by_socket.entry(entry.socket).or_default() += wait(entry);
        }
        let mut by_source: HashMap<Source, Vec<_>> = HashMap::new();
        for (id, entry) in waiting() {
            let together = by_socket.get(&entry.socket).copied().unwrap_or_default();
            by_source.entry(entry.source).or_default().push((together, wait(entry), *id));
        }
        let mut sources: BinaryHeap<(usize, Reverse<Source>)> = BinaryHeap::new();
        for (source, requests) in &mut by_source {
            requests.sort_unstable();
            sources.push((self.of(*source).waiting_bytes, Reverse(*source)));
        }
        let mut ends = Vec::new();
        while self.total.waiting_bytes > most
            && let Some((_, Reverse(source))) = sources.pop()
        {
            let Some((.., id)) = by_source.get_mut(&source).and_then(Vec::pop) else { continue };
            let end = self.change_request(id, |entry| {
                entry.stage = Stage::BrokenOff;
                match (entry.waker.take(), &entry.task) {
                    (Some(waker), _) => End::Body(waker),
                    (None, Some(task)) => End::Task(task.clone()),
                    (None, None) => End::Connection(entry.activity.clone()),
                }
            });
            ends.extend(end);
            sources.push((self.of(source).waiting_bytes, Reverse(source)));
        }
        ends
    }

    fn change(&mut self, source: Source, change: impl FnOnce(&mut Count)) {
        let count = self.by_source.entry(source).or_default();
        change(count);
        if *count == Count::default() {
            self.by_source.remove(&source);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.change(connection.source, |count| count.connections -= 1);
        Some(connection)
    }

    /// Closes a connection without work, of one source or of any.
    ///
    /// The source with the most connections gives one: that which has had no complete answer for the longest time. So a
    /// flood closes its own connections first.
    fn close_one(&mut self, source: Option<Source>) {
        let of_source = |it: &Connection| source.is_none_or(|source| it.source == source);
        let without_work = self.connections.iter().filter(|(_, it)| of_source(it)).filter_map(|(id, it)| {
            let since = it.activity.without_work_since()?;
            Some((Reverse(self.of(it.source).connections), since, *id))
        });
        if let Some((.., id)) = without_work.min()
            && let Some(connection) = self.remove(id)
        {
            connection.activity.close();
        }
    }
}

/// Open socket; counted until it is dropped.
pub(super) struct Socket {
    connections: Arc<Connections>,
    id: u64,
    is_admitted: bool,
}

impl Socket {
    /// False if there is no room for it: it is answered 503.
    pub(super) fn is_admitted(&self) -> bool {
        self.is_admitted
    }

    /// Number of this socket.
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.sockets -= 1;
        open.remove(self.id);
        drop(open);
        self.connections.closed.notify_waiters();
    }
}

/// Request; counted until it is dropped, also when its client has hung up.
pub(super) struct Request {
    connections: Arc<Connections>,
    id: u64,
}

/// Failure of a request that was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenOff;

impl Request {
    fn change<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.connections.change_request(self.id, change)
    }

    /// Takes a place among the requests at work. False: there are too many, and the request is to be refused.
    pub(super) fn begins_work(&self) -> bool {
        let connections = &self.connections;
        let mut open = connections.lock();
        let Some(entry) = open.requests.get(&self.id) else { return false };
        let (source, socket) = (entry.source, entry.socket);
        if entry.is_answered {
            // The answer reads on, as that of reflection does.
            return entry.stage != Stage::BrokenOff;
        }
        let of_socket = open.at_work_by_socket.get(&socket).copied().unwrap_or_default();
        let has_room = open.total.at_work < connections.most
            && open.of(source).at_work < connections.most_of(source)
            && of_socket < connections.most_of_one_socket;
        let begins = has_room
            && open.change_request(self.id, |entry| {
                let is_broken_off = entry.stage == Stage::BrokenOff;
                if !is_broken_off {
                    (entry.stage, entry.waker) = (Stage::AtWork, None);
                }
                !is_broken_off
            }) == Some(true);
        if !has_room {
            connections.note(&mut open, Unlogged { refused: 1, broken_off: 0 });
        }
        begins
    }

    /// Counts a refusal that does not come from [`Self::begins_work`].
    pub(super) fn is_refused(&self) {
        let mut open = self.connections.lock();
        self.connections.note(&mut open, Unlogged { refused: 1, broken_off: 0 });
    }

    /// Work on this request. It ends, with an answer, when the result is dropped.
    pub(super) fn work(self: &Arc<Self>) -> Work {
        Work(self.clone())
    }

    /// True after the work.
    pub(super) fn is_answered(&self) -> bool {
        self.change(|entry| entry.is_answered) == Some(true)
    }

    /// Gives the place back until the client has sent more of its body.
    pub(super) fn waits_for_body(&self, waker: &Waker) -> Result<(), BrokenOff> {
        let is_waiting = self.change(|entry| {
            if entry.stage == Stage::BrokenOff {
                return false;
            }
            if !entry.is_answered {
                (entry.stage, entry.waker) = (Stage::Receiving, Some(waker.clone()));
            }
            true
        });
        if is_waiting == Some(true) { Ok(()) } else { Err(BrokenOff) }
    }

    /// Counts bytes of the body.
    pub(super) fn receives(&self, bytes: usize) {
        self.change(|entry| {
            if !entry.is_answered {
                entry.bytes = entry.bytes.saturating_add(bytes);
            }
            entry.moves(bytes);
        });
    }

    /// Counts bytes of the answer, which are kept until [`Self::lets_go`].
    pub(super) fn keeps(&self, bytes: usize) {
        self.change(|entry| entry.bytes = entry.bytes.saturating_add(bytes));
    }

    /// Counts bytes of the answer that are no longer kept.
    pub(super) fn lets_go(&self, bytes: usize) {
        self.change(|entry| entry.bytes = entry.bytes.saturating_sub(bytes));
    }

    /// Counts a piece of the answer that is handed over.
    pub(super) fn hands_over(&self) {
        self.change(|entry| entry.unsent += 1);
    }

    /// Notes that a piece of the answer is with the client, or lost.
    pub(super) fn sends(&self, bytes: usize) {
        let waker = self.change(|entry| {
            entry.unsent = entry.unsent.saturating_sub(1);
            entry.moves(bytes);
            if entry.unsent == 0 { entry.waker.take() } else { None }
        });
        if let Some(waker) = waker.flatten() {
            waker.wake();
        }
    }

    /// Waits until all pieces are sent that are handed over.
    pub(super) fn poll_sent(&self, waker: &Waker) -> Poll<Result<(), BrokenOff>> {
        let sent = self.change(|entry| match (entry.stage, entry.unsent) {
            (Stage::BrokenOff, _) => Poll::Ready(Err(BrokenOff)),
            (_, 0) => Poll::Ready(Ok(())),
            _ => {
                entry.waker = Some(waker.clone());
                Poll::Pending
            }
        });
        sent.unwrap_or(Poll::Ready(Err(BrokenOff)))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        let entry = open.requests.remove(&self.id);
        if let Some(entry) = &entry {
            open.recount(entry.source, entry.socket, entry.count(), Count::default());
        }
        // Its waker may hold a task, whose end may come here again.
        drop(open);
        drop(entry);
    }
}

/// Work on a request.
pub(super) struct Work(Arc<Request>);

impl Drop for Work {
    fn drop(&mut self) {
        let waker = self.0.change(|entry| {
            (entry.stage, entry.is_answered) = (Stage::Answered, true);
            (entry.bytes, entry.since) = (0, Instant::now());
            entry.waker.take()
        });
        // An answer that is sent before the work ends may wait with it.
        if let Some(waker) = waker.flatten() {
            waker.wake();
        }
    }
}
