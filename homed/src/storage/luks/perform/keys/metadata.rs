//! Key slots and marks as a LUKS2 header has them in its metadata: JSON, which other programs write too.

use crate::job::{Context, Failure};
use crate::storage::derive;
use crate::storage::luks::opened::emergency;
use crate::storage::luks::plan::keys::{
    Claim, Copies, Digest, Header, Mark, Named, Priority, SLOTS, Salt, Situation, Slot, Standing,
};
use crate::storage::luks::record_token;
use crate::sys::cryptsetup::Luks;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openssl::sha::sha256;
use records::privileged::KINDS_OF_KEYS;
use records::{Record, Secret};
use serde_json::{Map, Value, json};

/// So many kinds of keys earlier versions told a record by.
const FORMER: usize = 2;
/// The type of a mark's token; other programs leave what they do not know alone.
pub const MARK: &str = "homed-keys";
/// LUKS2's number for a slot that is neither preferred nor ignored.
const NORMAL: u64 = 1;

/// Tokens of homed itself.
const OWN: [&str; 2] = [MARK, record_token::KIND];

/// The key slots and marks of a header.
pub fn situation(luks: &mut Luks) -> Result<(Vec<Slot>, Vec<Standing>), Failure> {
    let metadata = luks.metadata().during("reading the encryption header")?;
    let members = |name: &str| metadata.get(name).and_then(Value::as_object);
    let tokens = numbered(members("tokens"));
    let claims: Vec<u32> =
        tokens.iter().filter(|token| !is_own(token.1)).flat_map(|t| keyslots(t.1)).collect();
    let slots = numbered(members("keyslots")).into_iter().map(|(number, slot)| {
        let claim = if claims.contains(&number) { Claim::Token } else { Claim::None };
        described(number, slot, claim)
    });
    let marks = tokens.iter().filter(|token| kind(token.1) == MARK);
    let marks = marks.map(|(token, value)| Standing { token: *token, mark: read(value) });
    Ok((slots.collect(), marks.collect()))
}

/// Whether a header has a change that was cut short, as far as that is told without a key.
pub fn is_cut_short(luks: &mut Luks) -> Result<bool, Failure> {
    let (slots, marks) = situation(luks)?;
    let (header, copies) = (Header::Unreadable, Copies::Written);
    Ok(Situation { slots, marks, header, copies }.is_cut_short())
}

fn numbered(members: Option<&Map<String, Value>>) -> Vec<(u32, &Value)> {
    let all = members.into_iter().flatten();
    let mut all: Vec<_> = all.filter_map(|(name, value)| Some((name.parse().ok()?, value))).collect();
    all.sort_by_key(|entry| entry.0);
    all
}

fn kind(token: &Value) -> &str {
    token["type"].as_str().unwrap_or_default()
}

fn is_own(token: &Value) -> bool {
    OWN.contains(&kind(token)) || emergency::is_own(token)
}

fn keyslots(token: &Value) -> Vec<u32> {
    let all = token["keyslots"].as_array().into_iter().flatten();
    all.filter_map(|number| number.as_str()?.parse().ok()).collect()
}

fn described(number: u32, slot: &Value, claim: Claim) -> Slot {
    let salt = Salt(slot["kdf"]["salt"].as_str().unwrap_or_default().into());
    let usual = slot["priority"].as_u64().is_none_or(|priority| priority == NORMAL);
    Slot { number, salt, priority: if usual { Priority::Normal } else { Priority::Other }, claim }
}

/// The mark as a token.
pub fn token(mark: &Mark) -> Value {
    let old: Vec<_> =
        mark.old.iter().map(|named| json!({"slot": named.slot, "salt": named.salt.0})).collect();
    let mut token = json!({"type": MARK, "keyslots": [], "old": old, "new": mark.new, "after": mark.after.0});
    if let Some(before) = &mark.before {
        token["before"] = json!(before.0);
    }
    token
}

/// The mark in a token; `None` where an earlier version wrote it, or somebody else.
fn read(token: &Value) -> Option<Mark> {
    let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    let named = |value: &Value| {
        let salt = value["salt"].as_str().filter(|salt| !salt.is_empty())?;
        Some(Named { slot: number(&value["slot"])?, salt: Salt(salt.into()) })
    };
    let digest = |name: &str| Some(Digest(token[name].as_str()?.into()));
    Some(Mark {
        old: token["old"].as_array()?.iter().map(named).collect::<Option<_>>()?,
        // Others may have given any number to theirs, we have not.
        new: token["new"]
            .as_array()?
            .iter()
            .map(|new| number(new).filter(|new| *new < SLOTS))
            .collect::<Option<_>>()?,
        before: digest("before"),
        after: digest("after")?,
    })
}

/// The mark as text, for storage that has no tokens.
pub fn mark_text(mark: &Mark) -> String {
    token(mark).to_string()
}

/// The mark in a text; `None` where it is none.
pub fn mark_of(text: &[u8]) -> Option<Mark> {
    read(&serde_json::from_slice(text).ok()?)
}

/// What tells the keys of a record, to whoever has the volume key and to nobody else. `id` is the storage's.
pub fn digest(record: &Record, id: &[u8], volume_key: &Secret) -> Result<Digest, Failure> {
    let keys = json!(hashes(record)).to_string();
    let purpose = format!("homed-keys {}", BASE64_STANDARD.encode(sha256(keys.as_bytes())));
    let digest = derive::hkdf(volume_key, id, &purpose, 32)?;
    Ok(Digest(BASE64_STANDARD.encode(digest.open()).into()))
}

/// The hashes of each kind of key. Where there are none of the kinds that earlier versions left out, their marks are told
/// by the same as ours.
fn hashes(record: &Record) -> Vec<Vec<&str>> {
    let hash = |entry| Value::as_str(entry).or(entry["hashedPassword"].as_str());
    let of_kind = |kind: &&str| record.keys_of(kind).iter().filter_map(hash).collect();
    let mut all: Vec<Vec<&str>> = KINDS_OF_KEYS.iter().map(of_kind).collect();
    while all.len() > FORMER && all.last().is_some_and(Vec::is_empty) {
        all.pop();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Sections;

    /// Without the kinds beside passwords and recovery keys a change of tokens that was cut short was told by nothing: a slot
    /// that was never told of stayed, and that of a token that was removed opened the image for ever.
    #[test]
    fn the_keys_of_all_kinds_tell_a_record() {
        let with = |kinds: &[&str]| {
            let mut value = json!({"userName": "alice", "privileged": {}});
            for kind in kinds {
                let hash = format!("$y${kind}");
                let entry = match *kind {
                    "hashedPassword" => json!(hash),
                    "recoveryKey" => json!({"type": "modhex64", "hashedPassword": hash}),
                    "pkcs11EncryptedKey" => json!({"uri": "pkcs11:", "data": "AAAA", "hashedPassword": hash}),
                    "fido2HmacSalt" => json!({"credential": "AAAA", "salt": "AAAA", "hashedPassword": hash}),
                    _ => json!({
                        "machineId": "0123456789abcdef0123456789abcdef", "srk": "AAAA", "public": "AAAA",
                        "private": "AAAA", "salt": "AAAA", "pcrs": [], "hashedPassword": hash,
                        "argon2id": {"memoryKiB": 8, "iterations": 1, "lanes": 1},
                    }),
                };
                value["privileged"][kind] = json!([entry]);
            }
            let record = Record::from_value(value, Sections::EMBEDDED).expect("valid");
            json!(hashes(&record)).to_string()
        };
        let mut all = vec![with(&[])];
        all.extend((1..=KINDS_OF_KEYS.len()).map(|count| with(&KINDS_OF_KEYS[..count])));
        all.extend(KINDS_OF_KEYS[1..].iter().map(|kind| with(&[kind])));
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
        // As earlier versions had it.
        assert_eq!(with(&KINDS_OF_KEYS[..2]), r#"[["$y$hashedPassword"],["$y$recoveryKey"]]"#);
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let named = Named { slot: 0, salt: Salt("c2FsdA==".into()) };
        let mark = Mark {
            old: vec![named],
            new: vec![31],
            before: Some(Digest("b".into())),
            after: Digest("a".into()),
        };
        assert_eq!(read(&token(&mark)), Some(mark.clone()));
        let adopted = Mark { before: None, ..mark };
        assert_eq!(read(&token(&adopted)), Some(adopted));
    }

    /// A folder with such a slot could not have its password changed: the mark of the change was none, and so never done.
    #[test]
    fn a_slot_that_goes_may_have_any_number() {
        let named = Named { slot: 4_000_000_000, salt: Salt("c2FsdA==".into()) };
        let mark = Mark { old: vec![named], new: vec![0], before: None, after: Digest("a".into()) };
        assert_eq!(mark_of(mark_text(&mark).as_bytes()), Some(mark));
    }

    #[test]
    fn what_is_no_mark_of_this_kind_is_not_taken_for_one() {
        let mark = json!({"old": [{"slot": 0, "salt": "x"}], "new": [31], "after": "a"});
        assert!(read(&mark).is_some());
        for (name, value) in [
            ("old", json!(null)),
            ("old", json!([{"slot": 0}])),
            ("old", json!([{"slot": 0, "salt": ""}])),
            ("old", json!([{"slot": -1, "salt": "x"}])),
            ("old", json!([{"slot": u64::MAX, "salt": "x"}])),
            ("new", json!([32])),
            ("new", json!([-1])),
            ("new", json!("31")),
            ("after", json!(null)),
        ] {
            let mut broken = mark.clone();
            broken[name] = value;
            assert_eq!(read(&broken), None, "{name}");
        }
        assert_eq!(read(&json!({"type": MARK, "keyslots": [], "lastChangeUSec": 7})), None);
    }

    #[test]
    fn a_slot_is_read_with_what_others_say_of_it() {
        let slot = json!({"type": "luks2", "kdf": {"type": "argon2id", "salt": "abc="}, "priority": 2});
        let read = described(3, &slot, Claim::None);
        assert_eq!((read.salt, read.priority), (Salt("abc=".into()), Priority::Other));
        assert_eq!(described(3, &json!({}), Claim::None).priority, Priority::Normal);
    }
}
