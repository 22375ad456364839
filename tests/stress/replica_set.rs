//! A replica set of three servers on this machine, whose primary can be asked to step down, or be killed.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::try_join_all;
use mongod::{Data, Mongod, Options, SET_NAME};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, ServerAddress};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const MEMBERS: usize = 3;

/// After how long without a primary the others elect another one, in milliseconds: 10 s by default.
const ELECTION: i32 = 1_000;

/// Maximum time of an election on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(50);

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Three servers, of which one is the primary, mostly.
pub(crate) struct ReplicaSet {
    // Dropped first: a server must not lose its folder while it runs.
    members: Vec<Option<Mongod>>,
    binary: PathBuf,
    ports: Vec<u16>,
    folder: Folder,
}

impl ReplicaSet {
    /// Starts them, and waits until one is the primary.
    pub(crate) async fn start() -> Self {
        let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|_: &str| {})).await;
        let binary = binary.unwrap().unwrap();
        let folder = Folder(std::env::temp_dir().join(format!("oms-elections-{}", Uuid::new_v4().simple())));
        let starts = (0..MEMBERS).map(|member| Mongod::start(options(&binary, &folder, member)));
        let members = try_join_all(starts).await.unwrap();
        let ports: Vec<u16> = members.iter().map(Mongod::port).collect();
        let set = Self { members: members.into_iter().map(Some).collect(), binary, ports, folder };
        let hosts: Vec<Document> =
            (0_i32..).zip(&set.ports).map(|(id, port)| doc! { "_id": id, "host": host(*port) }).collect();
        let settings = doc! { "electionTimeoutMillis": ELECTION, "heartbeatIntervalMillis": 200 };
        let config = doc! { "_id": SET_NAME, "members": hosts, "settings": settings };
        set.admin(0).run_command(doc! { "replSetInitiate": config }).await.unwrap();
        set.primary().await;
        set
    }

    /// The connection string, without a database. The driver looks after the set as it does on Lambda, by asking.
    pub(crate) fn uri(&self) -> String {
        let hosts: Vec<String> = self.ports.iter().map(|port| host(*port)).collect();
        format!("mongodb://{}/?replicaSet={SET_NAME}&serverMonitoringMode=poll", hosts.join(","))
    }

    /// The primary, once one is elected.
    pub(crate) async fn primary(&self) -> usize {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            for member in 0..MEMBERS {
                if self.members[member].is_none() {
                    continue;
                }
                let hello = self.admin(member).run_command(doc! { "hello": 1 }).await;
                if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false)) {
                    return member;
                }
            }
            sleep(POLL).await;
        }
        panic!("no primary within {PATIENCE:?}");
    }

    /// Has the primary step down, and not come back at once.
    pub(crate) async fn steps_down(&self) {
        let primary = self.admin(self.primary().await);
        let step_down = doc! { "replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2, "force": true };
        primary.run_command(step_down).await.unwrap();
    }

    /// Kills the primary, without a word of warning, and answers which it was.
    pub(crate) async fn kills_the_primary(&mut self) -> usize {
        let primary = self.primary().await;
        let killed = self.members[primary].take().unwrap();
        let pid = Pid::from_raw(killed.pid().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        killed.exited().await;
        primary
    }

    /// Starts one again that was killed, on what it has on disk.
    pub(crate) async fn starts_again(&mut self, member: usize) {
        let mut options = options(&self.binary, &self.folder, member);
        options.port = Some(self.ports[member]);
        self.members[member] = Some(Mongod::start(options).await.unwrap());
    }

    /// A member, asked directly.
    fn admin(&self, member: usize) -> Database {
        let address = ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(self.ports[member]) };
        let options = ClientOptions::builder()
            .hosts(vec![address])
            .direct_connection(true)
            .server_selection_timeout(Duration::from_secs(5))
            .build();
        mongodb::Client::with_options(options).unwrap().database("admin")
    }
}

fn options(binary: &std::path::Path, folder: &Folder, member: usize) -> Options {
    Options::new(binary, Data::Folder(folder.0.join(member.to_string()))).one_of_several()
}

fn host(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
