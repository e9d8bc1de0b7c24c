//! Storage: where the files of a home are, one file or folder per kind, built from `parts`.
//!
//! A backend knows a record as a place to keep, and secrets as keys to try. Which record is believed
//! and whose password counts is decided in `worker`.

use crate::job::{Care, Failure, Force, Mounted, Size, Steps, refuse};
use examined::{Examination, Examined};
use records::kinds::Storage;
use records::signature::Vouched;
use records::{Record, Refusal, Secret};
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Duration;

pub mod derive;
mod directory;
pub mod examined;
mod luks;
mod parts;
pub mod site;
mod spec;
pub mod swap;
pub mod traces;
pub mod whereabouts;

pub use directory::HomeDirectory;
pub use parts::tree::{Ids, make_target, refuse_unmapped};
pub use spec::Spec;
pub use whereabouts::Standing;

/// One kind of storage, for one home.
pub trait Backend {
    /// Makes the storage, with the record inside and the directory filled by `request`, and puts it
    /// in place last. What the record's binding has to say of it comes back.
    fn create(&self, request: &mut NewHome<'_>, steps: &mut dyn Steps)
    -> Result<Map<String, Value>, Failure>;

    /// Opens the storage with the first key that fits.
    fn open(&self, how: Opening, keys: &[Secret], steps: &mut dyn Steps) -> Result<Box<dyn Opened>, Failure>;

    /// Unmounts the home and closes what is below.
    fn close(&self, force: Force, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Whether the home is open, and its storage cannot be read: its disk was pulled out.
    fn has_lost_its_disk(&self) -> bool;

    /// Takes the key of the mounted home out of memory: what is not on disk yet is written, and nobody can use the
    /// home before [`Opened::unseal`]. `evict` throws its data out of memory, at the right moment. What fails
    /// leaves the home as it was, unless the kernel cannot say so.
    fn seal(&self, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Unsealed>;

    /// How far the home is open, as the kernel tells.
    fn standing(&self) -> Result<Standing, Failure>;

    /// Closes what is open of a home that is not mounted at its directory, or takes its key out of memory; an error says
    /// what keeps it there.
    fn lock_elsewhere(&self, bound: Duration, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Finishes or takes back a seal that was broken off at any point.
    fn settle(&self, steps: &mut dyn Steps) -> Result<Settled, Failure>;

    /// Closes a sealed home without its key; its processes are gone.
    fn give_up(&self, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Looks at everything, and changes nothing.
    fn examine(&self, wish: &Examination<'_>, steps: &mut dyn Steps) -> Result<Examined, Failure>;

    /// Rebuilds what can be rebuilt without a key; what there is of it goes to a file at `backup` first. What was
    /// done, in words.
    fn mend(&self, backup: &Path, steps: &mut dyn Steps) -> Result<Vec<String>, Failure>;

    /// Has the file system repaired by its own program.
    fn repair_file_system(
        &self,
        keys: &[Secret],
        vouched: Vouched,
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

    /// Gives the mounted home another size with the key that the kernel keeps for it; `BadPassword` where it keeps
    /// none.
    fn resize(&self, size: Size, steps: &mut dyn Steps) -> Result<Resized, Failure>;

    /// Cares for the space of the mounted home. It may be killed at any moment.
    fn tend(&self, care: Care, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Deletes the storage; one that is not there is deleted already.
    fn remove(&self, steps: &mut dyn Steps) -> Result<(), Failure>;
}

/// What a storage is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Looking at the record inside and trying keys: nothing is changed, nothing mounted.
    Inspect,
    /// Changing keys and records of a home that is mounted or not.
    Change(Mounted),
    /// Making the home available.
    Activate,
}

/// A new home.
pub struct NewHome<'a> {
    /// The record to put inside, signed.
    pub record: &'a Record,
    /// The passphrases that shall open it.
    pub keys: &'a [Secret],
    /// The proof that this machine signed it.
    pub vouched: Vouched,
    /// The UID of the user on this machine.
    pub uid: u32,
    /// How large all images of the disk may be together, in per cent of the disk.
    pub overcommit: u32,
    /// Fills the directory.
    pub fill: &'a mut dyn FnMut(&HomeDirectory) -> Result<(), Failure>,
}

/// Storage that was opened with a key. Dropped, it is closed again.
pub trait Opened {
    /// Which of the keys fitted.
    fn key(&self) -> usize;

    /// The record the storage itself keeps, outside of the file system; an error says why it cannot
    /// be read (it can be written anew).
    fn record(&self) -> Result<&Record, &str>;

    /// Replaces that record, durably. Whoever has settled the keys may.
    fn write_record(&mut self, record: &Record, settled: &InOrder) -> Result<(), Failure>;

    /// A signature that counts here was seen: from now on the file system may be mounted.
    fn vouch(&mut self, vouched: Vouched);

    /// The home directory; mounted privately if need be. `BadSignature`: nobody has vouched for it.
    fn directory(&mut self, steps: &mut dyn Steps) -> Result<&HomeDirectory, Failure>;

    /// What the record's binding has to say of the storage.
    fn binding(&self) -> Map<String, Value>;

    /// A key of 32 bytes for another purpose, made from the one the files are encrypted with.
    fn derive(&self, purpose: &str) -> Result<Secret, Failure>;

    /// Finishes or takes back a change of keys that was cut short, and replaces the record outside of the file
    /// system where it is not the one in force.
    fn settle_keys(&mut self, proof: &Proof<'_>, steps: &mut dyn Steps) -> Result<Settlement, Failure>;

    /// Replaces keys, and the record with them: a cut leaves what opens with the old keys or the new ones, and the
    /// next [`Opened::settle_keys`] finishes it or takes it back.
    fn change_keys(
        &mut self,
        change: KeyChange<'_>,
        settled: &InOrder,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure>;

    /// Gives the home another size.
    fn resize(&mut self, size: Size, steps: &mut dyn Steps) -> Result<Resized, Failure>;

    /// Puts the home directory in the machine's tree, with this UID.
    fn expose(self: Box<Self>, uid: u32, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Puts the key of a sealed home back, and makes it usable where it is mounted.
    fn unseal(self: Box<Self>, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Closes what was opened for a change, and marks it clean.
    fn finish(self: Box<Self>, steps: &mut dyn Steps) -> Result<(), Failure>;
}

/// What became of a change of size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resized {
    /// The size it has now, in bytes.
    pub size: u64,
}

/// Shows that no change of keys is undone which could be finished or taken back: without it no record is written.
pub struct InOrder(());

impl InOrder {
    /// For whoever has just settled them.
    pub(in crate::storage) fn new() -> Self {
        Self(())
    }
}

/// Who asks, and for what.
pub struct Proof<'a> {
    /// The record in force.
    pub record: &'a Record,
    /// The keys that were given and are the record's.
    pub proven: &'a [Secret],
    /// Whether a change of keys follows.
    pub then: Then,
}

/// What follows when keys are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing that concerns keys.
    Rest,
    /// A change of keys.
    Change,
}

/// What settling keys came to.
pub struct Settlement {
    /// What became of a change that was cut short.
    pub healed: Healed,
    /// That it is settled.
    pub in_order: InOrder,
}

/// Keys to change.
pub struct KeyChange<'a> {
    /// What may open the storage now and shall no longer, if it is not in `new`.
    pub old: &'a [Secret],
    /// What shall open it.
    pub new: &'a [Secret],
    /// What was given and is of the record in force, so that it has a slot most likely. Others are not looked for:
    /// a derivation each.
    pub known: &'a [Secret],
    /// The keys of the record in force which were not given.
    pub hidden: Hidden,
    /// The record in force; `None`: the keys are its own, and have no slots.
    pub before: Option<&'a Record>,
    /// The record that is to be in force.
    pub record: &'a Record,
    /// Writes the other copies of it; called once it is in the header.
    pub copies: Option<WriteCopies<'a>>,
}

/// Writes copies of a record that are not in the header.
pub type WriteCopies<'a> = &'a mut dyn FnMut(&mut dyn Opened, &mut dyn Steps) -> Result<(), Failure>;

/// Keys of a record that were not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hidden {
    /// So many stay: recovery keys, tokens.
    pub stay: usize,
    /// So many go with the change.
    pub go: usize,
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
    /// It may be sealed, or half so, until [`Backend::settle`] has been able to tell: nobody may go on.
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

/// What became of a change of keys that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Healed {
    /// There was none.
    Nothing,
    /// It was finished.
    Finished,
    /// It was taken back.
    TakenBack,
    /// There is one, and it cannot be told yet what it came to: nothing was destroyed.
    Waiting,
    /// There was one that an earlier version began: its marks are gone, and all slots are left.
    Unmarked,
}

/// The backend for a home.
pub fn backend(spec: Spec) -> Result<Box<dyn Backend>, Failure> {
    match spec.storage {
        Storage::Luks => Ok(Box::new(luks::Luks::new(spec))),
        Storage::Classic | Storage::Directory | Storage::Subvolume | Storage::Fscrypt | Storage::Cifs => {
            refuse(
                Refusal::NotSupported,
                "Homes are kept in encrypted images here; this kind of storage cannot be used yet.",
            )
        }
    }
}
