//! Environment variables of a function. All missing or malformed ones are reported at once.

use std::fmt;

/// Source of values.
type Source = Box<dyn Fn(&str) -> Option<String>>;

/// Reader of environment variables that collects the problems.
pub struct Variables {
    source: Source,
    problems: Vec<String>,
}

/// All problems of the environment. Values are never repeated, as they may be secrets.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl Variables {
    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        Self::from_fn(|name| std::env::var(name).ok())
    }

    /// Reads the variables from `source`.
    pub fn from_fn(source: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { source: Box::new(source), problems: Vec::new() }
    }

    /// Reads a required variable with `parse`. `None` if that failed; the problem is recorded.
    pub fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = (self.source)(name).filter(|value| !value.is_empty());
        if value.is_none() {
            self.problems.push(format!("{name} is required"));
        }
        self.parsed(name, value, parse)
    }

    /// Reads a variable that may be absent or empty, with `parse`.
    pub fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = (self.source)(name).filter(|value| !value.is_empty());
        self.parsed(name, value, parse)
    }

    /// Reads a variable with `parse`; absent or empty means `default`. `None` if that failed; the problem is
    /// recorded.
    pub fn or<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match (self.source)(name).filter(|value| !value.is_empty()) {
            None => Some(default),
            value => self.parsed(name, value, parse),
        }
    }

    /// Returns true if a variable is set and not empty.
    pub fn is_set(&self, name: &str) -> bool {
        (self.source)(name).is_some_and(|value| !value.is_empty())
    }

    /// Records another problem.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        value: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&value?) {
            Ok(parsed) => Some(parsed),
            Err(problem) => {
                self.problems.push(format!("{name}: {problem}"));
                None
            }
        }
    }

    /// Checks that there are no problems.
    ///
    /// # Errors
    /// All problems, if any.
    pub fn check(self) -> Result<(), ConfigErrors> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.misconfigured()) }
    }

    /// Converts the recorded problems to an error.
    pub fn misconfigured(self) -> ConfigErrors {
        ConfigErrors(self.problems)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid environment: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigErrors {}

/// Rule for [`Variables`]: a whole number of seconds above 0.
///
/// # Errors
/// Message that says so.
pub fn seconds(text: &str) -> Result<std::time::Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(std::time::Duration::from_secs(seconds)),
        _ => Err("must be a whole number of seconds above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_at_once_without_values() {
        let mut variables =
            Variables::from_fn(|name| (name == "ORDER_PAYMENT_WINDOW").then(|| "-5 secret".to_owned()));
        assert_eq!(variables.required("MONGO_URI", |uri| Ok(uri.to_owned())), None);
        assert_eq!(variables.optional("ORDER_PAYMENT_WINDOW", seconds), None);
        assert_eq!(variables.optional("NOT_THERE", seconds), None);
        let text = variables.misconfigured().to_string();
        assert!(text.contains("MONGO_URI is required; ORDER_PAYMENT_WINDOW: must be"), "{text}");
        assert!(!text.contains("secret"));
    }
}
