//! Signatures: what they cover, and whose count.

use records::sections::Sections;
use records::signature::{PrivateKey, PublicKey, Trust, Worth, sign};
use records::{Record, canonical};
use serde_json::{Value, json};

/// The signed text of the original's own test record, as its test suite has it.
const SIGNED_TEXT: &str = concat!(
    r#"{"disposition":"regular","enforcePasswordPolicy":false,"lastChangeUSec":1740677608017608,"#,
    r#""lastPasswordChangeUSec":1740677608017608,"privileged":{"hashedPassword":["#,
    r#""$y$j9T$I5Wxfm.fyg.RRWlgWw.rI1$gnQqGtbpPexqxZJkWMq8FxQi5Swc.CWeKtM8LwvEUB6"]},"#,
    r#""storage":"directory","userName":"signtest"}"#
);

fn record(value: Value) -> Record {
    Record::from_value(value, Sections::HOST).expect("valid")
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed([seed; 32])
}

fn trust(local: u8, others: &[u8]) -> Trust {
    Trust {
        local: vec![key(local).public()],
        others: others.iter().map(|seed| key(*seed).public()).collect(),
        ..Trust::default()
    }
}

#[test]
fn the_original_s_record_has_its_signed_text() {
    assert_eq!(SIGNED_TEXT.len(), 285);
    let record = Record::parse(SIGNED_TEXT, Sections::HOST).expect("valid");
    assert_eq!(record.only(Sections::SIGNED).to_compact(), SIGNED_TEXT);
}

#[test]
fn binding_and_status_are_not_covered_but_the_unknown_is() {
    let signed =
        sign(&record(json!({"userName": "alice", "future": {"x": [1]}})), &key(1)).expect("signable");
    let bound = signed.with_binding(
        &records::MachineId::parse(&"a".repeat(32)).expect("valid"),
        serde_json::Map::from_iter([("uid".to_owned(), json!(60001))]),
    );
    assert_eq!(trust(1, &[]).worth(&bound), Worth::Local);
    assert_eq!(trust(1, &[]).worth(&signed.with_member("future", json!({"x": [2]}))), Worth::Rejected);
    assert_eq!(trust(1, &[]).worth(&signed.without_member("future")), Worth::Rejected);
}

#[test]
fn every_verdict_has_its_case() {
    let plain = record(json!({"userName": "alice"}));
    let by = |seed| sign(&plain, &key(seed)).expect("signable");
    let both = by(1).with_member(
        "signature",
        Value::Array(
            [by(1), by(2)]
                .iter()
                .flat_map(|r| r.members()["signature"].as_array().cloned().unwrap_or_default())
                .collect(),
        ),
    );
    for (signed, trust, worth) in [
        (&plain, trust(1, &[]), Worth::Unsigned),
        (&plain, Trust::default(), Worth::Unsigned),
        (&by(1), trust(1, &[]), Worth::Local),
        (&both, trust(1, &[]), Worth::LocalAmongOthers),
        (&by(2), trust(1, &[2]), Worth::Foreign),
        (&by(2), trust(1, &[3]), Worth::Stranger),
        (&by(2), Trust::default(), Worth::Stranger),
        (&by(2).with_member("shell", json!("/bin/other")), trust(1, &[3]), Worth::Rejected),
    ] {
        assert_eq!(trust.worth(signed), worth);
    }
}

#[test]
fn reals_cannot_be_signed() {
    assert!(sign(&record(json!({"userName": "alice", "x": 1.5})), &key(1)).is_err());
}

#[test]
fn keys_survive_pem() {
    let private = PrivateKey::from_pem(key(7).to_pem().open_text().expect("text")).expect("reads");
    assert_eq!(private.public(), key(7).public());
    assert_eq!(PublicKey::from_pem(&key(7).public().to_pem()).expect("reads"), key(7).public());
    assert!(PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----").is_err());
}

#[test]
fn the_canonical_form_is_its_own() {
    let text = canonical::compact(&json!({"z": 1, "a": {"c": [], "b": "ü"}}));
    assert_eq!(text, canonical::compact(&serde_json::from_str(&text).expect("JSON")));
}
