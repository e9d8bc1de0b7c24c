//! A home of the model that is open, and not mounted at its directory. The plan and the loop are those of a real machine.

use super::run::{Run, Silent, failed};
use super::{Aside, How};
use crate::job::{Failure, Steps};
use crate::storage::luks::perform::pinned::{Pins, reach};
use crate::storage::luks::plan::lock::{Barriers, Frozen, Kept, Key};
use crate::storage::luks::plan::pinned::{Situation, Step, Why};
use crate::storage::luks::plan::without::{Mend, has};

struct Pinned<'r> {
    run: &'r mut Run,
    unmounted: bool,
    waited: bool,
    evicts: bool,
}

impl Run {
    /// As `perform/pinned.rs`, after the sweep.
    pub(super) fn lock_elsewhere(&mut self) -> bool {
        self.sweep() && {
            let mut pinned = Pinned { run: self, unmounted: false, waited: false, evicts: false };
            reach(&mut pinned, &mut Silent).is_ok() && !self.dead
        }
    }
}

impl Pinned<'_> {
    fn whole(&mut self, step: Step) -> Result<(), Failure> {
        let kernel = &mut self.run.kernel;
        match step {
            Step::Unmount if kernel.aside == Aside::Used => {
                self.run.named = true;
                return failed();
            }
            Step::Unmount => {
                (kernel.aside, self.unmounted) = (Aside::No, true);
                if !kernel.is_held() {
                    kernel.goes();
                }
            }
            Step::AwaitClosed => self.waited = true,
            Step::Freeze if kernel.frozen && !has(Mend::FrozenBefore) => return failed(),
            Step::Freeze => {
                (kernel.frozen, self.run.frozen) = (true, Frozen::Yes);
                if kernel.barriers == Barriers::Asked {
                    kernel.barriers = Barriers::LeftOut;
                }
            }
            Step::Thaw => {
                let stands_still = kernel.home.is_some_and(|home| home.suspended);
                if stands_still && kernel.writes_at_thaw && kernel.frozen {
                    self.run.broken = Some("a thaw over a suspended device never comes back".into());
                }
                (self.run.kernel.frozen, self.run.frozen) = (false, Frozen::No);
            }
            Step::Evict => self.evicts = false,
            Step::Revoke => (kernel.keyring, self.run.kept) = (false, Kept::No),
            Step::Suspend | Step::Wipe | Step::ClearTable | Step::Resume => {
                let Some(home) = &mut kernel.home else { return Ok(()) };
                match step {
                    Step::Suspend => home.suspended = true,
                    Step::Wipe if home.suspended => {
                        (home.key, self.evicts) = (Key::Wiped, true);
                        if kernel.elsewhere && !kernel.frozen {
                            self.run.broken =
                                Some("its key is wiped, and its file system is not frozen".into());
                        }
                    }
                    Step::ClearTable => home.second_table = false,
                    Step::Resume => *home = super::RUNNING,
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl Pins for Pinned<'_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        if self.run.dead || self.run.broken.is_some() {
            return failed();
        }
        let kernel = &self.run.kernel;
        Ok(Situation {
            by_another: kernel.others.iter().any(|other| !other.is_sealed()),
            open: kernel.home.filter(|home| !home.is_sealed() || home.second_table),
            unmounted: self.unmounted,
            waited: self.waited,
            elsewhere: kernel.elsewhere && self.waited && (!kernel.unseen || has(Mend::SeenRunning)),
            carries: false,
            frozen: self.run.frozen,
            evicts: self.evicts,
            kept: self.run.kept,
        })
    }

    fn perform(&mut self, step: Step, _steps: &mut dyn Steps) -> Result<(), Failure> {
        let cut = self.run.cut_here();
        let done = match cut {
            None | Some(How::KilledAfter | How::Late | How::AnotherBefore | How::AnotherLate) => {
                self.whole(step)
            }
            Some(How::KilledBefore | How::KilledWithin | How::Fails | How::AllFail) => Ok(()),
        };
        self.run.dead |= matches!(cut, Some(How::KilledBefore | How::KilledWithin | How::KilledAfter));
        if cut == Some(How::Late) {
            // It has happened, and nobody has heard of it.
            (self.run.frozen, self.run.kept) = (Frozen::Unknown, Kept::Unknown);
        }
        if cut.is_some() { failed() } else { done }
    }

    fn named(&mut self, _why: Why) -> Failure {
        self.run.named = true;
        Failure::Fault("it is in use".into())
    }
}
