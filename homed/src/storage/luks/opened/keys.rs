//! Key slots of an image that is open: whose key opens which, and what a change of them has to be.

use super::LuksOpened;
use crate::job::{Context, Failure, Steps};
use crate::storage::luks::perform::keys::{self as perform, OnDisk};
use crate::storage::luks::plan::keys::{self as plan, Key, Named, hidden};
use crate::storage::luks::record_token::{self, Algorithm};
use crate::storage::luks::stretching::{self, Stretchings};
use crate::storage::luks::tries;
use crate::storage::{InOrder, KeyChange, Proof, Settlement, Then};
use crate::sys::cryptsetup::Luks;
use records::{Record, Secret};

/// What is told where a header (of systemd-homed, which makes small ones) is full.
pub const NO_ROOM: &str = "The encryption header has no room for what security keys and smart cards are asked with: on a machine \
    that does not know the home's record, a password or recovery key opens it at first, and no device.";

/// Whether a header had room for what devices are asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It had, or there are no devices.
    Enough,
    /// It had not: the record alone was written.
    None,
}

/// A slot, and a key that opens it.
pub struct Known {
    /// The slot.
    pub slot: u32,
    /// The key.
    pub key: Secret,
}

/// What a change of keys comes to.
struct Found<'a> {
    change: plan::Change,
    added: Vec<&'a Secret>,
    doubtful: Vec<u32>,
}

/// Whether a key of the record can be typed, so that no device is needed.
fn can_be_typed(record: &Record) -> bool {
    ["hashedPassword", "recoveryKey"].iter().any(|list| !record.keys_of(list).is_empty())
}

impl LuksOpened {
    /// The header as it is now: on disk, or in memory as long as nothing was changed.
    pub fn header(&mut self) -> &mut Luks {
        self.disk.as_mut().unwrap_or(&mut self.header.luks)
    }

    /// The key that the files are encrypted with.
    pub fn volume_key(&self) -> &Secret {
        &self.volume_key
    }

    /// Puts a record into the header.
    pub fn put_record(&mut self, record: &Record) -> Result<Room, Failure> {
        let algorithm = Algorithm { cipher: &self.facts.cipher, mode: &self.facts.mode };
        let token = record_token::seal(record, algorithm, &self.volume_key)?;
        // With nothing that can be typed left, only devices open it, and only what is told of them has others ask them.
        let needs_devices = !can_be_typed(record) && self.record.as_ref().is_ok_and(can_be_typed);
        self.drop_tokens(record)?;
        let mut places = self.disk()?.tokens(record_token::KIND).into_iter().map(|found| found.0);
        let place = places.next();
        let mut written = (token, Room::Enough);
        if let Err(error) = self.write_header(|disk| disk.set_token(place, &written.0))? {
            if needs_devices || record_token::asked(&written.0).is_empty() {
                return Err(error).during("writing the record into the header");
            }
            written = (record_token::without_questions(&written.0), Room::None);
            let done = self.write_header(|disk| disk.set_token(place, &written.0))?;
            done.during("writing the record into the header")?;
        }
        for surplus in places {
            self.disk()?.remove_token(surplus).during("removing a surplus record from the header")?;
        }
        (self.record, self.token) = (Ok(record.clone()), Some(written.0));
        self.add_tokens(record)?;
        Ok(written.1)
    }

    /// Whether the header says of this record what devices are asked with.
    pub fn asks_for(&self, record: &Record) -> bool {
        self.token.as_ref().is_some_and(|token| record_token::asks_for(token, record))
    }

    /// Waits until what was written to the header is on disk.
    pub fn sync_header(&mut self) -> Result<(), Failure> {
        self.image.sync_all().during("writing the header to disk")
    }

    /// Remembers whose a slot is.
    pub fn know_slot(&mut self, slot: u32, key: &Secret) {
        self.known.push(Known { slot, key: key.duplicate() });
    }

    /// A slot is destroyed.
    pub fn forget_slot(&mut self, slot: u32) {
        self.known.retain(|known| known.slot != slot);
    }

    /// The slot that a key opens. Trying costs a derivation for each slot.
    fn slot_of(&mut self, key: &Secret) -> Result<Option<u32>, Failure> {
        if let Some(known) = self.known.iter().find(|known| known.key.matches(key.open())) {
            return Ok(Some(known.slot));
        }
        let found = tries::unlock(self.header(), std::slice::from_ref(key));
        let slot = found.during("looking for a key's slot")?.map(|unlocked| unlocked.slot);
        slot.into_iter().for_each(|slot| self.know_slot(slot, key));
        Ok(slot)
    }

    /// The slot that a key of the record in force opens, or the one that was opened.
    fn opened_by(&mut self, proven: &[Secret]) -> Result<(u32, Key), Failure> {
        let is_proven = |known: &Known| proven.iter().any(|key| key.matches(known.key.open()));
        if let Some(known) = self.known.iter().find(|known| is_proven(known)) {
            return Ok((known.slot, Key::OfRecord));
        }
        for key in proven {
            if let Some(slot) = self.slot_of(key)? {
                return Ok((slot, Key::OfRecord));
            }
        }
        Ok((self.slot, Key::OfSlotAlone))
    }

    pub(super) fn settle(&mut self, proof: &Proof<'_>, steps: &mut dyn Steps) -> Result<Settlement, Failure> {
        let (opened, key) = self.opened_by(proof.proven)?;
        let force = perform::digest(proof.record, self.facts.uuid.as_bytes(), &self.volume_key)?;
        let shown = plan::Proof { opened, key, force, then: proof.then };
        let mut disk = OnDisk {
            opened: self,
            record: proof.record,
            added: Vec::new(),
            random: &[],
            stretching: None,
            copies: None,
            published: false,
        };
        let (healed, in_order) = perform::settle(&mut disk, &shown, steps)?;
        Ok(Settlement { healed, in_order })
    }

    pub(super) fn change(
        &mut self,
        change: KeyChange<'_>,
        settled: &InOrder,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure> {
        let found = self.find(&change)?;
        if !found.doubtful.is_empty() {
            steps.warn(doubt(&found.doubtful));
        }
        let stretching = match found.added.is_empty() {
            true => None,
            false => Some(Stretchings::choose(&self.spec.encryption, stretching::Home::There)?),
        };
        let (before, known) = (change.before.unwrap_or(change.record), change.known);
        let mut disk = OnDisk {
            opened: self,
            record: change.record,
            added: found.added,
            random: change.random,
            stretching,
            copies: change.copies,
            published: false,
        };
        let done = perform::change(&mut disk, &found.change, settled, steps);
        if done.is_err() && !disk.published {
            // What was added counts for nothing yet; what cannot be taken back now is at the next use.
            let _ = self.settle(&Proof { record: before, proven: known, then: Then::Rest }, steps);
        }
        done
    }

    fn find<'a>(&mut self, wish: &KeyChange<'a>) -> Result<Found<'a>, Failure> {
        let has = |keys: &[Secret], key: &Secret| keys.iter().any(|other| other.matches(key.open()));
        let (mut old, mut kept, mut added) = (Vec::new(), Vec::new(), Vec::<&Secret>::new());
        for key in wish.old.iter().filter(|key| !has(wish.new, key)) {
            old.extend(self.slot_of(key)?);
        }
        for key in wish.new {
            let perhaps = has(wish.known, key) || has(wish.old, key);
            match if perhaps { self.slot_of(key)? } else { None } {
                Some(slot) => kept.push(slot),
                None if added.iter().any(|other| other.matches(key.open())) => {}
                None => added.push(key),
            }
        }
        let (slots, _) = perform::situation(self.header())?;
        old.retain(|slot| !kept.contains(slot));
        let told: Vec<u32> = old.iter().chain(&kept).copied().collect();
        let hidden = hidden(&slots, &told, wish.hidden);
        old.extend(&hidden.go);
        let digest = |record: &Record| perform::digest(record, self.facts.uuid.as_bytes(), &self.volume_key);
        let named = slots.iter().filter(|slot| old.contains(&slot.number));
        let old = named.map(|slot| Named { slot: slot.number, salt: slot.salt.clone() }).collect();
        let change = plan::Change {
            old,
            kept,
            added: added.len(),
            before: wish.before.map(digest).transpose()?,
            after: digest(wish.record)?,
        };
        Ok(Found { change, added, doubtful: hidden.doubtful })
    }
}

fn doubt(slots: &[u32]) -> String {
    let slots: Vec<String> = slots.iter().map(u32::to_string).collect();
    format!(
        "A password or recovery key that was removed, and was not given, may still open the encrypted image with \
         cryptsetup (not at a login): whose the key slots {} are cannot be told without their keys, so they were \
         left. Try it with \"cryptsetup open --test-passphrase\", and remove its slot with \"cryptsetup \
         luksKillSlot\".",
        slots.join(", ")
    )
}
