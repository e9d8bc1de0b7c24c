use super::*;
use crate::token::fido2::Keys;
use crate::token::opener::{Opener, opener};
use crate::token::{candidates, prove};
use fido2::{Credential, Failure, Given};
use records::{Credentials, Refusal, Sections};
use serde_json::json;
use std::cell::Cell;

/// A key that has one credential, and answers so; how often it was asked for anything.
struct One(Result<&'static str, Failure>, Cell<usize>);

impl Keys for One {
    fn answer(
        &self,
        credentials: &[Credential],
        _: &Given<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<fido2::Asked>, Failure> {
        self.1.set(self.1.get() + 1);
        let Some(credential) = credentials.iter().position(|one| one.id == [0, 0, 0]) else {
            return Ok(None);
        };
        let secret = self.0.clone().map(|text| Secret::from_text(text.to_owned()));
        let done =
            secret.and_then(|it| if fits(credential, &it) { Ok(it) } else { Err(Failure::OtherSecret) });
        Ok(Some(fido2::Asked { credential, key: "Key 5".into(), path: "unix:/key".into(), done }))
    }
}

fn entry(credential: &str, answer: &str) -> Value {
    let hash = crypt3::hash(&Secret::from_text(answer.to_owned())).expect("hashes");
    json!({"credential": credential, "salt": "BBBB", "hashedPassword": hash, "up": true})
}

fn record(entries: &[Value]) -> Record {
    let value = json!({"userName": "alice", "privileged": {"fido2HmacSalt": entries}});
    Record::from_value(value, Sections::EMBEDDED).expect("valid")
}

fn nobody() -> Record {
    Record::from_value(json!({"userName": "alice"}), Sections::EMBEDDED).expect("valid")
}

/// What was asked of the storage's word, and what that answer is worth for a record that comes to light.
fn outcome(
    told: &Record,
    record: &Record,
    answer: Result<&'static str, Failure>,
) -> (String, Option<Refusal>) {
    let (keys, credentials) = (One(answer, Cell::new(0)), Credentials::default());
    let offer = Offer::with_keys(&credentials, &keys);
    assert!(candidates(&nobody(), &offer).is_empty() && keys.1.get() == 0, "nobody is asked for nothing");
    let asked = match ask(&beside(&nobody(), questions::of(told)), &offer) {
        Ok(answer) => answer.map_or("nothing".into(), |it| it.open_text().expect("text").to_owned()),
        Err(why) => format!("{:?}", why.refusal),
    };
    (asked, prove(record, &offer).err().map(|why| why.refusal))
}

#[test]
fn an_answer_opens_and_counts_for_the_entry_that_was_asked_alone() {
    let mine = record(&[entry("CCCC", "other"), entry("AAAA", "answer")]);
    assert_eq!(outcome(&mine, &mine, Ok("answer")), ("answer".into(), None));
    // Tried on the slots all the same: it fits no entry.
    let no_token = Some(Refusal::BadPasswordAndNoToken);
    assert_eq!(outcome(&mine, &mine, Ok("else")), ("else".into(), no_token));
    // The hash is the same, and another device was asked, or the same with something else.
    let mut salted = entry("AAAA", "answer");
    salted["salt"] = json!("CCCC");
    for other in [record(&[entry("CCCC", "answer")]), record(&[salted])] {
        assert_eq!(outcome(&mine, &other, Ok("answer")), ("answer".into(), no_token));
    }
}

#[test]
fn what_a_device_wants_is_told() {
    let mine = record(&[entry("AAAA", "answer")]);
    for (failure, refusal) in [
        (Failure::PinNeeded, Refusal::TokenPinNeeded),
        (Failure::PresenceNeeded, Refusal::TokenUserPresenceNeeded),
        (Failure::BadPin(Some(7)), Refusal::BadPin),
    ] {
        let (told, proof) = outcome(&mine, &mine, Err(failure));
        assert_eq!((told.as_str(), proof), (format!("{refusal:?}").as_str(), Some(refusal)));
    }
    let foreign = record(&[entry("CCCC", "answer")]);
    assert_eq!(outcome(&foreign, &mine, Ok("answer")).0, "BadPasswordAndNoToken");
    assert_eq!(outcome(&nobody(), &mine, Ok("answer")).0, "nothing");
}

#[test]
fn what_the_record_says_itself_is_not_asked_again() {
    let (old, new) = (entry("AAAA", "answer"), entry("CCCC", "other"));
    let (before, now) = (record(std::slice::from_ref(&old)), record(&[old, new.clone()]));
    assert_eq!(beside(&now, questions::of(&before)), []);
    assert_eq!(beside(&before, questions::of(&now)), questions::of(&record(&[new])));
}

/// One PIN is tried on one device.
#[test]
fn after_a_wrong_pin_nobody_is_asked() {
    let mine = record(&[entry("AAAA", "answer")]);
    let (keys, credentials) = (One(Err(Failure::BadPin(None)), Cell::new(0)), Credentials::default());
    let offer = Offer::with_keys(&credentials, &keys);
    candidates(&mine, &offer);
    let more = questions::of(&record(&[entry("DDDD", "x")]));
    assert_eq!((ask(&more, &offer).err().map(|why| why.refusal), keys.1.get()), (None, 1));
}

/// Who has opened it is told by the key that fitted, and by no other that was asked.
#[test]
fn the_device_whose_answer_has_opened_it_is_known() {
    let mine = record(&[entry("AAAA", "answer")]);
    let (keys, credentials) = (One(Ok("answer"), Cell::new(0)), Credentials::default());
    let offer = Offer::with_keys(&credentials, &keys);
    candidates(&mine, &offer);
    let opened_by = |text: &str| opener(&offer, &Secret::from_text(text.to_owned()));
    assert_eq!(opened_by("answer"), Opener::Device("/key".into()));
    assert_eq!(opened_by("typed"), Opener::Typed);
    let card = KINDS.into_iter().find(|kind| kind.member() == "pkcs11EncryptedKey").expect("known");
    offer.keep(card, json!({}), Secret::from_text("card".into()));
    assert_eq!(opened_by("card"), Opener::Somewhere);
    let pin = KINDS.into_iter().find(|kind| kind.member() == "tpm2Pin").expect("known");
    offer.keep(pin, json!({}), Secret::from_text("pin".into()));
    assert_eq!(opened_by("pin"), Opener::Typed, "it is not pulled out");
}
