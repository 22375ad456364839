//! `cargo local env`: what the functions' own programs need in their environment on this machine.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::run::{Note, data_folder};
use crate::settings::Settings;

/// Where `cargo lambda watch` listens when nobody says otherwise.
pub const LAMBDA_PORT: u16 = 9000;

/// The variables of all functions, for an emulator of Lambda on this port.
///
/// What else is set for a function, such as `ORDER_PAYMENT_WINDOW`, is inherited.
pub fn variables(mongo_uri: &str, settings: &Settings, port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("MONGO_URI", mongo_uri.to_owned()),
        ("JWT_SECRET", settings.jwt_secret.clone()),
        ("PRODUCT_SERVICE_URL", "lambda:products".to_owned()),
        ("USER_SERVICE_URL", "lambda:users".to_owned()),
        ("AWS_ENDPOINT_URL_LAMBDA", format!("http://127.0.0.1:{port}")),
        // Of nobody: an emulator checks no signature, and what is not there cannot be misused.
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_SESSION_TOKEN", String::new()),
    ]
}

/// Prints the variables for a shell to take: `eval "$(cargo local env)"`.
///
/// # Errors
/// When there is no MongoDB to point them at.
pub async fn run(data: Option<PathBuf>, port: u16) -> Result<(), Failure> {
    let folder = data_folder(data)?;
    let settings = Settings::load(&folder)?;
    let uri = match std::env::var("MONGO_URI").ok().filter(|uri| !uri.is_empty()) {
        Some(uri) => uri,
        None => match Note::read(&folder) {
            Some(uri) if listens(&uri).await => uri,
            _ => {
                return Err(Failure::new("no MongoDB is running for this folder, and MONGO_URI is not set")
                    .advice("Start one in another terminal (cargo local), or set MONGO_URI."));
            }
        },
    };
    let lines: String = variables(&uri, &settings, port)
        .into_iter()
        .map(|(name, value)| format!("export {name}={}\n", quoted(&value)))
        .collect();
    let mut out = std::io::stdout().lock();
    // Nobody is left to tell when standard output is closed.
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

/// Whether somebody listens at the first host of a connection string: a run that was killed leaves its note.
async fn listens(uri: &str) -> bool {
    let host = uri.split("://").nth(1).and_then(|rest| rest.split(['/', '?', ',']).next());
    let Some(host) = host else { return false };
    matches!(timeout(Duration::from_secs(2), TcpStream::connect(host)).await, Ok(Ok(_)))
}

/// A text that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_value_as_it_is() {
        assert_eq!(quoted("mongodb://a/?b=c&d=$e"), "'mongodb://a/?b=c&d=$e'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
