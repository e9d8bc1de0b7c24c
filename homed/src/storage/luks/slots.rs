//! Changing key slots so that a power cut leaves a home that opens.
//!
//! ```text
//! prepare   old slots are marked `prefer`, new ones added and marked `ignore`: the old keys count
//!   ── the record in the header is replaced: from here the new password is the one that is believed ──
//! switch    the old slots are destroyed, then the new ones become `normal`
//! ```
//!
//! After a cut a mark in the header tells on which side of the line it is: it has the date of the record that the
//! new slots belong to. Slots of keys that stay (recovery keys, tokens) are `normal` throughout.

use crate::job::{Context, Failure, refuse};
use crate::storage::{Healed, KeyChange};
use crate::sys::cryptsetup::{Luks, Priority, Stretching};
use records::{Refusal, Secret};
use serde_json::json;

/// The mark: a LUKS2 token, which other programs leave alone.
const MARK: &str = "homed-keys";

/// Slots of a change that is under way.
#[derive(Debug, Default)]
pub struct Prepared {
    old: Vec<u32>,
    new: Vec<u32>,
}

/// A slot and the key that is known to open it.
pub type Known<'a> = (u32, &'a Secret);

/// Marks and adds. `luks` is the header on disk, `known` the slot that was opened already.
pub fn prepare(
    luks: &mut Luks,
    volume_key: &Secret,
    known: Known<'_>,
    change: &KeyChange<'_>,
    stretching: &Stretching,
) -> Result<Prepared, Failure> {
    let in_use: Vec<u32> = luks.slots().during("reading the key slots")?.into_iter().map(|s| s.0).collect();
    let is_new = |key: &Secret| change.new.iter().any(|new| new.matches(key.open()));
    let (mut old, mut kept, mut present) = (Vec::new(), Vec::new(), Vec::new());
    for key in change.old.iter().chain(change.new) {
        let Some(slot) = slot_of(luks, known, key)? else { continue };
        if is_new(key) {
            kept.push(slot);
            present.push(key);
        } else {
            old.push(slot);
        }
    }
    let unknown: Vec<u32> = in_use.into_iter().filter(|s| !old.contains(s) && !kept.contains(s)).collect();
    if unknown.len() != change.others {
        if change.others > 0 {
            return refuse(
                Refusal::BadRecoveryKey,
                "The home has key slots whose key was not given. Give the recovery key too; nothing was changed.",
            );
        }
        old.extend(unknown);
    }
    let missing = change.new.iter().filter(|new| !present.iter().any(|key| key.matches(new.open())));
    mark(luks, change.date)?;
    add(luks, volume_key, old, missing, stretching)
}

fn mark(luks: &mut Luks, date: u64) -> Result<(), Failure> {
    let place = luks.tokens(MARK).first().map(|found| found.0);
    let mark = json!({"type": MARK, "keyslots": [], "lastChangeUSec": date});
    luks.set_token(place, &mark).during("marking a change of keys")
}

/// Whether a change is under way, or was cut short.
pub fn is_marked(luks: &mut Luks) -> bool {
    marked(luks).is_some()
}

fn marked(luks: &mut Luks) -> Option<u64> {
    luks.tokens(MARK).first()?.1.get("lastChangeUSec")?.as_u64()
}

fn unmark(luks: &mut Luks) -> Result<(), Failure> {
    for (place, _) in luks.tokens(MARK) {
        luks.remove_token(place).during("removing the mark of a change of keys")?;
    }
    Ok(())
}

fn add<'a>(
    luks: &mut Luks,
    volume_key: &Secret,
    old: Vec<u32>,
    missing: impl Iterator<Item = &'a Secret>,
    stretching: &Stretching,
) -> Result<Prepared, Failure> {
    for slot in &old {
        luks.set_priority(*slot, Priority::Prefer).during("marking an old key slot")?;
    }
    let mut new = Vec::new();
    for key in missing {
        let slot = luks.add_slot(volume_key, key, stretching).during("adding a key slot")?;
        luks.set_priority(slot, Priority::Ignore).during("marking a new key slot")?;
        new.push(slot);
    }
    Ok(Prepared { old, new })
}

fn slot_of(luks: &mut Luks, known: Known<'_>, key: &Secret) -> Result<Option<u32>, Failure> {
    if known.1.matches(key.open()) {
        return Ok(Some(known.0));
    }
    match luks.open_slot(None, key) {
        Ok((slot, _)) => Ok(Some(slot)),
        Err(error) if error.is_wrong_passphrase() => Ok(None),
        Err(error) => Err(error).during("looking for a key's slot"),
    }
}

/// Makes the new slots count.
pub fn switch(luks: &mut Luks, prepared: &Prepared) -> Result<(), Failure> {
    for slot in &prepared.new {
        luks.set_priority(*slot, Priority::Normal).during("switching to a new key slot")?;
    }
    unmark(luks)
}

/// Destroys the old ones.
pub fn drop_old(luks: &mut Luks, prepared: &Prepared) -> Result<(), Failure> {
    for slot in &prepared.old {
        luks.destroy_slot(*slot).during("removing an old key slot")?;
    }
    Ok(())
}

/// Takes back what [`prepare`] did, after a failure.
pub fn take_back(luks: &mut Luks, prepared: &Prepared) -> Result<(), Failure> {
    for slot in &prepared.new {
        luks.destroy_slot(*slot).during("removing a new key slot")?;
    }
    for slot in &prepared.old {
        luks.set_priority(*slot, Priority::Normal).during("unmarking a key slot")?;
    }
    unmark(luks)
}

/// Ends a change that was cut short: `opened` is the slot of a key that the record in force agrees with, `record`
/// the date of the record in the header, where it can be read.
pub fn heal(luks: &mut Luks, opened: u32, record: Option<u64>) -> Result<Healed, Failure> {
    let slots = luks.slots().during("reading the key slots")?;
    let with = |priority| slots.iter().filter(move |s| s.1 == priority).map(|s| s.0).collect::<Vec<_>>();
    let change = Prepared { old: with(Priority::Prefer), new: with(Priority::Ignore) };
    let was_made = match (marked(luks), record) {
        (Some(marked), Some(record)) => Some(record >= marked),
        _ => match slots.iter().find(|slot| slot.0 == opened).map(|slot| slot.1) {
            Some(Priority::Ignore) => Some(true),
            Some(Priority::Prefer) => Some(false),
            // Old slots go before new ones count, so marks without new slots are from before the line.
            Some(Priority::Normal) if !change.old.is_empty() && change.new.is_empty() => Some(false),
            Some(Priority::Normal) | None => None,
        },
    };
    match was_made {
        Some(true) => {
            drop_old(luks, &change)?;
            switch(luks, &change)?;
            Ok(Healed::Finished)
        }
        Some(false) => {
            take_back(luks, &change)?;
            Ok(Healed::TakenBack)
        }
        None => Ok(Healed::Nothing),
    }
}
