//! Names that can only be valid: user, realm, and both together.

use std::fmt;
use std::sync::Arc;

/// Why a text is not what it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {why}")]
pub struct InvalidName {
    /// What it should have been, as said to the user: "user name", "realm".
    pub what: &'static str,
    /// The text that was given (shortened to 64 characters).
    pub text: String,
    /// The rule it breaks.
    pub why: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, text: &str, why: &'static str) -> Self {
        Self { what, text: text.chars().take(64).collect(), why }
    }
}

/// A user name that homed may manage: POSIX-style (`[A-Za-z_][A-Za-z0-9_-]*`, at most 31 bytes),
/// not a system user's (`root`, `nobody`, `systemd-…`, `_…`). Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

impl UserName {
    /// Longest name in bytes: utmp's field of 32 with its NUL.
    pub const MAX: usize = 31;

    /// Reads a name, or says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let refuse = |why| Err(InvalidName::new("user name", text, why));
        let mut letters = text.bytes();
        match letters.next() {
            None => return refuse("it is empty"),
            Some(first) if !first.is_ascii_alphabetic() => {
                return refuse("it must begin with a letter from a to z");
            }
            Some(_) => {}
        }
        if !letters.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return refuse("only letters from a to z, digits, '_' and '-' are allowed");
        }
        if text.len() > Self::MAX {
            return refuse("it is longer than 31 characters");
        }
        if matches!(text, "root" | "nobody" | "nogroup") || text.starts_with("systemd-") {
            return refuse("it is reserved for the system");
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A realm: the normalized DNS name of the organisation a user belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Realm(String);

impl Realm {
    /// Reads a realm, or says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let refuse = |why| Err(InvalidName::new("realm", text, why));
        if text.is_empty() || text.len() > 253 {
            return refuse("it must have 1 to 253 characters");
        }
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !text.split('.').all(label_ok) {
            return refuse("it must be a DNS name such as example.com");
        }
        Ok(Self(text.to_owned()))
    }

    /// The realm as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `user` or `user@realm`: names images, partitions, labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName {
    /// The part before the `@`.
    pub user: UserName,
    /// The part after it, if any.
    pub realm: Option<Realm>,
}

impl FullName {
    /// Reads `user` or `user@realm`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        match text.split_once('@') {
            None => Ok(Self { user: UserName::parse(text)?, realm: None }),
            Some((user, realm)) => {
                Ok(Self { user: UserName::parse(user)?, realm: Some(Realm::parse(realm)?) })
            }
        }
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.realm {
            None => write!(f, "{}", self.user),
            Some(realm) => write!(f, "{}@{}", self.user, realm.as_str()),
        }
    }
}
