//! Tokens: what a user proves with who they are, one file per kind.
//!
//! A kind looks at a record and at what is offered and gives one of three answers. What it gives as a
//! key is also what opens the storage's key slot.

use crate::sys::crypt3;
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, Secret};
use std::cell::RefCell;
use std::collections::HashMap;

pub mod change;
mod password;
mod recovery;

/// One kind of token.
pub trait Token {
    /// Looks for what of `offer` fits the record's entries of this kind.
    fn unlock(&self, record: &Record, offer: &Offer<'_>) -> Answer;
}

/// What a kind answers.
pub enum Answer {
    /// The record has no entries of this kind.
    NotMine,
    /// It has, and nothing that was offered fits.
    Failed(Refused),
    /// These fit, each in the form that opens a key slot.
    Keys(Vec<Secret>),
}

/// What is offered. Remembers which hash was matched by what: copies of a record mostly have the same.
pub struct Offer<'a> {
    /// The credentials.
    pub credentials: &'a Credentials,
    matched: RefCell<HashMap<String, Option<usize>>>,
}

impl<'a> Offer<'a> {
    /// Offers these.
    pub fn new(credentials: &'a Credentials) -> Self {
        Self { credentials, matched: RefCell::default() }
    }

    /// Index of the first secret among `forms` that was hashed to this.
    fn matching(&self, hashed: &str, forms: &[Secret]) -> Option<usize> {
        if let Some(known) = self.matched.borrow().get(hashed) {
            return *known;
        }
        let found = forms.iter().position(|secret| crypt3::matches(secret, hashed));
        self.matched.borrow_mut().insert(hashed.to_owned(), found);
        found
    }
}

/// All kinds, in the order they are asked.
const KINDS: [&dyn Token; 2] = [&password::Password, &recovery::RecoveryKey];

/// Proves the offer against a record: the keys that fit, or the refusal that tells most.
pub fn prove(record: &Record, offer: &Offer<'_>) -> Result<Vec<Secret>, Refused> {
    let mut keys = Vec::new();
    let mut refused: Option<Refused> = None;
    for kind in KINDS {
        match kind.unlock(record, offer) {
            Answer::NotMine => {}
            // Kinds that can ask for something come first, so the first refusal tells most.
            Answer::Failed(why) => refused = refused.or(Some(why)),
            Answer::Keys(fitting) => keys.extend(fitting),
        }
    }
    match refused {
        _ if !keys.is_empty() => Ok(keys),
        Some(refused) => Err(refused),
        None => Err(Refusal::HomeCantAuthenticate.into()),
    }
}

/// The keys that fit, if any.
pub fn fitting(record: &Record, offer: &Offer<'_>) -> Vec<Secret> {
    prove(record, offer).unwrap_or_default()
}

/// The keys for a new home: one for each entry of the record, or a refusal for the first without.
pub fn all_keys(record: &Record, offer: &Offer<'_>) -> Result<Vec<Secret>, Refused> {
    if record.has_tokens() {
        return Err(Refused::new(Refusal::NotSupported, "Security tokens cannot be enrolled yet."));
    }
    let mut keys = password::for_each_hash(record, offer)?;
    keys.extend(recovery::for_each_hash(record, offer)?);
    if keys.is_empty() { Err(Refusal::HomeCantAuthenticate.into()) } else { Ok(keys) }
}

/// The recovery keys among what was offered that fit the record.
pub fn proven_recovery_keys(record: &Record, offer: &Offer<'_>) -> Vec<Secret> {
    match recovery::RecoveryKey.unlock(record, offer) {
        Answer::Keys(keys) => keys,
        Answer::NotMine | Answer::Failed(_) => Vec::new(),
    }
}

/// What to try on key slots, in order: each secret as typed, and where it looks like a recovery key,
/// first in the form recovery keys are enrolled in.
pub fn candidates(credentials: &Credentials) -> Vec<Secret> {
    let mut all: Vec<Secret> = Vec::new();
    for secret in &credentials.passwords {
        let forms = [records::recovery::normalize(secret.open()), Some(secret.duplicate())];
        for form in forms.into_iter().flatten() {
            if !all.iter().any(|known| known.matches(form.open())) {
                all.push(form);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Sections;
    use serde_json::json;

    fn offered(texts: &[&str]) -> Credentials {
        let passwords = texts.iter().map(|text| Secret::from_text((*text).to_owned())).collect();
        Credentials { passwords, ..Credentials::default() }
    }

    fn record(passwords: &[&str], recovery: &[&Secret]) -> Record {
        let hash = |secret: &Secret| crypt3::hash(secret).expect("hashes");
        let hashes: Vec<_> = passwords.iter().map(|p| hash(&Secret::from_text((*p).to_owned()))).collect();
        let keys: Vec<_> =
            recovery.iter().map(|key| json!({"type":"modhex64","hashedPassword":hash(key)})).collect();
        let value = json!({"userName":"alice","privileged":{"hashedPassword":hashes,"recoveryKey":keys}});
        Record::from_value(value, Sections::EMBEDDED).expect("valid")
    }

    fn refusal(record: &Record, texts: &[&str]) -> Option<Refusal> {
        let credentials = offered(texts);
        prove(record, &Offer::new(&credentials)).err().map(|refused| refused.refusal)
    }

    #[test]
    fn the_right_password_proves_and_a_wrong_one_does_not() {
        let record = record(&["one", "two"], &[]);
        assert_eq!(refusal(&record, &["wrong", "two"]), None);
        assert_eq!(refusal(&record, &["wrong"]), Some(Refusal::BadPassword));
        assert_eq!(refusal(&record, &[]), Some(Refusal::BadPassword));
    }

    #[test]
    fn a_recovery_key_proves_however_it_is_typed() {
        let key = records::recovery::encode(&[7; 32]);
        let typed = key.open_text().expect("text").to_uppercase().replace('-', "");
        let both = record(&["one"], &[&key]);
        assert_eq!(refusal(&both, &[&typed]), None);
        assert_eq!(refusal(&both, &["wrong"]), Some(Refusal::BadPassword));
        assert_eq!(refusal(&record(&[], &[&key]), &["wrong"]), Some(Refusal::BadRecoveryKey));
        let credentials = offered(&[&typed]);
        assert!(candidates(&credentials)[0].matches(key.open()));
    }

    #[test]
    fn a_record_without_anything_cannot_authenticate() {
        assert_eq!(refusal(&record(&[], &[]), &["x"]), Some(Refusal::HomeCantAuthenticate));
    }

    #[test]
    fn a_new_home_needs_the_plaintext_of_every_entry() {
        let key = records::recovery::encode(&[7; 32]);
        let both = record(&["one"], &[&key]);
        let text = key.open_text().expect("text").to_owned();
        let all = offered(&["one", &text]);
        assert_eq!(all_keys(&both, &Offer::new(&all)).map(|keys| keys.len()), Ok(2));
        let some = offered(&["one"]);
        let refused = all_keys(&both, &Offer::new(&some)).err().map(|refused| refused.refusal);
        assert_eq!(refused, Some(Refusal::BadRecoveryKey));
    }
}
