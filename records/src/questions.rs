//! What security keys and smart cards are asked with: what a record says of them, without the hashes.
//!
//! The record beside the key slots is encrypted with what the key slots give, so that a machine without a copy of it knows
//! neither which device opens the home nor what that has to be asked. The header says that much in the clear
//! (`docs/ON-DISK.md`). It is believed only as a hint whom to ask: anybody who can write the image can have put it there. So
//! there are few of them, short ones, and what has another shape is passed over.

use crate::Record;
use crate::keys::{SECURITY_KEY, SMART_CARD};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// So many of each kind are told and read: each that is read costs whoever asks some ms for each device.
const MOST: usize = 16;
/// Longest credential of a security key, in bytes (CTAP 2.1: `maxCredentialIdLength`; those of today have 64 to 300).
const CREDENTIAL: usize = 1024;
/// Longest salt, in bytes (CTAP 2.1, hmac-secret: one or two of 32 bytes).
const SALT: usize = 64;
/// Longest URI of a smart card, in bytes.
const URI: usize = 1024;
/// Longest text that a smart card decrypts, in bytes: RSA with 16384 bits.
const DATA: usize = 2048;
/// Longest name of a padding, in bytes.
const PADDING: usize = 32;

/// What one device is asked with.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The list of `privileged` that has the key's entry.
    pub list: &'static str,
    /// The entry without its hash.
    pub entry: Value,
}

/// What an entry of one kind is asked with.
struct Form {
    list: &'static str,
    members: &'static [(&'static str, Has)],
}

/// What a member is.
#[derive(Clone, Copy)]
enum Has {
    /// Base64 of no more than so many bytes.
    Bytes(usize),
    /// A URI that names a token: what names none would have whichever is plugged in asked.
    Token,
    /// Text of no more than so many bytes, or nothing.
    Perhaps(usize),
    /// Yes, no, or nothing.
    Flag,
}

const FORMS: [Form; 2] = [
    Form {
        list: SMART_CARD.list,
        members: &[("uri", Has::Token), ("data", Has::Bytes(DATA)), ("padding", Has::Perhaps(PADDING))],
    },
    Form {
        list: SECURITY_KEY.list,
        members: &[
            ("credential", Has::Bytes(CREDENTIAL)),
            ("salt", Has::Bytes(SALT)),
            ("up", Has::Flag),
            ("uv", Has::Flag),
            ("clientPin", Has::Flag),
        ],
    },
];

impl Question {
    /// What an entry of this list is asked with; `None`: it is no device's, or not told.
    pub fn of(list: &str, entry: &Value) -> Option<Self> {
        let form = FORMS.iter().find(|form| form.list == list)?;
        let mut asked = Map::new();
        for (name, has) in form.members {
            match entry.get(name).filter(|value| !value.is_null()) {
                Some(value) if has.fits(value) => drop(asked.insert((*name).to_owned(), value.clone())),
                None if has.may_be_missing() => {}
                Some(_) | None => return None,
            }
        }
        Some(Self { list: form.list, entry: Value::Object(asked) })
    }
}

impl Has {
    fn fits(self, value: &Value) -> bool {
        let text = |most: usize| {
            value.as_str().filter(|text| text.len() <= most && !text.chars().any(char::is_control))
        };
        match self {
            Self::Flag => value.is_boolean(),
            Self::Perhaps(most) => text(most).is_some(),
            Self::Token => text(URI).is_some_and(names_a_token),
            Self::Bytes(most) => text(most.div_ceil(3) * 4)
                .and_then(|text| STANDARD.decode(text).ok())
                .is_some_and(|bytes| !bytes.is_empty() && bytes.len() <= most),
        }
    }

    fn may_be_missing(self) -> bool {
        matches!(self, Self::Flag | Self::Perhaps(_))
    }
}

/// Whether a PKCS#11 URI (RFC 7512) says in its path which token is meant. One that does not fits every token, and each would be
/// given the PIN.
fn names_a_token(uri: &str) -> bool {
    let path = uri.strip_prefix("pkcs11:").and_then(|rest| rest.split('?').next()).unwrap_or_default();
    let value =
        |part: &str| ["serial=", "token="].iter().find_map(|name| part.strip_prefix(name).map(str::len));
    path.split(';').filter_map(value).any(|length| length > 0)
}

/// What the devices of a record are asked with. Of more than are told of one kind those that were added last.
pub fn of(record: &Record) -> Vec<Question> {
    let of_kind = |form: &Form| {
        let all = record.keys_of(form.list).iter().filter_map(|entry| Question::of(form.list, entry));
        let all: Vec<Question> = all.collect();
        all[all.len().saturating_sub(MOST)..].to_vec()
    };
    FORMS.iter().flat_map(of_kind).collect()
}

/// As an object, list by list; an empty one where there are none.
pub fn to_value(questions: &[Question]) -> Value {
    let mut lists = Map::new();
    for question in questions {
        let list = lists.entry(question.list).or_insert_with(|| Value::Array(Vec::new()));
        list.as_array_mut().into_iter().for_each(|list| list.push(question.entry.clone()));
    }
    Value::Object(lists)
}

/// What such an object says, whoever has made it: what has another shape is passed over, and so is what is too much.
pub fn read(value: &Value) -> Vec<Question> {
    let of_kind = |form: &Form| -> Vec<Question> {
        let entries = value.get(form.list).and_then(Value::as_array).into_iter().flatten();
        entries.take(MOST).filter_map(|entry| Question::of(form.list, entry)).collect()
    };
    FORMS.iter().flat_map(of_kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sections;
    use serde_json::json;

    fn record(privileged: Value) -> Record {
        Record::from_value(json!({"userName": "alice", "privileged": privileged}), Sections::EMBEDDED)
            .expect("valid")
    }

    fn key(credential: &str) -> Value {
        json!({"credential": credential, "salt": "c2FsdA==", "hashedPassword": "$y$hash", "up": true, "clientPin": null})
    }

    #[test]
    fn devices_are_told_without_anything_to_guess_at() {
        let record = record(json!({
            "passwordHint": "pet", "hashedPassword": ["$y$password"],
            "recoveryKey": [{"type": "modhex64", "hashedPassword": "$y$recovery"}],
            "pkcs11EncryptedKey": [{"uri": "pkcs11:serial=7;token=badge", "data": "AAAA", "hashedPassword": "$y$card",
                "padding": "oaep-sha1", "note": "x"}],
            "fido2HmacSalt": [key("AAAA"), key("BBBB")],
            "keyDetails": [{"of": "fido2HmacSalt", "id": "AAAA", "name": "blue"}],
        }));
        let told = to_value(&of(&record));
        let asked = |credential: &str| json!({"credential": credential, "salt": "c2FsdA==", "up": true});
        assert_eq!(
            told,
            json!({
                "pkcs11EncryptedKey": [{"uri": "pkcs11:serial=7;token=badge", "data": "AAAA", "padding": "oaep-sha1"}],
                "fido2HmacSalt": [asked("AAAA"), asked("BBBB")],
            })
        );
        assert_eq!(read(&told), of(&record));
        let text = told.to_string();
        assert!(["$y$", "pet", "blue", "alice", "hashed"].iter().all(|secret| !text.contains(secret)));
        assert_eq!(Question::of("fido2HmacSalt", &key("BBBB")).as_ref(), read(&told).last());
        assert_eq!(to_value(&of(&self::record(json!({"hashedPassword": ["$y$x"]})))), json!({}));
    }

    #[test]
    fn of_more_than_are_told_the_newest_are() {
        let many: Vec<Value> =
            (0..20).map(|at| key(&STANDARD.encode([u8::try_from(at).expect("few")]))).collect();
        let told = of(&record(json!({"fido2HmacSalt": many})));
        assert_eq!(told.len(), MOST);
        assert_eq!(told.last(), Question::of("fido2HmacSalt", &many[19]).as_ref());
    }

    #[test]
    fn what_a_stranger_has_written_is_passed_over_where_it_has_another_shape() {
        let (good, long) = (key("AAAA"), "A".repeat(4096));
        for hostile in [
            json!(null),
            json!(7),
            json!([good]),
            json!({"fido2HmacSalt": good}),
            json!({"fido2HmacSalt": [null, 7, "x", [], {}]}),
            json!({"fido2HmacSalt": [{"credential": "AAAA"}]}),
            json!({"fido2HmacSalt": [{"credential": "", "salt": "AAAA"}]}),
            json!({"fido2HmacSalt": [{"credential": "?", "salt": "AAAA"}]}),
            json!({"fido2HmacSalt": [{"credential": 7, "salt": "AAAA"}]}),
            json!({"fido2HmacSalt": [{"credential": long, "salt": "AAAA"}]}),
            json!({"fido2HmacSalt": [{"credential": "AAAA", "salt": long}]}),
            json!({"fido2HmacSalt": [{"credential": "AAAA", "salt": "AAAA", "up": 1}]}),
            json!({"fido2HmacSalt": [{"credential": "AAAA", "salt": "AAAA", "uv": "yes"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:", "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:object=x", "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "file:serial=1", "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:?x=token=", "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:?serial=1", "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:library-description=token=1", "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:serial=;token=", "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:serial=1\n", "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": format!("pkcs11:serial={long}"), "data": "AAAA"}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:serial=1", "data": "A".repeat(8192)}]}),
            json!({"pkcs11EncryptedKey": [{"uri": "pkcs11:serial=1", "data": "AAAA", "padding": long}]}),
            json!({"hashedPassword": ["$y$x"], "tpm2Pin": [good], "fido2HmacSalts": [good]}),
        ] {
            assert_eq!(read(&hostile), [], "{hostile}");
        }
        let many = json!({"fido2HmacSalt": vec![good.clone(); 100_000], "pkcs11EncryptedKey": [good]});
        assert_eq!(read(&many).len(), MOST);
        // One that is broken keeps no other from being asked.
        assert_eq!(read(&json!({"fido2HmacSalt": [7, good]})).len(), 1);
    }
}
