//! Records that the original signed, as they are published; see `vectors/`.

use records::signature::{PublicKey, Trust, Worth};
use records::{Record, Sections};
use serde_json::json;

/// `signtest.json`: from the original's test suite. `grobie.json`: from the specification, as it was signed.
const SIGNTEST: &str = include_str!("vectors/signtest.json");
const SIGNED_TEXT: &str = include_str!("vectors/signtest.signed");
const GROBIE: &str = include_str!("vectors/grobie.json");

fn record(text: &str) -> Record {
    Record::parse(text, Sections::HOST).expect("valid")
}

fn trusting_the_key_of(record: &Record) -> Trust {
    let pem = record.members()["signature"][0]["key"].as_str().expect("a key");
    Trust { others: vec![PublicKey::from_pem(pem).expect("a key")], ..Trust::default() }
}

#[test]
fn signatures_of_the_original_are_good() {
    for text in [SIGNTEST, GROBIE] {
        let record = record(text);
        assert_eq!(trusting_the_key_of(&record).worth(&record), Worth::Foreign);
    }
}

#[test]
fn the_signed_text_is_the_originals() {
    let text = record(SIGNTEST).only(Sections::SIGNED).to_compact();
    assert_eq!(text, SIGNED_TEXT.trim_end());
    assert_eq!(text.len(), 285);
}

#[test]
fn any_change_to_a_signed_member_is_noticed() {
    let original = record(SIGNTEST);
    let trust = trusting_the_key_of(&original);
    for (member, value) in [("lastChangeUSec", json!(1)), ("x-unknown", json!([])), ("locked", json!(false))]
    {
        assert_eq!(trust.worth(&original.with_member(member, value)), Worth::Rejected, "{member}");
    }
    assert_eq!(trust.worth(&original.with_hashed_passwords(vec!["$y$x".into()])), Worth::Rejected);
    assert_eq!(trust.worth(&original.without_member("storage")), Worth::Rejected);
}
