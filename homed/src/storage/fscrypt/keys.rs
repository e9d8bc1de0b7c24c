//! Changes of a folder's key slots. The order of the steps is the plan that LUKS homes have (`storage/luks/plan/keys.rs`):
//! what is different is where slots and mark are, and that no record lies beside them. A change counts once the record in the
//! home or the host's is written.

use super::opened::OpenFscrypt;
use super::slot::{Guess, Slot};
use super::slots;
use crate::job::{self, Failure, Steps};
use crate::storage::luks::perform::keys::{self as perform, Keys};
use crate::storage::luks::plan::keys::{self as plan, Copies, Header, Key, Named, Situation, Step};
use crate::storage::{
    Hidden, HomeDirectory, InOrder, KeyChange, Opened, Proof, Settlement, Then, WriteCopies,
};
use records::{Record, Secret};
use std::os::fd::AsFd;

/// Told where a slot is added beside some of the older form.
const FORMER: &str = "The folder of the home was made by systemd-homed before 260. The new key slots are of the form that it has since: versions \
     before 260 cannot open the home with the new keys.";

/// A slot, and a key that opens it.
pub struct Known {
    /// The slot.
    pub slot: u32,
    /// The key.
    pub key: Secret,
}

/// Whether a change was cut short, as far as that is told without a key.
pub fn is_cut_short(directory: impl AsFd) -> Result<bool, Failure> {
    let (slots, marks) = slots::situation(directory)?;
    let (header, copies) = (Header::Unreadable, Copies::Written);
    Ok(Situation { slots, marks, header, copies }.is_cut_short())
}

/// Finishes or takes back what was cut short.
pub fn settle(
    opened: &mut OpenFscrypt,
    proof: &Proof<'_>,
    steps: &mut dyn Steps,
) -> Result<Settlement, Failure> {
    let (slot, key) = opened_by(opened, proof.proven)?;
    let force = perform::digest(proof.record, opened.id(), opened.volume_key())?;
    let shown = plan::Proof { opened: slot, key, force, then: proof.then };
    let mut on_disk = OnDisk::new(opened);
    let (healed, in_order) = perform::settle(&mut on_disk, &shown, steps)?;
    Ok(Settlement { healed, in_order })
}

/// Replaces keys, and has the copies of the record written in between.
pub fn change(
    opened: &mut OpenFscrypt,
    change: KeyChange<'_>,
    settled: &InOrder,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    let Found { change: planned, added, doubtful } = find(opened, &change)?;
    if doubtful > 0 {
        steps.warn(format!(
            "A key that was removed, and was not given, may still open the folder of the home (not at a login): which of \
             {doubtful} key slots is its own cannot be told without it, so they were left. Give all keys that stay with the \
             next change of passwords."
        ));
    }
    if !added.is_empty() && slots::read(opened.directory())?.iter().any(|(_, slot)| slot.is_former()) {
        steps.warn(FORMER.into());
    }
    let (before, known) = (change.before.unwrap_or(change.record), change.known);
    let mut on_disk = OnDisk { added, random: change.random, copies: change.copies, ..OnDisk::new(opened) };
    let done = perform::change(&mut on_disk, &planned, settled, steps);
    let reached = on_disk.reached;
    if done.is_err() && !is_in_force(opened, reached, change.record, steps) {
        // What was added counts for nothing yet; what cannot be taken back now is at the next use.
        let _ = settle(opened, &Proof { record: before, proven: known, then: Then::Rest }, steps);
    }
    done
}

/// How far a change has come with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// It was not written.
    No,
    /// It was to be written, and that has failed.
    Perhaps,
    /// It was written.
    Yes,
}

/// Whether the new record may be in force. A file that was written may fail all the same when it is to be on the disk: the
/// change is finished or taken back at the next use then, and not now.
fn is_in_force(opened: &mut OpenFscrypt, reached: Reached, new: &Record, steps: &mut dyn Steps) -> bool {
    match reached {
        Reached::No => false,
        Reached::Yes => true,
        Reached::Perhaps => {
            let record = opened.home(steps).and_then(HomeDirectory::read_record);
            record.map_or(true, |record| record.opens_like(new))
        }
    }
}

/// What a change of keys comes to.
struct Found<'a> {
    change: plan::Change,
    added: Vec<&'a Secret>,
    /// So many slots may be of keys that go, and may be of keys that stay.
    doubtful: usize,
}

fn has(keys: &[Secret], key: &Secret) -> bool {
    keys.iter().any(|other| other.matches(key.open()))
}

fn find<'a>(opened: &mut OpenFscrypt, wish: &KeyChange<'a>) -> Result<Found<'a>, Failure> {
    let (mut old, mut kept, mut added) = (Vec::new(), Vec::new(), Vec::<&Secret>::new());
    for key in wish.old.iter().filter(|key| !has(wish.new, key)) {
        old.extend(slot_of(opened, key)?);
    }
    for key in wish.new {
        let perhaps = has(wish.known, key) || has(wish.old, key);
        match if perhaps { slot_of(opened, key)? } else { None } {
            Some(slot) => kept.push(slot),
            None if added.iter().any(|other| other.matches(key.open())) => {}
            None => added.push(key),
        }
    }
    let (slots, _) = slots::situation(opened.directory())?;
    old.retain(|slot| !kept.contains(slot));
    let unknown =
        slots.iter().map(|slot| slot.number).filter(|slot| !old.contains(slot) && !kept.contains(slot));
    let unknown: Vec<u32> = unknown.collect();
    let doubtful = doubtful(unknown.len(), wish.hidden);
    if wish.hidden.go > 0 && doubtful == 0 {
        old.extend(unknown);
    }
    let digest = |record: &Record| perform::digest(record, opened.id(), opened.volume_key());
    let named = slots.iter().filter(|slot| old.contains(&slot.number));
    let old = named.map(|slot| Named { slot: slot.number, salt: slot.salt.clone() }).collect();
    let change = plan::Change {
        old,
        kept,
        added: added.len(),
        before: wish.before.map(digest).transpose()?,
        after: digest(wish.record)?,
    };
    Ok(Found { change, added, doubtful })
}

/// How many slots that nobody's key was given for are left in doubt. Only homed has slots in such a folder: where all keys
/// that were not given go, so do all of these.
fn doubtful(unknown: usize, keys: Hidden) -> usize {
    if keys.go > 0 && keys.stay > 0 { unknown } else { 0 }
}

/// The slot that a key opens. Trying costs a derivation for each slot.
fn slot_of(opened: &mut OpenFscrypt, key: &Secret) -> Result<Option<u32>, Failure> {
    if let Some(known) = opened.known().iter().find(|known| known.key.matches(key.open())) {
        return Ok(Some(known.slot));
    }
    let (all, name) = (slots::read(opened.directory())?, opened.name());
    let slot = slots::unlock(&all, std::slice::from_ref(key), name)?.map(|unlocked| unlocked.slot);
    opened.known().extend(slot.map(|slot| Known { slot, key: key.duplicate() }));
    Ok(slot)
}

/// The slot that a key of the record in force opens, or the one that was opened.
fn opened_by(opened: &mut OpenFscrypt, proven: &[Secret]) -> Result<(u32, Key), Failure> {
    if let Some(known) = opened.known().iter().find(|known| has(proven, &known.key)) {
        return Ok((known.slot, Key::OfRecord));
    }
    for key in proven {
        if let Some(slot) = slot_of(opened, key)? {
            return Ok((slot, Key::OfRecord));
        }
    }
    Ok((opened.slot(), Key::OfSlotAlone))
}

/// The attributes of the folder, and what a plan puts there.
struct OnDisk<'a, 'b> {
    opened: &'a mut OpenFscrypt,
    added: Vec<&'b Secret>,
    random: &'b [Secret],
    copies: Option<WriteCopies<'b>>,
    /// There is no record beside the keys: nothing tells by that whether a change was made.
    header: Header,
    /// Whether the record was reached: from there a change is not taken back.
    reached: Reached,
}

impl<'a> OnDisk<'a, '_> {
    fn new(opened: &'a mut OpenFscrypt) -> Self {
        let header = Header::Unreadable;
        Self { opened, added: Vec::new(), random: &[], copies: None, header, reached: Reached::No }
    }
}

impl Keys for OnDisk<'_, '_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        let copies = if self.copies.is_some() { Copies::Waiting } else { Copies::Written };
        let (slots, marks) = slots::situation(self.opened.directory())?;
        Ok(Situation { slots, marks, header: self.header, copies })
    }

    fn perform(&mut self, step: &Step, steps: &mut dyn Steps) -> Result<(), Failure> {
        match step {
            Step::Mark { token: _, mark } => {
                steps.enter(job::Step::MarkKeys)?;
                slots::mark(self.opened.directory(), mark)
            }
            Step::Add { slot, key } => {
                steps.enter(job::Step::AddKeys)?;
                self.add(*slot, *key)
            }
            Step::Record => {
                self.header = Header::Wanted;
                Ok(())
            }
            Step::Copies => {
                self.reached = Reached::Perhaps;
                self.copies.take().map_or(Ok(()), |write| write(self.opened, steps))?;
                self.reached = Reached::Yes;
                Ok(())
            }
            Step::Destroy { slot } => {
                steps.enter(job::Step::DropKeys)?;
                self.opened.known().retain(|known| known.slot != *slot);
                slots::remove(self.opened.directory(), *slot)
            }
            // Such slots have no priorities.
            Step::Normal { slot: _ } => Ok(()),
            Step::Forget { token: _ } => {
                steps.enter(job::Step::ForgetMark)?;
                slots::unmark(self.opened.directory())
            }
        }
    }

    fn full(&self) -> &'static str {
        "The folder of the home has no number left for another key slot. Nothing was changed. Remove a key that is not needed, \
         and try again."
    }
}

impl OnDisk<'_, '_> {
    fn add(&mut self, number: u32, key: usize) -> Result<(), Failure> {
        let Some(key) = self.added.get(key) else {
            return Err(Failure::fault("a key slot is to be added for no key"));
        };
        let guess = if has(self.random, key) { Guess::Cheap } else { Guess::Costly };
        slots::write(self.opened.directory(), number, &Slot::new(self.opened.volume_key(), key, guess)?)?;
        let key = key.duplicate();
        self.opened.known().push(Known { slot: number, key });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_keys_that_were_not_given_go_with_all_of_them_and_are_left_where_some_stay() {
        for (stay, go, left) in [(0, 1, 0), (0, 2, 0), (1, 1, 3), (1, 0, 0), (0, 0, 0)] {
            assert_eq!(doubtful(3, Hidden { stay, go }), left, "{stay} stay, {go} go");
        }
    }
}
