//! The key slots of a folder, and the mark of a change of them, as extended attributes: `trusted.fscrypt_slot0`, … are
//! systemd-homed's, `trusted.homed_keys` is ours and left alone by it.

use super::slot::Slot;
use crate::job::{Context, Failure, refuse};
use crate::storage::luks::perform::keys::{mark_of, mark_text};
use crate::storage::luks::plan::keys::{self as plan, Claim, Mark, Priority, Salt, Standing};
use crate::sys::fscrypt::Name;
use crate::sys::{durable, file};
use records::{Refusal, Secret};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;

const SLOT: &str = "trusted.fscrypt_slot";
const MARK: &str = "trusted.homed_keys";
/// Most iterations of all slots together that are tried: about a minute, as for the headers of LUKS homes.
const MOST_ITERATIONS: u64 = 200_000_000;

/// What fitted.
pub struct Unlocked {
    /// Index of the key.
    pub key: usize,
    /// The slot it opens.
    pub slot: u32,
    /// What was in it.
    pub volume_key: Secret,
}

/// The slots of an open folder, by number. What is no slot is left out; of those that are, none is, however many there are:
/// whoever had the disk for a while would hide the others behind some of his own. What the kernel lists has room for some
/// thousands.
pub fn read(directory: impl AsFd) -> Result<Vec<(u32, Slot)>, Failure> {
    Ok(among(&file::attributes(directory, SLOT).during("reading the key slots")?))
}

/// A folder that was encrypted for something else has no key slots. One that cannot be looked into is left to who opens it.
pub fn lacks(path: &Path) -> Option<&'static str> {
    let slots = durable::directory(path).ok().and_then(|directory| read(directory).ok());
    slots.is_some_and(|slots| slots.is_empty()).then_some("it is encrypted, and has no key slot of a home")
}

fn among(attributes: &[(String, Vec<u8>)]) -> Vec<(u32, Slot)> {
    let slots = attributes.iter().filter_map(|(name, value)| Some((number(name)?, Slot::parse(value)?)));
    let mut slots: Vec<(u32, Slot)> = slots.collect();
    slots.sort_by_key(|(number, _)| *number);
    slots
}

/// As it is written, and no other way: each slot has one number.
fn number(name: &str) -> Option<u32> {
    let text = name.strip_prefix(SLOT)?;
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

/// The slots in the order that they are tried in: those that cost nothing come first, and what would cost hours is left out.
fn tried(slots: &[(u32, Slot)]) -> Vec<&(u32, Slot)> {
    let mut order: Vec<_> = slots.iter().collect();
    order.sort_by_key(|(_, slot)| slot.iterations());
    let mut sum = 0;
    order.retain(|(_, slot)| {
        sum += u64::from(slot.iterations());
        sum <= MOST_ITERATIONS
    });
    order
}

/// What is said where no slot fitted, and not all were tried; `None`: all were.
pub fn untried(slots: &[(u32, Slot)]) -> Option<String> {
    let left = slots.len() - tried(slots).len();
    (left > 0).then(|| {
        format!(
            "{left} of {} key slots of the home were not tried: trying all of them takes more than {MOST_ITERATIONS} \
             iterations, which would take very long. Nothing was changed. So many are not homed's: an administrator finds them \
             with \"getfattr -m trusted.fscrypt_slot -d\" on the home's folder, and removes one with \"setfattr -x\".",
            slots.len()
        )
    })
}

/// The first slot that one of these keys opens.
pub fn unlock(slots: &[(u32, Slot)], keys: &[Secret], name: Name) -> Result<Option<Unlocked>, Failure> {
    for (number, slot) in tried(slots) {
        for (index, key) in keys.iter().enumerate() {
            if let Some(volume_key) = slot.open(key, name)? {
                return Ok(Some(Unlocked { key: index, slot: *number, volume_key }));
            }
        }
    }
    Ok(None)
}

/// Slots and marks for a plan.
pub fn situation(directory: impl AsFd) -> Result<(Vec<plan::Slot>, Vec<Standing>), Failure> {
    let slots = read(&directory)?.into_iter().map(|(number, slot)| plan::Slot {
        number,
        salt: Salt(slot.salt().into()),
        priority: Priority::Normal,
        claim: Claim::None,
    });
    let marks = file::attributes(&directory, MARK).during("reading the key slots")?;
    let marks = marks.iter().filter(|(name, _)| name == MARK);
    let marks = marks.map(|(_, text)| Standing { token: 0, mark: mark_of(text) });
    Ok((slots.collect(), marks.collect()))
}

/// Writes a slot; it is on disk when this returns.
pub fn write(directory: impl AsFd, number: u32, slot: &Slot) -> Result<(), Failure> {
    set(directory, &format!("{SLOT}{number}"), slot.text().as_bytes(), "adding a key slot")
}

/// Removes a slot; it is on disk when this returns.
pub fn remove(directory: impl AsFd, number: u32) -> Result<(), Failure> {
    unset(directory, &format!("{SLOT}{number}"), "removing a key slot")
}

/// Marks a change of them; it is on disk when this returns.
pub fn mark(directory: impl AsFd, mark: &Mark) -> Result<(), Failure> {
    set(directory, MARK, mark_text(mark).as_bytes(), "marking a change of keys")
}

/// Removes the mark; it is on disk when this returns.
pub fn unmark(directory: impl AsFd) -> Result<(), Failure> {
    unset(directory, MARK, "removing the mark of a change of keys")
}

fn set(directory: impl AsFd, name: &str, value: &[u8], what: &str) -> Result<(), Failure> {
    match file::set_attribute(&directory, name, value) {
        // Attributes of a folder have a block to themselves, which may be full while the disk is not.
        Err(error) if error.kind() == ErrorKind::StorageFull => refuse(
            Refusal::NoDiskSpace,
            "There is no room for another key of the home: its disk is full, or the extended attributes of its folder are. \
             Keys that were there open it as before. Make room, or remove a key that is not needed, and try again.",
        ),
        done => done.and_then(|()| sync(&directory)).during(what),
    }
}

fn unset(directory: impl AsFd, name: &str, what: &str) -> Result<(), Failure> {
    file::remove_attribute(&directory, name).and_then(|()| sync(&directory)).during(what)
}

fn sync(directory: impl AsFd) -> io::Result<()> {
    durable::sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_name() {
        for (name, told) in [
            ("trusted.fscrypt_slot0", Some(0)),
            ("trusted.fscrypt_slot31", Some(31)),
            ("trusted.fscrypt_slot00", None),
            ("trusted.fscrypt_slot+1", None),
            ("trusted.fscrypt_slot", None),
            ("trusted.fscrypt_slot4294967296", None),
            ("trusted.fscrypt_slot1x", None),
            ("user.fscrypt_slot1", None),
        ] {
            assert_eq!(number(name), told, "{name}");
        }
    }

    /// 64 slots of ten million iterations each would have kept a login busy for half an hour, again at each try.
    #[test]
    fn slots_that_would_take_hours_are_left_out() {
        let slot = |iterations: u32| {
            let [salt, nonce, tag] = ["AAAA", "AAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA=="];
            let key = "A".repeat(86);
            Slot::parse(format!("$v2:{iterations}:{salt}:{nonce}:{key}==:{tag}").as_bytes()).expect("a slot")
        };
        let mut slots: Vec<_> = (0..63).map(|number| (number, slot(10_000_000))).collect();
        slots.push((63, slot(600_000)));
        let numbers: Vec<u32> = tried(&slots).iter().map(|(number, _)| *number).collect();
        assert_eq!((numbers.len(), numbers[0]), (20, 63));
        assert!(untried(&slots).is_some_and(|said| said.starts_with("44 of 64 ")));
        let usual: Vec<_> = (0..64).map(|number| (number, slot(600_000))).collect();
        assert_eq!((tried(&usual).len(), untried(&usual)), (64, None));
    }

    /// A stranger who had the disk left 64 slots with lower numbers, and the right password was called wrong.
    #[test]
    fn slots_with_lower_numbers_hide_no_other() {
        use super::super::slot::{Guess, identifier};
        let volume_key = Secret::new((0..64).collect());
        let name = Name::Identifier(identifier(&volume_key).expect("named"));
        let made =
            |text: &str| Slot::new(&volume_key, &Secret::from_text(text.into()), Guess::Cheap).expect("made");
        let attribute = |number: u32, slot: &Slot| (format!("{SLOT}{number}"), slot.text().into_bytes());
        let planted = made("of a stranger");
        let mut attributes: Vec<_> = (0..70).map(|number| attribute(number, &planted)).collect();
        attributes.push(attribute(4000, &made("mine")));
        let slots = among(&attributes);
        assert_eq!(slots.len(), 71);
        let found = unlock(&slots, &[Secret::from_text("mine".into())], name).expect("tried");
        assert_eq!(found.map(|found| found.slot), Some(4000));
        assert_eq!((tried(&slots).len(), untried(&slots)), (71, None));
    }

    #[test]
    fn each_key_is_tried_and_the_cheap_slots_come_first() {
        use super::super::slot::{Guess, identifier};
        let secret = |text: &str| Secret::from_text(text.into());
        let volume_key = Secret::new((0..64).collect());
        let name = Name::Identifier(identifier(&volume_key).expect("named"));
        let slot = |text: &str| Slot::new(&volume_key, &secret(text), Guess::Cheap).expect("made");
        let slots = [(0, slot("one")), (7, slot("two"))];
        let tried = |keys: &[&str]| {
            let keys: Vec<Secret> = keys.iter().map(|text| secret(text)).collect();
            unlock(&slots, &keys, name).expect("tried").map(|found| (found.key, found.slot))
        };
        assert_eq!(tried(&["wrong", "two"]), Some((1, 7)));
        assert_eq!(tried(&["one"]), Some((0, 0)));
        assert_eq!(tried(&["wrong"]), None);
        assert_eq!(tried(&[]), None);
    }
}
