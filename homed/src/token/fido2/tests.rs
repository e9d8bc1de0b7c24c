use super::*;
use crate::sys::crypt3;
use crate::token::{candidates, prove};
use records::{Credentials, Record, Sections};
use serde_json::json;
use std::cell::RefCell;

/// What keys answer: nobody can be asked, none has the credential, or this one does so.
type Answered = Result<Option<Result<&'static str, Failure>>, Failure>;

/// Keys that answer so, once.
struct Script(RefCell<Vec<Answered>>);

impl Script {
    fn was_asked(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

impl Keys for Script {
    fn answer(
        &self,
        credentials: &[Credential],
        _: &Given<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<fido2::Asked>, Failure> {
        assert_eq!((credentials[0].pin, credentials[0].verification), (Some(true), None));
        let answer = self.0.borrow_mut().pop().expect("asked once")?;
        Ok(answer.map(|done| {
            let done = done
                .map(|text| Secret::from_text(text.to_owned()))
                .and_then(|secret| if fits(0, &secret) { Ok(secret) } else { Err(Failure::OtherSecret) });
            fido2::Asked { credential: 0, key: "Key 5".into(), path: String::new(), done }
        }))
    }
}

fn record() -> Record {
    let hash = |text: &str| crypt3::hash(&Secret::from_text(text.to_owned())).expect("hashes");
    let entry = json!({"credential": "AAAA", "salt": "BBBB", "hashedPassword": hash("answer"), "up": true,
        "clientPin": true});
    let value = json!({"userName": "alice", "fido2HmacCredential": ["AAAA"],
        "privileged": {"hashedPassword": [hash("typed")], "fido2HmacSalt": [entry]}});
    Record::from_value(value, Sections::EMBEDDED).expect("valid")
}

fn typed(texts: &[&str]) -> Credentials {
    let passwords = texts.iter().map(|text| Secret::from_text((*text).to_owned())).collect();
    Credentials { passwords, ..Credentials::default() }
}

/// What is tried on key slots, what is told, and whether a key was asked.
fn outcome(answer: Answered, texts: &[&str]) -> (Vec<String>, Option<Refusal>, bool) {
    let (record, credentials, keys) = (record(), typed(texts), Script(RefCell::new(vec![answer])));
    let offer = Offer::with_keys(&credentials, &keys);
    let tried = candidates(&record, &offer);
    let tried = tried.iter().map(|key| key.open_text().expect("text").to_owned()).collect();
    let told = prove(&record, &offer).err().map(|refused| refused.refusal);
    (tried, told, keys.was_asked())
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn who_types_the_password_touches_nothing() {
    assert_eq!(outcome(Ok(Some(Ok("answer"))), &["typed"]), (texts(&["typed"]), None, false));
}

#[test]
fn a_key_is_asked_once_and_its_answer_opens() {
    assert_eq!(outcome(Ok(Some(Ok("answer"))), &[]), (texts(&["answer"]), None, true));
    assert_eq!(outcome(Ok(Some(Ok("answer"))), &["wrong"]), (texts(&["answer", "wrong"]), None, true));
}

#[test]
fn what_the_key_wants_is_told_before_what_was_typed_wrong() {
    for (failure, refusal) in [
        (Failure::PinNeeded, Refusal::TokenPinNeeded),
        (Failure::PresenceNeeded, Refusal::TokenUserPresenceNeeded),
        (Failure::VerificationNeeded, Refusal::TokenUserVerificationNeeded),
        (Failure::BadPin(Some(7)), Refusal::BadPin),
        (Failure::BadPin(None), Refusal::BadPin),
        (Failure::BadPin(Some(3)), Refusal::BadPinFewTriesLeft),
        (Failure::BadPin(Some(1)), Refusal::BadPinOneTryLeft),
        (Failure::PinLocked(true), Refusal::TokenPinLocked),
        (Failure::PinLocked(false), Refusal::TokenPinLocked),
        (Failure::Timeout, Refusal::TokenActionTimeout),
    ] {
        for typed in [&[][..], &["wrong"]] {
            let told = outcome(Ok(Some(Err(failure.clone()))), typed);
            assert_eq!(told, (texts(typed), Some(refusal), true), "{failure:?}");
        }
    }
}

#[test]
fn without_the_key_the_password_is_asked_for() {
    for answer in [
        Ok(None),
        Err(Failure::NoLibrary("x".into())),
        Ok(Some(Ok("another"))),
        Ok(Some(Err(Failure::Broken("x".into())))),
    ] {
        let told = outcome(answer, &[]);
        assert_eq!(told, (vec![], Some(Refusal::BadPasswordAndNoToken), true));
    }
}

#[test]
fn sentences_name_the_key() {
    let text = |failure| refused(&failure, "Key 5").sentence;
    assert_eq!(text(Failure::PresenceNeeded), "Touch the security key Key 5.");
    assert_eq!(
        text(Failure::BadPin(Some(2))),
        "The PIN of the security key Key 5 is not right; 2 tries are left."
    );
    assert_eq!(refused(&Failure::PresenceNeeded, "").sentence, "Touch the security key.");
}
