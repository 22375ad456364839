//! Secrets: from the environment on a development machine, from files in containers, from Secrets Manager on Lambda.
//!
//! `NAME` has the secret itself, `NAME_FILE` the path of a file with it, `NAME_ARN` its place in Secrets Manager. If
//! several are set, the first of these wins. So a deployed template also runs under an emulator. A secret never
//! appears in a log, an error or a `Debug`.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::error::Error;
use crate::rpc::services::Services;
use crate::runtime::config::Variables;

/// Rule for a secret. Its message must not repeat the secret.
pub type Rule = fn(&str) -> Result<(), String>;

/// Text of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text, so that it is not printed by accident.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Source of a secret that can be rotated.
pub trait SecretSource: Send + Sync {
    /// Fetches the current secret.
    fn current(&self) -> BoxFuture<'_, Result<Secret, Error>>;

    /// Fetches the previous secret, if there was one.
    fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>>;
}

/// Secret that never changes.
impl SecretSource for Secret {
    fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
        Box::pin(async { Ok(self.clone()) })
    }

    fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>> {
        Box::pin(async { Ok(None) })
    }
}

/// Rule for a secret without a known format: it must not be blank.
///
/// # Errors
/// Message that says so.
pub fn not_blank(text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(()) }
}

/// Rule for `MONGO_URI`: the scheme of MongoDB, and a host.
///
/// # Errors
/// Message with the expected form.
pub fn mongo_uri(text: &str) -> Result<(), String> {
    let hosts = text.strip_prefix("mongodb://").or_else(|| text.strip_prefix("mongodb+srv://"));
    if hosts.is_some_and(|hosts| !hosts.is_empty()) {
        Ok(())
    } else {
        Err("must begin with mongodb:// or mongodb+srv://, and name a host".to_owned())
    }
}

/// Reads the secret `NAME`, or the one that `NAME_FILE` or `NAME_ARN` refers to. `None` if that failed; the problem
/// is recorded in `variables`.
pub fn read(
    variables: &mut Variables,
    services: &mut Services,
    name: &'static str,
    rule: Rule,
) -> Option<Arc<dyn SecretSource>> {
    let (file_name, arn_name) = (format!("{name}_FILE"), format!("{name}_ARN"));
    if variables.is_set(name) {
        let secret = variables.required(name, |text| rule(text).map(|()| Secret::new(text)))?;
        return Some(Arc::new(secret));
    }
    if variables.is_set(&file_name) {
        let secret = variables.required(&file_name, |path| in_file(path, rule))?;
        return Some(Arc::new(secret));
    }
    if variables.is_set(&arn_name) {
        return stored_at(variables, services, &arn_name, name, rule);
    }
    variables.problem(format!("{name}, {file_name} or {arn_name} is required"));
    None
}

/// Reads the secret `NAME` as [`read`] does, if it, `NAME_FILE` or `NAME_ARN` is set.
pub fn optional(
    variables: &mut Variables,
    services: &mut Services,
    name: &'static str,
    rule: Rule,
) -> Option<Arc<dyn SecretSource>> {
    let is_set = ["", "_FILE", "_ARN"].iter().any(|suffix| variables.is_set(&format!("{name}{suffix}")));
    if is_set { read(variables, services, name, rule) } else { None }
}

/// Reads a secret from a file, without the line ends that editors add.
fn in_file(path: &str, rule: Rule) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => "the file is not text".to_owned(),
        kind => format!("the file cannot be read: {kind}"),
    })?;
    let text = text.trim_end_matches(['\r', '\n']);
    rule(text).map_err(|problem| format!("the file's text {problem}"))?;
    Ok(Secret::new(text))
}

#[cfg(feature = "lambda")]
fn stored_at(
    variables: &mut Variables,
    services: &mut Services,
    arn_name: &str,
    name: &'static str,
    rule: Rule,
) -> Option<Arc<dyn SecretSource>> {
    let arn = variables.required(arn_name, |arn| Ok(arn.to_owned()))?;
    let client = services.aws(variables)?.secrets();
    Some(Arc::new(stored::Stored { client, arn, name, rule }))
}

#[cfg(not(feature = "lambda"))]
fn stored_at(
    variables: &mut Variables,
    _: &mut Services,
    arn_name: &str,
    name: &'static str,
    _: Rule,
) -> Option<Arc<dyn SecretSource>> {
    variables
        .problem(format!("{arn_name} needs a binary that was built with the feature `lambda`; set {name}"));
    None
}

#[cfg(feature = "lambda")]
mod stored {
    use aws_sdk_secretsmanager::Client;
    use aws_sdk_secretsmanager::error::DisplayErrorContext;
    use futures::future::BoxFuture;

    use super::{Rule, Secret, SecretSource};
    use crate::error::Error;

    /// Secret in Secrets Manager. Its whole text is the secret.
    pub(super) struct Stored {
        pub(super) client: Client,
        /// ARN or name.
        pub(super) arn: String,
        /// Name of the variable, for messages.
        pub(super) name: &'static str,
        pub(super) rule: Rule,
    }

    impl Stored {
        async fn fetch(&self, stage: &str) -> Result<Option<Secret>, Error> {
            let Self { arn, name, .. } = self;
            let answer = self.client.get_secret_value().secret_id(arn).version_stage(stage).send().await;
            let text = match answer {
                Ok(answer) => answer.secret_string,
                Err(error) => {
                    let missing =
                        error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception());
                    if missing {
                        return Ok(None);
                    }
                    let why = DisplayErrorContext(error);
                    return Err(Error::unavailable(format!("cannot read {name}_ARN ({stage}): {why}")));
                }
            };
            let Some(text) = text else {
                return Err(Error::unavailable(format!("{name}_ARN ({stage}) is binary; it must be text")));
            };
            Ok(Some(Secret(text)))
        }
    }

    impl SecretSource for Stored {
        fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
            Box::pin(async {
                let name = self.name;
                let secret = self.fetch("AWSCURRENT").await?.ok_or_else(|| {
                    Error::unavailable(format!("{name}_ARN names a secret that is missing or empty"))
                })?;
                // It can be corrected in Secrets Manager without a deployment, so this is no reason to exit.
                (self.rule)(secret.expose())
                    .map_err(|problem| Error::unavailable(format!("the secret of {name}_ARN {problem}")))?;
                Ok(secret)
            })
        }

        fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>> {
            Box::pin(self.fetch("AWSPREVIOUS"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    fn from_file(content: &[u8]) -> Result<String, String> {
        let path = std::env::temp_dir().join(format!("oms-secret-{}", uuid::Uuid::now_v7()));
        std::fs::write(&path, content).unwrap();
        let secret = in_file(path.to_str().unwrap(), not_blank);
        std::fs::remove_file(&path).unwrap();
        secret.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_secret_in_a_file_has_no_line_end() {
        assert_eq!(from_file(b"hunter2\n").as_deref(), Ok("hunter2"));
        assert_eq!(from_file(b"hunter2\r\n").as_deref(), Ok("hunter2"));
        assert_eq!(from_file(b" hunter2 ").as_deref(), Ok(" hunter2 "));
    }

    #[test]
    fn a_file_without_a_secret_is_a_problem() {
        let problem = |content| from_file(content).unwrap_err();
        assert_eq!(problem(b"\n"), "the file's text must not be empty");
        assert_eq!(problem(b"\xff"), "the file is not text");
        assert!(in_file("/nowhere/at/all", not_blank).is_err_and(|it| it.contains("cannot be read")));
    }

    #[test]
    fn the_value_goes_before_the_file_and_that_before_the_arn() {
        let path = std::env::temp_dir().join(format!("oms-secret-{}", uuid::Uuid::now_v7()));
        std::fs::write(&path, "of the file").unwrap();
        let set = [("A", "of the value"), ("A_FILE", path.to_str().unwrap()), ("A_ARN", "arn")];
        for (skipped, expected) in [(0, "of the value"), (1, "of the file")] {
            let set: Vec<(String, String)> = set[skipped..]
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let mut variables = Variables::from_fn(move |name| {
                set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone())
            });
            let services = &mut Services::new(crate::values::clock::Clock::system());
            let secret = read(&mut variables, services, "A", not_blank).unwrap();
            let secret = futures::FutureExt::now_or_never(secret.current()).unwrap().unwrap();
            assert_eq!(secret.expose(), expected);
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn only_a_mongodb_uri_with_a_host_is_accepted() {
        assert!(mongo_uri("mongodb+srv://cluster.example.net/oms").is_ok());
        assert!(mongo_uri("mongodb://127.0.0.1:27017").is_ok());
        for bad in ["", " ", "mongodb://", "postgres://host", "127.0.0.1:27017"] {
            assert!(mongo_uri(bad).is_err(), "{bad:?}");
        }
    }
}
