//! A record that takes another one's place: which keys it adds, and which of its keys are at hand.

use super::{KINDS, Offer, Token, count, entries, passwords, travelling};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};

/// How many keys have to be shown that are no passwords, where the last password goes.
const OTHERS: usize = 2;

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
    if travelling(new) == 0 {
        let sentence = "The new record has neither password nor key that works on every machine: a PIN of this computer is not \
                        enough.";
        let none = "The new record has neither password nor key: nothing would open the home any more.";
        let sentence = if count(new) == 0 { none } else { sentence };
        return Err(Refused::new(Refusal::HomeCantAuthenticate, sentence));
    }
    let changed = |kind: &&&dyn Token| entries(**kind, before) != entries(**kind, new);
    // Kinds of which nothing can be changed are told first.
    for kind in KINDS.iter().rev().filter(changed) {
        let is_new = |entry: &&serde_json::Value| !entries(*kind, before).contains(entry);
        entries(*kind, new).iter().filter(is_new).try_for_each(|entry| kind.enrol(entry, offer).map(drop))?;
    }
    if !KINDS.iter().any(|kind| changed(&kind)) {
        return Ok(None);
    }
    if passwords(new) == 0 && passwords(before) > 0 {
        refuse_without_password(new, offer)?;
    }
    let all =
        KINDS.iter().flat_map(|kind| entries(*kind, new).iter().map(|entry| kind.at_hand(entry, offer)));
    let wanted: Vec<Secret> = all.flatten().collect();
    if wanted.is_empty() {
        let sentence =
            "None of the keys that would stay has been shown to open the home: give one of them, too.";
        return Err(Refused::new(Refusal::HomeCantAuthenticate, sentence));
    }
    Ok(Some(Change { others: count(new).saturating_sub(wanted.len()), wanted }))
}

/// The last password goes only where two other keys are here and work: one alone is lost one day.
fn refuse_without_password(new: &Record, offer: &Offer<'_>) -> Result<(), Refused> {
    let travelling = KINDS.iter().filter(|kind| kind.travels());
    let others = travelling.flat_map(|kind| entries(*kind, new).iter().map(|entry| kind.enrol(entry, offer)));
    if others.filter(Result::is_ok).take(OTHERS).count() == OTHERS {
        return Ok(());
    }
    let sentence = "The last password can go only when two other keys have been shown to work: plug in both security \
                    keys, or give the recovery key, too.";
    Err(Refused::new(Refusal::HomeCantAuthenticate, sentence))
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
