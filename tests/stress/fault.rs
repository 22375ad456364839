//! What is done to one command on its way to MongoDB or back: by the server's own fail point, or on the wire.

use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use tests::mongo_tap::{Command, Tap};

/// By this name the server knows whose commands are to fail, and leaves everybody else's alone.
const APP_NAME: &str = "faults";

/// Time for which a command is blocked, in milliseconds.
const BLOCK: i32 = 2_000;

/// Kinds of faults of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The connection is cut, and nothing is done.
    CutBefore,
    /// It is done, and the connection is cut before the answer.
    CutAfter,
    /// It is refused with this code, and nothing is done.
    Refused(i32),
    /// It is done, and the answer says with this code that a majority may not have it.
    NotOnAMajority(i32),
    /// It is done two seconds later.
    Blocked,
}

/// 91: the server shuts down. 112: another write is in the way. 11000: a duplicate key. 64: `wtimeout`.
pub(crate) const KINDS: [Kind; 8] = [
    Kind::CutBefore,
    Kind::CutAfter,
    Kind::Refused(91),
    Kind::Refused(112),
    Kind::Refused(11000),
    Kind::NotOnAMajority(64),
    Kind::NotOnAMajority(91),
    Kind::Blocked,
];

/// A fault at a place in the sequence of an operation's commands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Kind of the fault.
    pub(crate) kind: Kind,
    /// To which command, counted from 0.
    pub(crate) place: usize,
    /// Whether it also happens to what follows, the driver's own second try first of all, until it is lifted:
    /// to all commands if an answer is lost, else to those of the same name.
    pub(crate) lasts: bool,
}

impl Fault {
    /// All that can happen to these commands.
    pub(crate) fn all(commands: &[Command]) -> Vec<Self> {
        let places = 0..commands.len();
        let faults = places.flat_map(|place| {
            KINDS.iter().flat_map(move |&kind| [false, true].map(|lasts| Self { kind, place, lasts }))
        });
        faults.filter(|fault| fault.can_happen(commands)).collect()
    }

    fn can_happen(&self, commands: &[Command]) -> bool {
        let command = &commands[self.place];
        let is_possible = match self.kind {
            // The fail point leaves the transaction open, as no commit does that the server itself refuses so.
            Kind::Refused(11000) if command.name == "commitTransaction" => false,
            Kind::NotOnAMajority(_) => command.waits_for_journal,
            _ => true,
        };
        // A fail point either lets some pass or strikes so many times, and does not do both.
        let is_aimed = self.kind == Kind::CutAfter || self.lasts || self.earlier(commands) == 0;
        is_possible && is_aimed
    }

    /// Number of earlier commands of the same name.
    fn earlier(&self, commands: &[Command]) -> usize {
        commands[..self.place].iter().filter(|command| command.name == commands[self.place].name).count()
    }
}

/// Brings faults about.
pub(crate) struct Saboteur {
    /// Destination of the shop's commands.
    pub(crate) tap: Tap,
    admin: Database,
}

impl Saboteur {
    /// One at the server of all tests.
    pub(crate) async fn of_the_shared_server() -> Self {
        let uri = mongod::shared_for_tests().await.unwrap();
        let port = uri.split([':', '/']).find_map(|part| part.parse().ok()).unwrap();
        let admin = Client::with_uri_str(uri).await.unwrap().database("admin");
        Self { tap: Tap::to(port).await, admin }
    }

    /// The connection string of those whose commands fail. The driver looks after its server by asking, as it does on
    /// Lambda: a server that only seems to shut down would tell it nothing of its own accord.
    pub(crate) fn uri(&self) -> String {
        format!("{}&serverMonitoringMode=poll", self.tap.uri(APP_NAME))
    }

    /// From now on this happens, where these commands are about to be sent.
    pub(crate) async fn begins(&self, fault: Fault, commands: &[Command]) -> Struck {
        if fault.kind == Kind::CutAfter {
            self.tap.loses(fault.place, if fault.lasts { usize::MAX } else { 1 });
            return Struck(0);
        }
        let mut data = doc! { "failCommands": [&commands[fault.place].name], "appName": APP_NAME };
        data.extend(match fault.kind {
            Kind::CutBefore | Kind::CutAfter => doc! { "closeConnection": true },
            // The server makes no such error without the key.
            Kind::Refused(11000) => doc! {
                "errorCode": 11000,
                "errorExtraInfo": { "keyPattern": { "_id": 1 }, "keyValue": { "_id": 1 } },
            },
            Kind::Refused(code) => doc! { "errorCode": code },
            Kind::NotOnAMajority(code) => {
                doc! { "writeConcernError": { "code": code, "errmsg": "a fault" } }
            }
            Kind::Blocked => doc! { "blockConnection": true, "blockTimeMS": BLOCK },
        });
        let earlier = i32::try_from(fault.earlier(commands)).unwrap();
        let mut command = doc! { "configureFailPoint": "failCommand", "data": data };
        match (fault.lasts, earlier) {
            (false, _) => command.insert("mode", doc! { "times": 1 }),
            (true, 0) => command.insert("mode", "alwaysOn"),
            (true, earlier) => command.insert("mode", doc! { "skip": earlier }),
        };
        Struck(self.configures(command).await)
    }

    /// Nothing happens any more. How often it has happened since `begins`.
    pub(crate) async fn ends(&self, Struck(before): Struck) -> usize {
        let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        let struck = self.configures(off).await - before;
        usize::try_from(struck).unwrap() + self.tap.works()
    }

    /// Answers how often the fail point has struck before.
    async fn configures(&self, command: Document) -> i64 {
        let answer = self.admin.run_command(command).await.unwrap();
        answer.get_i32("count").map(i64::from).or_else(|_| answer.get_i64("count")).unwrap()
    }
}

/// Number of strikes of earlier faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struck(i64);
