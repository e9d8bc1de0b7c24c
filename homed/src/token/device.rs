//! What kinds have in common whose keys a device gives. Devices are asked once for each job, before anything of the home is
//! open, and only where nothing that was typed fits the record: whoever types the password touches nothing, and whoever is
//! waited for holds up nobody else's image. What comes of a wrong PIN, a locked one or a wait in vain holds for the whole
//! job: no PIN is tried twice, and nobody is waited for twice.

use super::{Answer, Offer, Token, entries};
use crate::sys::crypt3;
use records::keys::{KeyKind, NamedKey};
use records::questions::Question;
use records::refusal::Refused;
use records::{Record, Refusal, Secret};
use serde_json::Value;
use std::path::PathBuf;

/// A kind of devices.
pub trait Device {
    /// The kind, in the words of a record.
    const KIND: KeyKind;
    /// An entry as the device's library wants it.
    type Entry;
    /// Why a device gives nothing.
    type Failure;

    /// An entry, as far as it is understood.
    fn read(entry: &Value) -> Option<Self::Entry>;

    /// Asks the devices that are plugged in for the key of one of these; `None`: none of them has any.
    fn asked(
        entries: &[Self::Entry],
        offer: &Offer<'_>,
        fits: &dyn Fn(usize, &Secret) -> bool,
    ) -> Result<Option<Asked<Self::Failure>>, Self::Failure>;

    /// What is told, and what a client asks for next; `device` is what it is called.
    fn refused(failure: &Self::Failure, device: &str) -> Refused;
}

/// What came of asking.
pub struct Asked<F> {
    /// Which of the entries it was about, where that is known.
    pub about: Option<usize>,
    /// What the device is called by its maker.
    pub device: String,
    /// Where the kernel has it, in sysfs; `None`: nobody can tell.
    pub place: Option<PathBuf>,
    /// Which entry's key it has given, or why none.
    pub done: Result<(usize, Secret), F>,
}

impl<T: Device> Token for T {
    fn member(&self) -> &'static str {
        T::KIND.list
    }

    fn is_device(&self) -> bool {
        true
    }

    fn derive(&self, record: &Record, offer: &Offer<'_>) -> Vec<Secret> {
        entries(self, record).iter().filter_map(|entry| self.at_hand(entry, offer)).collect()
    }

    fn ask(&self, record: &Record, offer: &Offer<'_>) {
        let all = entries(self, record);
        if !all.is_empty() && self.derive(record, offer).is_empty() {
            // The reason why not stays with the offer.
            let _ = ask(self, all, &record.named_keys(), offer);
        }
    }

    fn ask_unknown(&self, all: &[Question], offer: &Offer<'_>) -> Option<Result<Secret, Refused>> {
        let its = all.iter().filter(|question| question.list == self.member());
        let entries: Vec<Value> = its.map(|question| question.entry.clone()).collect();
        if entries.is_empty() {
            return None;
        }
        let asked = ask(self, &entries, &[], offer);
        Some(asked.and_then(|()| {
            let answer = entries.iter().find_map(|entry| self.at_hand(entry, offer));
            answer.ok_or_else(|| none_plugged_in(T::KIND, offer))
        }))
    }

    fn proves(&self, record: &Record, offer: &Offer<'_>) -> Answer {
        if entries(self, record).is_empty() {
            return Answer::NotMine;
        }
        let keys = self.derive(record, offer);
        if !keys.is_empty() {
            return Answer::Keys(keys);
        }
        let why = offer.no_answer.borrow().get(T::KIND.list).cloned();
        Answer::Failed(why.unwrap_or_else(|| none_plugged_in(T::KIND, offer)))
    }

    fn at_hand(&self, entry: &Value, offer: &Offer<'_>) -> Option<Secret> {
        super::answered(self, entry, offer)
    }

    fn enrol(&self, entry: &Value, offer: &Offer<'_>) -> Result<Secret, Refused> {
        if let Some(key) = self.at_hand(entry, offer) {
            return Ok(key);
        }
        ask(self, std::slice::from_ref(entry), &[], offer)?;
        self.at_hand(entry, offer).ok_or_else(|| none_plugged_in(T::KIND, offer))
    }
}

/// Asks for one of these entries. What is given, or why nothing is, stays with the offer.
fn ask<T: Device>(kind: &T, entries: &[Value], names: &[NamedKey], offer: &Offer<'_>) -> Result<(), Refused> {
    let before = offer.no_answer.borrow().get(T::KIND.list).cloned();
    if let Some(final_word) = before.filter(|why| is_final(why.refusal)) {
        return Err(final_word);
    }
    let done = ask_anew(kind, entries, names, offer);
    let mut refused = offer.no_answer.borrow_mut();
    match &done {
        Ok(()) => drop(refused.remove(T::KIND.list)),
        Err(why) => drop(refused.insert(T::KIND.list, why.clone())),
    }
    done
}

/// Whether nothing is asked after it: it would cost a try more, or as much time again.
fn is_final(refusal: Refusal) -> bool {
    super::is_wrong_pin(refusal) || matches!(refusal, Refusal::TokenPinLocked | Refusal::TokenActionTimeout)
}

fn ask_anew<T: Device>(
    kind: &T,
    all: &[Value],
    names: &[NamedKey],
    offer: &Offer<'_>,
) -> Result<(), Refused> {
    let known = all.iter().filter_map(|entry| {
        let hash = entry.get("hashedPassword").and_then(Value::as_str);
        Some((T::read(entry)?, hash, entry.get(T::KIND.id)?.as_str()?, entry))
    });
    let (mut entries, mut hashes, mut ids, mut wholes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (entry, hash, id, whole) in known {
        entries.push(entry);
        hashes.push(hash);
        ids.push(id);
        wholes.push(whole);
    }
    let fits = |at: usize, secret: &Secret| match hashes.get(at) {
        Some(Some(hash)) => crypt3::matches(secret, hash),
        // Of what was asked before the record is known the key slot tells.
        Some(None) => true,
        None => false,
    };
    let asked = T::asked(&entries, offer, &fits).map_err(|failure| T::refused(&failure, ""))?;
    let asked = asked.ok_or_else(|| none_plugged_in(T::KIND, offer))?;
    let id = asked.about.and_then(|at| ids.get(at).copied());
    let called = called(T::KIND, (id, &asked.device), names);
    let (at, secret) = asked.done.map_err(|failure| T::refused(&failure, called))?;
    if let Some(entry) = wholes.get(at).copied() {
        offer.keep_from(kind, entry.clone(), secret, asked.place);
    }
    Ok(())
}

/// What its user calls a device: by the entry it was about, else by its model where only one key has that.
fn called<'a>(kind: KeyKind, (id, device): (Option<&str>, &'a str), names: &'a [NamedKey]) -> &'a str {
    let is_it = |key: &&NamedKey| match id {
        Some(id) => key.id == id,
        None => key.model.as_deref() == Some(device),
    };
    let mut meant = names.iter().filter(|key| key.kind == kind).filter(is_it);
    match (meant.next(), meant.next()) {
        (Some(key), None) => key.name.as_deref().unwrap_or(device),
        _ => device,
    }
}

/// No device of this kind that the record knows is plugged in.
fn none_plugged_in(kind: KeyKind, offer: &Offer<'_>) -> Refused {
    let refusal = Refusal::BadPasswordAndNoToken;
    match offer.credentials.passwords.is_empty() {
        true => Refused::new(refusal, format!("No {} of this home is plugged in.", kind.words)),
        false => refusal.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::keys::{SECURITY_KEY, SMART_CARD};

    fn key(kind: KeyKind, id: &str, name: Option<&str>) -> NamedKey {
        let name = name.map(str::to_owned);
        NamedKey { kind, id: id.into(), name, model: Some("Key 5".into()), enrolled_usec: None }
    }

    #[test]
    fn a_device_is_called_as_its_user_calls_it_where_it_is_clear_which_it_is() {
        let two = [key(SECURITY_KEY, "a", Some("blue")), key(SECURITY_KEY, "b", Some("red"))];
        assert_eq!(called(SECURITY_KEY, (Some("b"), "Key 5"), &two), "red");
        assert_eq!(called(SECURITY_KEY, (None, "Key 5"), &two), "Key 5");
        assert_eq!(called(SECURITY_KEY, (None, "Key 5"), &two[..1]), "blue");
        assert_eq!(called(SMART_CARD, (None, "Key 5"), &two[..1]), "Key 5");
        assert_eq!(called(SECURITY_KEY, (Some("c"), "Key 5"), &two), "Key 5");
        let nameless = [key(SECURITY_KEY, "a", None)];
        assert_eq!(called(SECURITY_KEY, (Some("a"), "Key 5"), &nameless), "Key 5");
    }
}
