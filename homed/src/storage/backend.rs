//! What every kind of storage does, and what some can do besides.
//!
//! Who needs a part asks for it, and refuses in words where a kind has none: nobody asks which kind it is.

use super::HomeDirectory;
use super::examined::{Examination, Examined};
use super::opened::Opened;
use crate::job::{Care, Failure, Force, Mounted, Size, Snapshots, Steps};
use records::questions::Question;
use records::signature::Vouched;
use records::{Record, Secret};
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Duration;

/// One kind of storage, for one home.
pub trait Backend {
    /// Makes the storage, with the record inside and the directory filled by `request`, and puts it
    /// in place last. What the record's binding has to say of it comes back.
    fn create(&self, request: &mut NewHome<'_>, steps: &mut dyn Steps)
    -> Result<Map<String, Value>, Failure>;

    /// Opens the storage; one with keys with the first that fits.
    fn open(&self, how: Opening, keys: &[Secret], steps: &mut dyn Steps) -> Result<Box<dyn Opened>, Failure>;

    /// What security keys and smart cards are asked with, as far as the storage says so to who has no key of it. It is nobody's
    /// word: a hint whom to ask.
    fn questions(&self) -> Vec<Question> {
        Vec::new()
    }

    /// Unmounts the home and closes what is below.
    fn close(&self, force: Force, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Refuses a record that asks for what this storage cannot do, as far as that can be told before anything is opened.
    fn accept(&self, _record: &Record) -> Result<(), Failure> {
        Ok(())
    }

    /// Deletes the storage; one that is not there is deleted already.
    fn remove(&self, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Takes away what killed workers have left, as far as nobody uses it.
    fn sweep(&self) -> Result<(), Failure>;

    /// Looks at everything, and changes nothing.
    fn examine(&self, wish: &Examination<'_>, steps: &mut dyn Steps) -> Result<Examined, Failure>;

    /// Whether the home is open, and its storage cannot be read: its disk was pulled out.
    fn has_lost_its_disk(&self) -> bool {
        false
    }

    /// `None`: it has no key that could be taken out of memory.
    fn locks(&self) -> Option<&dyn Locks> {
        None
    }

    /// `None`: its size is nobody's to choose.
    fn resizes(&self) -> Option<&dyn Resizes> {
        None
    }

    /// `None`: its space needs no care.
    fn tends(&self) -> Option<&dyn Tends> {
        None
    }

    /// `None`: what it was like cannot be kept.
    fn keeps(&self) -> Option<&dyn Keeps> {
        None
    }

    /// `None`: there is nothing that could be rebuilt.
    fn mends(&self) -> Option<&dyn Mends> {
        None
    }
}

/// Storage whose key can be out of memory while the home stays mounted.
pub trait Locks {
    /// Takes the key of the mounted home out of memory: what is not on disk yet is written, and nobody can use the
    /// home before [`super::Vault::unseal`]. `evict` throws its data out of memory, at the right moment. What fails
    /// leaves the home as it was, unless the kernel cannot say so.
    fn seal(&self, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Unsealed>;

    /// Closes what is open of a home that is not mounted at its directory, or takes its key out of memory; an error says
    /// what keeps it there.
    fn lock_elsewhere(&self, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Finishes or takes back a seal that was broken off at any point.
    fn settle(&self, steps: &mut dyn Steps) -> Result<Settled, Failure>;

    /// Closes a sealed home without its key; its processes are gone.
    fn give_up(&self, steps: &mut dyn Steps) -> Result<(), Failure>;
}

/// Storage that has a size.
pub trait Resizes {
    /// Gives the mounted home another size without anybody's key; `BadPassword` where that cannot be.
    fn resize(&self, size: Size, steps: &mut dyn Steps) -> Result<Resized, Failure>;
}

/// Storage that takes blocks of a disk, and gives them back.
pub trait Tends {
    /// Cares for the space of the mounted home. It may be killed at any moment.
    fn tend(&self, care: Care, steps: &mut dyn Steps) -> Result<(), Failure>;
}

/// Storage that can keep what a home was like, in its own space.
pub trait Keeps {
    /// Makes, tells, restores or deletes snapshots of the mounted home; what came of it, as a report. `now` is in seconds since
    /// 1970. Killed at any moment, it is finished or taken back by the next that comes.
    fn snapshots(&self, wish: &Snapshots, now: u64, steps: &mut dyn Steps) -> Result<Value, Failure>;

    /// Follows the schedule of the record, and puts in order what was killed. It may be killed itself at any moment.
    fn keep(&self, now: u64, steps: &mut dyn Steps) -> Result<(), Failure>;
}

/// Storage with layers that can be damaged, and rebuilt.
pub trait Mends {
    /// Rebuilds what can be rebuilt without a key; what it writes over goes to a file at `backup` first. What another machine
    /// has marked as open is refused, or its mark taken away.
    fn mend(&self, backup: &Path, there: There, steps: &mut dyn Steps) -> Result<Mended, Failure>;

    /// Keeps what a repair with a key may write over in a file at `backup`. It is refused while somebody has the storage open.
    fn keep(&self, backup: &Path, steps: &mut dyn Steps) -> Result<Mended, Failure>;

    /// Has the file system repaired by its own program. What that writes over is kept nowhere.
    fn repair_file_system(
        &self,
        keys: &[Secret],
        how: (Kept, Vouched),
        steps: &mut dyn Steps,
    ) -> Result<(), Failure>;

    /// Opens what is left, to be read only, and shows it at the target (`None`: at the home directory), with this
    /// UID.
    fn rescue(
        &self,
        keys: &[Secret],
        shown: (u32, Option<&Path>),
        vouched: Vouched,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure>;
}

/// Whether another machine has the storage open that has marked it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum There {
    /// Nobody knows: it is left alone.
    Unknown,
    /// It has not, and will not go on with what it had: whoever has it repaired says so.
    Closed,
}

/// Shows that a repair has kept what it may write over of tables, marks and headers: without it none opens a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept(());

impl Kept {
    /// A storage with nothing that could be rebuilt has nothing to keep but its record.
    pub fn of_no_layers(backend: &dyn Backend) -> Option<Self> {
        backend.mends().is_none().then_some(Self(()))
    }

    /// For whoever has just kept it.
    pub(in crate::storage) fn new() -> Self {
        Self(())
    }
}

/// What was done without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// In words.
    pub done: Vec<String>,
    /// Whether what was there has been kept; `None`: nothing was written over.
    pub kept: Option<Kept>,
}

/// What a storage is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Looking at the record inside and trying keys: nothing is changed, nothing mounted.
    Inspect,
    /// Changing keys and records of a home that is mounted or not.
    Change(Mounted),
    /// The same of one that is not mounted, and damaged.
    Repair(Kept),
    /// Making the home available.
    Activate,
}

/// A new home.
pub struct NewHome<'a> {
    /// The record to put inside, signed.
    pub record: &'a Record,
    /// The passphrases that shall open it.
    pub keys: &'a [Secret],
    /// Random ones, perhaps among them: their slots need not be costly.
    pub random: &'a [Secret],
    /// The proof that this machine signed it.
    pub vouched: Vouched,
    /// The UID of the user on this machine.
    pub uid: u32,
    /// How large all images of the disk may be together, in per cent of the disk.
    pub overcommit: u32,
    /// Where what it is filled with comes from, for who reads that it does not fit.
    pub filled_from: &'a Path,
    /// Fills the directory.
    pub fill: &'a mut dyn FnMut(&HomeDirectory, &mut dyn Steps) -> Result<(), Failure>,
}

/// What became of a change of size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resized {
    /// The size it has now, in bytes.
    pub size: u64,
}

/// How a home is sealed.
pub struct Seal<'a> {
    /// How long it may take once everything is written; later it is taken back.
    pub bound: Duration,
    /// Throws the data of the files of this file system (`major:minor`, as in the table of mounts) out of memory;
    /// they are on disk then.
    pub evict: &'a mut dyn FnMut(&str) -> Result<(), Failure>,
}

/// A seal that has failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Unsealed {
    /// It was taken back: the home can be used.
    Open(Failure),
    /// It may be sealed, or half so, until [`Locks::settle`] has been able to tell: nobody may go on.
    Unknown(Failure),
}

/// What became of a seal that was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The home can be used: its processes may go on.
    Open,
    /// Its key is out of memory.
    Sealed,
    /// It is not mounted any more: nobody needs what the lock has left.
    Closed,
}
