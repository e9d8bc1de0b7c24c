//! Changes of key slots: which step is next.
//!
//! ```text
//! mark → new slots → record in the header ← the new keys count → other copies of the record → old slots away
//! ```
//!
//! Each step is on disk before the next. The mark names the old slots by number and by the salt of their key
//! derivation, which no other slot has, and the new ones by numbers that are free when it is written, from the top
//! down, where no other program puts one of itself. It has two digests of what the record calls keys, before and after.
//! So what a cut left is told without dates and without priorities, which belong to others:
//!
//! | what is proven | verdict |
//! | --- | --- |
//! | a key of the record in force has opened an old slot | it was not made: taken back |
//! | … another slot, and the record in force has the keys of before | it was not made: taken back |
//! | … another slot, and the record in force has the keys of after | it was made: finished |
//! | anything else | nothing is destroyed, the mark waits |
//!
//! The slot that was just opened is never destroyed, slots that no mark and no given key names are left alone, and a
//! mark whose old slots are gone does nothing.

use super::without::{Mend, has};
use crate::storage::Then;

pub mod hidden;
mod settle;

pub use hidden::hidden;
pub use settle::{outcome, settle};

/// Key slots that a LUKS2 header has room for.
pub const SLOTS: u32 = 32;

/// So many slots changed, with mark and record, are four writes of the header: enough.
const MANY: usize = 2;

/// What tells a key slot from every other one: it is random (LUKS2: `keyslots.N.kdf.salt`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Salt(pub Box<str>);

/// What tells the keys of a record (hashes of all kinds) from other ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Digest(pub Box<str>);

/// A key slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Its number.
    pub number: u32,
    /// Its salt.
    pub salt: Salt,
    /// Whether it has the priority that others give.
    pub priority: Priority,
    /// Whether a token of another program refers to it.
    pub claim: Claim,
}

/// A slot's priority. It is the administrator's; earlier versions of this program marked slots with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// As it is made.
    Normal,
    /// Tried before the others, or by name alone.
    Other,
}

/// Whose a slot is, as far as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Nobody claims it.
    None,
    /// A token of another program (such as systemd-cryptenroll's) refers to it.
    Token,
}

/// A slot, as a mark names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// Its number.
    pub slot: u32,
    /// Its salt.
    pub salt: Salt,
}

/// A change of key slots that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Slots that go when it is made.
    pub old: Vec<Named>,
    /// Numbers of those that come.
    pub new: Vec<u32>,
    /// The keys of the record in force before; `None`: it does not matter.
    pub before: Option<Digest>,
    /// The keys of the record it is made for.
    pub after: Digest,
}

/// A token of a header that marks a change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The token's number.
    pub token: u32,
    /// What it says; `None`: an earlier version of this program wrote it, with a date and priorities.
    pub mark: Option<Mark>,
}

/// The record in the header, beside the one that is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Header {
    /// It is that one.
    Wanted,
    /// It is another one.
    Other,
    /// There is none that can be read.
    Unreadable,
}

/// Whether a run has written the other copies of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Copies {
    /// It has, or they are not its business.
    Written,
    /// Not yet.
    Waiting,
}

/// What stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// All key slots.
    pub slots: Vec<Slot>,
    /// All marks.
    pub marks: Vec<Standing>,
    /// The header's record.
    pub header: Header,
    /// The other copies.
    pub copies: Copies,
}

/// One step; it is on disk before the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes a mark, in the place of a token or a free one.
    Mark {
        /// The token it takes the place of.
        token: Option<u32>,
        /// What it says.
        mark: Mark,
    },
    /// Makes a slot with this number for the new key with this index.
    Add {
        /// The number.
        slot: u32,
        /// Index among the keys to be added.
        key: usize,
    },
    /// Writes the wanted record into the header.
    Record,
    /// Writes the other copies of it.
    Copies,
    /// Destroys a slot.
    Destroy {
        /// Its number.
        slot: u32,
    },
    /// Gives a slot the usual priority.
    Normal {
        /// Its number.
        slot: u32,
    },
    /// Removes a mark.
    Forget {
        /// The token.
        token: u32,
    },
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This step.
    Do(Step),
    /// This step, and with it all is done.
    Last(Step),
    /// Nothing: it is done.
    Done,
    /// Nothing: there is no number left for a new slot.
    NoSlot,
}

/// What the key that was given has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The slot it has just opened: it stays.
    pub opened: u32,
    /// Whether the key is one of the record in force.
    pub key: Key,
    /// The keys of the record in force.
    pub force: Digest,
    /// What follows: the mark of a change takes the place of one that does nothing, a write of the header less.
    pub then: Then,
}

/// Whose key has opened a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The record in force's.
    OfRecord,
    /// Not that.
    OfSlotAlone,
}

impl Situation {
    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.number == number)
    }

    /// The old slots of a mark that are still there.
    fn old_of(&self, mark: &Mark) -> Vec<u32> {
        let same = |named: &&Named| {
            let found = self.slot(named.slot);
            found.is_some_and(|slot| slot.salt == named.salt || !has(Mend::Salts))
        };
        let mut old: Vec<u32> = mark.old.iter().filter(same).map(|named| named.slot).collect();
        if !has(Mend::Priorities) {
            old.extend(self.slots.iter().filter(|slot| slot.priority == Priority::Other).map(|s| s.number));
        }
        old
    }

    /// The new slots of a mark that are there.
    fn new_of(&self, mark: &Mark) -> Vec<u32> {
        let there = |number: &u32| self.slot(*number).is_some() && has(Mend::NewByNumber);
        mark.new.iter().copied().filter(there).collect()
    }

    /// Whether a change was cut short, as far as that is told without a key.
    pub fn is_cut_short(&self) -> bool {
        self.marks.iter().any(|standing| match &standing.mark {
            Some(mark) => mark.old.is_empty() || !self.old_of(mark).is_empty(),
            None => true,
        })
    }
}

/// A change of keys, and of the record with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Slots that go.
    pub old: Vec<Named>,
    /// Slots whose keys stay keys of the record.
    pub kept: Vec<u32>,
    /// How many keys get a slot.
    pub added: usize,
    /// The keys of the record in force before.
    pub before: Option<Digest>,
    /// The keys of the record to come.
    pub after: Digest,
}

/// The next step of a change. What was cut short before has been settled.
pub fn change(situation: &Situation, change: &Change) -> Next {
    let standing = situation.marks.iter().find_map(|standing| {
        let mark =
            standing.mark.as_ref().filter(|mark| mark.after == change.after && mark.old == change.old)?;
        (mark.new.len() == change.added).then_some((standing.token, mark))
    });
    let Some((token, mark)) = standing else {
        if change.old.is_empty() && change.added == 0 {
            return published(situation).map_or(Next::Done, Next::Do);
        }
        return marked(situation, change);
    };
    let missing = mark.new.iter().position(|number| situation.slot(*number).is_none());
    if let Some(key) = missing {
        return Next::Do(Step::Add { slot: mark.new[key], key });
    }
    let published = published(situation);
    if let Some(step) = published.filter(|_| has(Mend::RecordBeforeDrop) || situation.old_of(mark).is_empty())
    {
        return Next::Do(step);
    }
    let stays = |slot: &u32| situation.slot(*slot).is_some() && !situation.old_of(mark).contains(slot);
    let opens = mark.new.iter().chain(&change.kept).any(stays);
    match situation.old_of(mark).first() {
        Some(slot) if opens => Next::Do(Step::Destroy { slot: *slot }),
        // With its old slots gone the mark tells by itself that it is over: it goes with the next use, if this one has
        // written enough.
        Some(_) | None if !mark.old.is_empty() && mark.old.len() + mark.new.len() >= MANY => Next::Done,
        Some(_) | None => Next::Last(Step::Forget { token }),
    }
}

fn published(situation: &Situation) -> Option<Step> {
    match (situation.header, situation.copies) {
        (Header::Other | Header::Unreadable, _) => Some(Step::Record),
        (Header::Wanted, Copies::Waiting) => Some(Step::Copies),
        (Header::Wanted, Copies::Written) => None,
    }
}

/// The mark, in the place of one that does nothing.
fn marked(situation: &Situation, change: &Change) -> Next {
    let is_void = |standing: &&Standing| {
        let mark = standing.mark.as_ref();
        mark.is_some_and(|mark| situation.old_of(mark).is_empty() || situation.new_of(mark).is_empty())
    };
    let void = situation.marks.iter().find(is_void).map(|standing| standing.token);
    let kept = situation.marks.iter().filter(|standing| Some(standing.token) != void);
    let claimed: Vec<u32> = kept.filter_map(|s| s.mark.as_ref()).flat_map(|mark| mark.new.clone()).collect();
    let free = |number: &u32| situation.slot(*number).is_none() && !claimed.contains(number);
    let new: Vec<u32> = if has(Mend::TopNumbers) {
        (0..SLOTS).rev().filter(free).take(change.added).collect()
    } else {
        (0..SLOTS).filter(free).take(change.added).collect()
    };
    if new.len() < change.added {
        return Next::NoSlot;
    }
    let mark =
        Mark { old: change.old.clone(), new, before: change.before.clone(), after: change.after.clone() };
    Next::Do(Step::Mark { token: void, mark })
}
