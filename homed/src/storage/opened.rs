//! Storage that was opened.

use super::HomeDirectory;
use super::backend::Resized;
use crate::job::{Failure, Size, Steps};
use records::signature::Vouched;
use records::{Record, Secret};
use serde_json::{Map, Value};

/// Storage that was opened. Dropped, it is closed again.
pub trait Opened {
    /// The home directory; mounted privately if need be. `BadSignature`: nobody has vouched for it.
    fn home(&mut self, steps: &mut dyn Steps) -> Result<&HomeDirectory, Failure>;

    /// What the record's binding has to say of the storage.
    fn binding(&self) -> Map<String, Value>;

    /// Gives the home another size.
    fn resize(&mut self, size: Size, steps: &mut dyn Steps) -> Result<Resized, Failure>;

    /// Puts the home directory in the machine's tree, with this UID.
    fn expose(self: Box<Self>, uid: u32, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// Closes what was opened for a change, and marks it clean.
    fn finish(self: Box<Self>, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// A signature that counts here was seen: from now on a file system may be mounted, and the home be shown as its record
    /// wishes, as far as that is believed of who has signed.
    fn vouch(&mut self, vouched: Vouched);

    /// Refuses, in words, where a password cannot be changed here.
    fn keeps_passwords(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// What a key has opened; `None`: the storage has none, and everything is in the home directory.
    fn vault(&mut self) -> Option<&mut dyn Vault>;
}

/// Storage with keys: opened with one of them.
pub trait Vault: Opened {
    /// Which of the keys fitted.
    fn key(&self) -> usize;

    /// The record the storage itself keeps, outside of the file system; an error says why it cannot
    /// be read (it can be written anew). `None`: it keeps none, and the one in the home directory is all.
    fn record(&self) -> Option<Result<&Record, &str>>;

    /// How an administrator looks at key slots and removes one, in words.
    fn slots_by_hand(&self) -> &'static str;

    /// Replaces that record, durably, where there is one. Whoever has settled the keys may.
    fn write_record(&mut self, record: &Record, settled: &InOrder) -> Result<(), Failure>;

    /// A key of 32 bytes for another purpose, made from the one the files are encrypted with.
    fn derive(&self, purpose: &str) -> Result<Secret, Failure>;

    /// Finishes or takes back a change of keys that was cut short, and replaces the record outside of the file
    /// system where it is not the one in force.
    fn settle_keys(&mut self, proof: &Proof<'_>, steps: &mut dyn Steps) -> Result<Settlement, Failure>;

    /// Replaces keys, and the record with them: a cut leaves what opens with the old keys or the new ones, and the
    /// next [`Vault::settle_keys`] finishes it or takes it back.
    fn change_keys(
        &mut self,
        change: KeyChange<'_>,
        settled: &InOrder,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure>;

    /// Puts the key of a sealed home back, and makes it usable where it is mounted.
    fn unseal(&mut self, steps: &mut dyn Steps) -> Result<(), Failure>;
}

/// Shows that no change of keys is undone which could be finished or taken back: without it no record is written.
pub struct InOrder(());

impl InOrder {
    /// A storage without keys has nothing to settle.
    pub fn of_no_keys(opened: &mut dyn Opened) -> Option<Self> {
        opened.vault().is_none().then_some(Self(()))
    }

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
    /// Random ones, perhaps among them: their slots need not be costly.
    pub random: &'a [Secret],
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
