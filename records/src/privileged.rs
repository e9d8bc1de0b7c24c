//! The `privileged` section: hashes, keys and the hint; hidden from other users.

use crate::record::{InvalidRecord, Record};
use serde_json::{Map, Value};

/// An enrolled recovery key: only its hash is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryKey<'a> {
    /// `modhex64`; others are not known.
    pub kind: &'a str,
    /// crypt(3) hash of the key's normalized text.
    pub hashed_password: &'a str,
}

/// Most entries a list here may have: each costs one hash to try.
const MAX_ENTRIES: usize = 64;
/// Longest crypt(3) hash, in bytes.
const MAX_HASH: usize = 512;

pub(crate) fn check(value: &Value) -> Result<(), InvalidRecord> {
    let invalid = |member: &str, why| InvalidRecord::new(format!("privileged{member}"), why);
    let section = value.as_object().ok_or_else(|| invalid("", "it is not an object"))?;
    for (name, value) in section {
        let broken = match name.as_str() {
            _ if value.is_null() => None,
            "passwordHint" => (!value.is_string()).then_some("it is not a text"),
            "hashedPassword" => list(value, |one| one.as_str().is_some_and(is_hash)),
            "sshAuthorizedKeys" => {
                list(value, |one| one.as_str().is_some_and(|key| !key.contains(['\n', '\0'])))
            }
            "recoveryKey" => list(value, |one| has(one, &["type"]) && has_hash(one)),
            "pkcs11EncryptedKey" => list(value, |one| has(one, &["uri", "data"]) && has_hash(one)),
            "fido2HmacSalt" => list(value, |one| has(one, &["credential", "salt"]) && has_hash(one)),
            _ => None,
        };
        if let Some(why) = broken {
            return Err(invalid(&format!(".{name}"), why));
        }
    }
    Ok(())
}

fn list(value: &Value, valid: impl Fn(&Value) -> bool) -> Option<&'static str> {
    match value.as_array() {
        None => Some("it is not a list"),
        Some(entries) if entries.len() > MAX_ENTRIES => Some("it has more than 64 entries"),
        Some(entries) if entries.iter().all(valid) => None,
        Some(_) => Some("an entry is not of the right shape"),
    }
}

fn has(entry: &Value, names: &[&str]) -> bool {
    names.iter().all(|name| entry.get(name).is_some_and(Value::is_string))
}

fn has_hash(entry: &Value) -> bool {
    entry.get("hashedPassword").and_then(Value::as_str).is_some_and(is_hash)
}

/// Plausible for crypt(3): printable ASCII without the separators of `/etc/shadow`.
fn is_hash(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_HASH && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

impl Record {
    /// This section.
    pub fn privileged(&self) -> Option<&Map<String, Value>> {
        self.members().get("privileged")?.as_object()
    }

    /// crypt(3) hashes of the passwords; any one opens.
    pub fn hashed_passwords(&self) -> Vec<&str> {
        self.privileged_texts("hashedPassword")
    }

    /// OpenSSH public keys.
    pub fn ssh_authorized_keys(&self) -> Vec<&str> {
        self.privileged_texts("sshAuthorizedKeys")
    }

    /// What the user wants to be reminded of.
    pub fn password_hint(&self) -> Option<&str> {
        self.privileged()?.get("passwordHint")?.as_str()
    }

    /// The enrolled recovery keys.
    pub fn recovery_keys(&self) -> Vec<RecoveryKey<'_>> {
        self.privileged_list("recoveryKey")
            .iter()
            .filter_map(|one| {
                Some(RecoveryKey {
                    kind: one.get("type")?.as_str()?,
                    hashed_password: one.get("hashedPassword")?.as_str()?,
                })
            })
            .collect()
    }

    /// Whether there is a token (PKCS#11, FIDO2) to authenticate with.
    pub fn has_tokens(&self) -> bool {
        !self.privileged_list("pkcs11EncryptedKey").is_empty()
            || !self.privileged_list("fido2HmacSalt").is_empty()
    }

    /// A copy with other password hashes.
    pub fn with_hashed_passwords(&self, hashes: Vec<String>) -> Self {
        self.with_privileged("hashedPassword", hashes.into())
    }

    /// A copy with one member of this section set.
    pub fn with_privileged(&self, name: &str, value: Value) -> Self {
        let mut section = self.privileged().cloned().unwrap_or_default();
        section.insert(name.to_owned(), value);
        self.with_member("privileged", Value::Object(section))
    }

    fn privileged_list(&self, name: &str) -> &[Value] {
        let list = self.privileged().and_then(|section| section.get(name)).and_then(Value::as_array);
        list.map(Vec::as_slice).unwrap_or_default()
    }

    fn privileged_texts(&self, name: &str) -> Vec<&str> {
        self.privileged_list(name).iter().filter_map(Value::as_str).collect()
    }
}
