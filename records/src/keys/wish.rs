//! A recovery key that is still to be made. Whoever shows one to its user does not hash it: the record has a wish in its place
//! until the worker, which is given the key, makes the hash. A record with a wish is never put in force.

use super::{DETAILS, NamedKey, RECOVERY_KEY, describe, put, take_out_all};
use crate::record::Record;
use serde_json::{Map, Value, json};

/// What an entry has instead of its hash. (PINs of TPMs that are wished for have it, too.)
const WANTED: &str = "wanted";

/// Puts a wish into a record, in the place of all recovery keys: what the key is called, and when it was enrolled (µs since 1970).
pub fn wish_recovery_key(members: &mut Map<String, Value>, name: Option<String>, enrolled_usec: u64) {
    take_out_all(members, RECOVERY_KEY);
    put(members, RECOVERY_KEY, json!({"type": "modhex64", WANTED: {}}));
    let (id, enrolled_usec) = (WANTED.to_owned(), Some(enrolled_usec));
    describe(members, &NamedKey { kind: RECOVERY_KEY, id, name, model: None, enrolled_usec });
}

/// How many recovery keys a record wishes for.
pub fn wished_recovery_keys(record: &Record) -> usize {
    record.keys_of(RECOVERY_KEY.list).iter().filter(|entry| is_wish(entry)).count()
}

/// The record with its wish granted: a key with this crypt(3) hash. What was told of the wish is told of the key.
pub fn grant_recovery_key(record: &Record, hash: &str) -> Record {
    let granted = |entry: &Value| match is_wish(entry) {
        true => json!({"type": entry["type"], RECOVERY_KEY.id: hash}),
        false => entry.clone(),
    };
    let of_wish = |detail: &Value| detail["of"] == RECOVERY_KEY.list && detail["id"] == WANTED;
    let told = |detail: &Value| {
        let mut detail = detail.clone();
        if of_wish(&detail) {
            detail["id"] = json!(hash);
        }
        detail
    };
    let entries: Vec<_> = record.keys_of(RECOVERY_KEY.list).iter().map(granted).collect();
    let details: Vec<_> = record.keys_of(DETAILS).iter().map(told).collect();
    record.with_privileged(RECOVERY_KEY.list, entries.into()).with_privileged(DETAILS, details.into())
}

fn is_wish(entry: &Value) -> bool {
    // What has a hash is a key, whatever else stands in it.
    entry.get(RECOVERY_KEY.id).is_none() && entry.get(WANTED).is_some_and(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sections;

    #[test]
    fn a_wish_takes_the_place_of_all_and_becomes_a_key_with_its_name() {
        let mut members = Map::new();
        members.insert("userName".into(), json!("alice"));
        for hash in ["$y$1", "$y$2"] {
            put(&mut members, RECOVERY_KEY, json!({"type": "modhex64", "hashedPassword": hash}));
        }
        wish_recovery_key(&mut members, Some("paper".into()), 7);
        let record = |members: &Map<String, Value>| {
            Record::from_value(Value::Object(members.clone()), Sections::EMBEDDED).expect("valid")
        };
        let wishing = record(&members);
        assert_eq!((wished_recovery_keys(&wishing), wishing.named_keys().len()), (1, 0));
        assert_eq!(members["recoveryKeyType"], json!(["modhex64"]));
        let granted = record(grant_recovery_key(&wishing, "$y$3").members());
        assert_eq!(wished_recovery_keys(&granted), 0);
        let keys = granted.named_keys();
        let [key] = &keys[..] else { panic!("{keys:?}") };
        assert_eq!(
            (key.id.as_str(), key.name.as_deref(), key.enrolled_usec),
            ("$y$3", Some("paper"), Some(7))
        );
    }

    #[test]
    fn what_has_a_hash_is_a_key_and_stays_one() {
        let entry = json!({"type": "modhex64", "hashedPassword": "$y$1", "wanted": {}});
        let value = json!({"userName": "alice", "privileged": {"recoveryKey": [entry]}});
        let record = Record::from_value(value, Sections::EMBEDDED).expect("valid");
        assert_eq!(wished_recovery_keys(&record), 0);
        let list = RECOVERY_KEY.list;
        assert_eq!(grant_recovery_key(&record, "$y$2").keys_of(list), record.keys_of(list));
    }

    #[test]
    fn what_is_neither_a_key_nor_a_wish_is_no_record() {
        for entry in [json!({"type": "modhex64"}), json!({"type": "modhex64", "wanted": 1})] {
            let value = json!({"userName": "alice", "privileged": {"recoveryKey": [entry]}});
            assert!(Record::from_value(value, Sections::EMBEDDED).is_err());
        }
    }
}
