//! Set-up of the system in containers: secrets, MongoDB, and demo data. Each command may run again at any time.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use mongodb::Database;
use mongodb::options::ConnectionString;
use shared::auth::Signer;
use shared::rpc::services::Services;
use shared::runtime::config::Variables;
use shared::runtime::secrets;
use shared::values::clock::Clock;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::database::connect;
use crate::demo;
use crate::error::CommandError;
use crate::roles::Role;
use crate::run::set_up;
use crate::schema;
use crate::settings::{Settings, random_text};
use crate::terminal::{print_ignoring_epipe, report};

/// Random bytes of a secret.
const LENGTH: usize = 32;

/// Database of the functions.
const DATABASE: &str = "oms";

/// File with the key of MongoDB's replica set.
const KEY: &str = "mongodb-key";

/// File with the connection string of a user with all rights.
const URI: &str = "mongodb-uri";

/// Functions that have a user of MongoDB of their own, with the files of their connection strings and the variables
/// that name these.
const FUNCTIONS: [(&str, &str, &str); 3] = [
    ("orders", "mongodb-uri-orders", "ORDERS_MONGO_URI"),
    ("products", "mongodb-uri-products", "PRODUCTS_MONGO_URI"),
    ("users", "mongodb-uri-users", "USERS_MONGO_URI"),
];

/// File with the secret that signs tokens.
const JWT_SECRET: &str = "jwt-secret";

/// File with the password of the first admin.
const ADMIN_PASSWORD: &str = "admin-password";

/// File with the secret that signs calls between services.
const CALLERS_SECRET: &str = "callers-secret";

/// File with the secret that seals the sessions of the console.
const CONSOLE_SECRET: &str = "console-secret";

/// Names of all secrets.
const NAMES: [&str; 9] = {
    let [(_, orders, _), (_, products, _), (_, users, _)] = FUNCTIONS;
    [KEY, URI, orders, products, users, JWT_SECRET, CALLERS_SECRET, CONSOLE_SECRET, ADMIN_PASSWORD]
};

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
    /// Order service.
    pub orders: u32,
    /// Product service.
    pub products: u32,
    /// User service.
    pub users: u32,
    /// Console.
    pub console: u32,
}

impl Owners {
    /// Those of `compose.yaml` and `Dockerfile`.
    pub const OF_IMAGES: Self = Self {
        root: 0,
        database: 999,
        services: 65_532,
        orders: 65_530,
        products: 65_531,
        users: 65_533,
        console: 65_529,
    };

    /// User, group and mode of a secret: it is readable where it is needed, and nowhere else.
    fn of(self, name: &str) -> Owner {
        let service = match FUNCTIONS.iter().find(|(_, file, _)| *file == name) {
            Some(("orders", ..)) => Some(self.orders),
            Some(("products", ..)) => Some(self.products),
            Some(_) => Some(self.users),
            None => None,
        };
        match name {
            KEY => (self.database, self.database, 0o400),
            JWT_SECRET => (self.users, self.services, 0o400),
            CONSOLE_SECRET => (self.console, self.services, 0o400),
            CALLERS_SECRET => (self.root, self.services, 0o440),
            _ => (service.unwrap_or(self.root), self.root, 0o400),
        }
    }
}

/// Generates the secrets that are missing, each in a file that only its user can read. The others are kept, and given to
/// their users if they were another's.
///
/// # Errors
/// If a file cannot be written.
pub fn generate(options: &SecretsOptions) -> Result<(), CommandError> {
    let SecretsOptions { folder, host, owners } = options;
    // A connection string has the password of MongoDB's user as it is: these letters need no escape.
    let uri = |user: &str, source: &str| {
        let (password, set) = (random_text(LENGTH)?, mongod::SET_NAME);
        Ok::<_, CommandError>(format!(
            "mongodb://{user}:{password}@{host}/{DATABASE}?replicaSet={set}&authSource={source}"
        ))
    };
    for name in NAMES {
        let (path, owner) = (folder.join(name), owners.of(name));
        let failed = |error: std::io::Error| {
            CommandError::new(format!("{} cannot be written: {}", path.display(), error.kind()))
        };
        if keep(&path, owner).map_err(failed)? {
            report(&format!("{name}: kept"));
            continue;
        }
        let text = match FUNCTIONS.iter().find(|(_, file, _)| *file == name) {
            Some((function, ..)) => uri(function, DATABASE)?,
            None => match name {
                KEY => random_key()?,
                URI => uri("oms", "admin")?,
                ADMIN_PASSWORD => random_text(LENGTH / 2)?,
                _ => random_text(LENGTH)?,
            },
        };
        write(&path, &text, owner).map_err(failed)?;
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

/// User, group and mode of a file.
type Owner = (u32, u32, u32);

/// Gives a file that is there to its owner, as it is now. Returns false if there is none, or an empty one.
fn keep(path: &Path, owner: Owner) -> std::io::Result<bool> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    if file.metadata()?.len() == 0 {
        std::fs::remove_file(path)?;
        return Ok(false);
    }
    give(&file, owner)?;
    Ok(true)
}

fn give(file: &std::fs::File, (user, group, mode): Owner) -> std::io::Result<()> {
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    fchown(file, Some(user), Some(group))
}

/// Writes a file for its owner, unless one is there. A stopped run leaves no half of it under its name, and of two runs
/// at once one writes it.
fn write(path: &Path, text: &str, owner: Owner) -> std::io::Result<()> {
    let new = path.with_extension(uuid::Uuid::now_v7().simple().to_string());
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&new)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| give(&file, owner));
    let linked = written.and_then(|()| std::fs::hard_link(&new, path));
    std::fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Sets up the MongoDB of containers, if `MONGO_KEY_FILE` has the key of its replica set: the set, the user of the
/// connection string, and a user for each function, with its rights alone. Runs the schema step.
///
/// # Errors
/// If MongoDB refuses or does not answer.
pub async fn prepare() -> Result<(), CommandError> {
    let mut variables = Variables::of_process();
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {}", error.kind()))
    };
    if !variables.is_set("MONGO_KEY_FILE") {
        return schema::run().await;
    }
    let key = variables.required("MONGO_KEY_FILE", read);
    let services = &mut Services::new(Clock::system());
    let uri = secrets::read(&mut variables, services, "MONGO_URI", with_password);
    let users = FUNCTIONS.map(|(function, _, name)| {
        Some((function, secrets::read(&mut variables, services, name, with_password)?))
    });
    let (Some(key), Some(uri), [Some(orders), Some(products), Some(users)]) = (key, uri, users) else {
        return Err(CommandError::new(variables.misconfigured().to_string()));
    };
    let uri = uri.current().await?;
    mongod::set_up(uri.expose(), key.trim()).await?;
    // First, since a later build's step refuses this one: then the roles stay as that one made them.
    schema::run().await?;
    let database = connect(uri.expose()).await?;
    for (function, uri) in [orders, products, users] {
        make_user(function, uri.current().await?.expose(), &database).await?;
    }
    Ok(())
}

/// Makes the user of a function, with the role of that function and the password in its connection string.
async fn make_user(function: &str, uri: &str, database: &Database) -> Result<(), CommandError> {
    let roles = Role::all().map_err(|error| CommandError::new(error.to_string()))?;
    let role = roles.iter().find(|role| role.user() == function);
    let (Some(role), Some(password)) = (role, password_of(uri)) else {
        return Err(CommandError::new(format!("there is no role or no password for {function}")));
    };
    role.make(database).await.map_err(shared::error::Error::from)?;
    role.make_user(database, &password).await.map_err(shared::error::Error::from)?;
    Ok(())
}

/// Password in a connection string.
fn password_of(uri: &str) -> Option<String> {
    ConnectionString::parse(uri).ok()?.credential?.password
}

/// Checks that a text is a connection string with a password.
fn with_password(uri: &str) -> Result<(), String> {
    secrets::mongo_uri(uri)?;
    password_of(uri).map(drop).ok_or_else(|| "has no password".to_owned())
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
    use std::collections::HashSet;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn options(folder: &Path) -> SecretsOptions {
        let of_folder = std::fs::metadata(folder).unwrap();
        let (user, group) = (of_folder.uid(), of_folder.gid());
        let owners = Owners {
            root: user,
            database: user,
            services: group,
            orders: user,
            products: user,
            users: user,
            console: user,
        };
        SecretsOptions { folder: folder.to_owned(), host: "mongodb:27017".to_owned(), owners }
    }

    #[test]
    fn missing_secrets_are_generated_and_the_others_kept() {
        let folder = std::env::temp_dir().join(format!("oms-secrets-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let all = || NAMES.map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
        generate(&options(&folder)).unwrap();
        let first = all();
        // Lost, half written, and readable by too many.
        std::fs::remove_file(folder.join(JWT_SECRET)).unwrap();
        std::fs::set_permissions(folder.join(CALLERS_SECRET), std::fs::Permissions::from_mode(0o640))
            .unwrap();
        std::fs::write(folder.join(CALLERS_SECRET), "").unwrap();
        std::fs::set_permissions(folder.join(URI), std::fs::Permissions::from_mode(0o444)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| generate(&options(&folder)).unwrap());
            }
        });
        let second = all();
        for (place, (before, after)) in first.iter().zip(&second).enumerate() {
            assert_eq!(before == after, ![JWT_SECRET, CALLERS_SECRET].contains(&NAMES[place]), "{place}");
        }
        assert!(second[1..5].iter().all(|uri| secrets::mongo_uri(uri).is_ok()));
        assert!(Signer::check_secret(&second[5]).is_ok());
        assert_eq!(second.iter().collect::<HashSet<_>>().len(), NAMES.len());
        let modes = NAMES.map(|name| std::fs::metadata(folder.join(name)).unwrap().mode() & 0o777);
        assert_eq!(modes, NAMES.map(|name| if name == CALLERS_SECRET { 0o440 } else { 0o400 }));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), NAMES.len());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
