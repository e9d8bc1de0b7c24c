//! Storage: where the files of a home are, one file or folder per kind, built from `parts`.
//!
//! A backend knows a record as a place to keep, and secrets as keys to try. Which record is believed
//! and whose password counts is decided in `worker`.

use crate::job::{Failure, refuse};
use records::Refusal;

mod backend;
mod cifs;
pub mod derive;
mod directory;
pub mod examined;
mod folder;
mod fscrypt;
mod home;
pub mod kind;
mod luks;
mod opened;
mod parts;
pub mod plugged;
pub mod site;
mod snapshots;
mod spec;
pub mod strays;
mod subvolume;
pub mod swap;
pub mod traces;
pub mod whereabouts;

pub use backend::{
    Backend, Keeps, Kept, Locks, Mended, Mends, NewHome, Opening, Resized, Resizes, Seal, Settled, Tends,
    There, Unsealed,
};
pub use home::{HomeDirectory, Own};
use kind::{Kind, Parts};
pub use opened::{Healed, Hidden, InOrder, KeyChange, Opened, Proof, Settlement, Then, Vault, WriteCopies};
pub use parts::tree::{Ids, make_target, refuse_unmapped};
use records::Storage;
pub use spec::Spec;
pub use whereabouts::Standing;

/// Makes a kind's backend for one home.
type Make = fn(Spec) -> Result<Box<dyn Backend>, Failure>;

/// Those of all kinds. They are no part of [`Kind`]: what they need of other libraries is in the worker's memory, and not in
/// the daemon's.
const BACKENDS: &[(Storage, Make)] = &[
    (luks::KIND.storage, luks::backend),
    (subvolume::KIND.storage, subvolume::backend),
    (fscrypt::KIND.storage, fscrypt::backend),
    (directory::KIND.storage, directory::backend),
    (cifs::KIND.storage, cifs::backend),
];

/// The backend for a home.
pub fn backend(spec: Spec) -> Result<Box<dyn Backend>, Failure> {
    match BACKENDS.iter().find(|(storage, _)| *storage == spec.storage) {
        Some((_, make)) => make(spec),
        None => refuse(
            Refusal::NotSupported,
            format!(
                "A home of the kind {:?} cannot be used here yet; those that can: {}.",
                spec.storage.as_str(),
                kind::names()
            ),
        ),
    }
}
