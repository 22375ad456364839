//! Open connections of a listener: their number, also by address, and the choice of the one to close when full.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::activity::Activity;
use super::limits::CLOSING;

/// Source of connections that shares one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// This machine, which has no limit of its own.
    Loopback,
    /// IPv4 address.
    V4(Ipv4Addr),
    /// First 64 bits of an IPv6 address: the network that one customer of a provider gets at least.
    V6(u64),
}

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Loopback,
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d].into_iter().fold(0, |bits, part| bits << 16 | u64::from(part)))
            }
        }
    }
}

/// Number of connections and of requests at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    connections: usize,
    requests: usize,
}

struct Connection {
    source: Source,
    activity: Arc<Activity>,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Connection>,
    by_source: HashMap<Source, Count>,
    requests: usize,
    /// Sockets, also those that are being closed.
    sockets: usize,
}

/// Open connections.
pub(super) struct Connections {
    most: usize,
    most_of_one_source: usize,
    open: Mutex<Open>,
    closed: Notify,
}

impl Connections {
    pub(super) fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        let most_of_one_source = if most_per_address == 0 { usize::MAX } else { most_per_address };
        Arc::new(Self { most, most_of_one_source, open: Mutex::default(), closed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn most_of(&self, source: Source) -> usize {
        if source == Source::Loopback { usize::MAX } else { self.most_of_one_source }
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
        let mut connection = None;
        if !is_full(&open) {
            let id = open.next;
            open.next += 1;
            open.connections.insert(id, Connection { source, activity });
            open.by_source.entry(source).or_default().connections += 1;
            connection = Some(id);
        }
        Socket { connections: self.clone(), connection }
    }

    /// Number of connections.
    #[cfg(test)]
    pub(super) fn number(&self) -> usize {
        self.lock().connections.len()
    }

    /// Closes the connection that is missed least, if any is without work.
    pub(super) fn close_one(&self) {
        self.lock().close_one(None);
    }

    /// Counts a request at work. `None` if there are too many.
    pub(super) fn begin_request(self: &Arc<Self>, source: Source) -> Option<AtWork> {
        let mut open = self.lock();
        if open.requests >= self.most || open.of(source).requests >= self.most_of(source) {
            return None;
        }
        open.requests += 1;
        open.by_source.entry(source).or_default().requests += 1;
        Some(AtWork { connections: self.clone(), source })
    }
}

impl Open {
    fn of(&self, source: Source) -> Count {
        self.by_source.get(&source).copied().unwrap_or_default()
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
    connection: Option<u64>,
}

impl Socket {
    /// False if there is no room for it: it is answered 503.
    pub(super) fn is_admitted(&self) -> bool {
        self.connection.is_some()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.sockets -= 1;
        if let Some(id) = self.connection {
            open.remove(id);
        }
        drop(open);
        self.connections.closed.notify_waiters();
    }
}

/// Request at work; counted until it is dropped, also when its client has hung up.
pub(super) struct AtWork {
    connections: Arc<Connections>,
    source: Source,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.requests -= 1;
        open.change(self.source, |count| count.requests -= 1);
    }
}
