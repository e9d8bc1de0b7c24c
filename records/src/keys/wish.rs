//! A recovery key that is still to be made. Whoever shows one to its user does not hash it: the record has a wish in its place
//! until the worker, which is given the key, makes the hash. A record with a wish is never put in force.

use super::{DETAILS, NamedKey, RECOVERY_KEY, describe, named, put, sweep, take_out_all};
use crate::record::Record;
use crate::sections::Sections;
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

/// The record that follows this one, with a wish for a recovery key in the place of those it has, and nothing else changed. It
/// is dated `now_usec` (µs since 1970), or after the record where that is later.
pub fn wishing(record: &Record, name: Option<String>, now_usec: u64) -> Record {
    let record = record.only(Sections::SIGNED);
    let usec = now_usec.max(record.last_change_usec().saturating_add(1));
    let mut members = record.members().clone();
    wish_recovery_key(&mut members, name, usec);
    for member in ["lastChangeUSec", "lastPasswordChangeUSec"] {
        members.insert(member.to_owned(), json!(usec));
    }
    record.with_members(members)
}

/// The same with the wish that was made from another record: what has changed since then stays.
pub fn wishing_again(record: &Record, wish: &Record) -> Record {
    let told = named(wish.members(), RECOVERY_KEY, WANTED);
    wishing(record, told.name, told.enrolled_usec.unwrap_or(0))
}

/// The record without its wishes. One that came from elsewhere with a wish has no key for it, and keeps nobody from changing
/// something else.
pub fn without_wishes(record: &Record) -> Record {
    if wished_recovery_keys(record) == 0 {
        return record.clone();
    }
    let mut members = record.members().clone();
    let details = record.keys_of(DETAILS).to_vec();
    take_out_all(&mut members, RECOVERY_KEY);
    let keys = record.keys_of(RECOVERY_KEY.list).iter().filter(|entry| !is_wish(entry));
    keys.for_each(|key| put(&mut members, RECOVERY_KEY, key.clone()));
    let section = members.get_mut("privileged").and_then(Value::as_object_mut);
    section.into_iter().for_each(|section| drop(section.insert(DETAILS.to_owned(), details.clone().into())));
    sweep(&mut members);
    record.with_members(members)
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
    fn a_wish_is_carried_to_the_record_that_is_in_force_by_then() {
        let record = |value: Value| Record::from_value(value, Sections::EMBEDDED).expect("valid");
        let before = record(json!({"userName": "alice", "lastChangeUSec": 5, "signature": []}));
        let wish = wishing(&before, Some("paper".into()), 7);
        let since = json!({"userName": "alice", "lastChangeUSec": 9, "shell": "/bin/sh",
            "privileged": {"hashedPassword": ["$y$1"]}, "signature": []});
        let again = wishing_again(&record(since), &wish);
        assert_eq!((again.last_change_usec(), wished_recovery_keys(&again)), (10, 1));
        assert_eq!(again.members()["shell"], json!("/bin/sh"));
        assert_eq!(again.hashed_passwords(), ["$y$1"]);
        assert!(!again.members().contains_key("signature"), "it is signed anew");
        let granted = grant_recovery_key(&again, "$y$3").named_keys();
        assert_eq!((granted[0].name.as_deref(), granted[0].enrolled_usec), (Some("paper"), Some(10)));
    }

    #[test]
    fn a_wish_that_nobody_grants_goes_and_the_keys_stay() {
        let key = json!({"type": "modhex64", "hashedPassword": "$y$1"});
        let detail = json!({"of": "recoveryKey", "id": "$y$1", "name": "paper"});
        let value = json!({"userName": "alice", "recoveryKeyType": ["modhex64", "modhex64"], "privileged": {
            "recoveryKey": [{"type": "modhex64", "wanted": {}}, key], "keyDetails": [detail]}});
        let record = Record::from_value(value, Sections::EMBEDDED).expect("valid");
        let without = without_wishes(&record);
        assert_eq!(without.keys_of(RECOVERY_KEY.list), [key]);
        assert_eq!(without.members()["recoveryKeyType"], json!(["modhex64"]));
        assert_eq!(without.named_keys()[0].name.as_deref(), Some("paper"));
        assert_eq!(without_wishes(&without), without);
        let alone =
            json!({"userName": "alice", "privileged": {"recoveryKey": [{"type": "modhex64", "wanted": {}}]}});
        let alone = without_wishes(&Record::from_value(alone, Sections::EMBEDDED).expect("valid"));
        assert!(alone.keys_of(RECOVERY_KEY.list).is_empty());
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
