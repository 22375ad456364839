//! Passwords of a server: without one, every user of the machine could read and write its data.
//!
//! All of them are made anew at each start, so an interrupted start leaves nothing to repair. A folder that was
//! filled without passwords needs no conversion.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use mongodb::{
    Database,
    bson::{Document, doc},
    error::Error,
    options::{AuthMechanism, Credential},
};
use ring::rand::{SecureRandom, SystemRandom};

use crate::replica_set::code;

/// Access to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every process of this machine may do everything.
    Open,
    /// Only the connection string gives access. It has a user and a password.
    Password,
}

/// File with the server's key, in the data folder.
const KEY_FILE: &str = "mongod.key";
/// User of the connection string.
const USER: &str = "oms";
/// Number of random bytes of a password.
const LENGTH: usize = 32;

/// Server parameters for access by password.
pub(crate) const PARAMETERS: [(&str, &str); 2] = [
    // Until there is a user, anyone on this machine could make the first one.
    ("enableLocalhostAuthBypass", "false"),
    // More rounds make guesses of weak passwords slow, and with them every new connection. It is the minimum.
    ("scramSHA256IterationCount", "5000"),
];

/// Passwords of one run.
pub(crate) struct Passwords {
    /// Key of the replica set, which is the password of its internal user.
    key: String,
    /// Password of [`USER`].
    user: String,
}

impl Passwords {
    /// Generates new ones.
    ///
    /// # Errors
    /// If the machine gives no random numbers.
    pub(crate) fn generate() -> io::Result<Self> {
        Ok(Self { key: random()?, user: random()? })
    }

    /// Passwords of a server that others have started with this key.
    pub(crate) fn of(key: &str, user: &str) -> Self {
        Self { key: key.to_owned(), user: user.to_owned() }
    }

    /// Writes the key where only this user can read it, and returns the path for `--keyFile`.
    ///
    /// No other server may be using the folder.
    ///
    /// # Errors
    /// Any error of the file system.
    pub(crate) fn write_key(&self, folder: &Path) -> io::Result<PathBuf> {
        let path = folder.join(KEY_FILE);
        // Created anew, because the mode only applies to a new file.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(self.key.as_bytes())?;
        Ok(path)
    }

    /// Returns the credential of the internal user, which needs no stored user.
    ///
    /// Client and server each prove that they know the key, and neither shows it to the other. So no other
    /// process can pose as this server.
    pub(crate) fn internal(&self) -> Credential {
        Credential::builder()
            .username("__system".to_owned())
            .password(self.key.clone())
            .source("local".to_owned())
            .mechanism(AuthMechanism::ScramSha256)
            .build()
    }

    /// Gives the user of the connection string its password; makes the user first if it is missing.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub(crate) async fn set_up_user(&self, admin: &Database) -> Result<(), Error> {
        match admin.run_command(self.user_command("updateUser")).await {
            Err(error) if code(&error) == Some(USER_NOT_FOUND) => {
                admin.run_command(self.user_command("createUser")).await
            }
            updated => updated,
        }
        .map(drop)
    }

    fn user_command(&self, command: &str) -> Document {
        doc! { command: USER, "pwd": &self.user, "roles": ["root"], "mechanisms": ["SCRAM-SHA-256"] }
    }

    /// Returns the connection string of a host.
    pub(crate) fn uri(&self, host: &str, set: &str) -> String {
        let Self { user, .. } = self;
        format!("mongodb://{USER}:{user}@{host}/?replicaSet={set}&authSource=admin")
    }
}

/// Server error UserNotFound,
/// <https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml>
const USER_NOT_FOUND: i32 = 11;

/// Returns a random text of hexadecimal digits: valid in a key file, and in a URI as it is.
fn random() -> io::Result<String> {
    let mut bytes = [0; LENGTH];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the machine gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
