//! What each step of a plan does to the kernel of the model.

use super::run::{Run, failed};
use super::{Aside, RUNNING};
use crate::job::Failure;
use crate::storage::luks::plan::lock::{
    Barriers, Device, Ended, Frozen, Kept, Key, Marks, Prepared, Step, Which,
};

impl Run {
    fn device(&mut self, which: Which) -> Option<&mut Device> {
        match which {
            Which::Home => self.kernel.home.as_mut(),
            Which::Other(place) => self.kernel.others.get_mut(place),
        }
    }

    /// What a step leaves that is killed in the midst, where that is neither before nor after it.
    pub(super) fn half(&mut self, step: Step) {
        match step {
            Step::LeaveOutBarriers => self.kernel.frozen = true,
            Step::GiveKey => {
                if let Some(home) = &mut self.kernel.home {
                    home.key = Key::Present;
                }
            }
            Step::Unmount => (self.kernel.foreign, self.kernel.covered) = (false, false),
            Step::Unmark => self.kernel.marks.here = false,
            _ => {}
        }
    }

    pub(super) fn whole(&mut self, step: Step) -> Result<(), Failure> {
        let suspended = self.kernel.home.is_some_and(|home| home.suspended);
        match step {
            Step::Cover => self.kernel.covered = true,
            Step::Uncover => self.kernel.covered = false,
            Step::Sync | Step::Wash | Step::Evict | Step::Flush => {
                if suspended {
                    self.broken = Some(format!("{step:?} waits for a suspended device"));
                }
                self.prepared = match step {
                    Step::Sync => Prepared::Synced,
                    Step::Wash => Prepared::Washed,
                    Step::Evict => Prepared::Evicted,
                    _ => Prepared::Flushed,
                };
            }
            Step::LeaveOutBarriers => {
                (self.kernel.barriers, self.kernel.frozen) = (Barriers::LeftOut, false);
            }
            Step::AskBarriers => self.kernel.barriers = Barriers::Asked,
            Step::Freeze => (self.kernel.frozen, self.frozen) = (true, Frozen::Yes),
            Step::Thaw => {
                if suspended && self.kernel.writes_at_thaw && self.kernel.frozen {
                    self.broken = Some("a thaw over a suspended device never comes back".into());
                }
                (self.kernel.frozen, self.frozen) = (false, Frozen::No);
            }
            Step::Revoke if !self.kernel.keyrings => return failed(),
            Step::Revoke => (self.kernel.keyring, self.kept) = (false, Kept::No),
            // It has no key to give.
            Step::KeepKey if self.private => self.kept = Kept::Yes,
            Step::KeepKey => (self.kernel.keyring, self.kept) = (self.kernel.keyrings, Kept::Yes),
            Step::Unmount if self.kernel.aside == Aside::Used && !self.by_force => return failed(),
            Step::Unmount => self.unmount(),
            Step::AwaitClosed => return self.await_closed(),
            Step::Unmark => {
                let whole = self.ended == Ended::Whole;
                self.kernel.marks = Marks { here: false, unclean: self.kernel.marks.unclean && !whole };
            }
            Step::Remove(Which::Other(place)) => drop(self.kernel.others.remove(place)),
            Step::Remove(Which::Home) if self.kernel.is_held() => return failed(),
            Step::Remove(Which::Home) => self.kernel.goes(),
            Step::ClearTable(which) | Step::Suspend(which) | Step::Wipe(which) => self.of_device(step, which),
            Step::Resume | Step::GiveKey | Step::CutOff => self.of_device(step, Which::Home),
        }
        Ok(())
    }

    fn of_device(&mut self, step: Step, which: Which) {
        let Some(device) = self.device(which) else { return };
        match step {
            Step::ClearTable(_) => device.second_table = false,
            Step::Suspend(_) => device.suspended = true,
            Step::Wipe(_) if device.suspended => device.key = Key::Wiped,
            Step::Resume | Step::GiveKey => {
                // A second table is swapped in, with its key.
                *device = RUNNING;
            }
            Step::CutOff => *device = Device { suspended: false, key: Key::CutOff, second_table: false },
            _ => {}
        }
    }

    fn unmount(&mut self) {
        let kernel = &mut self.kernel;
        (kernel.mounted, kernel.covered, kernel.foreign) = (false, false, false);
        // Who uses it goes on to do so, and is seen nowhere.
        kernel.unseen |= kernel.aside == Aside::Used && !kernel.elsewhere;
        kernel.elsewhere |= kernel.aside == Aside::Used;
        kernel.aside = Aside::No;
        self.unmounted = true;
        // A frozen file system stays when its last mount goes, and keeps its device.
        if !kernel.is_held() {
            kernel.goes();
        }
    }

    fn await_closed(&mut self) -> Result<(), Failure> {
        if self.kernel.home.is_some() && self.kernel.is_held() {
            return failed();
        }
        self.kernel.goes();
        (self.kernel.others, self.seen_closed) = (Vec::new(), true);
        Ok(())
    }
}
