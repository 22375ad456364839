//! E-mail addresses.

/// E-mail address, as HTML's `input type=email` takes it, of at most 254 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Longest address.
    pub const MAX: usize = 254;

    /// Validation rule for [`crate::input::validation::ValidationErrors`].
    ///
    /// # Errors
    /// A message that says which form is expected.
    pub fn parse(text: String) -> Result<Self, String> {
        if text.len() <= Self::MAX && is_email(&text) {
            Ok(Self(text))
        } else {
            const MAX: usize = Email::MAX;
            Err(format!("must be an e-mail address of at most {MAX} characters, such as ada@example.com"))
        }
    }

    /// Reads a stored address, whatever today's rule is.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The address as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Key for uniqueness: the address, which is ASCII, in lower case.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Part before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or("", |(local, _)| local)
    }
}

#[cfg(feature = "openapi")]
impl Email {
    /// The schema of an address. `format: email` is RFC 5321, which takes other addresses.
    pub fn text() -> utoipa::openapi::ObjectBuilder {
        crate::openapi::values::matching(&Self::pattern()).max_length(Some(Self::MAX))
    }
}

#[cfg(feature = "openapi")]
crate::value_schema!(Email, Self::text());

impl Email {
    /// Regular expression of an address.
    pub fn pattern() -> String {
        let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
        let local = "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+";
        format!(r"^{local}@{label}(?:\.{label})*$")
    }
}

/// <https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address>
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let local_ok = !local.is_empty()
        && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte));
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    local_ok && domain.split('.').all(label_ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_mail_addresses_are_those_of_html() {
        for good in ["a@b", "ada@example.com", "a.b+c_d!#$%&'*/=?^`{|}~-@x-y.example", "A@B.C"] {
            assert!(Email::parse(good.to_owned()).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "", "a", "@b", "a@", "a@b@c", "a b@c", "a@-b", "a@b-", "a@b..c", "ä@b", "a@b\0", "a@b c", "a@.",
            &long,
        ] {
            assert!(Email::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
