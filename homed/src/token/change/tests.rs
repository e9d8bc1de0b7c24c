//! Which changes of keys are made, and which are refused.

use super::*;
use crate::sys::crypt3;
use crate::token::tpm2;
use ::tpm2::{Failure, Sealed};
use records::{Credentials, Sections, UserName};
use serde_json::json;

const ID: &str = "0123456789abcdef0123456789abcdef";

fn hash(text: &str) -> String {
    crypt3::hash(&Secret::from_text(text.to_owned())).expect("hashes")
}

fn record(passwords: &[&String], recovery: &[&String]) -> Record {
    let keys: Vec<_> =
        recovery.iter().map(|key| json!({"type": "modhex64", "hashedPassword": key})).collect();
    let value =
        json!({"userName": "alice", "privileged": {"hashedPassword": passwords, "recoveryKey": keys}});
    Record::from_value(value, Sections::EMBEDDED).expect("valid")
}

#[test]
fn what_is_added_must_be_at_hand() {
    let key = records::recovery::encode(&[7; 32]);
    let key_text = key.open_text().expect("text");
    let (one, two, recovery) = (hash("one"), hash("two"), hash(key_text));
    let compared = |before: &Record, new: &Record, offered: &[&str]| {
        let passwords = offered.iter().map(|text| Secret::from_text((*text).to_owned())).collect();
        let credentials = Credentials { passwords, ..Credentials::default() };
        let change = compare(before, new, &Offer::new(&credentials));
        change
            .map(|change| change.map(|change| (change.wanted.len(), change.others)))
            .map_err(|refused| refused.refusal)
    };
    let before = record(&[&one], &[]);
    let with_key = record(&[&one], &[&recovery]);
    assert_eq!(compared(&before, &before, &["one"]), Ok(None));
    assert_eq!(compared(&before, &with_key, &["one"]), Err(Refusal::BadRecoveryKey));
    assert_eq!(compared(&before, &with_key, &["one", key_text]), Ok(Some((2, 0))));
    assert_eq!(compared(&with_key, &before, &["one"]), Ok(Some((1, 0))));
    assert_eq!(compared(&before, &record(&[&two], &[]), &["one"]), Err(Refusal::BadPassword));
    assert_eq!(compared(&with_key, &record(&[&two], &[&recovery]), &["one", "two"]), Ok(Some((1, 1))));
    assert_eq!(compared(&before, &record(&[], &[]), &["one"]), Err(Refusal::HomeCantAuthenticate));
}

/// A key that is plugged in, and wants to be touched.
struct Untouched;

impl crate::token::fido2::Keys for Untouched {
    fn answer(
        &self,
        _: &[fido2::Credential],
        _: &fido2::Given<'_>,
        _: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<fido2::Asked>, fido2::Failure> {
        Ok(Some(fido2::Asked {
            credential: 0,
            key: "Key 5".into(),
            path: String::new(),
            done: Err(fido2::Failure::PresenceNeeded),
        }))
    }
}

#[test]
fn a_key_that_stays_and_is_here_is_asked_where_another_goes() {
    let (password, both) = (hash("one"), 0b111);
    let credentials =
        Credentials { passwords: vec![Secret::from_text("one".into())], ..Credentials::default() };
    let asked = |keys: &dyn crate::token::fido2::Keys, new: u32| {
        let offer = Offer { keys, cards: &Nothing, ..Offer::new(&credentials) };
        let (before, new) = (with(both, &password), with(new, &password));
        must_ask(&before, &new, &offer).then(|| ask(&before, &new, &offer).map_err(|why| why.refusal))
    };
    // The card goes, and the security key stays.
    assert_eq!(asked(&Untouched, 0b011), Some(Err(Refusal::TokenUserPresenceNeeded)));
    assert_eq!(asked(&Nothing, 0b011), Some(Ok(())));
    // Both go: nothing is to be told apart from the password, which is here.
    assert_eq!(asked(&Untouched, 0b001), None);
    assert_eq!(asked(&Untouched, both), None);
}

/// A record with these keys, and a PIN of this machine.
fn with_keys(passwords: &[&str], fido: bool, recovery: Option<String>, pin: &str) -> Record {
    let mut privileged = json!({"hashedPassword": passwords});
    if fido {
        privileged["fido2HmacSalt"] = json!([entry(1, "")]);
    }
    if let Some(hashed) = recovery {
        privileged["recoveryKey"] = json!([{"type": "modhex64", "hashedPassword": hashed}]);
    }
    let mut pin_of_machine = entry(3, "");
    pin_of_machine["hashedPassword"] = json!(pin);
    privileged["tpm2Pin"] = json!([pin_of_machine]);
    let record = json!({"userName": "alice", "privileged": privileged});
    Record::from_value(record, Sections::EMBEDDED).expect("valid")
}

#[test]
fn a_machine_may_want_the_recovery_key_for_a_removal() {
    let (one, key) = (hash("one"), records::recovery::encode(&[7; 32]));
    let text = key.open_text().expect("text").to_owned();
    let made = |passwords: &[&str], fido: bool, recovery: bool, pin: &str| {
        let hashed = recovery.then(|| crypt3::hash(&key).expect("hashes"));
        with_keys(passwords, fido, hashed, pin)
    };
    let asked = |before: &Record, new: &Record, typed: &str, removal| {
        let passwords = vec![Secret::from_text(typed.to_owned())];
        let credentials = Credentials { passwords, ..Credentials::default() };
        let offer = Offer { computer: &ThisOne, ..Offer::new(&credentials) };
        refuse_removal(before, new, &offer, removal).err().map(|refused| refused.refusal)
    };
    let with_recovery = made(&[&one], true, true, "$y$a");
    let recovery = with_recovery.keys_of("recoveryKey").to_vec();
    let keeping = |record: Record| record.with_privileged("recoveryKey", recovery.clone().into());
    let without_fido = keeping(made(&[&one], false, true, "$y$a"));
    let wanted = Removal::WithRecoveryKey;
    assert_eq!(asked(&with_recovery, &without_fido, "one", Removal::Free), None);
    assert_eq!(asked(&with_recovery, &without_fido, "one", wanted), Some(Refusal::BadRecoveryKey));
    assert_eq!(asked(&with_recovery, &without_fido, &text, wanted), None);
    let no_password = keeping(made(&[], true, true, "$y$a"));
    assert_eq!(asked(&with_recovery, &no_password, "one", wanted), Some(Refusal::BadRecoveryKey));
    // Another recovery key: the one that goes has to be shown.
    let another = made(&[&one], true, true, "$y$a");
    assert_eq!(asked(&with_recovery, &another, "one", wanted), Some(Refusal::BadRecoveryKey));
    // One's own recovery key beside the owner's would be shown next.
    let mut beside = recovery.clone();
    beside.push(json!({"type": "modhex64", "hashedPassword": "$y$own"}));
    let own_key = with_recovery.with_privileged("recoveryKey", beside.into());
    assert_eq!(asked(&with_recovery, &own_key, "one", wanted), Some(Refusal::BadRecoveryKey));
    assert_eq!(asked(&with_recovery, &own_key, &text, wanted), None);
    let without = made(&[&one], true, false, "$y$a");
    assert_eq!(asked(&without, &with_recovery, "one", wanted), None, "the first one");
    // What is added, or set anew, is no removal.
    for new in
        [keeping(made(&[&one, &one], true, true, "$y$a")), keeping(made(&["$y$x"], true, true, "$y$b"))]
    {
        assert_eq!(asked(&with_recovery, &new, "one", wanted), None);
    }
    let (two, one_left) = (made(&[&one], true, false, "$y$a"), made(&[&one], false, false, "$y$a"));
    // A device's entry in the place of another's, and a PIN of another computer's.
    let mut foreign = entry(1, "");
    foreign["hashedPassword"] = json!("$y$other");
    let replaced = with_recovery.with_privileged("fido2HmacSalt", json!([foreign]));
    assert_eq!(asked(&with_recovery, &replaced, "one", wanted), Some(Refusal::BadRecoveryKey));
    assert_eq!(asked(&two, &one_left, "one", wanted), Some(Refusal::AccessDenied));
}

#[test]
fn what_one_device_has_answered_is_no_other_key() {
    let (password, credentials) = (hash("one"), Credentials::default());
    let offer = Offer { keys: &Nothing, cards: &Nothing, ..Offer::new(&credentials) };
    // The PIN of this computer has answered, and so has one's own security key.
    let (fido, pin) = (KINDS[3], KINDS[4]);
    offer.keep(pin, entry(3, &password), Secret::from_text("pin".into()));
    let mine = json!({"credential": "BBBB", "salt": "BBBB", "hashedPassword": "$y$mine"});
    offer.keep(fido, mine.clone(), Secret::from_text("mine".into()));
    let both = with(0b1010, &password);
    let with_keys =
        |keys: &[&Value]| both.with_privileged("fido2HmacSalt", keys.iter().copied().cloned().collect());
    let (owners, mut forged, mut as_pin) = (entry(1, &password), entry(1, &password), mine.clone());
    forged["hashedPassword"] = mine["hashedPassword"].clone();
    as_pin["hashedPassword"] = entry(3, &password)["hashedPassword"].clone();
    let before = with_keys(&[&owners, &mine]);
    for entry in [&forged, &as_pin] {
        let refused = compare(&before, &with_keys(&[&mine, entry]), &offer).err().map(|why| why.refusal);
        assert_eq!(refused, Some(Refusal::BadPasswordAndNoToken));
    }
    // Under its own id a device's entry is another key all the same; one's machine's PIN is not.
    assert!(removes(&before, &with_keys(&[&mine, &forged]), &offer));
    assert!(!removes(&before, &with_keys(&[&mine, &owners]), &offer));
}

#[test]
fn one_key_that_is_enrolled_twice_is_one() {
    let key = records::recovery::encode(&[7; 32]);
    let text = key.open_text().expect("text");
    let (one, first, again) = (hash("one"), hash(text), hash(text));
    let passwords = ["one", text].map(|text| Secret::from_text(text.to_owned())).into();
    let credentials = Credentials { passwords, ..Credentials::default() };
    let both = [&first, &again];
    let change = compare(&record(&[&one], &both), &record(&[], &both), &Offer::new(&credentials));
    assert_eq!(change.err().map(|refused| refused.refusal), Some(Refusal::HomeCantAuthenticate));
}

/// The last password goes, and the security key that stays has not been asked so far.
#[test]
fn devices_are_asked_where_the_last_password_goes() {
    let (password, credentials) = (
        hash("one"),
        Credentials { passwords: vec![Secret::from_text("one".into())], ..Credentials::default() },
    );
    let offer = Offer { keys: &Untouched, cards: &Nothing, ..Offer::new(&credentials) };
    let (before, new) = (with(0b111, &password), with(0b110, &password));
    assert!(must_ask(&before, &new, &offer) && !must_ask(&before, &before, &offer));
    let asked = ask(&before, &new, &offer).map_err(|why| why.refusal);
    assert_eq!(asked, Err(Refusal::TokenUserPresenceNeeded));
    for at in [1, 2] {
        let kind = KINDS.into_iter().find(|kind| kind.member() == MEMBERS[at]).expect("known");
        offer.keep(kind, entry(at, &password), Secret::from_text(at.to_string()));
    }
    assert!(!must_ask(&before, &new, &offer) && compare(&before, &new, &offer).is_ok());
}

/// What a header has no place for opens the home on no other machine: it is no reason to let the last password go.
#[test]
fn a_device_that_the_header_does_not_tell_of_does_not_count() {
    let (password, credentials) = (hash("one"), Credentials::default());
    let (cards, both) = (0b0100, 0b0110);
    let unnamed =
        json!({"uri": "pkcs11:object=a", "data": "AAAA", "hashedPassword": "$y$pkcs11EncryptedKey"});
    let changed = |card: &Value| {
        let offer = Offer { keys: &Nothing, cards: &Nothing, ..Offer::new(&credentials) };
        offer.keep(KINDS[3], entry(1, &password), Secret::from_text("key".into()));
        offer.keep(KINDS[2], card.clone(), Secret::from_text("card".into()));
        let of = |set| match set & cards {
            0 => with(set, &password),
            _ => with(set, &password).with_privileged("pkcs11EncryptedKey", json!([card])),
        };
        compare(&of(both | PASSWORD), &of(both), &offer).is_ok()
    };
    assert!(changed(&entry(2, &password)) && !changed(&unnamed));
}

/// No device is plugged in.
struct Nothing;

impl crate::token::fido2::Keys for Nothing {
    fn answer(
        &self,
        _: &[fido2::Credential],
        _: &fido2::Given<'_>,
        _: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<fido2::Asked>, fido2::Failure> {
        Ok(None)
    }
}

impl crate::token::pkcs11::Cards for Nothing {
    fn answer(
        &self,
        _: &[pkcs11::Entry],
        _: &pkcs11::Given<'_>,
        _: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<pkcs11::Asked>, pkcs11::Failure> {
        Ok(None)
    }
}

/// The computer that the PIN is of.
struct ThisOne;

impl tpm2::Computer for ThisOne {
    fn id(&self) -> Option<String> {
        Some(ID.into())
    }

    fn unseal(&self, _: &UserName, _: &Sealed, _: &Secret) -> Result<Secret, tpm2::Stopped> {
        Err(tpm2::Stopped::TooOften)
    }

    fn seal(&self, _: &str, _: &Secret, _: &[u8]) -> Result<(Sealed, Secret), Failure> {
        Err(Failure::BadPin)
    }

    fn forgive(&self, _: &UserName) {}
}

/// A password, and entries of tokens: the last one is bound to this computer.
const MEMBERS: [&str; 5] =
    ["hashedPassword", "fido2HmacSalt", "pkcs11EncryptedKey", "tpm2Pin", "recoveryKey"];
const PASSWORD: u32 = 1;
const PIN: u32 = 8;
const RECOVERY: u32 = 16;

/// The hash of a recovery key.
static RECOVERY_HASH: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| crypt3::hash(&records::recovery::encode(&[7; 32])).expect("hashes"));

/// The record with these of them.
fn with(set: u32, password: &str) -> Record {
    let mut privileged = json!({});
    for (at, member) in MEMBERS.iter().enumerate().filter(|(at, _)| set & (1 << at) != 0) {
        privileged[member] = json!([entry(at, password)]);
    }
    Record::from_value(json!({"userName": "alice", "privileged": privileged}), Sections::EMBEDDED)
        .expect("valid")
}

fn entry(at: usize, password: &str) -> Value {
    let hash = format!("$y${}", MEMBERS[at]);
    match at {
        0 => json!(password),
        1 => json!({"credential": "AAAA", "salt": "AAAA", "hashedPassword": hash}),
        2 => json!({"uri": "pkcs11:token=a", "data": "AAAA", "hashedPassword": hash}),
        4 => json!({"type": "modhex64", "hashedPassword": *RECOVERY_HASH}),
        _ => json!({
            "machineId": ID, "srk": "AAAA", "public": "AAAA",
            "private": "AAAA", "salt": "AAAA", "hashedPassword": hash,
        }),
    }
}

/// Every record after every other one, with every set of keys at hand.
#[test]
fn no_change_leaves_a_home_that_nothing_opens() {
    let password = hash("one");
    let mut accepted = 0;
    for at_hand in 0..32u32 {
        let typed = if at_hand & PASSWORD == 0 { "other" } else { "one" };
        let mut passwords = vec![Secret::from_text(typed.to_owned())];
        passwords.extend((at_hand & RECOVERY != 0).then(|| records::recovery::encode(&[7; 32])));
        let credentials = Credentials { passwords, ..Credentials::default() };
        let offer = Offer { keys: &Nothing, cards: &Nothing, ..Offer::new(&credentials) };
        for kind in KINDS {
            let at = MEMBERS.iter().position(|member| *member == kind.member());
            if let Some(at) = at.filter(|at| (1..4).contains(at) && at_hand & (1 << at) != 0) {
                offer.keep(kind, entry(at, &password), Secret::from_text(at.to_string()));
            }
        }
        for (before, new) in (1..32u32).flat_map(|before| (0..32u32).map(move |new| (before, new))) {
            let (added, gone, shown) = (new & !before, before & !new, new & at_hand);
            let everywhere = |set: u32| set & !PIN;
            let may = everywhere(new) != 0
                && added & !at_hand == 0
                && shown != 0
                && (everywhere(gone) == 0 || everywhere(shown) != 0)
                && (gone & PASSWORD == 0 || new & PASSWORD != 0 || everywhere(shown).count_ones() >= 2)
                && (new & (PASSWORD | RECOVERY) != 0
                    || before & (PASSWORD | RECOVERY) == 0
                    || everywhere(shown).count_ones() >= 2)
                && (new & (PASSWORD | RECOVERY) != 0
                    || everywhere(new).count_ones() >= 2
                    || everywhere(before).count_ones() < 2);
            let change = compare(&with(before, &password), &with(new, &password), &offer);
            let does = matches!(change, Ok(Some(_)));
            assert!(before == new || does == may, "{before:b} → {new:b} with {at_hand:b}: {does}");
            accepted += u32::from(does);
        }
    }
    assert!(accepted > 100, "{accepted}");
}
