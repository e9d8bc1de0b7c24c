//! Opening an image: which step is next. No IO.
//!
//! ```text
//! to write:    marked (looked at again → written → read back) → file as its table → attached → device with its key → checked → mounted out of sight → shown → key kept
//! to look at:                               attached → device with its key →           mounted out of sight → shown
//! taken over:                               device with its key again      → checked → mounted out of sight → goes on → shown → key kept
//! ```
//!
//! Up to "shown" all that the kernel has of it hangs on open files of one process, the upper on the lower: the loop device
//! goes with its last user, the encrypted device with its own (which has [a plan of its own](crate::storage::parts::mapped)),
//! the mount with the process. So a kill takes all of it down, in one step and in the right order, and what is left is the
//! mark. For the kernel "shown" is one step, too: a mount with its map of IDs is put at its place or is not. From then on it
//! is an open home, and [the plan of locks and closes](super::lock) goes on from there: with the wish "closed" it is also
//! what takes back an opening that failed. Three rules hold:
//!
//! * Another machine may open what bears no mark. So the mark is on disk before anything is written or attached, and goes
//!   when nothing is attached any more. Nothing tells of a machine that does the same at the same moment but the mark itself. So
//!   what was seen before the key slots were tried does not count: it is looked at again right before it is written, and
//!   read back. The last one to write has it. Who is held up between looking and writing for longer than another takes
//!   to write and to read back still comes too late.
//! * A file system is mounted when somebody vouches for it, and seen by others when all is in order.
//! * The keyring holds on to a key, whatever becomes of the process: it gets it last.

use super::without::{Mend, has};

/// How it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// To be written to.
    Write,
    /// To be looked at: nothing of it is changed.
    Look,
    /// It is open in other mount namespaces alone, and is mounted here again.
    TakeOver,
}

/// How far it is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// Its encryption header can be read and written.
    Attached,
    /// Its encrypted part can be read.
    Decrypted,
    /// This process can see its files.
    Mounted,
    /// So can others.
    Shown,
}

/// Whether somebody whose word counts vouches for the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vouched {
    /// Somebody does.
    Yes,
    /// Nobody does.
    No,
}

/// Where this run has mounted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mount {
    /// Nowhere.
    Nowhere,
    /// In a mount namespace of its own; taken over, its file system may stand still.
    OutOfSight,
    /// The same, and it goes on.
    GoesOn,
    /// In the machine's tree.
    Shown,
}

/// What this run has of it, and has done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Situation {
    /// How.
    pub way: Way,
    /// Who vouches.
    pub vouched: Vouched,
    /// It was looked at again, and no other machine has it open.
    pub looked: bool,
    /// The image says that this machine has it open.
    pub marked: bool,
    /// It said so still when it was read back.
    pub alone: bool,
    /// The file is as its partition table says, and the table is sound.
    pub level: bool,
    /// There is a loop device.
    pub attached: bool,
    /// There is an encrypted device.
    pub decrypted: bool,
    /// The file system is known and as sound as its own program says.
    pub checked: bool,
    /// Where it is mounted.
    pub mount: Mount,
    /// The keyring was given the key.
    pub kept: bool,
}

impl Situation {
    /// Nothing is done yet.
    pub fn begin(way: Way, vouched: Vouched) -> Self {
        Self {
            way,
            vouched,
            looked: false,
            marked: false,
            alone: false,
            level: false,
            attached: false,
            decrypted: false,
            checked: false,
            mount: Mount::Nowhere,
            kept: false,
        }
    }
}

/// One step. Cut in two it leaves what was there before or what is there after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Looks whether another machine has marked it meanwhile.
    LookAgain,
    /// Writes the marks.
    Mark,
    /// Looks whether another machine has written its own over it.
    ReadBack,
    /// Finishes or takes back a change of size, as far as the file goes, and writes a damaged table anew.
    Level,
    /// Attaches the image to a loop device.
    Attach,
    /// Makes the encrypted device.
    Decrypt,
    /// Gives the device that is there its key again, if it has none, and holds it.
    TakeOver,
    /// Looks which file system it is, and has it checked.
    Check,
    /// Mounts it out of sight.
    Mount,
    /// Lets the file system go on, if it stands still.
    GoOn,
    /// Puts it in the machine's tree.
    Show,
    /// Gives the keyring the key.
    KeepKey,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// A step.
    Do(Step),
    /// Nothing: it is open as far as wanted.
    Done,
    /// Nothing may be mounted: nobody vouches for it.
    NotVouched,
}

/// The next step.
pub fn next(stands: &Situation, wish: Wish) -> Next {
    let writes = stands.way == Way::Write;
    let attaches = stands.way != Way::TakeOver;
    let changes = stands.way != Way::Look;
    if wish >= Wish::Mounted && stands.vouched == Vouched::No && has(Mend::Vouched) {
        return Next::NotVouched;
    }
    let (mark, keep) = (writes && !stands.marked, wish == Wish::Shown && changes && !stands.kept);
    let (mounts, mount) = (wish >= Wish::Mounted, stands.mount);
    let steps = [
        (mark && !stands.looked && has(Mend::LooksAgain), Step::LookAgain),
        (mark && has(Mend::MarkedFirst), Step::Mark),
        (stands.marked && !stands.alone && has(Mend::ReadsBack), Step::ReadBack),
        (writes && !stands.level, Step::Level),
        (attaches && !stands.attached, Step::Attach),
        (wish >= Wish::Decrypted && attaches && !stands.decrypted, Step::Decrypt),
        (wish >= Wish::Decrypted && !stands.decrypted, Step::TakeOver),
        (mark, Step::Mark),
        (keep && !has(Mend::KeptLast), Step::KeepKey),
        (mounts && changes && !stands.checked, Step::Check),
        (mounts && mount == Mount::Nowhere, Step::Mount),
        (mounts && mount == Mount::OutOfSight, Step::GoOn),
        (wish == Wish::Shown && mount != Mount::Shown, Step::Show),
        (keep, Step::KeepKey),
    ];
    steps.into_iter().find(|(due, _)| *due).map_or(Next::Done, |(_, step)| Next::Do(step))
}

/// The situation after a step.
pub fn after(mut stands: Situation, step: Step) -> Situation {
    match step {
        Step::LookAgain => stands.looked = true,
        Step::Mark => stands.marked = true,
        Step::ReadBack => stands.alone = true,
        Step::Level => stands.level = true,
        Step::Attach => stands.attached = true,
        Step::Decrypt | Step::TakeOver => stands.decrypted = true,
        Step::Check => stands.checked = true,
        Step::Mount => stands.mount = Mount::OutOfSight,
        Step::GoOn => stands.mount = Mount::GoesOn,
        Step::Show => stands.mount = Mount::Shown,
        Step::KeepKey => stands.kept = true,
    }
    stands
}
