use super::*;
use crate::sys::crypt3;
use crate::token::{all_keys, candidates, prove};
use records::credentials::Permitted;
use records::{Credentials, Record, Sections};
use serde_json::json;
use std::cell::RefCell;

/// What cards answer: nobody can be asked, none is named, or this one does so.
type Answered = Result<Option<Result<&'static str, Failure>>, Failure>;

/// Cards that answer so, in this order, from the end.
struct Script(RefCell<Vec<Answered>>);

impl Cards for Script {
    fn answer(
        &self,
        entries: &[Entry],
        given: &Given<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<pkcs11::Asked>, Failure> {
        assert_eq!((entries[0].data.as_slice(), entries[0].padding), (&b"kept"[..], Padding::Pkcs1));
        assert_eq!((given.pins.len(), given.pad), (1, Permitted::Yes));
        let answer = self.0.borrow_mut().pop().expect("not asked again")?;
        Ok(answer.map(|done| {
            let done = done.map(|text| (0, Secret::from_text(text.to_owned()))).and_then(|(at, secret)| {
                if fits(at, &secret) { Ok((at, secret)) } else { Err(Failure::OtherSecret) }
            });
            pkcs11::Asked { token: "Card 5".into(), done }
        }))
    }
}

fn entry() -> Value {
    let hash = crypt3::hash(&Secret::from_text("answer".into())).expect("hashes");
    json!({"uri": "pkcs11:serial=5", "data": STANDARD.encode("kept"), "hashedPassword": hash})
}

fn record(cards: &[Value]) -> Record {
    let hash = crypt3::hash(&Secret::from_text("typed".into())).expect("hashes");
    let value = json!({"userName": "alice", "pkcs11TokenUri": ["pkcs11:serial=5"],
        "privileged": {"hashedPassword": [hash], "pkcs11EncryptedKey": cards}});
    Record::from_value(value, Sections::EMBEDDED).expect("valid")
}

fn credentials(passwords: &[&str]) -> Credentials {
    Credentials {
        passwords: passwords.iter().map(|text| Secret::from_text((*text).to_owned())).collect(),
        token_pins: vec![Secret::from_text("1234".into())],
        protected_authentication_path: Permitted::Yes,
        ..Credentials::default()
    }
}

/// What is tried on key slots, what is told, and how many answers were not asked for.
fn outcome(answers: Vec<Answered>, passwords: &[&str]) -> (Vec<String>, Option<Refusal>, usize) {
    let (record, credentials, cards) =
        (record(&[entry()]), credentials(passwords), Script(RefCell::new(answers)));
    let offer = Offer::with_cards(&credentials, &cards);
    candidates(&record, &offer);
    // A second look, as for another copy of the record.
    let tried = candidates(&record, &offer);
    let tried = tried.iter().map(|key| key.open_text().expect("text").to_owned()).collect();
    let told = prove(&record, &offer).err().map(|refused| refused.refusal);
    (tried, told, cards.0.into_inner().len())
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn who_types_the_password_needs_no_card() {
    assert_eq!(outcome(vec![Ok(Some(Ok("answer")))], &["typed"]), (texts(&["typed"]), None, 1));
}

#[test]
fn a_card_is_asked_once_and_its_key_opens() {
    assert_eq!(outcome(vec![Ok(Some(Ok("answer")))], &[]), (texts(&["answer"]), None, 0));
    assert_eq!(outcome(vec![Ok(Some(Ok("answer")))], &["wrong"]), (texts(&["answer", "wrong"]), None, 0));
}

#[test]
fn a_pin_is_tried_once_in_a_job() {
    for (failure, refusal) in [
        (Failure::BadPin(Tries::Unsaid), Refusal::BadPin),
        (Failure::BadPin(Tries::Few), Refusal::BadPinFewTriesLeft),
        (Failure::BadPin(Tries::One), Refusal::BadPinOneTryLeft),
        (Failure::PinLocked, Refusal::TokenPinLocked),
        (Failure::Timeout, Refusal::TokenActionTimeout),
    ] {
        for typed in [&[][..], &["wrong"]] {
            let told = outcome(vec![Ok(Some(Err(failure.clone())))], typed);
            assert_eq!(told, (texts(typed), Some(refusal), 0), "{failure:?}");
        }
    }
    // One that did not answer at all is not waited for again either.
    assert_eq!(outcome(vec![Err(Failure::Timeout)], &[]).1, Some(Refusal::TokenActionTimeout));
}

#[test]
fn what_a_card_wants_is_told_before_what_was_typed_wrong() {
    for (failure, refusal) in [
        (Failure::PinNeeded, Refusal::TokenPinNeeded),
        (Failure::PadNeeded, Refusal::TokenProtectedAuthenticationPathNeeded),
    ] {
        let answers = vec![Ok(Some(Err(failure.clone()))), Ok(Some(Err(failure)))];
        assert_eq!(outcome(answers, &["wrong"]), (texts(&["wrong"]), Some(refusal), 0));
    }
}

#[test]
fn without_the_card_the_password_is_asked_for() {
    for answer in [
        Ok(None),
        Err(Failure::NoLibrary("x".into())),
        Ok(Some(Ok("another"))),
        Ok(Some(Err(Failure::NoKey))),
        Ok(Some(Err(Failure::Several))),
        Ok(Some(Err(Failure::Broken("x".into())))),
    ] {
        let told = outcome(vec![answer.clone(), answer], &[]);
        assert_eq!(told, (vec![], Some(Refusal::BadPasswordAndNoToken), 0));
    }
}

/// Security keys that must not be asked.
struct Unasked;

impl crate::token::fido2::Keys for Unasked {
    fn answer(
        &self,
        _: &[fido2::Credential],
        _: &fido2::Given<'_>,
        _: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<fido2::Asked>, fido2::Failure> {
        panic!("a PIN that was wrong, or a key that is there, and the next token is asked")
    }
}

#[test]
fn a_pin_that_was_wrong_for_a_card_is_tried_on_no_security_key() {
    let mut record = record(&[entry()]).members().clone();
    record["privileged"]["fido2HmacSalt"] =
        json!([{"credential": "AAAA", "salt": "BBBB", "hashedPassword": "$y$x", "clientPin": true}]);
    let record = Record::from_value(record.into(), Sections::EMBEDDED).expect("valid");
    for (answer, told) in [(Err(Failure::BadPin(Tries::Unsaid)), Some(Refusal::BadPin)), (Ok("answer"), None)]
    {
        let (credentials, cards) = (credentials(&[]), Script(RefCell::new(vec![Ok(Some(answer))])));
        let offer = Offer { keys: &Unasked, ..Offer::with_cards(&credentials, &cards) };
        candidates(&record, &offer);
        assert_eq!(prove(&record, &offer).err().map(|refused| refused.refusal), told);
    }
}

#[test]
fn what_is_enrolled_is_proven_before_it_gets_a_slot() {
    let (record, credentials) = (record(&[entry()]), credentials(&["typed"]));
    let keys = |answer| {
        let cards = Script(RefCell::new(vec![answer]));
        let keys = all_keys(&record, &Offer::with_cards(&credentials, &cards));
        keys.map(|keys| keys.len()).map_err(|refused| refused.refusal)
    };
    assert_eq!(keys(Ok(Some(Ok("answer")))), Ok(2));
    assert_eq!(keys(Ok(Some(Ok("another")))), Err(Refusal::BadPasswordAndNoToken));
    assert_eq!(keys(Ok(None)), Err(Refusal::BadPasswordAndNoToken));
}

#[test]
fn entries_that_are_not_understood_name_no_card() {
    for (member, value) in [("uri", "pkcs11:x-new=1"), ("uri", "file:x"), ("padding", "oaep-sha512")] {
        let mut entry = entry();
        entry[member] = value.into();
        assert!(Pkcs11::read(&entry).is_none(), "{member}={value}");
    }
    let mut newer = entry();
    newer["padding"] = "oaep-sha256".into();
    assert_eq!(Pkcs11::read(&newer).map(|entry| entry.padding), Some(Padding::OaepSha256));
}

#[test]
fn sentences_name_the_card() {
    let text = |failure| refused(&failure, "Card 5").sentence;
    assert_eq!(text(Failure::PinNeeded), "The smart card Card 5 needs its PIN.");
    assert_eq!(
        text(Failure::BadPin(Tries::One)),
        "The PIN of the smart card Card 5 is not right; one try is left."
    );
    assert_eq!(refused(&Failure::PinNeeded, "").sentence, "The smart card needs its PIN.");
}
