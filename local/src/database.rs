//! MongoDB of a run: a server that is started here, or one of the user.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use mongod::{Data, Mongod};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;

use crate::docker;
use crate::error::CommandError;
use crate::run::Options;
use crate::settings;
use crate::terminal::report;

/// Origin of MongoDB.
pub(crate) enum MongoSource {
    /// Server that was started by this process, and ends with it.
    Started { mongod: Mongod, database: Database, note: Option<Note> },
    /// Server of the user. A database that is only for this run is dropped at the end.
    External { uri: String, database: Database, fresh: bool, local: bool },
}

impl MongoSource {
    pub(crate) async fn open(options: &Options, folder: Option<PathBuf>) -> Result<Self, CommandError> {
        if let Some(uri) = &options.mongo_uri {
            return Self::connect_to(uri, options.ephemeral).await;
        }
        let gateway = match &options.docker_network {
            Some(network) => {
                docker::check().await?;
                Some(docker::gateway(network).await?)
            }
            None => None,
        };
        let data = match &folder {
            Some(folder) => Data::Folder(folder.join(settings::DATABASE_FOLDER)),
            None => Data::Ephemeral,
        };
        let binary = tokio::task::spawn_blocking(|| mongod::find_or_fetch(&|line| report(line)))
            .await
            .map_err(|error| CommandError::new(error.to_string()))??;
        report(&format!("starting MongoDB: {}", binary.display()));
        // It holds the whole shop, and this machine may have other users.
        let options = mongod::Options::new(binary, data).further_address(gateway).with_password();
        let mongod = Mongod::start(options).await?;
        let database = connect(mongod.uri()).await?;
        let uri = with_database(mongod.uri(), database.name());
        let note = folder.and_then(|folder| Note::leave(&folder, &uri));
        Ok(Self::Started { mongod, database, note })
    }

    async fn connect_to(uri: &str, fresh: bool) -> Result<Self, CommandError> {
        let mut database = connect(uri).await?;
        let hello = database.run_command(doc! { "hello": 1 }).await.map_err(|error| {
            let message = match error.kind.as_ref() {
                ErrorKind::Authentication { .. } => {
                    "the MongoDB of MONGO_URI refuses its user or password".to_owned()
                }
                _ => format!("the MongoDB of MONGO_URI does not answer: {error}"),
            };
            CommandError::new(message)
                .advice("Start it, correct MONGO_URI, or unset it: cargo local then starts its own MongoDB.")
        })?;
        if !takes_transactions(&hello) {
            return Err(CommandError::new(
                "the MongoDB of MONGO_URI is a stand-alone server, which has no transactions",
            )
            .advice("Start it with `--replSet rs0`, then once: mongosh --eval 'rs.initiate()'"));
        }
        if fresh {
            let name = format!("oms_{}", std::process::id());
            database = database.client().database(&name);
        }
        Ok(Self::External { uri: uri.to_owned(), database, fresh, local: is_local(uri) })
    }

    /// Returns a connection string with the database, for other processes.
    pub(crate) fn uri(&self) -> String {
        match self {
            Self::Started { mongod, database, .. } => with_database(mongod.uri(), database.name()),
            Self::External { uri, database, .. } => with_database(uri, database.name()),
        }
    }

    pub(crate) fn database(&self) -> &Database {
        match self {
            Self::Started { database, .. } | Self::External { database, .. } => database,
        }
    }

    /// Returns true if the data is on this machine: the passwords of demo users are published.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Started { .. } => true,
            Self::External { local, .. } => *local,
        }
    }

    /// Returns when a server that was started here ends by itself.
    pub(crate) async fn ended(&mut self) -> CommandError {
        match self {
            Self::Started { mongod, .. } => mongod.exited().await.into(),
            Self::External { .. } => std::future::pending().await,
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Started { mongod, database, note } => {
                drop(note);
                database.client().clone().shutdown().await;
                mongod.stop().await;
            }
            Self::External { database, fresh, .. } => {
                if fresh && let Err(error) = database.drop().await {
                    report(&format!("the database {} could not be dropped: {error}", database.name()));
                }
            }
        }
    }
}

/// File beside the data with the connection string of a running MongoDB, for `cargo local env`. It has the password.
pub(crate) struct Note(PathBuf);

impl Note {
    fn leave(folder: &Path, uri: &str) -> Option<Self> {
        let path = folder.join(settings::URI_FILE);
        // The file is a convenience: without it the other command gives advice.
        settings::write_private(&path, uri).ok()?;
        Some(Self(path))
    }

    /// Reads the file of a run with this folder, even of one that was killed.
    pub(crate) fn read(folder: &Path) -> Option<String> {
        std::fs::read_to_string(folder.join(settings::URI_FILE)).ok()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Returns true if all hosts of a connection string are this machine.
pub(crate) fn is_local(uri: &str) -> bool {
    // A DNS name list (mongodb+srv) is elsewhere.
    let Some(rest) = uri.strip_prefix("mongodb://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').all(|host| {
        let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((name, _)) => name,
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        let is_loopback = name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        is_loopback || name.eq_ignore_ascii_case("localhost")
    })
}

/// Returns the connection string with this database in its path.
fn with_database(uri: &str, name: &str) -> String {
    let start = uri.find("://").map_or(0, |place| place + 3);
    let end = uri[start..].find(['/', '?']).map_or(uri.len(), |place| start + place);
    let options = uri[end..].find('?').map_or("", |place| &uri[end + place..]);
    format!("{}/{name}{options}", &uri[..end])
}

pub(crate) async fn connect(uri: &str) -> Result<Database, CommandError> {
    shared::mongo::connect(uri, "cargo-local").await.map_err(|error| {
        let cause = match error.kind.as_ref() {
            // The driver's text may repeat a part of the password.
            ErrorKind::InvalidArgument { .. } => "it is not a valid connection string".to_owned(),
            _ => error.to_string(),
        };
        CommandError::new(format!("MONGO_URI cannot be used: {cause}")).advice(
            "Example: mongodb://127.0.0.1:27017/oms?replicaSet=rs0. \
             In a password write %40 for @, %3A for :, %2F for / and %25 for %.",
        )
    })
}

/// Returns true for a member of a replica set or a router of a sharded cluster.
fn takes_transactions(hello: &Document) -> bool {
    hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_means_that_all_hosts_are_this_machine() {
        for local in [
            "mongodb://127.0.0.1:1/oms?replicaSet=rs0",
            "mongodb://localhost",
            "mongodb://me:it@[::1]:27017,127.0.0.2/?w=1",
        ] {
            assert!(is_local(local), "{local}");
        }
        for far in [
            "mongodb://db.example.net/localhost",
            "mongodb://localhost:x@db.example.net/",
            "mongodb://127.0.0.1,db.example.net/",
            "mongodb://127.0.0.1.example.net/?appName=127.0.0.1",
            "mongodb+srv://localhost/",
            "mongodb://",
        ] {
            assert!(!is_local(far), "{far}");
        }
    }

    #[test]
    fn a_connection_string_gets_another_database() {
        for (uri, expected) in [
            ("mongodb://127.0.0.1:1/?replicaSet=rs0", "mongodb://127.0.0.1:1/x?replicaSet=rs0"),
            ("mongodb://127.0.0.1:1/oms?replicaSet=rs0", "mongodb://127.0.0.1:1/x?replicaSet=rs0"),
            ("mongodb+srv://me:it@a,b/oms", "mongodb+srv://me:it@a,b/x"),
            ("mongodb://a,b:2", "mongodb://a,b:2/x"),
            ("mongodb://a?w=1", "mongodb://a/x?w=1"),
        ] {
            assert_eq!(with_database(uri, "x"), expected);
        }
    }
}
