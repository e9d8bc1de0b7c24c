//! Locking, unlocking and giving up a mounted home: which step is next.
//!
//! ```text
//! sealed:   cover → sync → wash → evict → leave out barriers → freeze → flush → clear second table → suspend → wipe │ revoke
//! open:     clear second table → key back, device goes on → uncover → thaw → barriers → keep the key
//! given up: revoke → cut the device off → uncover → thaw → unmount → all gone → mark away
//! closed:   uncover → thaw → barriers → unmount → revoke → all gone → marks away
//! ```
//!
//! What a killed worker has left is settled by the same steps, and whoever opens a home and fails closes it by them.
//! Four rules hold in every order of events:
//!
//! * A suspended device without a key is sealed: nothing that follows may fail, and nobody is thawed over it.
//! * A file system is thawed only over a device that goes on: ext4 and xfs write when they are thawed, and would never return.
//! * A device with a second (inactive) table keeps a key there; it is cleared before the device is suspended or goes on.
//! * The mark that this machine has the image open goes with the last device, however that came to go: other machines are
//!   refused as long as it is there. That the image may not be whole, only who knows better takes away.

mod order;

pub use order::next;

/// How a device's table has its volume key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// It can decrypt.
    Present,
    /// Zeros are in its place.
    Wiped,
    /// The table is not one of encryption: the device was cut off, and answers with errors.
    CutOff,
}

/// A device-mapper device with the volume key of the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device {
    /// It takes no requests.
    pub suspended: bool,
    /// In its live table.
    pub key: Key,
    /// A second table was loaded, which has a key of its own.
    pub second_table: bool,
}

/// Which device a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one that the home is mounted from.
    Home,
    /// One that a killed run has left, by its place in the list.
    Other(usize),
}

/// The file system of the home, as far as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileSystem {
    /// It is mounted nowhere.
    Unmounted,
    /// Nothing is ever written.
    ReadOnly,
    /// It may have something to write.
    Writable,
}

/// Whether a file system is frozen. Nobody can ask the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Frozen {
    /// This run has frozen it.
    Yes,
    /// This run has thawed it.
    No,
    /// An earlier run may have frozen it.
    Unknown,
}

/// Whether a file system has its device flushed at every sync, frozen or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Barriers {
    /// Not this kind, or not by wish.
    Never,
    /// It does.
    Asked,
    /// It would, and was told to leave it out.
    LeftOut,
}

/// How far the contents of the home are on disk and out of memory, in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prepared {
    /// Nothing was done.
    Nothing,
    /// What was written is on disk.
    Synced,
    /// The file system's compressors have nothing of it.
    Washed,
    /// The page cache has as little of it as can be.
    Evicted,
    /// The encrypted device has nothing left to write.
    Flushed,
}

/// Whether a keyring has the volume key, too. The kernel is not asked: a key that was voided is seen for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// This run has put it there.
    Yes,
    /// This run has voided it.
    No,
    /// An earlier run may have put it there.
    Unknown,
}

/// What the image says of being open. It is looked at where no device is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// Inside of it: this machine has it open, so others keep off.
    pub here: bool,
    /// Beside it: it was written to, and what is in it may not be whole.
    pub unclean: bool,
}

/// How the file system of the home has come to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// This run knows that it is whole.
    Whole,
    /// Perhaps in the midst of something.
    Unknown,
}

/// Which mounts of the home there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mounts {
    /// There are some.
    pub any: bool,
    /// One can be reached, and is not covered.
    pub open: bool,
    /// There is a cover.
    pub covered: bool,
}

/// What stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Situation {
    /// The device the home is mounted from.
    pub home: Option<Device>,
    /// Devices of killed runs.
    pub others: Vec<Device>,
    /// Of the home.
    pub mounts: Mounts,
    /// Of the home.
    pub file_system: FileSystem,
    /// Whether it is frozen.
    pub frozen: Frozen,
    /// Whether it has its device flushed.
    pub barriers: Barriers,
    /// How far this run has come.
    pub prepared: Prepared,
    /// Whether a keyring has the volume key as well.
    pub kept: Kept,
    /// This run has seen that the kernel has taken all down.
    pub seen_closed: bool,
    /// Of the image.
    pub marks: Marks,
    /// How it ended.
    pub ended: Ended,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// The key out of memory.
    Sealed,
    /// As before a seal that did not succeed; what is sealed stays sealed.
    TakenBack,
    /// What somebody has left is finished or taken back, whichever is nearer without a key.
    Settled,
    /// The key is at hand, and goes back.
    Open,
    /// Closed without a key; what was not written is lost.
    GivenUp,
    /// Closed.
    Closed,
}

/// One step. Cut in two it leaves what one of its neighbours left, or what the step itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// An empty file system over every mount: who comes gets an error at once.
    Cover,
    /// The file system is written out.
    Sync,
    /// The compressors of the file system get something else to do.
    Wash,
    /// The page cache is emptied.
    Evict,
    /// The file system has its device flushed no more.
    LeaveOutBarriers,
    /// The file system takes no writes.
    Freeze,
    /// The encrypted device writes what it has.
    Flush,
    /// The second table is cleared, and with it its key.
    ClearTable(Which),
    /// The device takes no requests. It may happen after it was given up waiting for.
    Suspend(Which),
    /// The key of the suspended device is wiped. From here on there is no way back but the key.
    Wipe(Which),
    /// The keyring has the key no more.
    Revoke,
    /// The suspended device, which has its key, goes on.
    Resume,
    /// The suspended device gets its key and goes on; cut in two it is suspended with its key.
    GiveKey,
    /// All covers are taken away.
    Uncover,
    /// The file system takes writes again.
    Thaw,
    /// The file system has its device flushed again.
    AskBarriers,
    /// The keyring gets the key.
    KeepKey,
    /// A device that nobody uses is removed.
    Remove(Which),
    /// The device answers everything with an error.
    CutOff,
    /// All mounts are taken away.
    Unmount,
    /// The kernel has taken all down.
    AwaitClosed,
    /// The image says no more that this machine has it open, nor that it may not be whole if it is known to be.
    Unmark,
}

/// How the home is when nothing is left to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reached {
    /// Its processes may go on.
    Open,
    /// Its key is out of memory.
    Sealed,
    /// It is mounted no more.
    Closed,
}

/// Why a wish cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unfit {
    /// The home is not open.
    NotOpen,
    /// Its device was cut off: it can only be closed.
    CutOff,
    /// It is sealed: it can be given up, or opened with its key.
    Sealed,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// A step.
    Do(Step),
    /// Nothing.
    Done(Reached),
    /// The wish cannot be.
    Refuse(Unfit),
}

impl Device {
    /// Whether its key is out of the kernel, and it waits for it.
    pub fn is_sealed(self) -> bool {
        self.suspended && self.key == Key::Wiped
    }
}

impl Situation {
    /// Whether the home's key is out of the kernel, and it waits for it.
    pub fn is_sealed(&self) -> bool {
        self.home.is_some_and(Device::is_sealed)
    }
}
