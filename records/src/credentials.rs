//! What a caller offers to prove who it is: the contents of a record's `secret` section.

use crate::secret::{Secret, wipe_json};
use serde_json::{Map, Value, json};

/// Whether the caller told the user that something is expected of them, so that a token may wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permitted {
    /// Not yet: a token that needs it answers with the refusal that asks for it.
    #[default]
    No,
    /// Yes.
    Yes,
}

/// Passwords, recovery keys, PINs and permissions, newest first.
#[derive(Default)]
pub struct Credentials {
    /// Plaintext passwords and recovery keys, newest first.
    pub passwords: Vec<Secret>,
    /// PINs for tokens.
    pub token_pins: Vec<Secret>,
    /// The user was told to look at the token's own PIN pad.
    pub protected_authentication_path: Permitted,
    /// The user was told to touch the token.
    pub user_presence: Permitted,
    /// The user was told to verify (fingerprint).
    pub user_verification: Permitted,
}

/// A secret argument that is not a JSON object of the known shape. Says nothing of its contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret is not a valid \"secret\" section: {0}")]
pub struct InvalidSecret(pub &'static str);

impl Credentials {
    /// Reads the JSON text of a `secret` section. The caller's buffer is the caller's to wipe.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidSecret> {
        let mut value: Value = serde_json::from_slice(text).map_err(|_| InvalidSecret("not JSON"))?;
        let read = Self::from_value(&value);
        wipe_json(&mut value);
        read
    }

    /// Reads an already parsed `secret` section; the caller wipes it.
    pub fn from_value(value: &Value) -> Result<Self, InvalidSecret> {
        let members = value.as_object().ok_or(InvalidSecret("not an object"))?;
        Ok(Self {
            passwords: texts(members, "password")?,
            token_pins: texts(members, "tokenPin")?,
            protected_authentication_path: flag(members, "pkcs11ProtectedAuthenticationPathPermitted")?,
            user_presence: flag(members, "fido2UserPresencePermitted")?,
            user_verification: flag(members, "fido2UserVerificationPermitted")?,
        })
    }

    /// The JSON text of the `secret` section.
    pub fn to_json(&self) -> Secret {
        let text = |s: &Secret| Value::String(String::from_utf8_lossy(s.open()).into_owned());
        let mut value = json!({});
        if !self.passwords.is_empty() {
            value["password"] = self.passwords.iter().map(text).collect();
        }
        if !self.token_pins.is_empty() {
            value["tokenPin"] = self.token_pins.iter().map(text).collect();
        }
        for (name, permitted) in [
            ("pkcs11ProtectedAuthenticationPathPermitted", self.protected_authentication_path),
            ("fido2UserPresencePermitted", self.user_presence),
            ("fido2UserVerificationPermitted", self.user_verification),
        ] {
            if permitted == Permitted::Yes {
                value[name] = Value::Bool(true);
            }
        }
        let text = Secret::new(serde_json::to_vec(&value).unwrap_or_default());
        wipe_json(&mut value);
        text
    }

    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        Self {
            passwords: self.passwords.iter().map(Secret::duplicate).collect(),
            token_pins: self.token_pins.iter().map(Secret::duplicate).collect(),
            ..*self
        }
    }

    /// Whether nothing at all is offered.
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty() && self.token_pins.is_empty()
    }
}

fn texts(members: &Map<String, Value>, name: &str) -> Result<Vec<Secret>, InvalidSecret> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(|t| Secret::new(t.as_bytes().to_vec())))
            .collect::<Option<_>>()
            .ok_or(InvalidSecret("an entry is not a string")),
        Some(_) => Err(InvalidSecret("a list of strings is something else")),
    }
}

fn flag(members: &Map<String, Value>, name: &str) -> Result<Permitted, InvalidSecret> {
    match members.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => Ok(Permitted::No),
        Some(Value::Bool(true)) => Ok(Permitted::Yes),
        Some(_) => Err(InvalidSecret("a flag is not true or false")),
    }
}
