//! The kind `directory`: a plain folder, on any file system that can show its files as another user's.

use super::Backend;
use super::folder::{self, Folder, Limits, Variety};
use super::kind::{Kind, Parts};
use super::spec::Spec;
use crate::job::Failure;
use records::Storage;
use std::os::fd::OwnedFd;

/// The kind.
pub const KIND: Kind = Kind {
    storage: Storage::Directory,
    is_one: |_, facts| facts.is_dir(),
    says: |_, _| None,
    lacks: folder::lacks,
    is_folder: true,
    parts: Parts { keyed: false, locks: false, resizes: false, tends: false },
    standing: folder::standing,
    traces: folder::traces,
    key: |_| Vec::new(),
};

/// The backend for the home of this spec.
pub fn backend(spec: Spec) -> Result<Box<dyn Backend>, Failure> {
    Ok(Box::new(Folder::new(spec, &Plain)))
}

struct Plain;

impl Variety for Plain {
    fn lacks(&self, _: &OwnedFd, _: &Spec) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    fn make(&self, around: &OwnedFd, name: &str) -> Result<(), Failure> {
        folder::make_plain(around, name)
    }

    /// As the original stores them: what the machine counts of a user's files is counted for them.
    fn stored(&self, uid: u32) -> u32 {
        uid
    }

    fn limits(&self) -> Option<&dyn Limits> {
        None
    }
}
