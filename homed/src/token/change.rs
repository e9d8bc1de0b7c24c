//! A record that takes another one's place: which keys it adds, and which of its keys are at hand.

use super::{Answer, KINDS, Offer, Token, count, entries, passwords, travelling};
use records::keys::{NamedKey, Removal};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};
use serde_json::Value;

/// How many keys have to be shown that are no passwords, where the last password goes.
const OTHERS: usize = 2;

/// What the key slots have to become.
pub struct Change {
    /// The keys of the new record whose plaintext is at hand.
    pub wanted: Vec<Secret>,
    /// How many more it has: their slots stay as they are.
    pub others: usize,
}

/// Compares two records; `None` where the same keys open the home. Each key that is added must be at hand:
/// its slot cannot be made of a hash.
pub fn compare(before: &Record, new: &Record, offer: &Offer<'_>) -> Result<Option<Change>, Refused> {
    if travelling(new) == 0 {
        let sentence = "The new record has neither password nor key that works on every machine: a PIN of this computer is not \
                        enough.";
        let none = "The new record has neither password nor key: nothing would open the home any more.";
        let sentence = if count(new) == 0 { none } else { sentence };
        return Err(Refused::new(Refusal::HomeCantAuthenticate, sentence));
    }
    let changed = |kind: &&&dyn Token| entries(**kind, before) != entries(**kind, new);
    // Kinds of which nothing can be changed are told first.
    for kind in KINDS.iter().rev().filter(changed) {
        let is_new = |entry: &&Value| !entries(*kind, before).contains(entry);
        entries(*kind, new).iter().filter(is_new).try_for_each(|entry| kind.enrol(entry, offer).map(drop))?;
    }
    if !KINDS.iter().any(|kind| changed(&kind)) {
        return Ok(None);
    }
    if passwords(new) == 0 && passwords(before) > 0 {
        refuse_without_password(new, offer)?;
    }
    let all =
        KINDS.iter().flat_map(|kind| entries(*kind, new).iter().map(|entry| kind.at_hand(entry, offer)));
    let wanted: Vec<Secret> = all.flatten().collect();
    if wanted.is_empty() || loses(before, new) && !is_shown(new, offer) {
        let sentence =
            "None of the keys that would stay has been shown to open the home: give one of them, too.";
        return Err(Refused::new(Refusal::HomeCantAuthenticate, sentence));
    }
    Ok(Some(Change { others: count(new).saturating_sub(wanted.len()), wanted }))
}

/// Refuses that a key goes where the machine wants a recovery key to be shown for that, and none was.
pub fn refuse_removal(
    before: &Record,
    new: &Record,
    offer: &Offer<'_>,
    removal: Removal,
) -> Result<(), Refused> {
    if removal == Removal::Free || !removes(before, new) {
        return Ok(());
    }
    match super::recovery::RecoveryKey.proves(before, offer) {
        Answer::Keys(_) => Ok(()),
        Answer::Failed(_) => {
            let sentence = "This machine removes keys of a home only where its recovery key is given, too (RecoveryForRemoval= in homed.conf).";
            Err(Refused::new(Refusal::BadRecoveryKey, sentence))
        }
        Answer::NotMine => {
            let sentence = "This machine removes keys of a home only where its recovery key is given, too (RecoveryForRemoval= in \
                            homed.conf), and the home has none: homectl update --recovery-key=yes makes one.";
            Err(Refused::new(Refusal::AccessDenied, sentence))
        }
    }
}

/// Whether a key goes and nothing takes its place: a PIN that is set anew is the same key, and so are passwords that are as
/// many as before.
fn removes(before: &Record, new: &Record) -> bool {
    let stays: Vec<_> = new.named_keys();
    let goes = |key: &NamedKey| !stays.iter().any(|stays| (stays.kind, &stays.id) == (key.kind, &key.id));
    before.named_keys().iter().any(goes) || passwords(new) < passwords(before)
}

/// Whether tokens have to be asked for what is added, by somebody who has shown a key of the record.
pub fn must_ask(before: &Record, new: &Record, offer: &Offer<'_>) -> bool {
    let is_missing = added(before, new).any(|(kind, entry)| kind.at_hand(entry, offer).is_none());
    (is_missing || !untold(before, new, offer).is_empty()) && super::prove(before, offer).is_ok()
}

/// Asks for it. What is answered stays with the offer.
pub fn ask(before: &Record, new: &Record, offer: &Offer<'_>) -> Result<(), Refused> {
    added(before, new).try_for_each(|(kind, entry)| kind.enrol(entry, offer).map(drop))?;
    let asked = untold(before, new, offer).into_iter().map(|(kind, entry)| kind.enrol(entry, offer));
    // One that is not here says nothing, and its slot is left.
    asked.filter_map(Result::err).find(|why| wants_its_user(why.refusal)).map_or(Ok(()), Err)
}

/// Entries that stay and are not at hand, where one that goes is not either: only what has been shown tells its key slot from
/// theirs.
fn untold<'a>(before: &Record, new: &'a Record, offer: &Offer<'_>) -> Vec<(&'static dyn Token, &'a Value)> {
    let hidden = |kind: &dyn Token, entry: &Value| kind.at_hand(entry, offer).is_none();
    let goes = |kind: &&dyn Token| {
        let stay = entries(*kind, new);
        entries(*kind, before).iter().any(|entry| !stay.contains(entry) && hidden(*kind, entry))
    };
    if !KINDS.iter().any(goes) {
        return Vec::new();
    }
    let all = KINDS.into_iter().flat_map(|kind| entries(kind, new).iter().map(move |entry| (kind, entry)));
    all.filter(|(kind, entry)| hidden(*kind, entry)).collect()
}

/// Whether a token is here and its user can help it.
fn wants_its_user(refusal: Refusal) -> bool {
    super::is_wrong_pin(refusal)
        || matches!(
            refusal,
            Refusal::TokenPinNeeded
                | Refusal::TokenProtectedAuthenticationPathNeeded
                | Refusal::TokenUserPresenceNeeded
                | Refusal::TokenUserVerificationNeeded
        )
}

/// What is added and is whole; what is only wished for has no hash yet.
fn added<'a>(before: &'a Record, new: &'a Record) -> impl Iterator<Item = (&'static dyn Token, &'a Value)> {
    let is_added = |kind: &dyn Token, entry: &Value| {
        !entries(kind, before).contains(entry) && (entry.is_string() || entry.get("hashedPassword").is_some())
    };
    KINDS.into_iter().rev().flat_map(move |kind| {
        let all = entries(kind, new).iter().filter(move |entry| is_added(kind, entry));
        all.map(move |entry| (kind, entry))
    })
}

/// Whether a key goes that opens the home everywhere.
fn loses(before: &Record, new: &Record) -> bool {
    let goes =
        |kind: &&dyn Token| entries(*kind, before).iter().any(|entry| !entries(*kind, new).contains(entry));
    KINDS.iter().filter(|kind| kind.travels()).any(goes)
}

/// Whether one is at hand that does. (That a record has one says nothing: systemd-homed leaves keys in records that have no
/// slot.)
fn is_shown(new: &Record, offer: &Offer<'_>) -> bool {
    let shown =
        |kind: &&dyn Token| entries(*kind, new).iter().any(|entry| kind.at_hand(entry, offer).is_some());
    KINDS.iter().filter(|kind| kind.travels()).any(shown)
}

/// The last password goes only where two other keys are here and work: one alone is lost one day.
fn refuse_without_password(new: &Record, offer: &Offer<'_>) -> Result<(), Refused> {
    let travelling = KINDS.iter().filter(|kind| kind.travels());
    let others = travelling.flat_map(|kind| entries(*kind, new).iter().map(|entry| kind.enrol(entry, offer)));
    if others.filter(Result::is_ok).take(OTHERS).count() == OTHERS {
        return Ok(());
    }
    let sentence = "The last password can go only when two other keys have been shown to work: plug in both security \
                    keys, or give the recovery key, too.";
    Err(Refused::new(Refusal::HomeCantAuthenticate, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::crypt3;
    use records::{Credentials, Sections};
    use serde_json::json;

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

    #[test]
    fn a_machine_may_want_the_recovery_key_for_a_removal() {
        let (one, key) = (hash("one"), records::recovery::encode(&[7; 32]));
        let text = key.open_text().expect("text").to_owned();
        let made = |passwords: &[&str], fido: bool, recovery: bool, pin: &str| {
            let mut privileged = json!({"hashedPassword": passwords});
            if fido {
                privileged["fido2HmacSalt"] = json!([entry(1, "")]);
            }
            if recovery {
                let hashed = crypt3::hash(&key).expect("hashes");
                privileged["recoveryKey"] = json!([{"type": "modhex64", "hashedPassword": hashed}]);
            }
            let mut pin_of_machine = entry(3, "");
            pin_of_machine["hashedPassword"] = json!(pin);
            privileged["tpm2Pin"] = json!([pin_of_machine]);
            Record::from_value(json!({"userName": "alice", "privileged": privileged}), Sections::EMBEDDED)
                .expect("valid")
        };
        let asked = |before: &Record, new: &Record, typed: &str, removal| {
            let passwords = vec![Secret::from_text(typed.to_owned())];
            let credentials = Credentials { passwords, ..Credentials::default() };
            refuse_removal(before, new, &Offer::new(&credentials), removal)
                .err()
                .map(|refused| refused.refusal)
        };
        let with_recovery = made(&[&one], true, true, "$y$a");
        let recovery = with_recovery.keys_of("recoveryKey").to_vec();
        let keeping = |record: Record| record.with_privileged("recoveryKey", recovery.clone().into());
        let without_fido = keeping(made(&[&one], false, true, "$y$a"));
        let wanted = Removal::WithRecoveryKey;
        assert_eq!(asked(&with_recovery, &without_fido, "one", Removal::Free), None);
        assert_eq!(asked(&with_recovery, &without_fido, "one", wanted), Some(Refusal::BadRecoveryKey));
        assert_eq!(asked(&with_recovery, &without_fido, &text, wanted), None);
        assert_eq!(
            asked(&with_recovery, &keeping(made(&[], true, true, "$y$a")), "one", wanted),
            Some(Refusal::BadRecoveryKey)
        );
        // Another recovery key: the one that goes has to be shown.
        let another = made(&[&one], true, true, "$y$a");
        assert_eq!(asked(&with_recovery, &another, "one", wanted), Some(Refusal::BadRecoveryKey));
        // What is added, or set anew, is no removal.
        for new in
            [keeping(made(&[&one, &one], true, true, "$y$a")), keeping(made(&["$y$x"], true, true, "$y$b"))]
        {
            assert_eq!(asked(&with_recovery, &new, "one", wanted), None);
        }
        let (two, one_left) = (made(&[&one], true, false, "$y$a"), made(&[&one], false, false, "$y$a"));
        assert_eq!(asked(&two, &one_left, "one", wanted), Some(Refusal::AccessDenied));
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

    /// A password, and entries of tokens: the last one is bound to this computer.
    const MEMBERS: [&str; 4] = ["hashedPassword", "fido2HmacSalt", "pkcs11EncryptedKey", "tpm2Pin"];
    const PASSWORD: u32 = 1;
    const PIN: u32 = 8;

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
            _ => json!({
                "machineId": "0123456789abcdef0123456789abcdef", "srk": "AAAA", "public": "AAAA",
                "private": "AAAA", "salt": "AAAA", "hashedPassword": hash,
            }),
        }
    }

    /// Every record after every other one, with every set of keys at hand.
    #[test]
    fn no_change_leaves_a_home_that_nothing_opens() {
        let password = hash("one");
        let mut accepted = 0;
        for at_hand in 0..16u32 {
            let typed = if at_hand & PASSWORD == 0 { "other" } else { "one" };
            let passwords = vec![Secret::from_text(typed.to_owned())];
            let credentials = Credentials { passwords, ..Credentials::default() };
            let offer = Offer { keys: &Nothing, cards: &Nothing, ..Offer::new(&credentials) };
            for (at, member) in MEMBERS.iter().enumerate().filter(|(at, _)| at_hand & (1 << at) != 0) {
                let secret = Secret::from_text(at.to_string());
                offer.answered.borrow_mut().insert(format!("$y${member}"), secret);
            }
            for (before, new) in (1..16u32).flat_map(|before| (0..16u32).map(move |new| (before, new))) {
                let (added, gone, shown) = (new & !before, before & !new, new & at_hand);
                let everywhere = |set: u32| set & !PIN;
                let may = everywhere(new) != 0
                    && added & !at_hand == 0
                    && shown != 0
                    && (everywhere(gone) == 0 || everywhere(shown) != 0)
                    && (gone & PASSWORD == 0 || (everywhere(shown)).count_ones() >= 2);
                let change = compare(&with(before, &password), &with(new, &password), &offer);
                let does = matches!(change, Ok(Some(_)));
                assert!(before == new || does == may, "{before:b} → {new:b} with {at_hand:b}: {does}");
                accepted += u32::from(does);
            }
        }
        assert!(accepted > 100, "{accepted}");
    }
}
