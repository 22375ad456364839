//! Error of a command: one line with the cause, and one with advice.

use std::fmt;

/// Error that ends a command of `cargo local`.
#[derive(Debug)]
pub struct CommandError {
    message: String,
    advice: Option<String>,
}

impl CommandError {
    /// Creates an error with its cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), advice: None }
    }

    /// Adds advice.
    pub fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Returns true if there is advice.
    pub fn has_advice(&self) -> bool {
        self.advice.is_some()
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
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
        // Whoever runs the command has sent the values. So the text for clients is right here.
        Self::new(error.explanation())
    }
}
