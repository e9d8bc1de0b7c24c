//! A model of what the kernel has of one home, with the worker's verbs on it: each can be cut (its process killed, a step
//! failing, a step that is told to have failed and has happened) before, in the midst of or after every step.
//!
//! The planner and the loop that do the work are those that run on a real machine.

use crate::storage::luks::plan::lock::{Barriers, Device, Key, Marks};
pub use acts::{ANOTHERS, How, VERBS, Verb, WAYS};
use run::Run;

mod acts;
mod open;
mod pinned;
mod run;
mod steps;

/// The processes of the home's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Processes {
    Running,
    Frozen,
    Gone,
}

/// A second mount of the home in the machine's own tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aside {
    No,
    Idle,
    Used,
}

/// What stands in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kernel {
    home: Option<Device>,
    others: Vec<Device>,
    /// The home is mounted.
    mounted: bool,
    covered: bool,
    /// What somebody has mounted over the home, below covers.
    foreign: bool,
    frozen: bool,
    barriers: Barriers,
    keyring: bool,
    processes: Processes,
    /// What the image says; each is on disk at once.
    marks: Marks,
    /// It can only be read: its device, as a rescue makes it, or its mount, where the disk was full.
    read_only: bool,
    /// Another mount namespace has it mounted, and somebody there uses it.
    elsewhere: bool,
    /// No table of mounts shows where that is.
    unseen: bool,
    aside: Aside,
    /// Somebody has attached the image by hand.
    attached: bool,
    /// The image says that another machine has it open, which sees no lock of this one's, …
    another: bool,
    /// … and it has.
    open_there: bool,
    /// Whether the kernel has keyrings at all.
    pub keyrings: bool,
    /// Of the kind that writes when it is thawed, and has its device flushed at every sync (ext4).
    writes_at_thaw: bool,
}

/// A verb, and which of its steps is cut, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Act {
    pub verb: Verb,
    pub cut: Option<(usize, How)>,
}

/// What came of it.
pub struct Came {
    pub kernel: Kernel,
    /// Whether the cut was reached.
    pub cut: bool,
    /// Whether the verb was answered with success.
    pub done: bool,
}

const RUNNING: Device = Device { suspended: false, key: Key::Present, second_table: false };

fn has_key(device: &Device) -> bool {
    device.key == Key::Present || device.second_table
}

impl Kernel {
    /// A home that is closed.
    pub fn closed(writes_at_thaw: bool, keyrings: bool) -> Self {
        Self {
            home: None,
            others: Vec::new(),
            mounted: false,
            covered: false,
            foreign: false,
            frozen: false,
            barriers: Barriers::Never,
            keyring: false,
            processes: Processes::Gone,
            marks: Marks::default(),
            read_only: false,
            elsewhere: false,
            unseen: false,
            aside: Aside::No,
            attached: false,
            another: false,
            open_there: false,
            keyrings,
            writes_at_thaw,
        }
    }

    /// It is mounted at the home directory.
    pub fn is_mounted(&self) -> bool {
        self.mounted
    }

    /// No device of the home is there.
    pub fn is_closed(&self) -> bool {
        self.home.is_none() && !self.mounted
    }

    /// Whoever wrote to it now would wait.
    pub fn stands_still(&self) -> bool {
        self.frozen || self.home.is_some_and(|home| home.suspended)
    }

    /// Does it. An error is what must never be.
    pub fn act(&self, act: Act) -> Result<Came, String> {
        let mut run = Run::new(self.clone(), act.cut);
        let done = run.verb(act.verb);
        match run.broken {
            Some(broken) => return Err(broken),
            None if done && !run.dead => run.kernel.check(act.verb, run.reached)?,
            None if act.verb == Verb::Lock && !self.mounted => self.not_locked(&run, act)?,
            None => {}
        }
        let opens = matches!(
            act.verb,
            Verb::Activate
                | Verb::ActivateFull
                | Verb::ActivateStrange
                | Verb::Change
                | Verb::RepairFileSystem
                | Verb::Check
                | Verb::Rescue
        );
        if opens && !run.kernel.mounted && run.kernel.has_key() && !self.has_key() && !run.kernel.elsewhere {
            return Err("it was not opened, and a key is left".into());
        }
        Ok(Came { cut: run.reached, done: done && !run.dead, kernel: run.kernel })
    }

    fn devices(&self) -> impl Iterator<Item = &Device> {
        self.home.iter().chain(&self.others)
    }

    pub fn is_sealed(&self) -> bool {
        self.home.is_some_and(Device::is_sealed)
    }

    fn has_key(&self) -> bool {
        self.keyring || self.devices().any(has_key)
    }

    /// What holds of a home that is not mounted at its directory, and that a lock could not lock.
    fn not_locked(&self, run: &Run, act: Act) -> Result<(), String> {
        let after = &run.kernel;
        let open = after.devices().any(has_key);
        if act.cut.is_none() && open && !run.named {
            return Err("it is not locked, and nobody is named".into());
        }
        let once = matches!(act.cut, Some((_, How::Fails | How::Late)));
        if once && open && !run.dead && after.elsewhere && after.stands_still() && !self.stands_still() {
            return Err("it is not locked, and whoever is at it elsewhere stands still".into());
        }
        Ok(())
    }

    /// Whoever was at it in another mount namespace, or at a second place, is gone.
    fn unpin(&mut self) {
        (self.elsewhere, self.unseen, self.aside) = (false, false, Aside::No);
        if !self.is_held() {
            self.goes();
        }
    }

    /// Another machine opens it: no lock tells it, the mark does.
    fn opens_there(&mut self) {
        if !self.marks.here && !self.another {
            (self.another, self.open_there) = (true, true);
        }
    }

    pub fn is_usable(&self) -> bool {
        self.home.is_some_and(|home| !home.suspended && home.key == Key::Present)
            && self.mounted
            && !self.covered
            && !self.frozen
            && self.processes != Processes::Frozen
    }

    /// What holds after a verb that was answered with success.
    fn check(&self, verb: Verb, some_failed: bool) -> Result<(), String> {
        // A key that cannot be taken out of a keyring is told by the proof: nothing fails after the wipe.

        let wrong = match verb {
            Verb::Lock if self.devices().any(has_key) || self.keyring && !some_failed => {
                "locked, and there is a key"
            }
            Verb::Lock if !self.covered && self.mounted => "locked, and somebody can come in",
            Verb::Unlock if !self.is_usable() => "unlocked, and it cannot be used",
            Verb::Unlock | Verb::Settle
                if self.barriers == Barriers::LeftOut
                    && (self.mounted || self.elsewhere)
                    && !self.is_sealed()
                    && !some_failed =>
            {
                "open, and without barriers"
            }
            Verb::Settle if self.processes == Processes::Frozen && !self.is_sealed() => {
                "settled, and processes are frozen over a home that is not locked"
            }
            Verb::Settle | Verb::GiveUp | Verb::Deactivate
                if self.is_closed() && self.others.is_empty() && self.marks.here && !some_failed =>
            {
                "closed, and other machines are refused"
            }
            Verb::GiveUp | Verb::Deactivate
                if self.home.is_some() || self.mounted || self.covered || self.has_key() && !some_failed =>
            {
                "closed, and something is left"
            }
            _ => return Ok(()),
        };
        Err(wrong.into())
    }

    /// No device is left that is not ours, and whoever looks at the image on another machine is not let in meanwhile.
    fn is_alone(&self) -> Result<(), String> {
        let writes = self.home.is_some_and(|home| has_key(&home)) && !self.read_only;
        if writes && self.open_there {
            return Err("both machines have it open".into());
        }
        if writes && !self.marks.here { Err("open, and another machine may open it".into()) } else { Ok(()) }
    }

    /// Whoever comes after finishes or takes back what was broken off.
    fn settled(&self) -> Result<Self, String> {
        let settle = Act { verb: Verb::Settle, cut: None };
        let mut settled = self.act(settle)?;
        // Cut off, it is held by whoever is at it elsewhere: he is named, and waited for.
        let is_used = self.elsewhere || self.aside == Aside::Used;
        if !settled.done && is_used && self.home.is_some_and(|home| home.key == Key::CutOff) {
            let mut kernel = self.clone();
            kernel.unpin();
            settled = kernel.act(settle)?;
        }
        if settled.done { Ok(settled.kernel) } else { Err("it cannot be settled".into()) }
    }

    /// Whoever comes after gets everybody in, and closes the home so that nothing is left.
    pub fn ends_well(&self) -> Result<(), String> {
        self.is_alone()?;
        if self.another {
            return Self { another: false, open_there: false, ..self.clone() }.ends_well();
        }
        let act = |kernel: &Self, verb| kernel.act(Act { verb, cut: None });
        let has_one = self.home.is_some_and(|home| home.key == Key::Present);
        if !self.mounted
            && self.elsewhere
            && self.aside != Aside::Used
            && self.others.is_empty()
            && has_one
            && !act(self, Verb::Lock)?.done
        {
            return Err("it is open elsewhere, and its key stays".into());
        }
        let mut kernel = self.settled()?;
        // Frozen, a file system that nobody has mounted any more holds its device, too.
        if !kernel.mounted && kernel.home.is_some() && kernel.is_held() {
            // Of a device that was cut off there is nothing more to be had.
            let opened = act(&kernel, Verb::Activate)?;
            // A second place is named instead, and nothing stands still there.
            let is_here = kernel.aside != Aside::No && !kernel.stands_still();
            if !opened.done && kernel.home.is_some_and(|home| home.key != Key::CutOff) && !is_here {
                return Err("the owner does not get in while somebody elsewhere is".into());
            }
            kernel = opened.kernel;
        }
        kernel.left_alone_it_ends_well()
    }

    /// The same, of a home that nobody else has anything of any more.
    fn left_alone_it_ends_well(mut self) -> Result<(), String> {
        let act = |kernel: &Self, verb| kernel.act(Act { verb, cut: None });
        self.unpin();
        let mut kernel = self;
        kernel.attached = false;
        if kernel.is_sealed() && kernel.mounted {
            let opened = act(&kernel, Verb::Unlock)?;
            if !opened.done {
                return Err("the owner cannot unlock it".into());
            }
            kernel = opened.kernel;
        }
        if kernel.foreign {
            kernel.foreign = false;
        }
        let closed = act(&kernel, Verb::Deactivate)?;
        if !closed.done {
            return Err("it cannot be closed".into());
        }
        if kernel.mounted && !kernel.is_usable() {
            return Err("it is open, and cannot be used".into());
        }
        let opened = act(&closed.kernel, Verb::Activate)?;
        if !opened.done {
            return Err("it cannot be opened again".into());
        }
        let closed = act(&opened.kernel, Verb::Deactivate)?.kernel;
        if closed != Self::closed(kernel.writes_at_thaw, kernel.keyrings) {
            return Err(format!("opened and closed, it leaves something: {closed:?}"));
        }
        Ok(())
    }
}
