//! Secrets and the first admin: from the environment, else generated once and kept with the data.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use orders::CustomerLimits;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use shared::http::base_path::BasePath;
use shared::http::edge::Edge;
use shared::http::routes::Cors;
use shared::runtime::config::{self, BASE_PATH, CORS_ALLOWED_ORIGINS, Variables};
use shared::runtime::listener;
use shared::runtime::spans::{Recorder, Sampling, otlp};
use tokio::runtime::Handle;

use crate::error::CommandError;
use crate::waterfall::Waterfalls;

/// File beside the data.
const FILE: &str = "local.json";

/// Folder in the data folder, with MongoDB's files.
pub(crate) const DATABASE_FOLDER: &str = "mongodb";

/// File in the data folder, with the connection string of a running MongoDB.
pub(crate) const URI_FILE: &str = "mongodb-uri";

/// Folder in the data folder, with sample events.
pub(crate) const EVENTS_FOLDER: &str = "events";

/// Everything that may be in a data folder.
const CONTENTS: [&str; 4] = [FILE, DATABASE_FOLDER, URI_FILE, EVENTS_FOLDER];

/// Secrets and the first admin.
#[derive(Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Secret that signs access tokens.
    pub jwt_secret: String,
    /// E-mail address of the first admin.
    pub admin_email: String,
    /// Password of the first admin.
    pub admin_password: String,
    /// True if the password came from the environment: it is not printed.
    #[serde(skip)]
    pub password_is_given: bool,
}

impl Settings {
    /// Reads the environment, else the file in `folder`, which is generated if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn load(folder: &Path) -> Result<Self, CommandError> {
        let path = folder.join(FILE);
        let kept = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                CommandError::new(format!("{} cannot be read: {error}", path.display()))
                    .advice("Delete it; new secrets are then generated, and you have to sign in again.")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let new = Self::random()?;
                new.keep(&path)?;
                new
            }
            Err(error) => {
                return Err(CommandError::new(format!("{} cannot be read: {error}", path.display())));
            }
        };
        Ok(kept.overridden_by(set_variable))
    }

    /// Generates new secrets, for data that is not kept.
    ///
    /// # Errors
    /// If the machine gives no random numbers.
    pub fn random() -> Result<Self, CommandError> {
        Ok(Self {
            jwt_secret: random_text(32)?,
            admin_email: "admin@example.com".to_owned(),
            admin_password: random_text(12)?,
            password_is_given: false,
        })
    }

    /// Secret that seals the sessions of the console. It is made from the one that signs tokens, which it does not tell.
    pub fn console_secret(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.jwt_secret.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, b"oms console on this machine"))
    }

    /// Replaces each setting that `variable` has a value for.
    pub fn overridden_by(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = variable("ADMIN_PASSWORD");
        Self {
            jwt_secret: variable("JWT_SECRET").unwrap_or(self.jwt_secret),
            admin_email: variable("ADMIN_EMAIL").unwrap_or(self.admin_email),
            password_is_given: given.is_some(),
            admin_password: given.unwrap_or(self.admin_password),
        }
    }

    fn keep(&self, path: &Path) -> Result<(), CommandError> {
        let failed = |error: std::io::Error| {
            CommandError::new(format!("{} cannot be written: {error}", path.display()))
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        private_file(path).and_then(|mut file| file.write_all(&text)).map_err(failed)
    }
}

/// Returns the value of an environment variable; an empty one counts as absent.
pub fn set_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Creates a file that only its owner can read.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a file that only its owner can read, also where it was there for others.
///
/// # Errors
/// If it cannot be written.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

/// Creates the data folder, which only its owner can enter. One that is there is closed to others.
///
/// # Errors
/// If it cannot be created, or others use it for files of their own.
pub fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if std::fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        // It may be /tmp, or a home folder.
        if !CONTENTS.iter().any(|ours| *ours == name) {
            let name = name.display();
            return Err(std::io::Error::other(format!(
                "others may enter it until `chmod 700`, and it has a file that is not of this command: {name}"
            )));
        }
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Generates a text of so many random bytes.
pub(crate) fn random_text(bytes: usize) -> Result<String, CommandError> {
    let mut random = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| CommandError::new("the machine gives no random numbers".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// Reads the time that an order may stay unpaid: `ORDER_PAYMENT_WINDOW`, in seconds.
///
/// # Errors
/// If it is not a number of seconds.
pub fn payment_window() -> Result<Duration, CommandError> {
    read("ORDER_PAYMENT_WINDOW", orders::DEFAULT_PAYMENT_WINDOW, config::seconds)
}

/// Reads the time after a delivery in which a customer may ask for a return: `RETURN_WINDOW`, in days.
///
/// # Errors
/// If it is not a number of days.
pub fn return_window() -> Result<Duration, CommandError> {
    read("RETURN_WINDOW", orders::DEFAULT_RETURN_WINDOW, orders::environment::return_window)
}

/// Reads the limits of what one customer may do: `MAX_OPEN_ORDERS` and `ORDER_RATE_PER_CUSTOMER`, none if absent.
///
/// # Errors
/// If one is no limit.
pub fn customer_limits() -> Result<CustomerLimits, CommandError> {
    let mut variables = Variables::of_process();
    let limits = orders::environment::customer_limits(&mut variables, CustomerLimits::NONE);
    limits.ok_or_else(|| CommandError::new(variables.misconfigured().to_string()))
}

/// Recording of spans.
#[derive(Default)]
pub struct Traces {
    /// Layer of the log that records them, if there is a destination.
    pub recorder: Option<Recorder>,
    /// Export to a collector, to be finished at the end.
    pub exporter: Option<otlp::Exporter>,
}

/// Reads where spans go: `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_TRACES_SAMPLER_ARG`, and the terminal if `prints`.
/// Starts the export on the current runtime.
///
/// # Errors
/// If a variable is invalid.
pub fn traces(prints: bool) -> Result<Traces, CommandError> {
    let mut variables = Variables::of_process();
    let ratio = otlp::ratio(&mut variables);
    let export = otlp::Settings::read(&mut variables, "oms-local");
    variables.check().map_err(|problems| CommandError::new(problems.to_string()))?;
    let exporter = export.map(|settings| settings.start(&Handle::current()));
    if !prints && exporter.is_none() {
        return Ok(Traces::default());
    }
    let recorder = Recorder::new(Sampling::Ratio(ratio.unwrap_or(1.0)));
    let recorder = if prints { recorder.to(Waterfalls::new()) } else { recorder };
    let recorder = match &exporter {
        Some(exporter) => recorder.to(exporter.clone()),
        None => recorder,
    };
    Ok(Traces { recorder: Some(recorder), exporter })
}

/// Reads the edge of the API: `CORS_ALLOWED_ORIGINS` and `BASE_PATH`, none if they are absent.
///
/// # Errors
/// If a variable is invalid.
pub fn edge() -> Result<Edge, CommandError> {
    let cors = read(CORS_ALLOWED_ORIGINS.name, Cors::default(), Cors::parse)?;
    let base_path = read(BASE_PATH.name, BasePath::default(), BasePath::parse)?;
    Ok(Edge::default().with_cors(cors).with_base_path(base_path))
}

/// Reads the listener's settings, and raises the limit of open files for them. `drain` is the time to stop.
///
/// # Errors
/// If a variable is invalid.
pub fn listener(drain: Duration) -> Result<listener::Settings, CommandError> {
    let mut variables = Variables::of_process();
    let settings = listener::Settings::read(&mut variables);
    let settings = settings.ok_or_else(|| CommandError::new(variables.misconfigured().to_string()))?;
    let limits = listener::Limits { drain, ..settings.limits };
    Ok(listener::Settings { limits, ..settings }.fitted_to_open_files())
}

fn read<T>(name: &str, default: T, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, CommandError> {
    let mut variables = Variables::of_process();
    let value = variables.or(name, default, parse);
    value.ok_or_else(|| CommandError::new(variables.misconfigured().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_beats_what_is_kept() {
        let kept = Settings::random().unwrap();
        let settings =
            kept.clone().overridden_by(|name| (name == "ADMIN_EMAIL").then(|| "ada@example.com".to_owned()));
        assert_eq!(settings.admin_email, "ada@example.com");
        assert!(!settings.password_is_given);
        assert!(kept.clone().overridden_by(|_| Some("given".to_owned())).password_is_given);
        assert_eq!(settings.jwt_secret, kept.jwt_secret);
    }

    #[test]
    fn secrets_are_long_enough_and_never_the_same() {
        let (one, other) = (Settings::random().unwrap(), Settings::random().unwrap());
        assert!(one.jwt_secret.len() >= 32 && one.admin_password.len() >= 12);
        assert_ne!(one.jwt_secret, other.jwt_secret);
    }
}
