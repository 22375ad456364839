//! Names that only stored documents have: withdrawn currencies, statuses that a newer build knows.
//!
//! A rule for input says which names clients may send. Rules become stricter, and documents outlive them. So
//! what is read from the database or from another function keeps its name, even if no rule allows it today.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Maximum number of unknown names that a process keeps. A shop has a handful.
const MAX_NAMES: usize = 1_000;

/// Maximum length of an unknown name, in bytes.
const MAX_LENGTH: usize = 64;

/// Returns the same name with an unlimited lifetime, so that values that have names are copied cheaply.
///
/// Each distinct name is kept once, for the life of the process.
///
/// # Errors
/// A message if the name is too long, or if the process has met too many of them.
pub fn name(text: &str) -> Result<&'static str, String> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if text.len() > MAX_LENGTH {
        return Err(format!("a name of {} bytes", text.len()));
    }
    // A set stays whole even if its holder panicked.
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(text) {
        return Ok(known);
    }
    if names.len() == MAX_NAMES {
        return Err("one unknown name too many".to_owned());
    }
    let kept: &'static str = Box::leak(Box::from(text));
    names.insert(kept);
    Ok(kept)
}

/// Declares an enum of names that documents have, with its JSON, and its schema in the OpenAPI document if it has
/// one there.
///
/// Input is read by `parse`, which takes the names that this build knows. What is stored is read by `from_stored`,
/// which keeps a newer build's name as `Unknown`. Nothing is permitted by it.
#[macro_export]
macro_rules! stored_names {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $Type:ident $(($schema:literal, $description:literal))? {
            $($(#[$docs:meta])* $Variant:ident = $name:literal,)+
        }
        $(#[$unknown:meta])*
        Unknown
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $Type {
            $($(#[$docs])* $Variant,)+
            $(#[$unknown])*
            Unknown(&'static str),
        }

        impl $Type {
            /// All that this build knows, in their usual order.
            $visibility const ALL: [Self; [$($name),+].len()] = [$(Self::$Variant),+];

            /// Name in JSON and the database.
            $visibility fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                    Self::Unknown(name) => name,
                }
            }

            /// Validation rule for [`ValidationErrors`]($crate::input::validation::ValidationErrors).
            ///
            /// # Errors
            /// Message that lists the names.
            $visibility fn parse(name: &str) -> Result<Self, String> {
                let known = Self::ALL.into_iter().find(|known| known.name() == name);
                known.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::name).join(", ")))
            }

            /// Reads a stored name, known to this build or not.
            ///
            /// # Errors
            /// Message for text that cannot be kept as a name.
            $visibility fn from_stored(name: &str) -> Result<Self, String> {
                Self::parse(name).or_else(|_| $crate::values::stored::name(name).map(Self::Unknown))
            }
        }

        impl serde::Serialize for $Type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        $(
            #[cfg(feature = "openapi")]
            $crate::component_schema!(
                $Type, $schema, $description, $crate::openapi::values::one_of(Self::ALL.map(Self::name))
            );
        )?
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::stored_names! {
        /// Some colour.
        enum Colour {
            /// One.
            Red = "red",
            /// Another.
            Blue = "blue",
        }
        /// Any other.
        Unknown
    }

    #[test]
    fn a_newer_builds_name_is_stored_but_is_no_input() {
        assert_eq!(
            (Colour::parse("blue"), Colour::from_stored("blue")),
            (Ok(Colour::Blue), Ok(Colour::Blue))
        );
        assert_eq!(Colour::parse("green").unwrap_err(), "must be one of red, blue");
        let green = Colour::from_stored("green").unwrap();
        assert_eq!((green, green.name()), (Colour::Unknown("green"), "green"));
        assert_eq!(serde_json::to_string(&green).unwrap(), "\"green\"");
        assert!(Colour::from_stored(&"x".repeat(MAX_LENGTH + 1)).is_err());
    }

    #[test]
    fn an_unknown_name_is_kept_once() {
        let first = name("archived").unwrap();
        let again = name(&String::from("archived")).unwrap();
        assert_eq!(first, "archived");
        assert!(std::ptr::eq(first, again));
    }

    #[test]
    fn a_name_without_end_is_refused() {
        assert!(name(&"x".repeat(MAX_LENGTH)).is_ok());
        assert!(name(&"x".repeat(MAX_LENGTH + 1)).is_err());
    }
}
