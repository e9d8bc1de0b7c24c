//! What this program does. The plans, and the loops that follow them, are those that run on a real machine; around them
//! is here, in a few lines each, what `worker` and `opened/keys.rs` do. Which record is in force is `records::reconcile`'s to say.

use super::disk::{Header, Key, RECOVERY, Record, World};
use crate::job::{Failure, Step as JobStep, Steps};
use crate::storage::luks::perform::keys::{self as perform, Keys};
use crate::storage::luks::plan::keys::{
    self as plan, Copies, Header as Found, Mark, Named, Priority, Situation, Standing, Step, hidden,
};
use crate::storage::luks::plan::without::{Mend, has};
use crate::storage::{self, Healed, InOrder, Then};
use records::reconcile::{Force, Rule};
use records::refusal::Refused;

/// How a run ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The process is killed; what it wrote will come to the disk, if the power does not fail.
    Kill,
    /// The power fails.
    Power,
    /// One step fails, and the process goes on.
    Fail,
}

/// Where a run ends: before the operation with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The number.
    pub at: u32,
    /// The way.
    pub how: How,
}

/// What became of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The user was told that it is done.
    Done,
    /// It was refused: nothing was changed.
    Refused,
    /// It was cut short, or failed.
    Short,
}

/// What is wanted of a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Opening it. (A repair does the same.)
    Login,
    /// Another password, a new one.
    Passwd,
    /// The recovery key is added, or removed.
    Recovery,
    /// A token is enrolled; one that was there goes, as a PIN does that is replaced.
    Enrol,
    /// The token is removed.
    Drop,
    /// Another record with the same keys; also what a resize writes.
    Update,
}

/// A run of a verb.
pub struct Run<'a> {
    world: &'a mut World,
    cut: Option<Cut>,
    done: u32,
    record: Record,
    added: Vec<Key>,
    copies: Copies,
    published: bool,
    /// The run is over, whatever is still called.
    dead: bool,
}

struct Mute;

impl Steps for Mute {
    fn enter(&mut self, _step: JobStep) -> Result<(), Failure> {
        Ok(())
    }

    fn warn(&mut self, _text: String) {}
}

/// Does a verb with these keys. The number of operations done comes with what became of it.
pub fn run(world: &mut World, verb: Verb, given: &[Key], cut: Option<Cut>) -> (Ended, u32) {
    let record = *world.host.read();
    let mut run = Run {
        world,
        cut,
        done: 0,
        record,
        added: Vec::new(),
        copies: Copies::Written,
        published: false,
        dead: false,
    };
    let ended = run.verb(verb, given);
    let (done, dead) = (run.done, run.dead);
    let ended = match ended {
        Ok(true) => Ended::Done,
        Ok(false) => Ended::Refused,
        Err(_) => Ended::Short,
    };
    if dead && cut.is_some_and(|cut| cut.how == How::Power) {
        world.power_cut();
    }
    (ended, done)
}

/// Whether one of the keys is the record's.
fn proves(record: &Record, given: &[Key]) -> bool {
    given.iter().any(|key| record.has(*key))
}

/// The record in force, as far as it can be told without what is in the home.
fn in_force(world: &World) -> Result<Force<Record>, Refused> {
    let mut force = Force::begin(Some(*world.host.read()));
    if has(Mend::HeaderRead) {
        force.see_outside(world.header.read().record, Rule::Any)?;
    }
    Ok(force)
}

/// Whether somebody with these keys gets in, as far as that can be told without what is in the home: as an unlock does.
pub fn gets_in(world: &World, given: &[Key]) -> bool {
    let proven = in_force(world).is_ok_and(|force| {
        force.decides().is_ok_and(|found| found.is_some_and(|record| proves(record, given)))
    });
    proven && given.iter().any(|key| world.header.read().opened_by(*key).is_some())
}

impl Run<'_> {
    /// One operation on the disk: where a cut can be.
    fn tick(&mut self) -> Result<(), Failure> {
        let is_now = self.cut.is_some_and(|cut| cut.at == self.done);
        self.done += 1;
        if self.dead || is_now {
            self.dead = self.dead || self.cut.is_some_and(|cut| cut.how != How::Fail);
            return Err(Failure::Fault(String::new()));
        }
        Ok(())
    }

    fn header(&self) -> &Header {
        self.world.header.read()
    }

    fn write_header(&mut self, change: impl FnOnce(&mut Header)) -> Result<(), Failure> {
        self.tick()?;
        let mut header = self.header().clone();
        change(&mut header);
        self.world.header.write(header);
        self.tick()?;
        if has(Mend::Flushed) {
            self.world.header.flush();
        }
        Ok(())
    }

    fn write_others(&mut self) -> Result<(), Failure> {
        let record = self.record;
        if *self.world.home.read() != record {
            self.tick()?;
            self.world.home.write(record);
            self.tick()?;
            self.world.home.flush();
        }
        if *self.world.host.read() != record {
            self.tick()?;
            self.world.host.write(record);
            self.tick()?;
            self.world.host.flush();
        }
        Ok(())
    }

    /// The first key that opens a slot, and the slot.
    fn open(&self, given: &[Key]) -> Option<(Key, u32)> {
        given.iter().find_map(|key| Some((*key, self.header().opened_by(*key)?)))
    }

    fn verb(&mut self, verb: Verb, given: &[Key]) -> Result<bool, Failure> {
        let Some((used, opened)) = self.open(given) else { return Ok(false) };
        let former: Vec<Record> = self.header().record.into_iter().chain([*self.world.host.read()]).collect();
        let mut force = in_force(self.world)?;
        if verb == Verb::Login {
            if !force.decides().is_ok_and(|found| found.is_some_and(|record| proves(record, given))) {
                return Ok(false);
            }
            force.see(*self.world.home.read(), Rule::Any)?;
        }
        let Ok(Some(record)) = force.decides().map(|found| found.copied()) else { return Ok(false) };
        self.record = record;
        let proven: Vec<Key> = given.iter().copied().filter(|key| record.has(*key)).collect();
        if proven.is_empty() {
            return Ok(false);
        }
        let then = if verb == Verb::Passwd { Then::Change } else { Then::Rest };
        let (healed, mut in_order) = self.settle(opened, &proven, then)?;
        if !proven.contains(&used) {
            let knew = former.iter().any(|record| record.has(used));
            let waits = healed == Healed::Waiting && has(Mend::WaitingStays);
            let old = if knew && !waits { vec![used] } else { Vec::new() };
            self.change(&old, &proven, None, record, &proven, storage::Hidden { stay: 0, go: 0 }, &in_order)?;
            in_order = self.settle(opened, &proven, then)?.1;
        }
        self.change_to(verb, given, &proven, &in_order)?;
        Ok(true)
    }

    fn change_to(
        &mut self,
        verb: Verb,
        given: &[Key],
        proven: &[Key],
        in_order: &InOrder,
    ) -> Result<(), Failure> {
        let before = self.record;
        let date = self.world.next();
        match verb {
            Verb::Login => self.write_others(),
            Verb::Update => {
                self.record = Record { date, ..before };
                let record = self.record;
                self.write_header(|header| header.record = Some(record))?;
                self.write_others()
            }
            Verb::Passwd => {
                let new = self.world.promise.pending.last().copied().unwrap_or_default();
                let mut wanted = vec![new];
                wanted.extend(proven.iter().copied().filter(|key| *key != before.password));
                let stay = before.count() - wanted.len();
                let go = usize::from(!proven.contains(&before.password));
                let record = Record { date, hashes: self.world.next(), password: new, ..before };
                let hidden = storage::Hidden { stay, go };
                self.copies = Copies::Waiting;
                self.change(proven, &wanted, Some(before), record, proven, hidden, in_order)
            }
            Verb::Recovery | Verb::Enrol | Verb::Drop => {
                let new = self.world.promise.tokens.last().copied().filter(|_| verb == Verb::Enrol);
                let record = match verb {
                    Verb::Recovery => {
                        Record { date, hashes: self.world.next(), recovery: !before.recovery, ..before }
                    }
                    _ => Record { date, token: new, ..before },
                };
                let at_hand = given.iter().copied().chain(new);
                let wanted: Vec<Key> = at_hand.filter(|key| record.has(*key)).collect();
                let is_missing = verb == Verb::Recovery && record.recovery && !given.contains(&RECOVERY);
                if wanted.is_empty() || is_missing {
                    // Refused, after what was cut short was settled.
                    return Err(Failure::Fault(String::new()));
                }
                let stay = record.count() - wanted.len();
                let hidden = storage::Hidden { stay, go: before.count().saturating_sub(proven.len() + stay) };
                self.copies = Copies::Waiting;
                self.change(proven, &wanted, Some(before), record, proven, hidden, in_order)
            }
        }
    }

    fn settle(&mut self, opened: u32, proven: &[Key], then: Then) -> Result<(Healed, InOrder), Failure> {
        if !has(Mend::Settled) && then == Then::Change {
            return Ok((Healed::Nothing, InOrder::new()));
        }
        let by_record = proven.iter().find_map(|key| self.header().opened_by(*key));
        let key = if by_record.is_some() { plan::Key::OfRecord } else { plan::Key::OfSlotAlone };
        let force = self.record.digest();
        let proof = plan::Proof { opened: by_record.unwrap_or(opened), key, force, then };
        let copies = std::mem::replace(&mut self.copies, Copies::Written);
        let settled = perform::settle(self, &proof, &mut Mute);
        self.copies = copies;
        settled
    }

    #[expect(clippy::too_many_arguments, reason = "each is one of the real one's members")]
    fn change(
        &mut self,
        old: &[Key],
        new: &[Key],
        before: Option<Record>,
        record: Record,
        known: &[Key],
        go: storage::Hidden,
        in_order: &InOrder,
    ) -> Result<(), Failure> {
        let (mut old_slots, mut kept) = (Vec::new(), Vec::new());
        self.added.clear();
        for key in old.iter().filter(|key| !new.contains(key)) {
            old_slots.extend(self.header().opened_by(*key));
        }
        for key in new {
            match self.header().opened_by(*key).filter(|_| known.contains(key)) {
                Some(slot) => kept.push(slot),
                None => self.added.push(*key),
            }
        }
        let slots = self.header().seen();
        let told: Vec<u32> = old_slots.iter().chain(&kept).copied().collect();
        old_slots.extend(hidden(&slots, &told, go).go);
        let named = slots.iter().filter(|slot| old_slots.contains(&slot.number));
        let change = plan::Change {
            old: named.map(|slot| Named { slot: slot.number, salt: slot.salt.clone() }).collect(),
            kept,
            added: self.added.len(),
            before: before.map(|record| record.digest()),
            after: record.digest(),
        };
        let force = std::mem::replace(&mut self.record, record);
        let done = perform::change(self, &change, in_order, &mut Mute);
        if done.is_err() && !self.published && !self.dead {
            self.record = force;
            if let Some((_, opened)) = self.open(known) {
                let _ = self.settle(opened, known, Then::Rest);
            }
        }
        done
    }
}

impl Keys for Run<'_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        let found = match self.header().record {
            Some(record) if record == self.record => Found::Wanted,
            Some(_) => Found::Other,
            None => Found::Unreadable,
        };
        let header = self.header();
        let (slots, marks) = (header.seen(), header.marks.clone());
        Ok(Situation { slots, marks, header: found, copies: self.copies })
    }

    fn perform(&mut self, step: &Step, _steps: &mut dyn Steps) -> Result<(), Failure> {
        match step {
            Step::Mark { token, mark } => self.write_header(|header| set_mark(header, *token, mark)),
            Step::Add { slot, key } => {
                let salt = self.world.next();
                let key = self.added.get(*key).copied().ok_or(Failure::Fault("no such key".into()))?;
                self.write_header(|header| header.add(*slot, salt, key))
            }
            Step::Record => {
                self.published = true;
                let record = self.record;
                self.write_header(|header| header.record = Some(record))
            }
            Step::Copies => {
                self.copies = Copies::Written;
                // What cannot be written now is written at the next use.
                match self.write_others() {
                    Err(failure) if self.dead => Err(failure),
                    Err(_) | Ok(()) => Ok(()),
                }
            }
            Step::Destroy { slot } => {
                self.write_header(|header| {
                    header.slots.iter_mut().filter(|s| s.number == *slot).for_each(|s| s.key = None);
                })?;
                self.write_header(|header| header.slots.retain(|found| found.number != *slot))
            }
            Step::Normal { slot } => self.write_header(|header| {
                let marked = header.slots.iter_mut().filter(|found| found.number == *slot);
                marked.for_each(|found| found.priority = Priority::Normal);
            }),
            Step::Forget { token } => {
                self.write_header(|header| header.marks.retain(|mark| mark.token != *token))
            }
        }
    }
}

fn set_mark(header: &mut Header, token: Option<u32>, mark: &Mark) {
    let free =
        (0..).find(|number| header.marks.iter().all(|standing| standing.token != *number)).unwrap_or(0);
    let token = token.unwrap_or(free);
    header.marks.retain(|standing| standing.token != token);
    header.marks.push(Standing { token, mark: Some(mark.clone()) });
}
