//! The `privileged` section: hashes, keys and the hint; hidden from other users.

use crate::machine::MachineId;
use crate::record::{InvalidRecord, Record};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// An enrolled recovery key: only its hash is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryKey<'a> {
    /// `modhex64`; others are not known.
    pub kind: &'a str,
    /// crypt(3) hash of the key's normalized text.
    pub hashed_password: &'a str,
}

/// An enrolled PKCS#11 token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pkcs11Key<'a> {
    /// RFC 7512 URI of the certificate and its private key.
    pub uri: &'a str,
    /// Base64 of the key, encrypted with the certificate's public key.
    pub data: &'a str,
    /// crypt(3) hash of the base64 of the decrypted key.
    pub hashed_password: &'a str,
    /// Padding of the encryption; `None`: PKCS#1 v1.5.
    pub padding: Option<&'a str>,
}

/// An enrolled FIDO2 token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fido2Salt<'a> {
    /// Base64 of the credential's id.
    pub credential: &'a str,
    /// Base64 of the salt that the token hashes.
    pub salt: &'a str,
    /// crypt(3) hash of the base64 of what the token answers.
    pub hashed_password: &'a str,
    /// Whether it wants to be touched; `None`: enrolled before that was recorded.
    pub user_presence: Option<bool>,
    /// Whether it verifies its user.
    pub user_verification: Option<bool>,
    /// Whether it wants its PIN.
    pub client_pin: Option<bool>,
}

/// Most entries a list of keys may have: each costs one hash to try. (How many others there are is bounded by the length of
/// a record.)
const MAX_ENTRIES: usize = 64;
/// Longest crypt(3) hash, in bytes.
const MAX_HASH: usize = 512;

/// What opens the home, what is told of that, and the hint: believed of whoever has made the home, for it is the key to that alone.
const OWN: [&str; 7] = [
    "passwordHint",
    "hashedPassword",
    "recoveryKey",
    "pkcs11EncryptedKey",
    "fido2HmacSalt",
    "tpm2Pin",
    crate::keys::DETAILS,
];

/// Whether a member of this section is believed of a stranger ([`crate::stranger`]).
pub(crate) fn is_own(member: &str) -> bool {
    OWN.contains(&member)
}

pub(crate) fn check(value: &Value) -> Result<(), InvalidRecord> {
    let invalid = |member: &str, why| InvalidRecord::new(format!("privileged{member}"), why);
    let section = value.as_object().ok_or_else(|| invalid("", "it is not an object"))?;
    for (name, value) in section {
        let broken = match name.as_str() {
            _ if value.is_null() => None,
            "passwordHint" => {
                let valid = value.as_str().is_some_and(|hint| !hint.chars().any(char::is_control));
                (!valid).then_some("it is not a line of text")
            }
            "backupRepository" | "backupPasswordFile" => {
                let valid = value.as_str().is_some_and(|text| !text.chars().any(char::is_control));
                (!valid).then_some("it is not a line of text")
            }
            "hashedPassword" => list(value, |one| one.as_str().is_some_and(is_hash)),
            "sshAuthorizedKeys" => {
                any_list(value, |one| one.as_str().is_some_and(|key| !key.chars().any(char::is_control)))
            }
            "recoveryKey" => list(value, is_recovery_key),
            "pkcs11EncryptedKey" => list(value, is_pkcs11),
            "fido2HmacSalt" => list(value, is_fido2),
            "tpm2Pin" => list(value, is_tpm2),
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
        Some(entries) if entries.len() > MAX_ENTRIES => Some("it has more than 64 entries"),
        _ => any_list(value, valid),
    }
}

fn any_list(value: &Value, valid: impl Fn(&Value) -> bool) -> Option<&'static str> {
    match value.as_array() {
        None => Some("it is not a list"),
        Some(entries) if entries.iter().all(valid) => None,
        Some(_) => Some("an entry is not of the right shape"),
    }
}

fn has(entry: &Value, names: &[&str], valid: fn(&str) -> bool) -> bool {
    names.iter().all(|name| entry.get(name).and_then(Value::as_str).is_some_and(valid))
}

fn is_pkcs11(entry: &Value) -> bool {
    let padding = entry.get("padding").is_none_or(|padding| padding.is_null() || padding.is_string());
    has(entry, &["uri"], is_plain) && has(entry, &["data"], is_base64) && padding && has_hash(entry)
}

fn is_fido2(entry: &Value) -> bool {
    let flag = |name: &&str| entry.get(name).is_none_or(|flag| flag.is_null() || flag.is_boolean());
    has(entry, &["credential", "salt"], is_base64)
        && ["up", "uv", "clientPin"].iter().all(flag)
        && has_hash(entry)
}

fn is_recovery_key(entry: &Value) -> bool {
    has(entry, &["type"], is_plain) && (has_hash(entry) || is_wanted(entry))
}

fn is_tpm2(entry: &Value) -> bool {
    let whole = has(entry, &["srk", "public", "private", "salt"], is_base64) && has_hash(entry);
    has(entry, &["machineId"], |id| MachineId::parse(id).is_ok()) && (whole || is_wanted(entry))
}

/// What is still to be made is an object, and has nothing else yet.
fn is_wanted(entry: &Value) -> bool {
    entry.get("wanted").is_some_and(Value::is_object)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn is_base64(text: &str) -> bool {
    !text.is_empty() && STANDARD.decode(text).is_ok()
}

fn has_hash(entry: &Value) -> bool {
    entry.get("hashedPassword").and_then(Value::as_str).is_some_and(is_hash)
}

/// Plausible for crypt(3): printable ASCII without the separators of `/etc/shadow`.
fn is_hash(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_HASH && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// The lists of this section that have what opens a home, one for each kind.
pub const KINDS_OF_KEYS: [&str; 5] =
    ["hashedPassword", "recoveryKey", "pkcs11EncryptedKey", "fido2HmacSalt", "tpm2Pin"];

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

    /// The enrolled PKCS#11 tokens.
    pub fn pkcs11_keys(&self) -> Vec<Pkcs11Key<'_>> {
        fn read(one: &Value) -> Option<Pkcs11Key<'_>> {
            Some(Pkcs11Key {
                uri: one.get("uri")?.as_str()?,
                data: one.get("data")?.as_str()?,
                hashed_password: one.get("hashedPassword")?.as_str()?,
                padding: one.get("padding").and_then(Value::as_str),
            })
        }
        self.privileged_list("pkcs11EncryptedKey").iter().filter_map(read).collect()
    }

    /// The enrolled FIDO2 tokens.
    pub fn fido2_salts(&self) -> Vec<Fido2Salt<'_>> {
        fn read(one: &Value) -> Option<Fido2Salt<'_>> {
            let flag = |name: &str| one.get(name).and_then(Value::as_bool);
            Some(Fido2Salt {
                credential: one.get("credential")?.as_str()?,
                salt: one.get("salt")?.as_str()?,
                hashed_password: one.get("hashedPassword")?.as_str()?,
                user_presence: flag("up"),
                user_verification: flag("uv"),
                client_pin: flag("clientPin"),
            })
        }
        self.privileged_list("fido2HmacSalt").iter().filter_map(read).collect()
    }

    /// Whether there is a token (PKCS#11, FIDO2) to authenticate with.
    pub fn has_tokens(&self) -> bool {
        !self.privileged_list("pkcs11EncryptedKey").is_empty()
            || !self.privileged_list("fido2HmacSalt").is_empty()
    }

    /// Whether a PIN of that machine's TPM opens the home, as everybody may know.
    pub fn has_pin_on(&self, machine: &MachineId) -> bool {
        let all = self.members().get("tpm2PinMachineId").and_then(Value::as_array);
        all.is_some_and(|all| all.iter().any(|id| id.as_str() == Some(machine.as_str())))
    }

    /// Whether the same opens the home, entry by entry: what a token is asked with counts as its hash does.
    pub fn opens_like(&self, other: &Self) -> bool {
        let same = |member: &&str| self.privileged_list(member) == other.privileged_list(member);
        KINDS_OF_KEYS.iter().all(same)
    }

    /// The entries of one of [`KINDS_OF_KEYS`].
    pub fn keys_of(&self, member: &str) -> &[Value] {
        self.privileged_list(member)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sections;
    use serde_json::json;

    fn record(privileged: Value) -> Result<Record, InvalidRecord> {
        Record::from_value(json!({"userName": "alice", "privileged": privileged}), Sections::HOST)
    }

    #[test]
    fn what_a_token_is_asked_with_belongs_to_what_opens_the_home() {
        let with = |salt: &str| {
            record(json!({
                "hashedPassword": ["$y$x"],
                "fido2HmacSalt": [{"credential": "AA==", "salt": salt, "hashedPassword": "$y$z"}],
            }))
            .expect("valid")
        };
        assert!(with("AAAA").opens_like(&with("AAAA")));
        assert!(!with("AAAA").opens_like(&with("AAAB")), "the hash alone is the same");
        let hint = with("AAAA").with_privileged("passwordHint", json!("pet"));
        assert!(hint.opens_like(&with("AAAA")));
        assert!(!with("AAAA").with_hashed_passwords(Vec::new()).opens_like(&with("AAAA")));
    }

    #[test]
    fn tokens_are_read() {
        let record = record(json!({
            "pkcs11EncryptedKey": [{"uri": "pkcs11:x", "data": "AAAA", "hashedPassword": "$y$x"}],
            "fido2HmacSalt": [{"credential": "AA==", "salt": "AAAA", "hashedPassword": "$y$x", "up": true}],
        }));
        let record = record.expect("valid");
        assert_eq!(record.pkcs11_keys().first().map(|key| (key.uri, key.padding)), Some(("pkcs11:x", None)));
        let flags = record.fido2_salts().first().map(|salt| (salt.user_presence, salt.client_pin));
        assert_eq!(flags, Some((Some(true), None)));
        assert!(record.has_tokens());
    }

    #[test]
    fn refused() {
        for (what, member, value) in [
            ("no hash", "fido2HmacSalt", json!([{"credential": "AA==", "salt": "AAAA"}])),
            (
                "not base64",
                "fido2HmacSalt",
                json!([{"credential": "?", "salt": "AAAA", "hashedPassword": "x"}]),
            ),
            (
                "a flag that is none",
                "fido2HmacSalt",
                json!([{"credential": "AA==", "salt": "AAAA", "hashedPassword": "x", "up": 1}]),
            ),
            ("no uri", "pkcs11EncryptedKey", json!([{"data": "AAAA", "hashedPassword": "x"}])),
            ("a key over two lines", "sshAuthorizedKeys", json!(["ssh-ed25519 A\nssh-ed25519 B"])),
            ("a hint over two lines", "passwordHint", json!("a\nb")),
            ("an empty hash", "hashedPassword", json!([""])),
        ] {
            let refused = record(json!({ member: value })).expect_err(what);
            assert_eq!(refused.member, format!("privileged.{member}"), "{what}");
        }
    }
}
