//! What holds for every record, valid or not.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use records::signature::{PrivateKey, Trust, Worth, sign};
use records::{Credentials, HostName, Machine, MachineId, Record, Secret, Section, Sections};
use records::{account, canonical, fields, json, own_changes, reconcile, recovery, userdb};
use serde_json::{Map, Value, json as object};

const HERE: &str = "0123456789abcdef0123456789abcdef";

fn machine() -> Machine {
    Machine { id: MachineId::parse(HERE).expect("valid"), host: HostName("host".into()) }
}

/// Any JSON without real numbers, four levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[^\\x00]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map("[a-zA-Z\"\\\\é]{0,6}", inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// A member that may be known or not, with any value.
fn any_member() -> impl Strategy<Value = (String, Value)> {
    let sections = Section::NAMED.map(|(_, name)| name);
    let known: Vec<&str> = fields::MEMBERS.iter().copied().chain(sections).collect();
    (prop_oneof![proptest::sample::select(known).prop_map(str::to_owned), "x-[a-z]{1,5}"], any_json())
}

/// A valid record with unknown members at several places.
fn any_record() -> impl Strategy<Value = Record> {
    let texts = vec("[a-z./$]{1,9}", 0..3);
    (any_json(), any_json(), texts, any::<u32>(), proptest::option::of(0..200_u64)).prop_map(
        |(unknown, inner, hashes, time, tasks)| {
            let value = object!({
                "userName": "alice", "x-unknown": unknown, "lastChangeUSec": time, "tasksMax": tasks,
                "privileged": {"hashedPassword": hashes, "x-inner": inner},
                "perMachine": [{"matchMachineId": HERE, "x-inner": inner, "shell": "/bin/sh"}],
                "binding": {HERE: {"uid": 60001, "x-inner": inner}},
                "status": {HERE: {"x-inner": unknown}},
            });
            Record::from_value(value, Sections::HOST).expect("valid")
        },
    )
}

proptest! {
    // Signing without optimization takes milliseconds.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn printing_and_reading_keeps_everything(record in any_record()) {
        for text in [record.to_compact(), record.to_pretty()] {
            prop_assert_eq!(&Record::parse(&text, Sections::HOST).expect("valid"), &record);
        }
    }

    #[test]
    fn the_normal_form_is_its_own(value in any_json()) {
        let text = canonical::compact(&value);
        let again = json::parse(&text).expect("JSON");
        prop_assert_eq!(&again, &value);
        prop_assert_eq!(canonical::compact(&again), text);
        prop_assert_eq!(&json::parse(&canonical::pretty(&value)).expect("JSON"), &value);
    }

    #[test]
    fn the_strict_reader_accepts_less_and_reads_the_same(text in "[\\[\\]{}\",:0-9eE+.tfn\\\\u a-]{0,24}") {
        if let Ok(value) = json::parse(&text) {
            prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
        }
    }

    #[test]
    fn whatever_comes_is_refused_or_can_be_used(members in vec(any_member(), 0..6)) {
        let mut all: Map<String, Value> = members.into_iter().collect();
        all.insert("userName".into(), "alice".into());
        if let Ok(record) = Record::from_value(Value::Object(all), Sections::HOST) {
            let settings = record.on(&machine());
            let _ = (settings.effective_image_path(), account::password_verdict(&settings, 1));
            let _ = (userdb::group_record(&record, &machine()), record.recovery_keys());
            prop_assert!(own_changes::only_self_modifiable(&record, &record, &machine()));
            prop_assert_eq!(reconcile::choose(&record, &record, reconcile::Rule::Any).ok(), Some(reconcile::Choice::Same));
        }
    }

    #[test]
    fn a_part_of_the_sections_never_leaks_the_rest(record in any_record()) {
        for keep in [Sections::SIGNED, Sections::EMBEDDED, Sections::HOST, Sections::STRANGER, Sections::REQUEST] {
            let part = record.only(keep);
            for (section, name) in Section::NAMED {
                let expected = record.members().get(name).filter(|_| keep.has(section));
                prop_assert_eq!(part.members().get(name), expected);
            }
        }
        let stranger = record.only(Sections::STRANGER).to_compact();
        prop_assert!(!stranger.contains("hashedPassword"));
    }

    #[test]
    fn what_is_signed_verifies_until_it_is_changed(record in any_record(), seed: [u8; 32], other in any_json()) {
        let key = PrivateKey::from_seed(seed);
        let trust = Trust { local: vec![key.public()], ..Trust::default() };
        let signed = sign(&record, &key).expect("no reals in it");
        prop_assert_eq!(trust.worth(&signed), Worth::Local);
        let changed = signed.with_member("x-unknown", other.clone());
        let same = record.members().get("x-unknown") == Some(&other);
        prop_assert_eq!(trust.worth(&changed), if same { Worth::Local } else { Worth::Rejected });
        let bound = signed.with_status(&machine().id, Map::from_iter([("state".into(), "active".into())]));
        prop_assert_eq!(trust.worth(&bound), Worth::Local);
    }

    #[test]
    fn credentials_survive_json(passwords in vec("[^\\x00]{0,20}", 0..4)) {
        let secrets = passwords.iter().map(|text| Secret::from_text(text.clone())).collect();
        let credentials = Credentials { passwords: secrets, ..Credentials::default() };
        prop_assert_eq!(credentials.check(), Ok(()));
        let back = Credentials::parse(credentials.to_json().open()).expect("valid");
        let back: Vec<_> = back.passwords.iter().map(|secret| secret.open_text().expect("text").to_owned()).collect();
        prop_assert_eq!(back, passwords);
    }

    #[test]
    fn recovery_keys_survive_being_typed(key: [u8; 32], upper: bool, dashes: bool) {
        let written = recovery::encode(&key);
        let mut typed = written.open_text().expect("text").to_owned();
        if upper { typed.make_ascii_uppercase(); }
        if !dashes { typed.retain(|letter| letter != '-'); }
        prop_assert!(recovery::normalize(typed.as_bytes()).expect("a key").matches(written.open()));
    }
}
