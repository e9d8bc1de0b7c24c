//! What opens a home beside its passwords, as people see it: each key with its name, model and date.
//!
//! These are kept in a list of our own, `privileged.keyDetails`, and not in the entries themselves: a key is told from
//! another by its entry, so that a new name would be another key. systemd-homed keeps the list and uses nothing of it; what
//! it says of keys that are gone counts for nothing. It is data for people, whoever wrote it: text that cannot be shown is
//! passed over, and no record is refused for it.

use crate::record::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod wish;

pub use wish::{
    grant_recovery_key, wish_recovery_key, wished_recovery_keys, wishing, wishing_again, without_wishes,
};

/// Member of the section `privileged`.
pub const DETAILS: &str = "keyDetails";
/// Longest name or model, in characters.
const LONGEST: usize = 64;

/// A kind of keys that can have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyKind {
    /// The list in the section `privileged` that has its entries.
    pub list: &'static str,
    /// The member of an entry that tells it from others.
    pub id: &'static str,
    /// The list at the top level that everybody may read.
    pub public: &'static str,
    /// The member of an entry that stands in that list.
    pub shown: &'static str,
    /// What people call it.
    pub words: &'static str,
}

/// Smart cards.
pub const SMART_CARD: KeyKind = KeyKind {
    list: "pkcs11EncryptedKey",
    id: "uri",
    public: "pkcs11TokenUri",
    shown: "uri",
    words: "smart card",
};
/// What a sentence says of a security key that wants a touch after its PIN: whoever asks for the PIN tells that at once, and
/// nothing is begun twice.
pub const AND_A_TOUCH: &str = " and a touch";

/// Security keys.
pub const SECURITY_KEY: KeyKind = KeyKind {
    list: "fido2HmacSalt",
    id: "credential",
    public: "fido2HmacCredential",
    shown: "credential",
    words: "security key",
};
/// PINs of TPMs.
pub const MACHINE_PIN: KeyKind = KeyKind {
    list: "tpm2Pin",
    id: "machineId",
    public: "tpm2PinMachineId",
    shown: "machineId",
    words: "PIN of a computer",
};
/// Recovery keys.
pub const RECOVERY_KEY: KeyKind = KeyKind {
    list: "recoveryKey",
    id: "hashedPassword",
    public: "recoveryKeyType",
    shown: "type",
    words: "recovery key",
};

/// All of them, in the order in which their keys are numbered.
pub const KINDS: [KeyKind; 4] = [SMART_CARD, SECURITY_KEY, MACHINE_PIN, RECOVERY_KEY];

/// What it takes to remove one of a home's keys (`RecoveryForRemoval=`), beside what opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Removal {
    /// Nothing.
    #[default]
    Free,
    /// The recovery key.
    WithRecoveryKey,
}

/// A key of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// Its kind.
    pub kind: KeyKind,
    /// What tells it from others of its kind.
    pub id: String,
    /// What its user calls it.
    pub name: Option<String>,
    /// What its maker calls it.
    pub model: Option<String>,
    /// When it was enrolled, in µs since 1970.
    pub enrolled_usec: Option<u64>,
}

impl NamedKey {
    /// What it is called in a sentence, behind the words for its kind: its name, or else its model.
    pub fn called(&self) -> Option<&str> {
        self.name.as_deref().or(self.model.as_deref())
    }
}

/// Whether a text can be the name of a key: what it is shown on may be a terminal, and `=` and numbers mean something to
/// `homectl`.
pub fn is_name(text: &str) -> bool {
    is_shown(text) && !text.contains('=') && !text.chars().all(|letter| letter.is_ascii_digit())
}

/// A text of a device, without what cannot be shown; `None`: nothing is left.
pub fn tame(text: &str) -> Option<String> {
    let letters = text.trim().chars().filter(|letter| can_be_shown(*letter));
    let text: String = letters.take(LONGEST).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn is_shown(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= LONGEST
        && text.chars().all(can_be_shown)
}

/// Letters, figures, ASCII's marks and the space: no control character, and nothing that changes how others are drawn.
fn can_be_shown(letter: char) -> bool {
    letter == ' ' || letter.is_alphanumeric() || letter.is_ascii_punctuation()
}

impl Record {
    /// The keys that can have names, in order.
    pub fn named_keys(&self) -> Vec<NamedKey> {
        let of_kind = |kind: KeyKind| {
            let ids = self.keys_of(kind.list).iter().filter_map(move |entry| id_of(kind, entry));
            ids.map(move |id| named(self.members(), kind, id))
        };
        KINDS.into_iter().flat_map(of_kind).collect()
    }
}

/// What a record's members tell of one key.
pub fn named(members: &Map<String, Value>, kind: KeyKind, id: &str) -> NamedKey {
    let details = members.get("privileged").and_then(|section| section.get(DETAILS)?.as_array());
    let detail = details.into_iter().flatten().find(|detail| is_of(detail, kind, id));
    let text = |member: &str, fits: fn(&str) -> bool| {
        let text = detail.and_then(|detail| detail.get(member)).and_then(Value::as_str);
        text.filter(|text| fits(text)).map(str::to_owned)
    };
    NamedKey {
        kind,
        id: id.to_owned(),
        name: text("name", is_name),
        model: text("model", is_shown),
        enrolled_usec: detail.and_then(|detail| detail.get("enrolledUSec")).and_then(Value::as_u64),
    }
}

fn id_of(kind: KeyKind, entry: &Value) -> Option<&str> {
    entry.get(kind.id).and_then(Value::as_str)
}

fn is_of(detail: &Value, kind: KeyKind, id: &str) -> bool {
    let is = |member: &str, text: &str| detail.get(member).and_then(Value::as_str) == Some(text);
    is("of", kind.list) && is("id", id)
}

/// Puts an entry of a kind into a record, in the place of one that is the same key.
pub fn put(members: &mut Map<String, Value>, kind: KeyKind, entry: Value) {
    if let Some(id) = id_of(kind, &entry).map(str::to_owned) {
        take_out_entry(members, kind, &id);
    }
    let shown = entry.get(kind.shown).cloned().unwrap_or_default();
    if let Some(public) = list(members, kind.public) {
        public.push(shown);
    }
    if let Some(entries) = privileged_list(members, kind.list) {
        entries.push(entry);
    }
}

/// Takes a key out of a record, with all that is told of it.
pub fn take_out(members: &mut Map<String, Value>, kind: KeyKind, id: &str) {
    take_out_entry(members, kind, id);
    sweep(members);
}

/// Takes all keys of a kind out of a record, with all that is told of them.
pub fn take_out_all(members: &mut Map<String, Value>, kind: KeyKind) {
    members.remove(kind.public);
    if let Some(section) = members.get_mut("privileged").and_then(Value::as_object_mut) {
        section.remove(kind.list);
    }
    sweep(members);
}

fn take_out_entry(members: &mut Map<String, Value>, kind: KeyKind, id: &str) {
    let Some(entries) = privileged_list(members, kind.list) else { return };
    let (gone, stay) = std::mem::take(entries).into_iter().partition(|entry| id_of(kind, entry) == Some(id));
    *entries = stay;
    let gone: Vec<Value> = gone;
    let Some(public) = list(members, kind.public) else { return };
    for shown in gone.iter().filter_map(|entry| entry.get(kind.shown)) {
        if let Some(at) = public.iter().position(|one| one == shown) {
            public.remove(at);
        }
    }
}

/// Sets what is told of a key.
pub fn describe(members: &mut Map<String, Value>, key: &NamedKey) {
    let mut detail = json!({"of": key.kind.list, "id": key.id});
    let texts = [("name", &key.name), ("model", &key.model)];
    for (member, text) in texts.into_iter().filter_map(|(member, text)| Some((member, text.as_ref()?))) {
        detail[member] = json!(text);
    }
    if let Some(usec) = key.enrolled_usec {
        detail["enrolledUSec"] = json!(usec);
    }
    let Some(details) = privileged_list(members, DETAILS) else { return };
    details.retain(|detail| !is_of(detail, key.kind, &key.id));
    details.push(detail);
}

/// Takes out what is told of keys that are gone, and lists that are empty.
pub fn sweep(members: &mut Map<String, Value>) {
    let Some(section) = members.get_mut("privileged").and_then(Value::as_object_mut) else { return };
    let is_there = |section: &Map<String, Value>, detail: &Value| {
        KINDS.into_iter().any(|kind| {
            let entries = section.get(kind.list).and_then(Value::as_array).into_iter().flatten();
            entries.filter_map(|entry| id_of(kind, entry)).any(|id| is_of(detail, kind, id))
        })
    };
    if let Some(Value::Array(mut details)) = section.remove(DETAILS) {
        details.retain(|detail| is_there(section, detail));
        section.insert(DETAILS.to_owned(), Value::Array(details));
    }
    let is_empty = |value: Option<&Value>| value.and_then(Value::as_array).is_some_and(Vec::is_empty);
    for name in KINDS.map(|kind| kind.list).into_iter().chain([DETAILS]) {
        if is_empty(section.get(name)) {
            section.remove(name);
        }
    }
    for kind in KINDS {
        if is_empty(members.get(kind.public)) {
            members.remove(kind.public);
        }
    }
}

/// The list of that name, made where there is none.
fn list<'a>(members: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Vec<Value>> {
    let value = members.entry(name).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut()
}

fn privileged_list<'a>(members: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Vec<Value>> {
    let section = members.entry("privileged").or_insert_with(|| json!({}));
    list(section.as_object_mut()?, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sections;

    fn record(members: &Map<String, Value>) -> Record {
        Record::from_value(Value::Object(members.clone()), Sections::EMBEDDED).expect("valid")
    }

    fn start() -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("userName".into(), json!("alice"));
        put(
            &mut members,
            SECURITY_KEY,
            json!({"credential": "AAAA", "salt": "AAAA", "hashedPassword": "$y$1"}),
        );
        put(&mut members, RECOVERY_KEY, json!({"type": "modhex64", "hashedPassword": "$y$2"}));
        put(&mut members, RECOVERY_KEY, json!({"type": "modhex64", "hashedPassword": "$y$3"}));
        members
    }

    fn named(id: &str, name: &str) -> NamedKey {
        let (name, model) = (Some(name.to_owned()), Some("Key 5".to_owned()));
        NamedKey { kind: SECURITY_KEY, id: id.to_owned(), name, model, enrolled_usec: Some(7) }
    }

    #[test]
    fn a_key_has_what_was_told_of_it_until_it_is_taken_out() {
        let mut members = start();
        describe(&mut members, &named("AAAA", "blue"));
        describe(&mut members, &named("AAAA", "red"));
        let keys = record(&members).named_keys();
        assert_eq!(keys[0], named("AAAA", "red"));
        assert_eq!((keys.len(), keys[1].called()), (3, None));
        take_out(&mut members, SECURITY_KEY, "AAAA");
        take_out(&mut members, RECOVERY_KEY, "$y$2");
        assert_eq!(members["recoveryKeyType"], json!(["modhex64"]));
        assert_eq!(
            members["privileged"],
            json!({"recoveryKey": [{"type": "modhex64", "hashedPassword": "$y$3"}]})
        );
        assert!(!members.contains_key("fido2HmacCredential"));
    }

    #[test]
    fn the_same_key_once_more_takes_the_place_of_the_first() {
        let mut members = start();
        put(
            &mut members,
            SECURITY_KEY,
            json!({"credential": "AAAA", "salt": "BBBB", "hashedPassword": "$y$4"}),
        );
        assert_eq!(members["fido2HmacCredential"], json!(["AAAA"]));
        assert_eq!(members["privileged"]["fido2HmacSalt"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_new_name_is_no_other_key_and_strange_details_are_no_names() {
        let mut members = start();
        let before = record(&members);
        describe(&mut members, &named("AAAA", "blue"));
        assert!(record(&members).opens_like(&before));
        for strange in [
            json!(5),
            json!([5, {"of": 1}, {"of": "fido2HmacSalt", "id": "AAAA", "name": 5, "model": [], "enrolledUSec": "x"}]),
            json!([{"of": "fido2HmacSalt", "id": "AAAA", "name": "a\u{1b}[2J", "model": "\u{202e}b"}]),
            json!([{"of": "fido2HmacSalt", "id": "AAAA", "name": "x".repeat(65)}]),
        ] {
            members["privileged"][DETAILS] = strange;
            let key = &record(&members).named_keys()[0];
            assert_eq!((key.called(), key.enrolled_usec), (None, None));
        }
    }

    #[test]
    fn names_can_be_shown_and_told_from_numbers() {
        for name in ["blue", "Büro 2", "鍵", "x".repeat(64).as_str()] {
            assert!(is_name(name), "{name}");
        }
        for wrong in ["", " blue", "2", "a=b", "a\nb", "a\u{200b}b", "\u{202e}x", "x".repeat(65).as_str()] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
        assert_eq!(tame(" Yubi\u{1b}Key\t5 "), Some("YubiKey5".to_owned()));
        assert_eq!(tame("\u{7}\n"), None);
    }
}
