//! What can go wrong on this machine: one line that says what, and one that says what to do.

use std::fmt;

/// Why `cargo local` cannot go on.
#[derive(Debug)]
pub struct CommandError {
    what: String,
    advice: Option<String>,
}

impl CommandError {
    /// What went wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), advice: None }
    }

    /// What to do.
    pub fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Whether it is said what to do.
    pub fn has_advice(&self) -> bool {
        self.advice.is_some()
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<mongod::Error> for CommandError {
    fn from(error: mongod::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<shared::error::Error> for CommandError {
    fn from(error: shared::error::Error) -> Self {
        let causes = error.causes();
        if causes.is_empty() {
            Self::new(error.to_string())
        } else {
            Self::new(format!("{error} ({causes})"))
        }
    }
}
