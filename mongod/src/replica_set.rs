//! Initiation of a replica set of one: makes a new or moved server its writable primary.
//!
//! Every step may be repeated, because a server may still be reading its configuration while it already
//! answers. A set of several servers is left to the caller.

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

use crate::{access::Passwords, error::Error};

/// Name of the replica set.
pub const NAME: &str = "rs0";

/// Error that explains why the server is not ready yet.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Interval between polls for a state that the server does not announce.
const POLL: Duration = Duration::from_millis(5);
/// Time limit for one answer. A server that is still starting may miss it, and is asked again.
const ANSWER: Duration = Duration::from_secs(5);

/// Time limit to set up a server that was started elsewhere.
const SET_UP: Duration = Duration::from_secs(60);
/// Pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// Server that has been started, and what it is to become.
pub(crate) struct Target<'a> {
    /// Port on 127.0.0.1.
    pub(crate) port: u16,
    /// Its data folder.
    pub(crate) folder: &'a Path,
    /// Passwords that it was started with, if it asks for any.
    pub(crate) passwords: Option<&'a Passwords>,
    /// False if it belongs to a set of several, which the caller initiates.
    pub(crate) is_alone: bool,
}

/// Sets up a server that was started elsewhere, with this key in its key file: a replica set of one, unless it is in a
/// set already, and the user of a connection string that names the server. It may run again at any time.
///
/// # Errors
/// If the connection string names no server, user or password, or if the server does not answer in time.
pub async fn set_up(uri: &str, key: &str) -> Result<(), Error> {
    let not_ready =
        |source: Option<BoxError>| Error::NotReady { after: SET_UP, source, last_lines: Vec::new() };
    // The driver's own text may repeat a part of the password.
    let unusable = |_| not_ready(Some("the connection string is not valid".into()));
    let options = ClientOptions::parse(uri).await.map_err(unusable)?;
    let password = options.credential.and_then(|credential| credential.password);
    let (Some(address), Some(password)) = (options.hosts.first(), password) else {
        return Err(not_ready(Some("the connection string has no host or no password".into())));
    };
    let (passwords, host) = (Passwords::of(key, &password), address.to_string());
    let mut last: Option<BoxError> = None;
    let attempts = async {
        loop {
            match set_up_once(address, &host, &passwords).await {
                Ok(()) => return,
                Err(error) => last = Some(error),
            }
            sleep(PAUSE).await;
        }
    };
    timeout(SET_UP, attempts).await.map_err(|_| not_ready(last))
}

async fn set_up_once(address: &ServerAddress, host: &str, passwords: &Passwords) -> Result<(), BoxError> {
    let client = client(address.clone(), Some(passwords))?;
    let admin = client.database("admin");
    let ready = async {
        if let Err(error) = admin.run_command(doc! { "replSetGetConfig": 1 }).await {
            initiate(&admin, host, error).await?;
        }
        wait_for_primary(&admin).await?;
        passwords.set_up_user(&admin).await?;
        Ok(())
    };
    let result = timeout(ANSWER, ready).await;
    client.shutdown().immediate(true).await;
    result.unwrap_or_else(|_| Err("no answer in time".into()))
}

/// Makes a server writable, with a user if it asks for a password; one of several servers only has to answer.
///
/// Before anything is written, the server must report its data folder: another server may have
/// taken the port first.
///
/// It retries until it succeeds. The caller sets the time limit, and reads the latest obstacle from `last`.
pub(crate) async fn make_ready(target: &Target<'_>, last: &mut Option<BoxError>) {
    loop {
        match attempt(target).await {
            Ok(()) => return,
            Err(error) => *last = Some(error),
        }
        sleep(POLL).await;
    }
}

async fn attempt(target: &Target<'_>) -> Result<(), BoxError> {
    let &Target { port, folder, passwords, is_alone } = target;
    // The driver retries only after half a second, so it is created once the port is open.
    TcpStream::connect(("127.0.0.1", port)).await?;
    let address = ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(port) };
    let client = client(address, passwords)?;
    let admin = client.database("admin");
    let ready = async {
        assert_folder(&admin, folder).await?;
        if is_alone {
            configure(&admin, port).await?;
        }
        if let Some(passwords) = passwords {
            passwords.set_up_user(&admin).await?;
        }
        Ok(())
    };
    let result = timeout(ANSWER, ready).await;
    // The driver's tasks must not outlive the caller's runtime.
    client.shutdown().immediate(true).await;
    result.unwrap_or_else(|_| Err("no answer in time".into()))
}

fn client(address: ServerAddress, passwords: Option<&Passwords>) -> Result<Client, mongodb::error::Error> {
    let mut options = ClientOptions::builder()
        .hosts(vec![address])
        .app_name("oms-mongod".to_owned())
        // A server outside any set is only reachable directly.
        .direct_connection(true)
        .server_selection_timeout(ANSWER)
        .build();
    options.credential = passwords.map(Passwords::internal);
    Client::with_options(options)
}

async fn configure(admin: &Database, port: u16) -> Result<(), BoxError> {
    let host = format!("127.0.0.1:{port}");
    match admin.run_command(doc! { "replSetGetConfig": 1 }).await {
        Ok(answer) => {
            let config = answer.get_document("config")?;
            if hosts(config) != [host.as_str()] {
                // Force is needed: a server that does not find its own address in the set is no primary.
                let moved = moved(config, &host)?;
                admin.run_command(doc! { "replSetReconfig": moved, "force": true }).await?;
            }
        }
        Err(error) => initiate(admin, &host, error).await?,
    }
    wait_for_primary(admin).await
}

/// Initiates a set of one, if this error says that there is none.
async fn initiate(admin: &Database, host: &str, error: mongodb::error::Error) -> Result<(), BoxError> {
    if code(&error) != Some(NOT_YET_INITIALIZED) {
        return Err(error.into());
    }
    let config = doc! { "_id": NAME, "members": [{ "_id": 0, "host": host }] };
    admin.run_command(doc! { "replSetInitiate": config }).await?;
    Ok(())
}

async fn wait_for_primary(admin: &Database) -> Result<(), BoxError> {
    while !admin.run_command(doc! { "hello": 1 }).await?.get_bool("isWritablePrimary").unwrap_or(false) {
        sleep(POLL).await;
    }
    Ok(())
}

/// Server error NotYetInitialized,
/// <https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml>
const NOT_YET_INITIALIZED: i32 = 94;

pub(crate) fn code(error: &mongodb::error::Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(answer) => Some(answer.code),
        _ => None,
    }
}

async fn assert_folder(admin: &Database, folder: &Path) -> Result<(), BoxError> {
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

/// Copies the configuration, with this host as its only member.
fn moved(config: &Document, host: &str) -> Result<Document, BoxError> {
    let version = config.get_i32("version")?;
    let mut config = config.clone();
    config.insert("version", version + 1);
    config.insert("members", vec![doc! { "_id": 0, "host": host }]);
    Ok(config)
}
