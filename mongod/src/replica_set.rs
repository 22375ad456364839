//! Makes a fresh or a moved server the writable primary of a replica set of one, or leaves its set to the caller.
//!
//! Every step may be repeated: the server may still be reading its configuration while it already answers.

use std::{path::Path, time::Duration};

use mongodb::{
    Client, Database,
    bson::{Document, doc},
    error::ErrorKind,
    options::{ClientOptions, ServerAddress},
};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::server::Membership;

/// The name of the set.
pub const NAME: &str = "rs0";

/// Why it is not ready yet.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// How often is asked, while something must come about that tells nobody.
const POLL: Duration = Duration::from_millis(5);
/// How long a single answer may take. A server in the middle of starting may miss it, and is asked again.
const ANSWER: Duration = Duration::from_secs(5);

/// Brings the server on this port to where it can be written to; one of several, to where it answers. Before
/// anything is written, it must say that `folder` is its data folder: another server may have been faster to take
/// the port.
///
/// It goes on until it succeeds: the caller sets the limit, and reads from `last` why it took so long.
pub(crate) async fn make_ready(membership: Membership, port: u16, folder: &Path, last: &mut Option<Trouble>) {
    loop {
        match attempt(membership, port, folder).await {
            Ok(()) => return,
            Err(error) => *last = Some(error),
        }
        sleep(POLL).await;
    }
}

async fn attempt(membership: Membership, port: u16, folder: &Path) -> Result<(), Trouble> {
    // The driver tries again only after half a second, so it is not made before somebody listens.
    TcpStream::connect(("127.0.0.1", port)).await?;
    let client = client(port)?;
    let admin = client.database("admin");
    let ready = async {
        assert_folder(&admin, folder).await?;
        match membership {
            Membership::Alone => configure(&admin, port).await,
            Membership::OneOfSeveral => Ok(()),
        }
    };
    let result = timeout(ANSWER, ready).await;
    // The driver's tasks end here, and do not outlive the caller's runtime.
    client.shutdown().immediate(true).await;
    result.unwrap_or_else(|_| Err("no answer in time".into()))
}

fn client(port: u16) -> Result<Client, mongodb::error::Error> {
    Client::with_options(
        ClientOptions::builder()
            .hosts(vec![ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(port) }])
            .app_name("oms-mongod".to_owned())
            // A server outside any set can only be reached directly.
            .direct_connection(true)
            .server_selection_timeout(ANSWER)
            .build(),
    )
}

async fn configure(admin: &Database, port: u16) -> Result<(), Trouble> {
    let host = format!("127.0.0.1:{port}");
    match admin.run_command(doc! { "replSetGetConfig": 1 }).await {
        Ok(answer) => {
            let config = answer.get_document("config")?;
            if hosts(config) != [host.as_str()] {
                // Only by force: with its own address unknown to it, the server is no primary.
                let moved = moved(config, &host)?;
                admin.run_command(doc! { "replSetReconfig": moved, "force": true }).await?;
            }
        }
        Err(error) if code(&error) == Some(NOT_YET_INITIALIZED) => {
            let config = doc! { "_id": NAME, "members": [{ "_id": 0, "host": &host }] };
            admin.run_command(doc! { "replSetInitiate": config }).await?;
        }
        Err(error) => return Err(error.into()),
    }
    while !admin.run_command(doc! { "hello": 1 }).await?.get_bool("isWritablePrimary").unwrap_or(false) {
        sleep(POLL).await;
    }
    Ok(())
}

/// <https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml>
const NOT_YET_INITIALIZED: i32 = 94;

fn code(error: &mongodb::error::Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(answer) => Some(answer.code),
        _ => None,
    }
}

async fn assert_folder(admin: &Database, folder: &Path) -> Result<(), Trouble> {
    let answer = admin.run_command(doc! { "getCmdLineOpts": 1 }).await?;
    let path = answer
        .get_document("parsed")
        .and_then(|parsed| parsed.get_document("storage"))
        .and_then(|storage| storage.get_str("dbPath"))
        .unwrap_or("none");
    if Path::new(path) == folder {
        Ok(())
    } else {
        Err(format!("another server answers on the port: its data folder is {path}").into())
    }
}

fn hosts(config: &Document) -> Vec<&str> {
    let members = config.get_array("members").map(Vec::as_slice).unwrap_or_default();
    members.iter().filter_map(|member| member.as_document()?.get_str("host").ok()).collect()
}

/// The same configuration, with this host as its only member.
fn moved(config: &Document, host: &str) -> Result<Document, Trouble> {
    let version = config.get_i32("version")?;
    let mut config = config.clone();
    config.insert("version", version + 1);
    config.insert("members", vec![doc! { "_id": 0, "host": host }]);
    Ok(config)
}
