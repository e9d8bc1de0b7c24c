//! A process that opens an image on the model, and what the kernel takes down when it lets go of it or dies.

use super::run::{Between, Run, Silent, failed};
use super::{Aside, How, Kernel, Processes, RUNNING};
use crate::job::{Failure, Steps};
use crate::storage::luks::perform::lock;
use crate::storage::luks::perform::open::{Opens, reach};
use crate::storage::luks::plan::lock::{Barriers, Device, Ended, Key, Marks, Wish as LockWish};
use crate::storage::luks::plan::open::{Situation, Step, Vouched, Way, Wish};
use crate::storage::luks::plan::sweep::{self, Reach};
use crate::storage::luks::plan::without::{Mend, has};

/// A device that was never given a key, and that nothing holds: a worker was killed while it made it.
const BARE: Device = Device { suspended: false, key: Key::CutOff, second_table: false };
/// What keys are called in keyrings.
const KEY: &str = "cryptsetup:home-d0";
const HOME: &str = "home-alice";

/// What becomes of an image that was opened as far as it was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It stays open.
    Stays,
    /// It is closed again, and is whole then.
    ClosedWhole,
    /// It is closed again, and may not be whole.
    Closed,
}

/// What is opened, and how.
#[derive(Debug, Clone, Copy)]
pub struct What {
    pub way: Way,
    pub wish: Wish,
    pub vouched: Vouched,
    pub then: Then,
    /// The disk is full: it can be mounted to be read only.
    pub full: bool,
    /// Under another name than the home's.
    pub helper: bool,
}

impl What {
    /// As a login does.
    pub const LOGIN: Self = Self {
        way: Way::Write,
        wish: Wish::Shown,
        vouched: Vouched::Yes,
        then: Then::Stays,
        full: false,
        helper: false,
    };
}

struct Opening<'r> {
    run: &'r mut Run,
    what: What,
    stands: Situation,
    /// Whether the image was marked before; `None`: this run has not come to that.
    was_unclean: Option<bool>,
    /// It was killed while it made a device.
    bare: bool,
    /// The last step wrote the mark, where nobody had one.
    just_marked: bool,
}

impl Run {
    /// As `LuksOpened`, `read_only` and `repair_file_system`. Whether it was done.
    pub fn open(&mut self, mut what: What) -> bool {
        // Nobody takes an image that another machine has open: `parts/taken.rs`.
        if self.kernel.mounted || !self.sweep() || self.kernel.another {
            return false;
        }
        let kernel = &self.kernel;
        let pinned = kernel.others.is_empty()
            && kernel.aside == Aside::No
            && kernel.home.is_some_and(|home| home.key != Key::CutOff);
        match kernel.home.is_some() || !kernel.others.is_empty() {
            true if pinned && what.wish == Wish::Shown && what.way == Way::Write => what.way = Way::TakeOver,
            true => return false,
            // It is named: opened a second time the image would be destroyed.
            false if kernel.attached && !what.helper => return false,
            false => {}
        }
        let stands = Situation::begin(what.way, what.vouched);
        let mut opening =
            Opening { run: self, what, stands, was_unclean: None, bare: false, just_marked: false };
        let opened = reach(&mut opening, what.wish, &mut Silent).is_ok();
        opening.end(opened)
    }

    /// The sweep that comes first, by its own plan.
    pub(super) fn sweep(&mut self) -> bool {
        let mut tried = Vec::new();
        while let Some(step) = sweep::next(&self.kernel.swept(), Reach::OwnDevices, &tried) {
            let done = self.step(|run| match &step {
                sweep::Step::ClearTable(name) | sweep::Step::RemoveDevice(name) if name == HOME => match step
                {
                    sweep::Step::RemoveDevice(_) => run.kernel.goes(),
                    _ => run.kernel.home.iter_mut().for_each(|home| home.second_table = false),
                },
                sweep::Step::RemoveDevice(_) => drop(run.kernel.others.pop()),
                sweep::Step::ClearTable(_) => {
                    run.kernel.others.iter_mut().for_each(|other| other.second_table = false);
                }
                sweep::Step::Detach(_) => {}
                sweep::Step::ForgetKey(_) => run.kernel.keyring = false,
            });
            if self.dead {
                return false;
            }
            // What cannot be taken away is left to whoever needs it gone.
            let _ = done;
            tried.push(step);
        }
        true
    }
}

impl Kernel {
    /// Its device goes, and with it what was said of it.
    pub fn goes(&mut self) {
        (self.home, self.read_only, self.barriers) = (None, false, Barriers::Never);
    }

    /// Whether something but a process of this program holds the device.
    pub fn is_held(&self) -> bool {
        self.mounted || self.elsewhere || self.frozen || self.aside != Aside::No
    }

    fn swept(&self) -> sweep::Situation {
        let key = || (self.keyrings && self.keyring).then(|| KEY.to_owned());
        let device = |name: String, device: &Device, open: bool| sweep::Device {
            name,
            open_count: u32::from(open),
            second_table: device.second_table,
            key: key(),
        };
        let home = self.home.iter().map(|home| device(HOME.into(), home, self.is_held()));
        let others = self.others.iter().enumerate();
        let others = others.map(|(place, other)| device(format!("{HOME}+{place}"), other, false));
        sweep::Situation {
            user: "alice".into(),
            devices: home.chain(others).collect(),
            loops: Vec::new(),
            keys: key().into_iter().collect(),
        }
    }
}

impl Opening<'_> {
    /// The layers go with the process, or with whoever lets go of them, unless it is shown.
    fn end(mut self, opened: bool) -> bool {
        self.run.private = false;
        let stays = opened && self.what.then == Then::Stays && self.what.wish == Wish::Shown;
        if !self.run.kernel.is_held() && self.what.way != Way::TakeOver && !self.what.helper {
            self.run.kernel.goes();
        }
        if self.run.dead {
            self.leave_bare();
            return false;
        }
        if stays || self.what.way != Way::Write {
            return opened;
        }
        let Some(was_unclean) = self.was_unclean else { return false };
        let whole = if opened { self.what.then == Then::ClosedWhole } else { !was_unclean };
        self.run.ended = if whole { Ended::Whole } else { Ended::Unknown };
        let closed = lock::reach(self.run, LockWish::Closed, &mut Silent).is_ok();
        opened && closed && !self.run.dead
    }

    fn leave_bare(&mut self) {
        match (self.bare, self.what.helper) {
            (true, true) => self.run.kernel.others.push(BARE),
            (true, false) => self.run.kernel.home = Some(BARE),
            (false, _) => {}
        }
    }

    fn half(&mut self, step: Step) {
        let kernel = &mut self.run.kernel;
        match step {
            Step::Mark => (kernel.marks.here, kernel.another) = (true, false),
            Step::Decrypt => self.bare = true,
            Step::TakeOver => kernel.home.iter_mut().for_each(|home| home.key = Key::Present),
            _ => {}
        }
    }

    fn whole(&mut self, step: Step) -> Result<(), Failure> {
        let what = self.what;
        let kernel = &mut self.run.kernel;
        match step {
            Step::LookAgain | Step::ReadBack => return if kernel.another { failed() } else { Ok(()) },
            Step::Mark if kernel.open_there => {
                self.run.broken = Some("the mark of another machine that has it open is written over".into());
                return Ok(());
            }
            Step::Mark => {
                (kernel.marks, kernel.another) = (Marks { here: true, unclean: true }, false);
                return Ok(());
            }
            _ if what.way == Way::Write && !kernel.marks.here => {
                self.run.broken = Some(match kernel.open_there {
                    true => format!("{step:?}, and another machine has it open"),
                    false => format!("{step:?}, and another machine may open it"),
                });
                return Ok(());
            }
            _ => {}
        }
        self.layer(step);
        Ok(())
    }

    fn layer(&mut self, step: Step) {
        let what = self.what;
        let kernel = &mut self.run.kernel;
        match step {
            Step::LookAgain | Step::Mark | Step::ReadBack => {}
            Step::Level | Step::Attach | Step::Check => {}
            Step::Decrypt if what.helper => {}
            Step::Decrypt => (kernel.home, kernel.read_only) = (Some(RUNNING), what.way == Way::Look),
            Step::TakeOver => kernel.home = Some(RUNNING),
            Step::Mount if what.vouched == Vouched::No => {
                self.run.broken = Some("a stranger's file system is mounted".into());
            }
            Step::Mount if what.helper => {}
            Step::Mount if what.way == Way::TakeOver => self.run.private = true,
            Step::Mount => {
                kernel.read_only |= what.full;
                kernel.barriers = if kernel.writes_at_thaw { Barriers::Asked } else { Barriers::Never };
            }
            Step::GoOn => {}
            Step::Show if kernel.frozen => self.run.broken = Some("it is shown, and stands still".into()),
            Step::Show => (kernel.mounted, kernel.processes) = (true, Processes::Running),
            Step::KeepKey => kernel.keyring = kernel.keyrings,
        }
    }
}

impl Opens for Opening<'_> {
    fn stands(&mut self) -> &mut Situation {
        &mut self.stands
    }

    fn perform(&mut self, step: Step, _steps: &mut dyn Steps) -> Result<(), Failure> {
        if step == Step::Mark {
            self.was_unclean = Some(self.run.kernel.marks.unclean);
        }
        if step == Step::GoOn && self.what.way == Way::TakeOver && has(Mend::GoesOn) {
            return lock::reach(self.run, LockWish::Open, &mut Silent).map(drop);
        }
        self.run.between = match step {
            Step::Mark if has(Mend::LooksAgain) => Between::LookAndMark,
            _ if self.just_marked => Between::MarkAndNext,
            _ => Between::Others,
        };
        let free = !self.run.kernel.marks.here && !self.run.kernel.another;
        self.just_marked = step == Step::Mark && free;
        let cut = self.run.cut_here();
        self.run.between = Between::Others;
        let done = match cut {
            Some(How::KilledWithin) => {
                self.half(step);
                Ok(())
            }
            Some(How::KilledBefore | How::Fails | How::AllFail) => Ok(()),
            None | Some(_) => self.whole(step),
        };
        self.run.dead |= matches!(cut, Some(How::KilledBefore | How::KilledWithin | How::KilledAfter));
        match cut {
            None => done,
            // It can be used without it.
            Some(How::Fails | How::AllFail | How::Late) if step == Step::KeepKey => Ok(()),
            Some(_) => failed(),
        }
    }

    fn not_vouched(&self) -> Failure {
        Failure::Fault("nobody vouches for it".into())
    }
}
