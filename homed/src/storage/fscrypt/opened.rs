//! An encrypted folder that one of the user's keys has opened.

use super::keys::{self, Known};
use super::lent::{self, Lent};
use super::slots::Unlocked;
use super::{Encrypted, binding, no_size};
use crate::job::{Failure, Size, Step, Steps};
use crate::storage::parts::bound;
use crate::storage::parts::tree::{self, Ids};
use crate::storage::{
    HomeDirectory, InOrder, KeyChange, Opened, Proof, Resized, Settlement, Spec, Standing, Vault, derive,
};
use crate::sys::fscrypt::Name;
use records::signature::Vouched;
use records::{Record, Secret};
use serde_json::{Map, Value};
use std::os::fd::{AsFd, BorrowedFd};

/// It. Dropped, what is open of it is closed, and then its key is taken back.
pub struct OpenFscrypt {
    home: HomeDirectory,
    /// `None`: the home is shown, and the kernel has its key anyway.
    lent: Option<Lent>,
    spec: Spec,
    name: Name,
    volume_key: Secret,
    key: usize,
    slot: u32,
    known: Vec<Known>,
    vouched: Option<Vouched>,
}

impl OpenFscrypt {
    /// Gives its key to the kernel, unless that has it; `key` is the user's.
    pub fn new(spec: &Spec, folder: Encrypted, unlocked: Unlocked, key: Secret) -> Result<Self, Failure> {
        let Encrypted { directory, name } = folder;
        let around = lent::around(spec, &directory)?;
        let is_shown = spec.standing()? == Standing::Mounted;
        let lent = match is_shown {
            true => None,
            false => Some(Lent::give(&around, name, &unlocked.volume_key)?),
        };
        Ok(Self {
            home: HomeDirectory::new(directory)?,
            lent,
            spec: spec.clone(),
            name,
            volume_key: unlocked.volume_key,
            key: unlocked.key,
            slot: unlocked.slot,
            known: vec![Known { slot: unlocked.slot, key }],
            vouched: None,
        })
    }

    /// The open folder, whose attributes the slots are.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.home.as_fd()
    }

    /// What its policy calls the key.
    pub fn name(&self) -> Name {
        self.name
    }

    /// The key that it is encrypted with.
    pub fn volume_key(&self) -> &Secret {
        &self.volume_key
    }

    /// The slot that was opened.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Whose slots are known.
    pub fn known(&mut self) -> &mut Vec<Known> {
        &mut self.known
    }

    /// What tells this folder from others.
    pub fn id(&self) -> &[u8] {
        match &self.name {
            Name::Descriptor(bytes) => bytes,
            Name::Identifier(bytes) => bytes,
        }
    }
}

impl Opened for OpenFscrypt {
    fn home(&mut self, _: &mut dyn Steps) -> Result<&HomeDirectory, Failure> {
        Ok(&self.home)
    }

    fn binding(&self) -> Map<String, Value> {
        binding(&self.spec)
    }

    fn resize(&mut self, _: Size, _: &mut dyn Steps) -> Result<Resized, Failure> {
        no_size()
    }

    fn expose(self: Box<Self>, uid: u32, steps: &mut dyn Steps) -> Result<(), Failure> {
        steps.enter(Step::Expose)?;
        let ids = Ids { stored: self.home.owner(), exposed: uid };
        let tree = bound::mapped(self.home.as_fd(), ids, self.spec.attributes(self.vouched))?;
        tree::make_target(&self.spec.home_directory)?;
        bound::attach(&tree, &self.spec.home_directory)?;
        if let Some(lent) = self.lent {
            lent.keep();
        }
        Ok(())
    }

    fn finish(self: Box<Self>, steps: &mut dyn Steps) -> Result<(), Failure> {
        let Self { home, lent, .. } = *self;
        // The key of what is open would stay.
        drop(home);
        lent.map_or(Ok(()), |lent| lent.take_back(steps))
    }

    fn vouch(&mut self, vouched: Vouched) {
        self.vouched = Some(vouched);
    }

    fn vault(&mut self) -> Option<&mut dyn Vault> {
        Some(self)
    }
}

impl Vault for OpenFscrypt {
    fn key(&self) -> usize {
        self.key
    }

    fn record(&self) -> Option<Result<&Record, &str>> {
        None
    }

    fn slots_by_hand(&self) -> &'static str {
        "\"getfattr -m trusted.fscrypt_slot -d\" on its folder lists key slots, \"setfattr -x\" removes one."
    }

    fn write_record(&mut self, _: &Record, _: &InOrder) -> Result<(), Failure> {
        Ok(())
    }

    fn derive(&self, purpose: &str) -> Result<Secret, Failure> {
        derive::hkdf(&self.volume_key, self.id(), purpose, 32)
    }

    fn settle_keys(&mut self, proof: &Proof<'_>, steps: &mut dyn Steps) -> Result<Settlement, Failure> {
        keys::settle(self, proof, steps)
    }

    fn change_keys(
        &mut self,
        change: KeyChange<'_>,
        settled: &InOrder,
        steps: &mut dyn Steps,
    ) -> Result<(), Failure> {
        keys::change(self, change, settled, steps)
    }

    fn unseal(&mut self, _: &mut dyn Steps) -> Result<(), Failure> {
        Err(Failure::fault("a home of this kind is never locked"))
    }
}
