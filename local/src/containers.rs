//! Set-up of the system in containers: secrets, MongoDB, and demo data. Each command may run again at any time.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use shared::auth::Signer;
use shared::rpc::services::Services;
use shared::runtime::config::Variables;
use shared::runtime::secrets;
use shared::values::clock::Clock;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::demo;
use crate::error::CommandError;
use crate::run::set_up;
use crate::schema;
use crate::settings::{Settings, random_text};
use crate::terminal::{print_ignoring_epipe, report};

/// Random bytes of a secret.
const LENGTH: usize = 32;

/// File with the key of MongoDB's replica set.
const KEY: &str = "mongodb-key";

/// File with the connection string.
const URI: &str = "mongodb-uri";

/// File with the secret that signs tokens.
const JWT_SECRET: &str = "jwt-secret";

/// File with the password of the first admin.
const ADMIN_PASSWORD: &str = "admin-password";

/// Names of all secrets.
const NAMES: [&str; 5] = [KEY, URI, JWT_SECRET, "callers-secret", ADMIN_PASSWORD];

/// Options of [`generate`].
#[derive(Debug)]
pub struct SecretsOptions {
    /// Folder of the files.
    pub folder: PathBuf,
    /// Host and port of MongoDB, as the services reach it.
    pub host: String,
    /// Users of the files.
    pub owners: Owners,
}

/// Users and groups that read the secrets.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    /// The person who runs the system, and the one-shot services.
    pub root: u32,
    /// MongoDB.
    pub database: u32,
    /// Group of the services.
    pub services: u32,
    /// The user service.
    pub users: u32,
}

impl Owners {
    /// Those of `compose.yaml` and `Dockerfile`.
    pub const OF_IMAGES: Self = Self { root: 0, database: 999, services: 65_532, users: 65_533 };

    /// User, group and mode of a secret: it is readable where it is needed, and nowhere else.
    fn of(self, name: &str) -> (u32, u32, u32) {
        match name {
            KEY => (self.database, self.database, 0o400),
            JWT_SECRET => (self.users, self.services, 0o400),
            ADMIN_PASSWORD => (self.root, self.root, 0o400),
            _ => (self.root, self.services, 0o440),
        }
    }
}

/// Generates the secrets that are missing, each in a file that only its user can read.
///
/// # Errors
/// If a file cannot be written.
pub fn generate(options: &SecretsOptions) -> Result<(), CommandError> {
    let SecretsOptions { folder, host, owners } = options;
    // A connection string has the password of MongoDB's user as it is: these letters need no escape.
    let uri = format!(
        "mongodb://oms:{}@{host}/oms?replicaSet={}&authSource=admin",
        random_text(LENGTH)?,
        mongod::SET_NAME
    );
    let texts = [random_key()?, uri, random_text(LENGTH)?, random_text(LENGTH)?, random_text(LENGTH / 2)?];
    for (name, text) in NAMES.into_iter().zip(texts) {
        let path = folder.join(name);
        let failed = |error: std::io::Error| {
            CommandError::new(format!("{} cannot be written: {}", path.display(), error.kind()))
        };
        if path.try_exists().map_err(failed)? {
            report(&format!("{name}: kept"));
            continue;
        }
        write(&path, &text, owners.of(name)).map_err(failed)?;
        report(&format!("{name}: generated"));
    }
    Ok(())
}

/// Prints a secret, for the person who runs the system.
///
/// # Errors
/// If there is no such secret, or it cannot be read.
pub fn show(folder: &Path, name: &str) -> Result<(), CommandError> {
    if !NAMES.contains(&name) {
        return Err(CommandError::new(format!("the secrets are {}", NAMES.join(", "))));
    }
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| CommandError::new(format!("{} cannot be read: {}", path.display(), error.kind())))?;
    print_ignoring_epipe(text);
    Ok(())
}

/// Key of a replica set: letters of base64, which `URL_SAFE` has two others of.
fn random_key() -> Result<String, CommandError> {
    Ok(random_text(LENGTH)?.replace('-', "+").replace('_', "/"))
}

/// Writes a file for this user and group. A stopped run leaves no half of it under its name.
fn write(path: &Path, text: &str, (user, group, mode): (u32, u32, u32)) -> std::io::Result<()> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    chown(&new, Some(user), Some(group))?;
    std::fs::rename(&new, path)
}

/// Sets up the MongoDB of containers, if `MONGO_KEY_FILE` has the key of its replica set: the set, and the user of the
/// connection string. Then runs the schema step.
///
/// # Errors
/// If MongoDB refuses or does not answer.
pub async fn prepare() -> Result<(), CommandError> {
    let mut variables = Variables::of_process();
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {}", error.kind()))
    };
    if variables.is_set("MONGO_KEY_FILE") {
        let key = variables.required("MONGO_KEY_FILE", read);
        let services = &mut Services::new(Clock::system());
        let uri = secrets::read(&mut variables, services, "MONGO_URI", secrets::mongo_uri);
        let (Some(key), Some(uri)) = (key, uri) else {
            return Err(CommandError::new(variables.misconfigured().to_string()));
        };
        mongod::set_up(uri.current().await?.expose(), key.trim()).await?;
    }
    schema::run().await
}

/// Loads the demo data through the functions, in this process.
///
/// # Errors
/// If a variable is missing, or the API refuses a request.
pub async fn load_demo() -> Result<(), CommandError> {
    let mut variables = Variables::of_process();
    let services = &mut Services::new(Clock::system());
    let jwt_secret = secrets::read(&mut variables, services, "JWT_SECRET", Signer::check_secret);
    let email = variables.required("ADMIN_EMAIL", |value| Ok(value.to_owned()));
    let password = secrets::read(&mut variables, services, "ADMIN_PASSWORD", secrets::not_blank);
    let (Some(jwt_secret), Some(admin_email), Some(password)) = (jwt_secret, email, password) else {
        return Err(CommandError::new(variables.misconfigured().to_string()));
    };
    let settings = Settings {
        jwt_secret: jwt_secret.current().await?.expose().to_owned(),
        admin_email,
        admin_password: password.current().await?.expose().to_owned(),
        password_is_given: true,
    };
    let database = schema::prepare(Variables::of_process()).await?;
    let backend = set_up(&database, &settings).await?;
    // Its requests are not the user's, so they are not logged.
    let loaded = demo::load(backend.router(), &settings).with_subscriber(NoSubscriber::new()).await?;
    let text = match loaded {
        demo::Demo::Present => {
            format!("{} and {} can sign in: {}", demo::STAFF, demo::CUSTOMER, demo::PASSWORD)
        }
        demo::Demo::Absent => "no demo data: the database is not empty".to_owned(),
    };
    print_ignoring_epipe(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn options(folder: &Path) -> SecretsOptions {
        let of_folder = std::fs::metadata(folder).unwrap();
        let (user, group) = (of_folder.uid(), of_folder.gid());
        let owners = Owners { root: user, database: user, services: group, users: user };
        SecretsOptions { folder: folder.to_owned(), host: "mongodb:27017".to_owned(), owners }
    }

    #[test]
    fn missing_secrets_are_generated_and_the_others_kept() {
        let folder = std::env::temp_dir().join(format!("oms-secrets-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let all = || NAMES.map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
        generate(&options(&folder)).unwrap();
        let first = all();
        std::fs::remove_file(folder.join("jwt-secret")).unwrap();
        generate(&options(&folder)).unwrap();
        let second = all();
        for (place, (before, after)) in first.iter().zip(&second).enumerate() {
            assert_eq!(before == after, place != 2, "{place}");
        }
        assert!(secrets::mongo_uri(&second[1]).is_ok() && Signer::check_secret(&second[2]).is_ok());
        let modes = NAMES.map(|name| std::fs::metadata(folder.join(name)).unwrap().mode() & 0o777);
        assert_eq!(modes, [0o400, 0o440, 0o400, 0o440, 0o400]);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), NAMES.len());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
