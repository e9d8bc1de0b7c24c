//! What other programs do with a home, each write on disk at once: systemd-homed as its sources have it, and cryptsetup.

use super::disk::{Header, Key, RECOVERY, Record, STRANGER, World};
use crate::storage::luks::plan::keys::{Claim, Named, Priority};

/// Where systemd-homed runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this machine: the host's record is written, too.
    Here,
    /// On another one, to which the home was carried.
    Elsewhere,
}

/// What somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// systemd-homed changes the password: a slot for each new key, every other slot destroyed, header, home, host.
    Passwd(Place),
    /// systemd-homed writes a newer record: an update, or a growth.
    Update(Place),
    /// The same when it makes the home smaller: the home's record is first.
    Shrink(Place),
    /// systemd-homed's `homectl update` that enrols a token, of which only the record was written: the slot comes with the
    /// change of password that follows by itself, and was cut off.
    HalfEnrol,
    /// `cryptsetup config --priority`, of the slot with this index.
    Priority(usize),
    /// `cryptsetup luksAddKey`.
    AddKey,
    /// The same with `--key-slot`, a number that homed takes.
    AddKeyNamed,
    /// `systemd-cryptenroll`: a slot, and a token that refers to it.
    Enrol,
    /// `cryptsetup luksKillSlot` of the first slot that no part of homed has made.
    Kill,
    /// The same, of a slot that came with a change which was cut short before any old slot went.
    KillNew,
    /// The record in the header becomes unreadable, and this machine has it.
    Damage,
}

/// All of it, but for what keeps a change from being settled by most who come then.
pub const ALL: [Other; 14] = [
    Other::Passwd(Place::Here),
    Other::Passwd(Place::Elsewhere),
    Other::Update(Place::Here),
    Other::Update(Place::Elsewhere),
    Other::Shrink(Place::Here),
    Other::Shrink(Place::Elsewhere),
    Other::Priority(0),
    Other::Priority(1),
    Other::AddKey,
    Other::AddKeyNamed,
    Other::Enrol,
    Other::Kill,
    Other::KillNew,
    Other::Damage,
];

/// The number that somebody names.
const NAMED: u32 = 20;

/// Does it, or only so many of its writes. How many it did; `None`: it is not possible now.
pub fn run(world: &mut World, other: Other, given: Key, most: u32) -> Option<u32> {
    let mut writer = Writer { world, left: most, done: 0 };
    match other {
        Other::Passwd(place) => writer.passwd(given, place)?,
        Other::Update(place) => writer.update(given, place)?,
        Other::Shrink(place) => writer.shrink(given, place)?,
        Other::HalfEnrol => writer.half_enrol(given)?,
        Other::Priority(index) => {
            let number = writer.world.header.read().slots.get(index)?.number;
            writer.header(|header| {
                let found = header.slots.iter_mut().filter(|slot| slot.number == number);
                found.for_each(|slot| slot.priority = Priority::Other);
            });
        }
        Other::AddKey => writer.add_key(None, Claim::None),
        Other::AddKeyNamed => writer.add_key(Some(NAMED), Claim::None),
        Other::Enrol => writer.add_key(None, Claim::Token),
        Other::Damage => {
            // An older copy of this machine would want both passwords, and say so.
            let host = *writer.world.host.on_disk();
            writer.world.header.read().record.filter(|record| *record == host)?;
            writer.header(|header| header.record = None);
        }
        Other::Kill => {
            let (number, _) = *writer.world.promise.strangers.first()?;
            if most > 0 {
                writer.world.promise.strangers.remove(0);
            }
            writer.header(|header| header.slots.retain(|slot| slot.number != number));
        }
        Other::KillNew => {
            let number = writer.cut_short()?;
            writer.header(|header| header.slots.retain(|slot| slot.number != number));
        }
    }
    Some(writer.done)
}

struct Writer<'a> {
    world: &'a mut World,
    left: u32,
    done: u32,
}

impl Writer<'_> {
    fn may(&mut self) -> bool {
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.done += u32::from(may);
        may
    }

    fn header(&mut self, change: impl FnOnce(&mut Header)) {
        if self.may() {
            let mut header = self.world.header.read().clone();
            change(&mut header);
            self.world.header.write(header);
            self.world.header.flush();
        }
    }

    fn add_key(&mut self, named: Option<u32>, claim: Claim) {
        let salt = self.world.next();
        let header = self.world.header.read();
        let is_free = |number: &u32| header.slots.iter().all(|slot| slot.number != *number);
        let number = named.filter(is_free).unwrap_or_else(|| header.lowest_free());
        if self.left > 0 {
            self.world.promise.strangers.push((number, salt));
        }
        self.header(|header| {
            header.add(number, salt, STRANGER + salt);
            let added = header.slots.iter_mut().filter(|slot| slot.number == number);
            added.for_each(|slot| slot.claim = claim);
        });
    }

    /// The record in force, where the key opens a slot and is the record's.
    fn open(&self, given: Key, place: Place) -> Option<Record> {
        self.world.header.read().opened_by(given)?;
        let host = (place == Place::Here).then(|| *self.world.host.read());
        let copies = self.world.header.read().record.into_iter().chain([*self.world.home.read()]).chain(host);
        copies.max_by_key(|record| record.date).filter(|record| record.has(given))
    }

    fn home(&mut self, record: Record) {
        if self.may() {
            self.world.home.write(record);
            self.world.home.flush();
        }
    }

    fn publish(&mut self, record: Record, place: Place) {
        self.header(|header| header.record = Some(record));
        self.home(record);
        self.host(record, place);
    }

    fn host(&mut self, record: Record, place: Place) {
        if place == Place::Here && self.may() {
            self.world.host.write(record);
            self.world.host.flush();
        }
    }

    fn passwd(&mut self, given: Key, place: Place) -> Option<()> {
        let record = self.open(given, place)?;
        let (new, salt) = (self.world.promise.pending.last().copied()?, self.world.next());
        let number = self.world.header.read().lowest_free();
        self.header(|header| header.add(number, salt, new));
        let others: Vec<u32> =
            self.world.header.read().slots.iter().map(|slot| slot.number).filter(|n| *n != number).collect();
        for other in others {
            self.header(|header| header.slots.retain(|slot| slot.number != other));
        }
        let there = |world: &World, number: u32| {
            world.header.read().slots.iter().find(|slot| slot.number == number).map(|slot| slot.salt)
        };
        let mut strangers = std::mem::take(&mut self.world.promise.strangers);
        strangers.retain(|(number, salt)| there(self.world, *number) == Some(*salt));
        self.world.promise.strangers = strangers;
        self.world.promise.recovery &= self.world.header.read().opened_by(RECOVERY).is_some();
        let token = self.world.promise.token;
        self.world.promise.token = token.filter(|token| self.world.header.read().opened_by(*token).is_some());
        let date = self.world.next();
        self.publish(Record { date, hashes: date, password: new, ..record }, place);
        Some(())
    }

    fn shrink(&mut self, given: Key, place: Place) -> Option<()> {
        let record = self.open(given, place)?;
        let date = self.world.next();
        let record = Record { date, ..record };
        self.home(record);
        self.header(|header| header.record = Some(record));
        self.host(record, place);
        Some(())
    }

    /// A new slot of a change that was cut short, all of whose old slots still open.
    fn cut_short(&self) -> Option<u32> {
        let slots = &self.world.header.read().slots;
        let opens = |named: &Named| {
            let mut same = slots.iter().filter(|slot| slot.salt.to_string() == *named.salt.0);
            same.any(|slot| slot.key.is_some())
        };
        let marks = self.world.header.read().marks.iter().filter_map(|standing| standing.mark.as_ref());
        let whole = marks.filter(|mark| !mark.old.is_empty() && mark.old.iter().all(opens));
        let mut new = whole.flat_map(|mark| mark.new.iter().copied());
        new.find(|number| slots.iter().any(|slot| slot.number == *number))
    }

    fn half_enrol(&mut self, given: Key) -> Option<()> {
        let record = self.open(given, Place::Here).filter(|record| record.token.is_none())?;
        let date = self.world.next();
        self.publish(Record { date, token: Some(date), ..record }, Place::Here);
        Some(())
    }

    fn update(&mut self, given: Key, place: Place) -> Option<()> {
        let record = self.open(given, place)?;
        let date = self.world.next();
        self.publish(Record { date, ..record }, place);
        Some(())
    }
}
