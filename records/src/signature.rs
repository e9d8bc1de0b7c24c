//! Who signed a record: Ed25519 over its canonical form, as the original does it.
//!
//! Covered: regular, privileged and perMachine sections, unknown members included. The `key` member
//! beside a signature is information only and never trusted.

use crate::canonical;
use crate::record::Record;
use crate::sections::Sections;
use crate::stranger::Strangers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::{Value, json};

/// Most signatures a record may have: each costs a check for each key.
const MOST_SIGNATURES: usize = 16;

/// A key that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key in PEM form")]
pub struct InvalidKey;

/// A record that cannot be signed: it holds a number that is not a 64-bit integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the user record cannot be signed: it holds a number that is not a whole 64-bit number")]
pub struct NotSignable;

/// A machine's private signing key; wiped on drop.
pub struct PrivateKey(SigningKey);

/// A public signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PrivateKey {
    /// A key from 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// Reads PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| InvalidKey)
    }

    /// PKCS#8 version 1 PEM: OpenSSL 3.0 cannot read version 2.
    pub fn to_pem(&self) -> crate::Secret {
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF);
        // Encoding 32 bytes has no way to fail; an empty text would be refused by every reader.
        crate::Secret::new(pem.map(|pem| pem.as_bytes().to_vec()).unwrap_or_default())
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo PEM.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        VerifyingKey::from_public_key_pem(pem.trim()).map(Self).map_err(|_| InvalidKey)
    }

    /// SubjectPublicKeyInfo PEM.
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// The first eight bytes in hexadecimal: enough to tell the keys of a machine apart in the names of files.
    pub fn short_id(&self) -> String {
        self.0.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Signs: the record gets exactly one signature.
pub fn sign(record: &Record, key: &PrivateKey) -> Result<Record, NotSignable> {
    let data = key.0.sign(signed_text(record)?.as_bytes());
    let entry = json!([{ "data": STANDARD.encode(data.to_bytes()), "key": key.public().to_pem() }]);
    Ok(record.with_member("signature", entry))
}

/// Whose signatures count here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The keys of this machine: the one it signs with, and those that it signed with before it lost them.
    pub local: Vec<PublicKey>,
    /// The keys of other machines that this one accepts.
    pub others: Vec<PublicKey>,
    /// What homes are that nobody of these signed.
    pub strangers: Strangers,
}

/// What the signatures of a record are worth here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It has none.
    Unsigned,
    /// All are this machine's: it may change the record and sign again.
    Local,
    /// Some are this machine's, some not.
    LocalAmongOthers,
    /// One is of another machine that is trusted.
    Foreign,
    /// None is by a trusted key, but one is by the key beside it: it is what somebody has signed.
    Stranger,
    /// None is good.
    Rejected,
}

/// Proof that a record was seen with a signature that counts here. No file system that came with a home is mounted, and
/// none is checked by its program, without one: both are code that reads what a stranger may have made.
///
/// There are three ways to have one: [`Trust::vouch`]; [`Trust::admit`] for a home of a stranger whose password was given;
/// and the wish of an administrator who names the home ([`Vouched::by_administrator`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    by: By,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    ThisMachine,
    AnotherMachine,
    Stranger,
    Administrator,
}

impl Vouched {
    /// For what an administrator asks for by name, knowing that nobody else vouches for it.
    pub fn by_administrator() -> Self {
        Self { by: By::Administrator }
    }

    /// Whether this machine alone signed the record: then what it says of how the home is mounted is believed.
    pub fn is_local(self) -> bool {
        self.by == By::ThisMachine
    }
}

impl Trust {
    /// The proof, if a signature of the record counts here.
    pub fn vouch(&self, record: &Record) -> Option<Vouched> {
        let by = match self.worth(record) {
            Worth::Local => By::ThisMachine,
            Worth::LocalAmongOthers | Worth::Foreign => By::AnotherMachine,
            Worth::Unsigned | Worth::Stranger | Worth::Rejected => return None,
        };
        Some(Vouched { by })
    }

    /// The proof for the home of a stranger: strangers are let in here, the record is what somebody has signed, and where
    /// this machine knows the home already (`known`), nobody has signed it who did not sign it then: who only adds a signature
    /// to another's record would be one of its signers for the next. To be used when the record was
    /// read from where only a key of the home reaches, and the user has proven to be whom it names.
    pub fn admit(&self, record: &Record, known: Option<&Record>) -> Option<Vouched> {
        let lets_in = self.strangers != Strangers::No && self.worth(record) == Worth::Stranger;
        let by = signers(record);
        let is_same = known.is_none_or(|known| {
            let known = signers(known);
            by.iter().all(|key| known.contains(key))
        });
        (lets_in && is_same).then_some(Vouched { by: By::Stranger })
    }

    /// Judges a record.
    pub fn worth(&self, record: &Record) -> Worth {
        let signatures = signatures(record);
        if signatures.is_empty() {
            return Worth::Unsigned;
        }
        if signatures.len() > MOST_SIGNATURES {
            return Worth::Rejected;
        }
        let Ok(text) = signed_text(record) else {
            return Worth::Rejected;
        };
        let good = |keys: &[PublicKey]| {
            let by_one =
                |one: &&Signature| keys.iter().any(|key| key.0.verify_strict(text.as_bytes(), one).is_ok());
            signatures.iter().flatten().filter(by_one).count()
        };
        match good(&self.local) {
            all if all == signatures.len() => Worth::Local,
            0 if good(&self.others) > 0 => Worth::Foreign,
            0 if !signers(record).is_empty() => Worth::Stranger,
            0 => Worth::Rejected,
            _ => Worth::LocalAmongOthers,
        }
    }
}

/// The keys by which a record is signed, of those that it brings along: whose they are it cannot say.
pub fn signers(record: &Record) -> Vec<PublicKey> {
    let (Some(Value::Array(entries)), Ok(text)) = (record.members().get("signature"), signed_text(record))
    else {
        return Vec::new();
    };
    let all = signatures(record);
    let keys = entries.iter().map(|entry| PublicKey::from_pem(entry.get("key")?.as_str()?).ok());
    keys.zip(all)
        .take(MOST_SIGNATURES)
        .filter_map(|(key, signature)| {
            let (key, signature) = (key?, signature?);
            key.0.verify_strict(text.as_bytes(), &signature).is_ok().then_some(key)
        })
        .collect()
}

/// The signatures; `None` for one that cannot be read.
fn signatures(record: &Record) -> Vec<Option<Signature>> {
    let Some(Value::Array(entries)) = record.members().get("signature") else {
        return Vec::new();
    };
    let read = |entry: &Value| {
        let bytes = STANDARD.decode(entry.get("data")?.as_str()?).ok()?;
        Signature::from_slice(&bytes).ok()
    };
    entries.iter().take(MOST_SIGNATURES + 1).map(read).collect()
}

fn signed_text(record: &Record) -> Result<String, NotSignable> {
    let signed = Value::Object(record.only(Sections::SIGNED).members().clone());
    if canonical::is_signable(&signed) { Ok(canonical::compact(&signed)) } else { Err(NotSignable) }
}
