//! What a function is told by its environment variables: all that is missing or malformed is said at once.

use std::fmt;

/// Where values come from.
type Source = Box<dyn Fn(&str) -> Option<String>>;

/// The environment variables of a function, while they are read.
pub struct Variables {
    source: Source,
    problems: Vec<String>,
}

/// Everything that is wrong with the environment. Values are never repeated: they may be secrets.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self::from_fn(|name| std::env::var(name).ok())
    }

    /// Those that `source` knows.
    pub fn from_fn(source: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { source: Box::new(source), problems: Vec::new() }
    }

    /// A variable that must be there, as what `parse` makes of it. `None`: the problem is noted.
    pub fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = (self.source)(name).filter(|value| !value.is_empty());
        if value.is_none() {
            self.problems.push(format!("{name} is required"));
        }
        self.parsed(name, value, parse)
    }

    /// A variable that may be absent or empty, as what `parse` makes of it.
    pub fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = (self.source)(name).filter(|value| !value.is_empty());
        self.parsed(name, value, parse)
    }

    /// The same, with what an absent or empty variable means. `None`: the problem is noted.
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

    /// Whether a variable is there, and not empty.
    pub fn is_set(&self, name: &str) -> bool {
        (self.source)(name).is_some_and(|value| !value.is_empty())
    }

    /// Notes what else is wrong.
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

    /// # Errors
    /// All problems, if there are any.
    pub fn check(self) -> Result<(), ConfigErrors> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.misconfigured()) }
    }

    /// The error that names all problems.
    pub fn misconfigured(self) -> ConfigErrors {
        ConfigErrors(self.problems)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment is not as it must be: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigErrors {}

/// A rule for [`Variables`]: a whole number of seconds above 0.
///
/// # Errors
/// When it is none.
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
    fn all_problems_are_told_at_once_and_no_value_is() {
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
