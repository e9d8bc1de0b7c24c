use super::*;
use crate::token::change::compare;
use crate::token::{all_keys, candidates, filled, opened, prove};
use records::{Credentials, Sections};
use std::cell::{Cell, RefCell};

const ID: &str = "11111111111111111111111111111111";
const OTHER: &str = "22222222222222222222222222222222";

/// A computer whose TPM gives this, once; what it was asked for is kept.
#[derive(Default)]
struct Fake {
    answers: RefCell<Vec<Result<&'static str, Stopped>>>,
    tried: RefCell<Vec<String>>,
    forgave: Cell<bool>,
}

impl Fake {
    fn new(answer: Result<&'static str, Stopped>) -> Self {
        Self { answers: vec![answer].into(), ..Self::default() }
    }

    fn answer(&self, pin: &Secret) -> Result<Secret, Stopped> {
        self.tried.borrow_mut().push(pin.open_text().expect("text").to_owned());
        self.answers.borrow_mut().pop().expect("asked once").map(|text| Secret::from_text(text.to_owned()))
    }
}

impl Computer for Fake {
    fn id(&self) -> Option<String> {
        Some(ID.into())
    }

    fn unseal(&self, _: &UserName, _: &Sealed, pin: &Secret) -> Result<Secret, Stopped> {
        self.answer(pin)
    }

    fn seal(&self, _: &str, pin: &Secret, pcrs: &[u8]) -> Result<(Sealed, Secret), Failure> {
        let cost = Cost { memory: 8, passes: 1, lanes: 1 };
        let some = || vec![1];
        let sealed =
            Sealed { srk: some(), public: some(), private: some(), salt: some(), cost, pcrs: pcrs.to_vec() };
        match self.answer(pin) {
            Ok(secret) => Ok((sealed, secret)),
            Err(Stopped::At(failure)) => Err(failure),
            Err(Stopped::TooOften) => unreachable!("sealing is no try"),
        }
    }

    fn forgive(&self, _: &UserName) {
        self.forgave.set(true);
    }
}

fn hash(text: &str) -> String {
    crypt3::hash(&Secret::from_text(text.to_owned())).expect("hashes")
}

fn entry(id: &str) -> Value {
    json!({"machineId": id, "srk": "AAAA", "public": "AAAA", "private": "AAAA", "salt": "AAAA", "pcrs": [],
        "argon2id": {"memoryKiB": 8, "iterations": 1, "lanes": 1}, "hashedPassword": hash("unsealed")})
}

fn record(passwords: &[&str], entries: &[Value]) -> Record {
    let hashes: Vec<_> = passwords.iter().map(|text| hash(text)).collect();
    let value = json!({"userName": "alice", "privileged": {"hashedPassword": hashes, "tpm2Pin": entries}});
    Record::from_value(value, Sections::EMBEDDED).expect("valid")
}

fn given(passwords: &[&str], pins: &[&str]) -> Credentials {
    let secrets = |texts: &[&str]| texts.iter().map(|text| Secret::from_text((*text).to_owned())).collect();
    Credentials { passwords: secrets(passwords), token_pins: secrets(pins), ..Credentials::default() }
}

fn offer<'a>(credentials: &'a Credentials, computer: &'a Fake) -> Offer<'a> {
    Offer { computer, ..Offer::new(credentials) }
}

fn texts(keys: &[Secret]) -> Vec<&str> {
    keys.iter().map(|key| key.open_text().expect("text")).collect()
}

#[test]
fn what_is_typed_is_a_password_first_and_then_a_pin() {
    let record = record(&["typed"], &[entry(ID)]);
    for (typed, tried, keys, forgave) in
        [("typed", &[][..], &["typed"][..], true), ("1234", &["1234"], &["unsealed", "1234"], false)]
    {
        let (computer, credentials) = (Fake::new(Ok("unsealed")), given(&[typed], &[typed]));
        let offer = offer(&credentials, &computer);
        assert_eq!(texts(&candidates(&record, &offer)), keys);
        assert_eq!(*computer.tried.borrow(), tried);
        let proven = prove(&record, &offer).expect("proven");
        assert_eq!(texts(&proven), keys[..1]);
        // Only what is not the PIN itself has the PIN tried again.
        opened(&record, &offer, &proven);
        assert_eq!(computer.forgave.get(), forgave);
    }
}

#[test]
fn the_tpm_is_not_asked_without_a_pin_or_for_another_machine() {
    for (entries, pins) in [(vec![entry(ID)], &[][..]), (vec![entry(OTHER)], &["1234"]), (vec![], &["1234"])]
    {
        let (computer, credentials) = (Fake::default(), given(&["wrong"], pins));
        let offer = offer(&credentials, &computer);
        let record = record(&["right"], &entries);
        candidates(&record, &offer);
        let refused = prove(&record, &offer).err().expect("nothing fits");
        assert_eq!(refused, Refusal::BadPassword.into());
    }
}

#[test]
fn what_is_wrong_is_told_in_one_sentence_and_the_password_is_asked_for() {
    let sentences: std::collections::BTreeSet<String> = [
        Stopped::TooOften,
        Stopped::At(Failure::BadPin),
        Stopped::At(Failure::NoDevice("x".into())),
        Stopped::At(Failure::OtherTpm),
        Stopped::At(Failure::PcrsChanged),
        Stopped::At(Failure::LockedOut),
        Stopped::At(Failure::NearLockout),
        Stopped::At(Failure::NotCounted("x".into())),
    ]
    .into_iter()
    .map(|stopped| {
        let (computer, credentials) = (Fake::new(Err(stopped)), given(&["1234"], &["1234"]));
        let offer = offer(&credentials, &computer);
        let record = record(&["right"], &[entry(ID)]);
        assert_eq!(texts(&candidates(&record, &offer)), ["1234"]);
        let refused = prove(&record, &offer).err().expect("nothing fits");
        assert_eq!(refused.refusal, Refusal::BadPassword);
        refused.sentence
    })
    .collect();
    assert_eq!(sentences.len(), 8);
}

#[test]
fn a_tpm_that_gives_something_else_opens_nothing() {
    let (computer, credentials) = (Fake::new(Ok("another")), given(&[], &["1234"]));
    let offer = offer(&credentials, &computer);
    let record = record(&["right"], &[entry(ID)]);
    assert!(candidates(&record, &offer).is_empty());
    assert!(prove(&record, &offer).is_err());
}

#[test]
fn it_is_made_here_and_never_the_only_key() {
    let wanted = json!({"machineId": ID, "wanted": {"device": "auto", "pcrs": [7]}});
    let new_pin = |pin: &str| Credentials {
        new_pin: Some(Secret::from_text(pin.to_owned())),
        ..given(&["right"], &[])
    };
    let (computer, credentials) = (Fake::new(Ok("unsealed")), new_pin("1234"));
    let with = offer(&credentials, &computer);
    let (other, hash) = (entry(OTHER), hash("right"));
    let record = |passwords: &[&str], entries: &[Value]| {
        let hashes: Vec<_> = passwords.iter().map(|_| &hash).collect();
        record(&[], entries).with_privileged("hashedPassword", json!(hashes))
    };
    let before = record(&["right"], std::slice::from_ref(&other));
    let made = filled(&record(&["right"], &[other, wanted.clone()]), &with).expect("made");
    let entry = &entries(&Tpm2, &made)[1];
    assert_eq!((&entry["pcrs"], &entry["machineId"], entry.get(WANTED)), (&json!([7]), &json!(ID), None));
    assert!(read(entry).is_some() && Tpm2.at_hand(entry, &with).is_some());
    // Two keys are at hand, and the slot of the other machine's stays.
    let change = compare(&before, &made, &with).expect("may be").expect("differs");
    assert_eq!((texts(&change.wanted), change.others), (vec!["right", "unsealed"], 1));
    assert_eq!(
        texts(&all_keys(&record(&["right"], std::slice::from_ref(entry)), &with).expect("all")),
        ["right", "unsealed"]
    );
    // With the password gone it would be the only one.
    let alone = record(&[], std::slice::from_ref(entry));
    for refused in [compare(&before, &alone, &with).err(), all_keys(&alone, &with).err()] {
        assert_eq!(refused.expect("refused").refusal, Refusal::HomeCantAuthenticate);
    }
    // For another machine, too short, or without a PIN: nothing is asked of the TPM.
    let elsewhere = json!({"machineId": OTHER, "wanted": {"pcrs": []}});
    for (wish, credentials) in
        [(&elsewhere, new_pin("1234")), (&wanted, new_pin("123")), (&wanted, given(&["right"], &["1234"]))]
    {
        let refused = crate::token::filled(
            &record(&["right"], std::slice::from_ref(wish)),
            &offer(&credentials, &computer),
        );
        assert_eq!(refused.expect_err("refused").refusal, Refusal::InvalidArgs);
    }
    assert_eq!(*computer.tried.borrow(), ["1234"]);
}

/// A security key that wants something, or is not plugged in.
struct SecurityKey(Option<::fido2::Failure>);

impl crate::token::fido2::Keys for SecurityKey {
    fn answer(
        &self,
        _: &[::fido2::Credential],
        _: &::fido2::Given<'_>,
        _: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<::fido2::Asked>, ::fido2::Failure> {
        let asked = |failure: &::fido2::Failure| ::fido2::Asked {
            path: String::new(),
            credential: 0,
            key: "Key 5".into(),
            done: Err(failure.clone()),
        };
        Ok(self.0.as_ref().map(asked))
    }
}

#[test]
fn a_pin_goes_to_the_token_that_is_plugged_in_or_to_the_tpm() {
    let key = json!([{"credential": "AAAA", "salt": "AAAA", "hashedPassword": hash("answer")}]);
    let record = record(&["right"], &[entry(ID)]).with_privileged("fido2HmacSalt", key);
    for (wants, tried, told) in [
        (None, &["1234"][..], None),
        (Some(::fido2::Failure::PresenceNeeded), &[], Some(Refusal::TokenUserPresenceNeeded)),
        (Some(::fido2::Failure::BadPin(Some(7))), &[], Some(Refusal::BadPin)),
    ] {
        let (computer, credentials, keys) =
            (Fake::new(Ok("unsealed")), given(&[], &["1234"]), SecurityKey(wants));
        let offer = Offer { keys: &keys, ..offer(&credentials, &computer) };
        candidates(&record, &offer);
        assert_eq!(*computer.tried.borrow(), tried);
        assert_eq!(prove(&record, &offer).err().map(|refused| refused.refusal), told);
    }
    // Asked for by its name it goes to the TPM, and to nothing else: the security key does not hear of it.
    let (computer, keys) = (Fake::new(Ok("unsealed")), SecurityKey(Some(::fido2::Failure::PinNeeded)));
    let pin = Some(Secret::from_text("1234".into()));
    let credentials = Credentials { computer_pin: pin, ..given(&["1234"], &[]) };
    let named = Offer { keys: &keys, ..self::offer(&credentials, &computer) };
    candidates(&record, &named);
    assert_eq!(
        (computer.tried.borrow().as_slice(), prove(&record, &named).is_ok()),
        (&["1234".to_owned()][..], true)
    );
    // Without the key and with a PIN that is wrong, both may be tried next, and the TPM's reason is told.
    let wrong = Fake::new(Err(Stopped::At(Failure::PcrsChanged)));
    let (credentials, keys) = (given(&["1234"], &["1234"]), SecurityKey(None));
    let offer = Offer { keys: &keys, ..offer(&credentials, &wrong) };
    candidates(&record, &offer);
    let refused = prove(&record, &offer).err().expect("nothing fits");
    assert_eq!(refused.refusal, Refusal::BadPasswordAndNoToken);
    assert!(refused.sentence.contains("has changed"), "{}", refused.sentence);
}
