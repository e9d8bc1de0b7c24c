//! A process that does one verb on the model, step by step, until it is done or cut.

use super::open::{Then, What};
use super::{Aside, How, Kernel, Processes, RUNNING, Verb};
use crate::job::{self, Failure, Steps};
use crate::storage::Unsealed;
use crate::storage::luks::perform::lock::{Locks, reach, seal};
use crate::storage::luks::plan::lock::{
    Device, Ended, FileSystem, Frozen, Kept, Key, Marks, Mounts, Prepared, Reached, Situation, Step, Wish,
};
use crate::storage::luks::plan::open::{Vouched, Way, Wish as OpenWish};

/// One process that does a verb.
pub struct Run {
    pub kernel: Kernel,
    cut: Option<(usize, How)>,
    at: usize,
    /// Whether it came to the cut.
    pub reached: bool,
    pub dead: bool,
    /// What must never be, and was.
    pub broken: Option<String>,
    pub(super) frozen: Frozen,
    pub(super) kept: Kept,
    pub(super) prepared: Prepared,
    pub(super) seen_closed: bool,
    /// It has taken away all mounts that it could.
    pub(super) unmounted: bool,
    pub ended: Ended,
    /// It has mounted the home out of sight.
    pub private: bool,
    /// What is still used is closed all the same.
    pub(super) by_force: bool,
    /// Somebody was named who stands in the way.
    pub named: bool,
    /// Where the opening of the image is, for another machine that opens it, too.
    pub(super) between: Between,
}

/// Where an opening is on its way to having the image marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Elsewhere, or nowhere on that way.
    Others,
    /// It has looked, and writes its mark now.
    LookAndMark,
    /// It has written its mark, where nobody had one.
    MarkAndNext,
}

pub struct Silent;

impl Steps for Silent {
    fn enter(&mut self, _step: job::Step) -> Result<(), Failure> {
        Ok(())
    }

    fn warn(&mut self, _text: String) {}
}

impl Run {
    pub fn new(kernel: Kernel, cut: Option<(usize, How)>) -> Self {
        let (frozen, kept, prepared) = (Frozen::Unknown, Kept::Unknown, Prepared::Nothing);
        Self {
            kernel,
            cut,
            at: 0,
            reached: false,
            dead: false,
            broken: None,
            frozen,
            kept,
            prepared,
            seen_closed: false,
            unmounted: false,
            ended: Ended::Unknown,
            private: false,
            by_force: false,
            named: false,
            between: Between::Others,
        }
    }

    /// Whether it was done.
    pub fn verb(&mut self, verb: Verb) -> bool {
        match verb {
            Verb::Lock => self.lock(),
            Verb::Unlock => self.unlock(),
            Verb::Settle => self.settle(),
            Verb::GiveUp => self.give_up(),
            Verb::Deactivate => self.deactivate(),
            Verb::Activate => self.open(What::LOGIN),
            Verb::ActivateFull => self.open(What { full: true, ..What::LOGIN }),
            Verb::ActivateStrange => self.open(What { vouched: Vouched::No, ..What::LOGIN }),
            Verb::Change => {
                self.open(What { wish: OpenWish::Mounted, then: Then::ClosedWhole, ..What::LOGIN })
            }
            Verb::RepairFileSystem => {
                self.open(What { wish: OpenWish::Decrypted, then: Then::Closed, ..What::LOGIN })
            }
            Verb::Check => {
                let wish = OpenWish::Mounted;
                self.open(What { way: Way::Look, wish, helper: true, ..What::LOGIN })
            }
            Verb::Rescue => self.open(What { way: Way::Look, ..What::LOGIN }),
            Verb::Pin
            | Verb::Unpin
            | Verb::MountAside
            | Verb::UseAside
            | Verb::UnmountByHand
            | Verb::UnmountLazily
            | Verb::AttachByHand => {
                self.by_hand(verb);
                true
            }
            Verb::SecondDevice | Verb::KilledResize => {
                self.beside(verb);
                true
            }
            Verb::OpenThere | Verb::CloseThere | Verb::CutOffThere | Verb::RepairClosedThere => {
                self.there(verb);
                true
            }
            Verb::MountOver => {
                self.kernel.foreign = self.kernel.mounted && !self.kernel.foreign;
                true
            }
            Verb::PowerCut => self.power_cut(),
        }
    }

    /// What killed workers leave beside what they worked on.
    fn beside(&mut self, verb: Verb) {
        if verb == Verb::SecondDevice && self.kernel.others.is_empty() {
            self.kernel.others.push(RUNNING);
        }
        let open = |home: &&mut Device| **home == RUNNING && verb == Verb::KilledResize;
        if let Some(home) = self.kernel.home.as_mut().filter(open) {
            home.second_table = true;
        }
    }

    fn power_cut(&mut self) -> bool {
        let Kernel { marks, another, open_there, writes_at_thaw, keyrings, .. } = self.kernel;
        let closed = Kernel::closed(writes_at_thaw, keyrings);
        self.kernel = Kernel { marks, another, open_there, ..closed };
        true
    }

    /// As `worker/lock.rs`.
    fn lock(&mut self) -> bool {
        if !self.kernel.mounted {
            let is_open = self.kernel.home.is_some() || !self.kernel.others.is_empty();
            return is_open && self.lock_elsewhere();
        }
        let open = self.kernel.home.is_some_and(|home| !home.suspended && home.key == Key::Present);
        if !open || !self.step(|run| run.freeze_processes()) {
            return false;
        }
        match seal(self, &mut Silent) {
            Ok(()) => !self.dead,
            Err(Unsealed::Open(_)) => {
                self.step(Self::thaw_processes);
                false
            }
            Err(Unsealed::Unknown(_)) => false,
        }
    }

    fn unlock(&mut self) -> bool {
        self.kernel.is_sealed()
            && self.kernel.mounted
            && self.reach(Wish::Open).is_ok()
            && self.step(|run| run.thaw_processes())
    }

    fn settle(&mut self) -> bool {
        self.by_force = true;
        match self.reach(Wish::Settled) {
            Ok(Reached::Sealed) => !self.dead,
            Ok(Reached::Open | Reached::Closed) => self.step(|run| run.thaw_processes()),
            Err(_) => false,
        }
    }

    fn give_up(&mut self) -> bool {
        // What is open elsewhere alone is not given up: `home/verdict.rs`.
        if self.kernel.home.is_none() || !self.kernel.mounted {
            return false;
        }
        self.by_force = true;
        self.step(|run| run.kernel.processes = Processes::Gone) && self.reach(Wish::GivenUp).is_ok()
    }

    fn deactivate(&mut self) -> bool {
        self.ended = if self.kernel.read_only { Ended::Unknown } else { Ended::Whole };
        // Who has gone is not waited for.
        self.reach(Wish::Closed).is_ok() && self.step(|run| run.kernel.processes = Processes::Gone)
    }

    /// What another machine does, and what is done about it.
    fn there(&mut self, verb: Verb) {
        let kernel = &mut self.kernel;
        match verb {
            Verb::OpenThere => kernel.opens_there(),
            Verb::CloseThere if kernel.open_there => (kernel.another, kernel.open_there) = (false, false),
            Verb::CutOffThere => kernel.open_there = false,
            Verb::RepairClosedThere if !kernel.open_there => kernel.another = false,
            _ => {}
        }
    }

    /// What root does by hand, where it can be done.
    fn by_hand(&mut self, verb: Verb) {
        let kernel = &mut self.kernel;
        let answers = !kernel.stands_still() && kernel.home.is_some_and(|home| home.key == Key::Present);
        match verb {
            Verb::Pin => kernel.elsewhere |= kernel.mounted,
            Verb::Unpin => kernel.unpin(),
            Verb::MountAside if answers && kernel.mounted && kernel.aside == Aside::No => {
                kernel.aside = Aside::Idle
            }
            Verb::UseAside if answers && kernel.mounted => kernel.aside = Aside::Used,
            Verb::UnmountByHand if answers && !kernel.covered && !kernel.foreign => {
                (kernel.mounted, kernel.processes) = (false, Processes::Gone);
                if kernel.home.is_some() && !kernel.is_held() {
                    kernel.goes();
                }
            }
            Verb::UnmountLazily if answers && kernel.mounted && !kernel.covered && !kernel.foreign => {
                (kernel.mounted, kernel.processes) = (false, Processes::Gone);
                kernel.unseen = !kernel.elsewhere;
                kernel.elsewhere = true;
            }
            Verb::AttachByHand => kernel.attached = !kernel.attached && kernel.home.is_none(),
            _ => {}
        }
    }

    fn freeze_processes(&mut self) {
        if self.kernel.processes == Processes::Running {
            self.kernel.processes = Processes::Frozen;
        }
    }

    fn thaw_processes(&mut self) {
        if self.kernel.processes == Processes::Frozen {
            self.kernel.processes = Processes::Running;
            if self.kernel.home.is_some_and(|home| home.suspended) {
                self.broken = Some("processes are thawed over a suspended device".into());
            }
        }
    }

    fn reach(&mut self, wish: Wish) -> Result<Reached, Failure> {
        reach(self, wish, &mut Silent)
    }

    /// A step outside of the plan: it has no middle.
    pub fn step(&mut self, act: impl FnOnce(&mut Self)) -> bool {
        match self.cut_here() {
            None | Some(How::AllFail) => act(self),
            Some(How::KilledBefore | How::KilledWithin) => self.dead = true,
            Some(How::KilledAfter) => {
                act(self);
                self.dead = true;
            }
            Some(How::Fails) => return false,
            Some(How::Late | How::AnotherBefore | How::AnotherLate) => {
                act(self);
                return false;
            }
        }
        !self.dead
    }

    pub fn cut_here(&mut self) -> Option<How> {
        if self.dead {
            return Some(How::KilledBefore);
        }
        let is_here = |cut: &(usize, How)| cut.0 == self.at || cut.1 == How::AllFail && cut.0 <= self.at;
        let here = self.cut.filter(is_here).map(|(_, how)| how);
        self.at += 1;
        self.reached |= here.is_some();
        match here {
            Some(How::AnotherBefore) if self.between != Between::LookAndMark => self.kernel.opens_there(),
            Some(How::AnotherLate) if self.between == Between::MarkAndNext => {
                self.kernel.marks.here = false;
                self.kernel.opens_there();
            }
            _ => {}
        }
        here.filter(|how| !matches!(how, How::AnotherBefore | How::AnotherLate))
    }
}

pub fn failed<T>() -> Result<T, Failure> {
    Err(Failure::Fault(String::new()))
}

impl Locks for Run {
    fn look(&mut self) -> Result<Situation, Failure> {
        if self.dead || self.broken.is_some() {
            return failed();
        }
        let kernel = &self.kernel;
        let here = kernel.mounted || kernel.aside != Aside::No;
        let any = here || kernel.elsewhere && !self.unmounted || self.private;
        Ok(Situation {
            home: kernel.home,
            others: kernel.others.clone(),
            mounts: Mounts { any, open: any && !kernel.covered, covered: kernel.covered },
            file_system: match any {
                true if kernel.read_only => FileSystem::ReadOnly,
                true => FileSystem::Writable,
                false => FileSystem::Unmounted,
            },
            frozen: self.frozen,
            barriers: kernel.barriers,
            prepared: self.prepared,
            kept: self.kept,
            seen_closed: self.seen_closed,
            marks: if kernel.home.is_none() && kernel.others.is_empty() && !kernel.another {
                kernel.marks
            } else {
                Marks::default()
            },
            ended: self.ended,
        })
    }

    fn perform(&mut self, step: Step, _steps: &mut dyn Steps) -> Result<(), Failure> {
        match self.cut_here() {
            None => self.whole(step),
            Some(How::KilledBefore) => {
                self.dead = true;
                failed()
            }
            Some(How::KilledWithin) => {
                self.half(step);
                self.dead = true;
                failed()
            }
            Some(How::KilledAfter) => {
                let _ = self.whole(step);
                self.dead = true;
                failed()
            }
            Some(How::Fails | How::AllFail) => failed(),
            Some(How::Late | How::AnotherBefore | How::AnotherLate) => {
                let known = (self.frozen, self.kept, self.prepared);
                let _ = self.whole(step);
                (self.frozen, self.kept, self.prepared) = known;
                failed()
            }
        }
    }
}
