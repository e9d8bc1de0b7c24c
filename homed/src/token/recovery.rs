//! Recovery keys: `privileged.recoveryKey`. Hash and key slot are made of the normalized text, so how
//! a key is typed (case, dashes) does not matter. One that homed has made is hashed here as well: a record wishes for it.

use super::{Answer, Offer, Token, entries};
use crate::sys::crypt3;
use records::keys;
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, Secret, recovery};
use serde_json::Value;

/// The kind.
pub struct RecoveryKey;

impl Token for RecoveryKey {
    fn member(&self) -> &'static str {
        "recoveryKey"
    }

    fn derive(&self, _: &Record, offer: &Offer<'_>) -> Vec<Secret> {
        normalized(offer.credentials)
    }

    fn proves(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        let all = entries(self, record);
        if all.is_empty() {
            return Answer::NotMine;
        }
        let fitting: Vec<_> = all.iter().filter_map(|entry| matching(entry, offer)).collect();
        if fitting.is_empty() {
            Answer::Failed(Refusal::BadRecoveryKey.into())
        } else {
            Answer::Keys(fitting)
        }
    }

    fn at_hand(&self, entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
        matching(entry, offer)
    }

    fn made(&self, record: &Record, offer: &Offer<'_>) -> Result<Option<Record>, Refused> {
        let invalid = |why: &str| Refused::new(Refusal::InvalidArgs, format!("{why} Nothing was changed."));
        match keys::wished_recovery_keys(record) {
            0 => return Ok(None),
            1 => {}
            _ => return Err(invalid("One recovery key is made at a time.")),
        }
        let key = new(offer.credentials).ok_or_else(|| invalid("The new recovery key is missing."))?;
        let failed = |error| invalid(&format!("The recovery key cannot be hashed: crypt(3): {error}."));
        let hash = crypt3::hash(&key).map_err(failed)?;
        Ok(Some(keys::grant_recovery_key(record, &hash)))
    }

    fn enrol(&self, entry: &Value, offer: &Offer<'_>) -> Result<Secret, Refused> {
        let refused = || super::not_at_hand(Refusal::BadRecoveryKey, "The new recovery key");
        matching(entry, offer).ok_or_else(refused)
    }
}

fn matching(entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
    let mut typed = normalized(offer.credentials);
    typed.extend(new(offer.credentials));
    let hashed = entry.get("hashedPassword")?.as_str()?;
    typed.get(offer.matching(hashed, &typed)?).map(Secret::duplicate)
}

/// The one that is to be enrolled.
fn new(offer: &Credentials) -> Option<Secret> {
    offer.new_recovery_key.as_ref().and_then(|key| recovery::normalize(key.open()))
}

fn normalized(offer: &Credentials) -> Vec<Secret> {
    offer.passwords.iter().filter_map(|typed| recovery::normalize(typed.open())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{change, filled};
    use records::Sections;
    use serde_json::json;

    fn record(members: Value) -> Record {
        Record::from_value(members, Sections::EMBEDDED).expect("valid")
    }

    fn wishing(before: &Record) -> Record {
        let mut members = before.members().clone();
        keys::wish_recovery_key(&mut members, Some("paper".into()), 7);
        record(Value::Object(members))
    }

    #[test]
    fn a_wish_becomes_the_hash_of_the_key_that_was_shown_and_its_slot() {
        let hash = crypt3::hash(&Secret::from_text("one".into())).expect("hashes");
        let before = record(json!({"userName": "alice", "privileged": {"hashedPassword": [hash]}}));
        let new_key = recovery::encode(&[7; 32]);
        let mut credentials =
            Credentials { passwords: vec![Secret::from_text("one".into())], ..Credentials::default() };
        let nothing = filled(&wishing(&before), &Offer::new(&credentials)).map_err(|why| why.refusal);
        assert_eq!(nothing.err(), Some(Refusal::InvalidArgs));
        credentials.new_recovery_key = Some(new_key.duplicate());
        let offer = Offer::new(&credentials);
        let granted = filled(&wishing(&before), &offer).expect("granted");
        assert_eq!(granted.named_keys()[0].name.as_deref(), Some("paper"));
        let change = change::compare(&before, &granted, &offer).expect("at hand").expect("a change");
        assert_eq!((change.wanted.len(), change.others), (2, 0));
        assert!(change.wanted.iter().any(|key| key.matches(new_key.open())));
        // It is guessed at like any key that is typed, and opens nothing before it is enrolled.
        assert!(offer.random().is_empty() && RecoveryKey.derive(&before, &offer).is_empty());
    }

    #[test]
    fn two_wishes_are_refused() {
        let wish = json!({"type": "modhex64", "wanted": {}});
        let two = record(json!({"userName": "alice", "privileged": {"recoveryKey": [wish, wish]}}));
        let credentials =
            Credentials { new_recovery_key: Some(recovery::encode(&[7; 32])), ..Credentials::default() };
        let refused = filled(&two, &Offer::new(&credentials)).map_err(|why| why.refusal);
        assert_eq!(refused.err(), Some(Refusal::InvalidArgs));
    }
}
