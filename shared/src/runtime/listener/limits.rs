//! Limits of a listener, declared once as data, and the variables that change some of them.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::hosts::AllowedHosts;
use super::proxies::TrustedProxies;
use crate::http::base_path::BasePath;
use crate::runtime::config::{BASE_PATH, Variable, Variables};
use crate::runtime::context::DEFAULT_TIMEOUT;

/// Files that a process needs beside its clients' connections: those to MongoDB and to other functions.
const OTHER_FILES: usize = 256;

/// Longest time in which requests are still taken after the signal to stop, in seconds.
const LONGEST_NOTICE: u64 = 60;

/// Sockets that may be open beyond the limit of connections while they are being closed.
pub(super) const CLOSING: usize = 64;

/// Limits of a listener on time and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for the head of a request, from the connection's or the head's first byte on.
    pub head: Duration,
    /// Time for the body of a request, from the end of its head on: the request's own deadline.
    pub body: Duration,
    /// Time for a client to take an answer that is ready.
    pub answer: Duration,
    /// Time between two requests of a connection.
    pub idle: Duration,
    /// Time to read the rest of a body that the answer did not need.
    pub rest: Duration,
    /// Most bytes of such a rest.
    pub rest_bytes: usize,
    /// Time in which a closed connection's last bytes are read and discarded, so that the client sees its answer.
    pub linger: Duration,
    /// Interval of pings over HTTP/2, and the time to answer one.
    pub ping: Duration,
    /// Most requests at once on one connection over HTTP/2.
    pub streams: u32,
    /// Most connections, and most requests at work.
    pub connections: usize,
    /// Most connections, and most requests at work, of one address; 0 is no limit.
    pub connections_per_address: usize,
    /// Most bytes of requests that wait for their clients: bodies that are not whole, and answers not taken.
    pub waiting_bytes: usize,
    /// Most bytes of a head over HTTP/1.1, and of what is read or written at once.
    pub buffer: usize,
    /// Most bytes of a body over HTTP/2 that its handler has not read.
    pub window: u32,
    /// Most bytes of all such bodies of a connection.
    pub connection_window: u32,
    /// Time after the signal to stop in which requests are still taken. Answers then say `Connection: close`.
    pub notice: Duration,
    /// Time for requests to finish after that.
    pub drain: Duration,
}

impl Limits {
    /// Defaults.
    pub const DEFAULT: Self = Self {
        head: Duration::from_secs(10),
        body: DEFAULT_TIMEOUT,
        answer: Duration::from_secs(60),
        idle: Duration::from_secs(75),
        rest: Duration::from_secs(1),
        rest_bytes: 1024 * 1024,
        linger: Duration::from_secs(2),
        ping: Duration::from_secs(20),
        streams: 100,
        connections: 1024,
        connections_per_address: 256,
        waiting_bytes: 256 * 1024 * 1024,
        buffer: 64 * 1024,
        window: 64 * 1024,
        connection_window: 256 * 1024,
        notice: Duration::ZERO,
        // As long as any request may take.
        drain: DEFAULT_TIMEOUT,
    };

    /// Limits in words, for documents: subject, value, and the consequence.
    pub fn rows(&self) -> Vec<(&'static str, String, &'static str)> {
        let seconds = |time: Duration| format!("{} s", time.as_secs());
        let number = |number: usize| number.to_string();
        vec![
            ("head of a request", seconds(self.head), "the connection is closed"),
            ("body of a request", seconds(self.body), "408"),
            ("answer that the client does not take", seconds(self.answer), "the connection is closed"),
            ("time between two requests", seconds(self.idle), "the connection is closed"),
            (
                "rest of a body that is not needed",
                format!("{} KiB, {}", self.rest_bytes / 1024, seconds(self.rest)),
                "the answer says `Connection: close`",
            ),
            (
                "bytes after an answer with `Connection: close`",
                seconds(self.linger),
                "they are discarded until then",
            ),
            ("pings over HTTP/2", seconds(self.ping), "without an answer the connection is closed"),
            (
                "requests at once on a connection over HTTP/2",
                self.streams.to_string(),
                "further ones wait or are refused",
            ),
            (
                "connections",
                number(self.connections),
                "the oldest one without work is closed; if all are at work, the new one is answered 503",
            ),
            ("connections of one address", number(self.connections_per_address), "as above"),
            ("requests at work", number(self.connections), "503"),
            ("requests at work of one address", number(self.connections_per_address), "503"),
            ("requests at work of one connection", self.streams.to_string(), "503"),
            (
                "memory of requests that wait for their clients",
                format!("{} MiB", self.waiting_bytes / 1024 / 1024),
                "some of them are broken off: 503 before the answer, a reset or a closed connection within it",
            ),
            (
                "bytes of a head",
                format!("{} KiB", self.buffer / 1024),
                "431; over HTTP/2 the limit is 16 KiB",
            ),
            (
                "bytes over HTTP/2 that a handler has not read",
                format!(
                    "{} KiB in a request, {} KiB on a connection",
                    self.window / 1024,
                    self.connection_window / 1024
                ),
                "the client has to wait",
            ),
            (
                "time to finish after SIGTERM, and after the time of `DRAIN_DELAY`",
                seconds(self.drain),
                "the process ends",
            ),
        ]
    }
}

/// Variables that a listener reads.
pub const VARIABLES: [Variable; 5] = [
    Variable::new(
        "MAX_CONNECTIONS",
        "open connections, and requests at work, at most; 1024 by default. The limit of open files is raised to it \
         where the system permits, else it is lowered",
    ),
    Variable::new(
        "MAX_CONNECTIONS_PER_ADDRESS",
        "of these, how many one IPv4 address or IPv6 /64 may have; 256 by default, 0 is no limit. This machine has \
         none, nor have trusted proxies: of those, the addresses of their clients have the limit of requests",
    ),
    Variable::new(
        "ALLOWED_HOSTS",
        "host names that requests may be for on a loopback address, beside `localhost` and loopback addresses; \
         comma-separated, without ports, `*` is all. A proxy on the same machine may need it",
    ),
    Variable::new(
        "TRUSTED_PROXIES",
        "addresses and networks of proxies, comma-separated, such as `10.0.0.7`; none by default. Whoever can send from there can name any client. Of a request from \
         there, the last address in `X-Forwarded-For` that is no proxy of the list is the client's",
    ),
    Variable::new(
        "DRAIN_DELAY",
        "seconds after SIGTERM in which requests are still taken, so that a proxy finds out; 0 by default, at most 60",
    ),
];

/// Settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Limits.
    pub limits: Limits,
    /// Hosts that requests may be for on a loopback address.
    pub hosts: AllowedHosts,
    /// Proxies that name their clients.
    pub proxies: TrustedProxies,
    /// Base path of the routes, for answers of the listener itself.
    pub base_path: BasePath,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            hosts: AllowedHosts::default(),
            proxies: TrustedProxies::default(),
            base_path: BasePath::default(),
        }
    }
}

impl Settings {
    /// Reads [`VARIABLES`], and `BASE_PATH` as the routes do. `None` if that failed; the problem is recorded in `variables`.
    pub fn read(variables: &mut Variables) -> Option<Self> {
        let [connections, per_address, hosts, proxies, notice] = VARIABLES;
        let Limits { connections: many, connections_per_address: few, .. } = Limits::DEFAULT;
        let connections = variables.or(connections.name, many, |text| number(text, 1));
        let connections_per_address = variables.or(per_address.name, few, |text| number(text, 0));
        let hosts = variables.or(hosts.name, AllowedHosts::default(), AllowedHosts::parse);
        let proxies = variables.or(proxies.name, TrustedProxies::default(), TrustedProxies::parse);
        let notice = variables.or(notice.name, Duration::ZERO, |text| match text.parse() {
            Ok(seconds) if seconds <= LONGEST_NOTICE => Ok(Duration::from_secs(seconds)),
            _ => Err(format!("must be a whole number of seconds, at most {LONGEST_NOTICE}")),
        });
        let base_path = variables.or(BASE_PATH.name, BasePath::default(), BasePath::parse);
        let limits = Limits {
            connections: connections?,
            connections_per_address: connections_per_address?,
            notice: notice?,
            ..Limits::DEFAULT
        };
        Some(Self { limits, hosts: hosts?, proxies: proxies?, base_path: base_path? })
    }

    /// Raises this process's limit of open files as far as the connections need and the system permits.
    ///
    /// Fewer connections are accepted where it does not.
    pub fn fitted_to_open_files(mut self) -> Self {
        let wanted = self.limits.connections.saturating_add(OTHER_FILES);
        let files = raise_open_files(wanted);
        let connections = connections_within(self.limits.connections, files);
        if connections < self.limits.connections {
            tracing::warn!(connections, "fewer connections than MAX_CONNECTIONS: only {files} open files");
            self.limits.connections = connections;
        }
        self
    }
}

fn number(text: &str, smallest: usize) -> Result<usize, String> {
    const LARGEST: usize = 1_000_000;
    match text.parse() {
        Ok(number) if (smallest..=LARGEST).contains(&number) => Ok(number),
        _ => Err(format!("must be {smallest} to {LARGEST}")),
    }
}

/// Raises the limit of open files to `wanted`, or as far as possible. Returns the limit.
fn raise_open_files(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit at all.
    let Some(soft) = current else { return usize::MAX };
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let raised = wanted.min(maximum.unwrap_or(u64::MAX));
    let is_raised =
        raised > soft && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok();
    usize::try_from(if is_raised { raised } else { soft }).unwrap_or(usize::MAX)
}

/// Connections that fit into a limit of open files, and at least half of it.
fn connections_within(wanted: usize, files: usize) -> usize {
    wanted.min(files - OTHER_FILES.min(files / 2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &'static [(&str, &str)]) -> Result<Settings, String> {
        let mut variables = Variables::from_fn(move |name| {
            set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        });
        let settings = Settings::read(&mut variables);
        settings.ok_or_else(|| variables.misconfigured().to_string())
    }

    #[test]
    fn a_head_has_10_s_a_body_25_s_and_silence_75_s() {
        let Limits { head, body, idle, .. } = Limits::DEFAULT;
        assert_eq!([head, body, idle].map(|time| time.as_secs()), [10, 25, 75]);
        assert_eq!(read(&[]), Ok(Settings::default()));
    }

    #[test]
    fn variables_change_the_numbers_of_connections() {
        let set = [("MAX_CONNECTIONS", "8"), ("MAX_CONNECTIONS_PER_ADDRESS", "0")];
        let limits = read(Box::leak(Box::new(set))).unwrap().limits;
        assert_eq!((limits.connections, limits.connections_per_address), (8, 0));
    }

    #[test]
    fn every_wrong_variable_is_reported() {
        let text = read(&[
            ("MAX_CONNECTIONS", "0"),
            ("MAX_CONNECTIONS_PER_ADDRESS", "-1"),
            ("ALLOWED_HOSTS", "http://a/"),
            ("TRUSTED_PROXIES", "*"),
            ("DRAIN_DELAY", "61"),
        ]);
        let text = text.unwrap_err();
        for variable in VARIABLES {
            assert!(text.contains(&format!("{}: must be", variable.name)), "{text}");
        }
    }

    #[test]
    fn descriptions_of_variables_name_the_defaults() {
        let Limits { connections, connections_per_address, .. } = Limits::DEFAULT;
        for (variable, default) in VARIABLES.iter().zip([connections, connections_per_address]) {
            assert!(variable.description.contains(&format!("; {default} by default")), "{}", variable.name);
        }
    }

    #[test]
    fn connections_leave_files_for_everything_else() {
        assert_eq!(connections_within(1024, 1_048_576), 1024);
        assert_eq!(connections_within(1024, 1024), 768);
        assert_eq!(connections_within(1024, 256), 128);
        assert_eq!(connections_within(1, 0), 1);
    }
}
