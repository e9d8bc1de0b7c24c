//! From what stands and what is wanted to the next step.

use super::super::without::{Mend, has};
use super::{
    Barriers, Device, Ended, FileSystem, Frozen, Kept, Key, Next, Prepared, Reached, Situation, Step, Unfit,
    Which, Wish,
};

/// What is next. Steps that were tried in this run and have failed are not tried again where the rest can go on
/// without them.
pub fn next(stands: &Situation, wish: Wish, failed: &[Step]) -> Next {
    let plan = Plan { stands, failed };
    let step = match wish {
        Wish::Sealed => plan.sealed(),
        Wish::TakenBack => plan.settled(Halfway::GoesOn),
        Wish::Settled => plan.settled(Halfway::IsSealed),
        Wish::Open => plan.open(),
        Wish::GivenUp => Ok(plan.given_up()),
        Wish::Closed => plan.closed(),
    };
    step.unwrap_or_else(Next::Refuse)
}

/// A suspended device that has its key goes on.
fn resumed(home: Device) -> Next {
    Next::Do(match home.second_table && has(Mend::SecondTable) {
        true => Step::ClearTable(Which::Home),
        false => Step::Resume,
    })
}

/// What becomes of a device that is suspended and has its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halfway {
    GoesOn,
    IsSealed,
}

struct Plan<'a> {
    stands: &'a Situation,
    failed: &'a [Step],
}

impl Plan<'_> {
    /// The first of the steps that is due.
    fn first(&self, steps: &[(bool, Step)]) -> Option<Next> {
        steps.iter().find(|(due, step)| *due && !self.failed.contains(step)).map(|(_, step)| Next::Do(*step))
    }

    fn sealed(&self) -> Result<Next, Unfit> {
        let Some(home) = self.stands.home else { return Ok(self.without_home()) };
        if home.key == Key::CutOff {
            return Err(Unfit::CutOff);
        }
        if let Some(step) = self.nobodys() {
            return Ok(step);
        }
        if home.suspended {
            return Ok(self.wiped(home));
        }
        let stands = self.stands;
        let writes = stands.file_system == FileSystem::Writable;
        let due = |state| stands.prepared < state;
        let prepare = [
            (stands.mounts.open, Step::Cover),
            (writes && due(Prepared::Synced), Step::Sync),
            (writes && due(Prepared::Washed), Step::Wash),
            (due(Prepared::Evicted), Step::Evict),
            (writes && stands.barriers == Barriers::Asked, Step::LeaveOutBarriers),
            (writes && stands.frozen != Frozen::Yes, Step::Freeze),
            (due(Prepared::Flushed), Step::Flush),
        ];
        let step = self.first(&prepare).or_else(|| self.others());
        Ok(step.unwrap_or_else(|| match home.second_table && has(Mend::SecondTable) {
            true => Next::Do(Step::ClearTable(Which::Home)),
            false => Next::Do(Step::Suspend(Which::Home)),
        }))
    }

    /// A suspended device loses its key, and what else has one.
    fn wiped(&self, home: Device) -> Next {
        let rest = [
            (home.second_table && has(Mend::SecondTable), Step::ClearTable(Which::Home)),
            (home.key == Key::Present, Step::Wipe(Which::Home)),
            (self.stands.mounts.open, Step::Cover),
            (self.stands.kept != Kept::No && has(Mend::RevokedWhenSealed), Step::Revoke),
        ];
        self.first(&rest).or_else(|| self.others()).unwrap_or(Next::Done(Reached::Sealed))
    }

    /// Devices of killed runs are removed; one that somebody has open loses its key all the same.
    fn others(&self) -> Option<Next> {
        if !has(Mend::Others) {
            return None;
        }
        let devices = self.stands.others.iter().enumerate();
        devices.into_iter().find_map(|(place, device)| {
            let which = Which::Other(place);
            self.first(&[
                (true, Step::Remove(which)),
                (device.second_table, Step::ClearTable(which)),
                (!device.suspended, Step::Suspend(which)),
                (device.key == Key::Present, Step::Wipe(which)),
            ])
        })
    }

    fn settled(&self, halfway: Halfway) -> Result<Next, Unfit> {
        let stands = self.stands;
        let Some(home) = stands.home else {
            return Ok(match self.without_home() {
                Next::Done(reached) => self.unmarked().unwrap_or(Next::Done(reached)),
                step => step,
            });
        };
        if home.key == Key::CutOff && has(Mend::FinishesGivingUp) {
            return Ok(self.given_up());
        }
        if let Some(step) = self.nobodys() {
            return Ok(step);
        }
        if home.suspended && home.key != Key::CutOff && has(Mend::AsksTheKernel) {
            if home.key == Key::Present && halfway == Halfway::GoesOn {
                return Ok(resumed(home));
            }
            return Ok(self.wiped(home));
        }
        let back = [
            (home.second_table && has(Mend::SecondTable), Step::ClearTable(Which::Home)),
            (home.suspended && has(Mend::AsksTheKernel), Step::CutOff),
        ];
        if let Some(step) = self.first(&back).or_else(|| self.usable()).or_else(|| self.removed()) {
            return Ok(step);
        }
        Ok(Next::Done(if stands.mounts.any { Reached::Open } else { Reached::Closed }))
    }

    /// A device that is mounted nowhere needs no key: it is what a killed run has left.
    fn nobodys(&self) -> Option<Next> {
        self.first(&[(!self.stands.mounts.any, Step::Remove(Which::Home))])
    }

    fn without_home(&self) -> Next {
        let stands = self.stands;
        let rest = [(stands.mounts.covered, Step::Uncover), (stands.kept != Kept::No, Step::Revoke)];
        self.first(&rest).or_else(|| self.others()).unwrap_or(Next::Done(Reached::Closed))
    }

    /// What lies over the home and what holds it up is taken away; its device goes on.
    fn usable(&self) -> Option<Next> {
        let stands = self.stands;
        let there = stands.file_system != FileSystem::Unmounted;
        self.first(&[
            (there && stands.frozen != Frozen::No && has(Mend::Thaws), Step::Thaw),
            (there && stands.barriers == Barriers::LeftOut && has(Mend::Barriers), Step::AskBarriers),
            (stands.mounts.covered && has(Mend::Uncovers), Step::Uncover),
        ])
    }

    /// Devices of killed runs, as far as nobody has them open.
    fn removed(&self) -> Option<Next> {
        (0..self.stands.others.len())
            .find_map(|place| self.first(&[(true, Step::Remove(Which::Other(place)))]))
    }

    fn open(&self) -> Result<Next, Unfit> {
        let stands = self.stands;
        let Some(home) = stands.home else { return Err(Unfit::NotOpen) };
        if home.key == Key::CutOff {
            return Err(Unfit::CutOff);
        }
        if !stands.mounts.any {
            return Err(Unfit::NotOpen);
        }
        let key = [
            (home.second_table && has(Mend::SecondTable), Step::ClearTable(Which::Home)),
            (home.is_sealed(), Step::GiveKey),
            (home.suspended, Step::Resume),
        ];
        let step = self.first(&key).or_else(|| self.usable());
        let step = step.or_else(|| self.first(&[(stands.kept != Kept::Yes, Step::KeepKey)]));
        Ok(step.or_else(|| self.removed()).unwrap_or(Next::Done(Reached::Open)))
    }

    fn given_up(&self) -> Next {
        let stands = self.stands;
        let there = stands.file_system != FileSystem::Unmounted;
        let off = stands.home.is_some_and(|home| home.key != Key::CutOff || home.suspended);
        let step = self.first(&[
            (stands.kept != Kept::No, Step::Revoke),
            (off, Step::CutOff),
            (stands.mounts.covered, Step::Uncover),
            (there && stands.frozen != Frozen::No, Step::Thaw),
            (stands.mounts.any, Step::Unmount),
        ]);
        step.or_else(|| self.removed()).unwrap_or_else(|| self.gone())
    }

    fn closed(&self) -> Result<Next, Unfit> {
        let stands = self.stands;
        match stands.home {
            // Giving it up was broken off: there is no other way on.
            Some(home) if home.key == Key::CutOff => return Ok(self.given_up()),
            Some(home) if home.is_sealed() => return Err(Unfit::Sealed),
            // A lock that was broken off: it has its key, so it is not locked.
            Some(home) if home.suspended => return Ok(resumed(home)),
            Some(_) | None => {}
        }
        if let Some(step) = self.usable() {
            return Ok(step);
        }
        let revoked = (stands.kept != Kept::No && has(Mend::RevokedWhenClosed), Step::Revoke);
        let step = self.first(&[(stands.mounts.any, Step::Unmount), revoked]);
        Ok(step.or_else(|| self.removed()).unwrap_or_else(|| self.gone()))
    }

    fn gone(&self) -> Next {
        match self.stands.seen_closed {
            true => self.unmarked().unwrap_or(Next::Done(Reached::Closed)),
            false => Next::Do(Step::AwaitClosed),
        }
    }

    /// Nothing is open any more.
    fn unmarked(&self) -> Option<Next> {
        let (marks, ended) = (self.stands.marks, self.stands.ended);
        let here = marks.here && (has(Mend::Unmarks) || ended == Ended::Whole);
        self.first(&[(here || marks.unclean && ended == Ended::Whole, Step::Unmark)])
    }
}
