//! Secrets: from the environment on a development machine, from Secrets Manager on Lambda.
//!
//! `NAME` has the secret itself, `NAME_ARN` its place in Secrets Manager. If both are set, `NAME` wins, so
//! that a deployed template also runs under an emulator. A secret never appears in a log, an error or a
//! `Debug`.

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

/// Reads the secret `NAME`, or the one that `NAME_ARN` refers to. `None` if that failed; the problem is
/// recorded in `variables`.
pub fn read(
    variables: &mut Variables,
    services: &mut Services,
    name: &'static str,
    rule: Rule,
) -> Option<Arc<dyn SecretSource>> {
    let arn_name = format!("{name}_ARN");
    if !variables.is_set(name) && !variables.is_set(&arn_name) {
        variables.problem(format!("{name} or {arn_name} is required"));
        return None;
    }
    if variables.is_set(name) {
        let secret = variables.required(name, |text| rule(text).map(|()| Secret::new(text)))?;
        return Some(Arc::new(secret));
    }
    stored_at(variables, services, &arn_name, name, rule)
}

/// Reads the secret `NAME` as [`read`] does, if it or `NAME_ARN` is set.
pub fn optional(
    variables: &mut Variables,
    services: &mut Services,
    name: &'static str,
    rule: Rule,
) -> Option<Arc<dyn SecretSource>> {
    let is_set = variables.is_set(name) || variables.is_set(&format!("{name}_ARN"));
    if is_set { read(variables, services, name, rule) } else { None }
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

    #[test]
    fn only_a_mongodb_uri_with_a_host_is_accepted() {
        assert!(mongo_uri("mongodb+srv://cluster.example.net/oms").is_ok());
        assert!(mongo_uri("mongodb://127.0.0.1:27017").is_ok());
        for bad in ["", " ", "mongodb://", "postgres://host", "127.0.0.1:27017"] {
            assert!(mongo_uri(bad).is_err(), "{bad:?}");
        }
    }
}
