//! A record that takes another one's place: which keys it adds, and which of its keys are at hand.

use super::{Answer, KINDS, Offer, Token, count, entries, passwords, travelling};
use records::keys::Removal;
use records::questions::{self, Question};
use records::refusal::Refused;
use records::{Record, Refusal, Secret};
use serde_json::Value;

/// How many keys have to be shown that are no passwords, where the last password goes.
const OTHERS: usize = 2;
const TWO_OTHERS: &str = "The last password can go only where two other keys are shown to open the home, for one alone is lost one day: a \
    recovery key, security keys and smart cards count. Give the recovery key, or have the devices plugged in.";

const TWO_STAY: &str = "Of a home that has neither password nor recovery key two devices stay, for one alone is lost one day. Set a password, make a \
    recovery key, or enrol another device in the same call.";

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
    if last_goes(before, new) && shown(new, offer) < OTHERS {
        return Err(Refused::new(Refusal::HomeCantAuthenticate, TWO_OTHERS));
    }
    if typed(new) == 0 && travelling(new) < OTHERS && travelling(before) >= OTHERS {
        return Err(Refused::new(Refusal::HomeCantAuthenticate, TWO_STAY));
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

/// Refuses that the last key goes that can be typed, of storage without a header: it tells no other machine what devices are
/// asked with.
pub fn refuse_untold(before: &Record, new: &Record) -> Result<(), Refused> {
    if typed(new) > 0 || typed(before) == 0 {
        return Ok(());
    }
    let sentence = "A home of this kind does not tell other machines what devices are asked with: a password or a recovery key \
                    has to stay.";
    Err(Refused::new(Refusal::HomeCantAuthenticate, sentence))
}

/// Refuses that a key goes where the machine wants a recovery key to be shown for that, and none was. A home that has one gets no
/// other without it: whoever has the password alone would enrol one of their own, and show that.
pub fn refuse_removal(
    before: &Record,
    new: &Record,
    offer: &Offer<'_>,
    removal: Removal,
) -> Result<(), Refused> {
    if removal == Removal::Free || !removes(before, new, offer) && !adds_recovery_key(before, new) {
        return Ok(());
    }
    match super::recovery::RecoveryKey.proves(before, offer) {
        Answer::Keys(_) => Ok(()),
        Answer::Failed(_) => {
            let sentence = "This machine removes keys of a home, and adds recovery keys to the one it has, only where its recovery key is given, too (RecoveryForRemoval= in homed.conf).";
            Err(Refused::new(Refusal::BadRecoveryKey, sentence))
        }
        Answer::NotMine => {
            let sentence = "This machine removes keys of a home only where its recovery key is given, too (RecoveryForRemoval= in \
                            homed.conf), and the home has none: homectl update --recovery-key=yes makes one.";
            Err(Refused::new(Refusal::AccessDenied, sentence))
        }
    }
}

/// Whether a home that has a recovery key gets another one.
fn adds_recovery_key(before: &Record, new: &Record) -> bool {
    let known = entries(&super::recovery::RecoveryKey, before);
    !known.is_empty()
        && entries(&super::recovery::RecoveryKey, new).iter().any(|entry| !known.contains(entry))
}

/// Whether a key goes and nothing takes its place. A device's entry that is another one is another key: what opened before does
/// not any more. The PIN of this computer that is set anew is the same key, and so are passwords that are as many as before.
fn removes(before: &Record, new: &Record, offer: &Offer<'_>) -> bool {
    let goes = |kind: &dyn Token| {
        let stay = entries(kind, new);
        let stays =
            |entry: &Value| stay.contains(entry) || stay.iter().any(|one| kind.sets_anew(entry, one, offer));
        !entries(kind, before).iter().all(stays)
    };
    let kinds = KINDS.iter().filter(|kind| kind.member() != super::password::Password.member());
    kinds.into_iter().any(|kind| goes(*kind)) || passwords(new) < passwords(before)
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
/// theirs. Or where the last password goes, and too few have been shown for that.
fn untold<'a>(before: &Record, new: &'a Record, offer: &Offer<'_>) -> Vec<(&'static dyn Token, &'a Value)> {
    let hidden = |kind: &dyn Token, entry: &Value| kind.at_hand(entry, offer).is_none();
    let goes = |kind: &&dyn Token| {
        let stay = entries(*kind, new);
        entries(*kind, before).iter().any(|entry| !stay.contains(entry) && hidden(*kind, entry))
    };
    let is_wanted = last_goes(before, new) && shown(new, offer) < OTHERS;
    if !is_wanted && !KINDS.iter().any(goes) {
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

/// How many keys can be typed: where no device is at hand, they are the way in.
fn typed(record: &Record) -> usize {
    passwords(record) + entries(&super::recovery::RecoveryKey, record).len()
}

/// Whether the last password goes, or, of a home without any, the last recovery key.
fn last_goes(before: &Record, new: &Record) -> bool {
    passwords(new) == 0 && passwords(before) > 0 || typed(new) == 0 && typed(before) > 0
}

/// How many keys are shown that open the home on any machine: of devices those that the image's header tells of. The same key may
/// have several entries, and is one.
fn shown(new: &Record, offer: &Offer<'_>) -> usize {
    let told = questions::of(new);
    let opens_anywhere = |kind: &dyn Token, entry: &Value| {
        kind.travels()
            && (!kind.is_device()
                || Question::of(kind.member(), entry).is_some_and(|question| told.contains(&question)))
    };
    let mut distinct: Vec<Secret> = Vec::new();
    for kind in KINDS {
        let its = entries(kind, new).iter().filter(|entry| opens_anywhere(kind, entry));
        for key in its.filter_map(|entry| kind.at_hand(entry, offer)) {
            if !distinct.iter().any(|known| known.matches(key.open())) {
                distinct.push(key);
            }
        }
    }
    distinct.len()
}

#[cfg(test)]
mod tests;
