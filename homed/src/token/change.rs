//! A record that takes another one's place: which keys it adds, and which of its keys are at hand.

use super::{Offer, password, recovery};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};
use serde_json::Value;

/// What the key slots have to become.
pub struct Change {
    /// The keys of the new record whose plaintext is at hand.
    pub wanted: Vec<Secret>,
    /// How many more it has: their slots stay as they are.
    pub others: usize,
}

/// Compares two records; `None` where the same keys open the home. Each key that is added must be at hand:
/// its slot cannot be made of a hash.
pub fn compare(before: &Record, new: &Record, offer: &Offer<'_>) -> Result<Option<Change>, Refused> {
    if tokens(new) == 0 && new.hashed_passwords().is_empty() && new.recovery_keys().is_empty() {
        let sentence = "The new record has neither password nor key: nothing would open the home any more.";
        return Err(Refused::new(Refusal::HomeCantAuthenticate, sentence));
    }
    if lists(before, &TOKENS) != lists(new, &TOKENS) {
        return Err(Refused::new(
            Refusal::NotSupported,
            "Security tokens cannot be enrolled or removed yet.",
        ));
    }
    if lists(before, &KEYS) == lists(new, &KEYS) {
        return Ok(None);
    }
    let added = only_added(before, new);
    password::for_each_hash(&added, offer).map_err(|refused| with(refused, "The new password"))?;
    recovery::for_each_hash(&added, offer).map_err(|refused| with(refused, "The new recovery key"))?;
    let at_hand = each(new, offer);
    let others = at_hand.iter().filter(|key| key.is_none()).count() + tokens(new);
    Ok(Some(Change { wanted: at_hand.into_iter().flatten().collect(), others }))
}

const KEYS: [&str; 2] = ["hashedPassword", "recoveryKey"];
const TOKENS: [&str; 2] = ["pkcs11EncryptedKey", "fido2HmacSalt"];

fn lists<'a>(record: &'a Record, names: &[&str; 2]) -> [Option<&'a Value>; 2] {
    names.map(|name| {
        let list = record.privileged().and_then(|section| section.get(name));
        list.filter(|list| list.as_array().is_none_or(|entries| !entries.is_empty()))
    })
}

/// How many security tokens a record has.
pub fn tokens(record: &Record) -> usize {
    record.pkcs11_keys().len() + record.fido2_salts().len()
}

/// How many keys a record has, of all kinds.
pub fn count(record: &Record) -> usize {
    record.hashed_passwords().len() + record.recovery_keys().len() + tokens(record)
}

fn only_added(before: &Record, new: &Record) -> Record {
    KEYS.iter().fold(new.clone(), |record, name| {
        let entries = |record: &Record| {
            let list = record.privileged().and_then(|section| section.get(*name));
            list.and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let known = entries(before);
        let added: Vec<Value> = entries(new).into_iter().filter(|entry| !known.contains(entry)).collect();
        record.with_privileged(name, Value::Array(added))
    })
}

/// The plaintext of each password and recovery key, where it is at hand.
fn each(record: &Record, offer: &Offer<'_>) -> Vec<Option<Secret>> {
    let alone = |name: &str, value: Value| {
        let empty = KEYS
            .iter()
            .fold(record.clone(), |record, key| record.with_privileged(key, Value::Array(Vec::new())));
        empty.with_privileged(name, Value::Array(vec![value]))
    };
    let one = |(name, value): (&str, Value)| {
        let record = alone(name, value);
        let passwords = password::for_each_hash(&record, offer).ok()?;
        passwords.into_iter().chain(recovery::for_each_hash(&record, offer).ok()?).next()
    };
    let entries = KEYS.iter().flat_map(|name| {
        let list = record.privileged().and_then(|section| section.get(*name)).and_then(Value::as_array);
        list.into_iter().flatten().map(move |entry| (*name, entry.clone()))
    });
    entries.map(one).collect()
}

fn with(refused: Refused, what: &str) -> Refused {
    let sentence = format!("{what} has to be given too: its key slot is made of it, and not of its hash.");
    Refused::new(refused.refusal, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::crypt3;
    use records::{Credentials, Sections};
    use serde_json::json;

    fn hash(text: &str) -> String {
        crypt3::hash(&Secret::from_text(text.to_owned())).expect("hashes")
    }

    fn record(passwords: &[&String], recovery: &[&String]) -> Record {
        let keys: Vec<_> =
            recovery.iter().map(|key| json!({"type": "modhex64", "hashedPassword": key})).collect();
        let value =
            json!({"userName": "alice", "privileged": {"hashedPassword": passwords, "recoveryKey": keys}});
        Record::from_value(value, Sections::EMBEDDED).expect("valid")
    }

    #[test]
    fn what_is_added_must_be_at_hand() {
        let key = records::recovery::encode(&[7; 32]);
        let key_text = key.open_text().expect("text");
        let (one, two, recovery) = (hash("one"), hash("two"), hash(key_text));
        let compared = |before: &Record, new: &Record, offered: &[&str]| {
            let passwords = offered.iter().map(|text| Secret::from_text((*text).to_owned())).collect();
            let credentials = Credentials { passwords, ..Credentials::default() };
            let change = compare(before, new, &Offer::new(&credentials));
            change
                .map(|change| change.map(|change| (change.wanted.len(), change.others)))
                .map_err(|refused| refused.refusal)
        };
        let before = record(&[&one], &[]);
        let with_key = record(&[&one], &[&recovery]);
        assert_eq!(compared(&before, &before, &["one"]), Ok(None));
        assert_eq!(compared(&before, &with_key, &["one"]), Err(Refusal::BadRecoveryKey));
        assert_eq!(compared(&before, &with_key, &["one", key_text]), Ok(Some((2, 0))));
        assert_eq!(compared(&with_key, &before, &["one"]), Ok(Some((1, 0))));
        assert_eq!(compared(&before, &record(&[&two], &[]), &["one"]), Err(Refusal::BadPassword));
        assert_eq!(compared(&with_key, &record(&[&two], &[&recovery]), &["one", "two"]), Ok(Some((1, 1))));
        assert_eq!(compared(&before, &record(&[], &[]), &["one"]), Err(Refusal::HomeCantAuthenticate));
    }
}
