//! Secrets: from the environment on one's own machine, from Secrets Manager on Lambda.
//!
//! `NAME` has the secret itself, `NAME_ARN` says where it is; if both are set, `NAME` is taken, so that a
//! deployed template also runs under an emulator. A secret is never in a log, an error or a `Debug`.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::error::Error;
use crate::rpc::services::Services;
use crate::runtime::config::Variables;

/// A rule for a secret: what is wrong with it, without repeating it.
pub type Rule = fn(&str) -> Result<(), String>;

/// A secret's text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it, so that it is not printed by accident.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret comes from, and comes from again after it was rotated.
pub trait SecretSource: Send + Sync {
    /// The secret that holds now.
    fn current(&self) -> BoxFuture<'_, Result<Secret, Error>>;

    /// The one before it, if there was one.
    fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>>;
}

/// A secret that was given once and for all.
impl SecretSource for Secret {
    fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
        Box::pin(async { Ok(self.clone()) })
    }

    fn previous(&self) -> BoxFuture<'_, Result<Option<Secret>, Error>> {
        Box::pin(async { Ok(None) })
    }
}

/// The rule for a secret of which nothing is known.
///
/// # Errors
/// When it is blank.
pub fn not_blank(text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(()) }
}

/// The rule for `MONGO_URI`.
///
/// # Errors
/// When it is no URI that the driver takes.
pub fn mongo_uri(text: &str) -> Result<(), String> {
    let hosts = text.strip_prefix("mongodb://").or_else(|| text.strip_prefix("mongodb+srv://"));
    if hosts.is_some_and(|hosts| !hosts.is_empty()) {
        Ok(())
    } else {
        Err("must begin with mongodb:// or mongodb+srv://, and name a host".to_owned())
    }
}

/// The secret `NAME`, or where `NAME_ARN` says that it is. `None`: a problem is noted in `variables`.
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

    /// A secret in Secrets Manager. Its whole text is the secret.
    pub(super) struct Stored {
        pub(super) client: Client,
        /// Its ARN or name.
        pub(super) arn: String,
        /// The variable that it stands for, for messages.
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
                    return Err(Error::unavailable(format!("{name}_ARN ({stage}) cannot be read: {why}")));
                }
            };
            let Some(text) = text else {
                return Err(Error::unavailable(format!("{name}_ARN ({stage}) is binary, and must be text")));
            };
            Ok(Some(Secret(text)))
        }
    }

    impl SecretSource for Stored {
        fn current(&self) -> BoxFuture<'_, Result<Secret, Error>> {
            Box::pin(async {
                let name = self.name;
                let secret = self.fetch("AWSCURRENT").await?.ok_or_else(|| {
                    Error::unavailable(format!("{name}_ARN names a secret that is not there, or empty"))
                })?;
                // Mended in Secrets Manager, without a deployment: so it is no reason to end.
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
    fn only_a_uri_of_mongodb_that_names_a_host_is_taken() {
        assert!(mongo_uri("mongodb+srv://cluster.example.net/oms").is_ok());
        assert!(mongo_uri("mongodb://127.0.0.1:27017").is_ok());
        for bad in ["", " ", "mongodb://", "postgres://host", "127.0.0.1:27017"] {
            assert!(mongo_uri(bad).is_err(), "{bad:?}");
        }
    }
}
