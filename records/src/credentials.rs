//! What a caller offers to prove who it is: the contents of a record's `secret` section.

use crate::json;
use crate::secret::{Secret, wipe_json};
use serde_json::{Map, Value};

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
    /// The PIN of this computer's TPM, where it was asked for by that name: no other token is given it. (Our own member
    /// `tpm2Pin`; without it the TPM gets `tokenPin`, where no other token wants that.)
    pub computer_pin: Option<Secret>,
    /// The PIN that is to be enrolled.
    pub new_pin: Option<Secret>,
    /// The recovery key that is to be enrolled, where the record wishes for one. (Our own member `newRecoveryKey`.)
    pub new_recovery_key: Option<Secret>,
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
        let text = std::str::from_utf8(text).map_err(|_| InvalidSecret("not UTF-8"))?;
        let mut value = json::parse(text).map_err(|error| InvalidSecret(error.why))?;
        let read = Self::from_value(&value);
        wipe_json(&mut value);
        read
    }

    /// Reads an already parsed `secret` section; the caller wipes it.
    pub fn from_value(value: &Value) -> Result<Self, InvalidSecret> {
        let members = value.as_object().ok_or(InvalidSecret("not an object"))?;
        Ok(Self {
            passwords: texts(members, "password")?,
            token_pins: token_pins(members)?,
            computer_pin: texts(members, "tpm2Pin")?.into_iter().next(),
            new_pin: texts(members, "newTokenPin")?.into_iter().next(),
            new_recovery_key: texts(members, "newRecoveryKey")?.into_iter().next(),
            protected_authentication_path: flag(members, "pkcs11ProtectedAuthenticationPathPermitted")?,
            user_presence: flag(members, "fido2UserPresencePermitted")?,
            user_verification: flag(members, "fido2UserVerificationPermitted")?,
        })
    }

    /// Whether all can be written as JSON. One that is not UTF-8 cannot: a front refuses it where it is
    /// typed, and says so, instead of trying something else.
    pub fn check(&self) -> Result<(), InvalidSecret> {
        if self.all().into_iter().all(|secret| secret.open_text().is_some_and(|text| !text.contains('\0'))) {
            Ok(())
        } else {
            Err(InvalidSecret("a password is not UTF-8 text; change it, or type it in a UTF-8 locale"))
        }
    }

    /// The JSON text of the `secret` section. Passwords that are not UTF-8 have no place in JSON and
    /// are left out: see [`Credentials::check`].
    pub fn to_json(&self) -> Secret {
        let mut text = JsonText::with_room_for(self);
        text.list("password", &self.passwords);
        text.list("tokenPin", &self.token_pins);
        text.list("tpm2Pin", self.computer_pin.as_slice());
        text.list("newTokenPin", self.new_pin.as_slice());
        text.list("newRecoveryKey", self.new_recovery_key.as_slice());
        for (name, permitted) in [
            ("pkcs11ProtectedAuthenticationPathPermitted", self.protected_authentication_path),
            ("fido2UserPresencePermitted", self.user_presence),
            ("fido2UserVerificationPermitted", self.user_verification),
        ] {
            if permitted == Permitted::Yes {
                text.member(name);
                text.0.extend_from_slice(b"true");
            }
        }
        text.finish()
    }

    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        Self {
            passwords: self.passwords.iter().map(Secret::duplicate).collect(),
            token_pins: self.token_pins.iter().map(Secret::duplicate).collect(),
            computer_pin: self.computer_pin.as_ref().map(Secret::duplicate),
            new_pin: self.new_pin.as_ref().map(Secret::duplicate),
            new_recovery_key: self.new_recovery_key.as_ref().map(Secret::duplicate),
            ..*self
        }
    }

    /// Adds what another source offers, after what is there.
    pub fn append(&mut self, more: Self) {
        let either = |one, other| if one == Permitted::Yes { one } else { other };
        self.passwords.extend(more.passwords);
        self.token_pins.extend(more.token_pins);
        self.computer_pin = self.computer_pin.take().or(more.computer_pin);
        self.new_pin = self.new_pin.take().or(more.new_pin);
        self.new_recovery_key = self.new_recovery_key.take().or(more.new_recovery_key);
        self.protected_authentication_path =
            either(self.protected_authentication_path, more.protected_authentication_path);
        self.user_presence = either(self.user_presence, more.user_presence);
        self.user_verification = either(self.user_verification, more.user_verification);
    }

    fn all(&self) -> impl Iterator<Item = &Secret> {
        let pins = self.token_pins.iter().chain(&self.computer_pin).chain(&self.new_pin);
        self.passwords.iter().chain(pins).chain(&self.new_recovery_key)
    }

    /// Whether nothing at all is offered.
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty() && !self.is_for_tokens()
    }

    /// Whether any of it is for a token: its PIN, or that its user was told to touch it.
    pub fn is_for_tokens(&self) -> bool {
        self.computer_pin.is_some() || self.is_for_plugged_in()
    }

    /// Whether any of it is for a token that is plugged in, and not for the TPM.
    pub fn is_for_plugged_in(&self) -> bool {
        let permitted = [self.protected_authentication_path, self.user_presence, self.user_verification];
        !self.token_pins.is_empty() || permitted.contains(&Permitted::Yes)
    }
}

/// `pkcs11Pin` is the older name of `tokenPin`; both count.
fn token_pins(members: &Map<String, Value>) -> Result<Vec<Secret>, InvalidSecret> {
    let mut pins = texts(members, "tokenPin")?;
    pins.extend(texts(members, "pkcs11Pin")?);
    Ok(pins)
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

/// JSON written into one buffer that never moves: no copy of a secret is left behind.
struct JsonText(Vec<u8>);

impl JsonText {
    fn with_room_for(credentials: &Credentials) -> Self {
        // A byte takes six at most ("\u001f"); quotes and commas on top.
        let room: usize = credentials.all().map(|secret| 6 * secret.open().len() + 3).sum();
        let mut text = Vec::with_capacity(room + 512);
        text.push(b'{');
        Self(text)
    }

    fn member(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn list(&mut self, name: &str, secrets: &[Secret]) {
        if secrets.is_empty() {
            return;
        }
        self.member(name);
        self.0.push(b'[');
        for (i, secret) in secrets.iter().filter_map(Secret::open_text).enumerate() {
            if i > 0 {
                self.0.push(b',');
            }
            self.string(secret);
        }
        self.0.push(b']');
    }

    fn string(&mut self, text: &str) {
        self.0.push(b'"');
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    let hex = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                    self.0.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
                }
                _ => self.0.push(byte),
            }
        }
        self.0.push(b'"');
    }

    fn finish(mut self) -> Secret {
        self.0.push(b'}');
        Secret::new(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_password_survives_json() {
        for password in ["geheim", "\"q\" \\ \n\u{1}", "ü€😀", ""] {
            let mut credentials = Credentials { user_presence: Permitted::Yes, ..Credentials::default() };
            credentials.passwords = vec![Secret::from_text(password.into()), Secret::from_text("x".into())];
            credentials.token_pins = vec![Secret::from_text("1".into())];
            credentials.computer_pin = Some(Secret::from_text(password.into()));
            credentials.new_recovery_key = Some(Secret::from_text(password.into()));
            let text = credentials.to_json();
            let back = Credentials::parse(text.open()).expect("valid");
            assert_eq!(back.passwords[0].open(), password.as_bytes());
            assert_eq!((back.passwords.len(), back.token_pins.len()), (2, 1));
            assert!(back.computer_pin.is_some_and(|pin| pin.matches(password.as_bytes())));
            assert!(back.new_recovery_key.is_some_and(|key| key.matches(password.as_bytes())));
            assert_eq!((back.user_presence, back.user_verification), (Permitted::Yes, Permitted::No));
        }
    }
}
