//! The kind `subvolume`: a subvolume of btrfs, whose size a quota limits.

use super::Backend;
use super::folder::{self, Folder, Limits, Quota, Variety};
use super::kind::{Kind, Parts};
use super::parts::tree::STORED_UID;
use super::spec::Spec;
use crate::job::{Context, Failure, refuse};
use crate::sys::subvolume::{self, Limit};
use crate::sys::{btrfs, durable};
use records::{Refusal, Storage};
use rustix::fs::Mode;
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};

/// The kind.
pub const KIND: Kind = Kind {
    storage: Storage::Subvolume,
    is_one: |path, facts| {
        facts.is_dir() && durable::directory(path).and_then(subvolume::is_one).unwrap_or(false)
    },
    says: |_, _| None,
    lacks: folder::lacks,
    is_folder: true,
    parts: Parts { keyed: false, locks: false, resizes: true, tends: false },
    standing: folder::standing,
    traces: folder::traces,
    key: |_| Vec::new(),
};

/// The backend for the home of this spec.
pub fn backend(spec: Spec) -> Result<Box<dyn Backend>, Failure> {
    Ok(Box::new(Folder::new(spec, &Subvolume)))
}

struct Subvolume;

const LOOKING: &str = "looking at the file system of the home";

impl Variety for Subvolume {
    fn lacks(&self, around: &OwnedFd, spec: &Spec) -> Result<Option<String>, Failure> {
        let lacks = || {
            format!(
                "{} is not on btrfs, and only btrfs has subvolumes: the home is an ordinary folder, and has what is free \
                 on its disk.",
                spec.image.display()
            )
        };
        Ok((!subvolume::is_possible_in(around).during(LOOKING)?).then(lacks))
    }

    /// Elsewhere an ordinary folder, as with the original: the record may come from a machine with another disk.
    fn make(&self, around: &OwnedFd, name: &str) -> Result<(), Failure> {
        if !subvolume::is_possible_in(around).during(LOOKING)? {
            return folder::make_plain(around, name);
        }
        btrfs::create_subvolume(around, name).during("making the subvolume of the home")?;
        let made = durable::directory_at(around, name).during("opening the subvolume of the home")?;
        rustix::fs::fchmod(made, Mode::from_raw_mode(0o700))
            .map_err(io::Error::from)
            .during("setting the mode of the subvolume")
    }

    fn stored(&self, _: u32) -> u32 {
        STORED_UID
    }

    fn limits(&self) -> Option<&dyn Limits> {
        Some(self)
    }
}

impl Limits for Subvolume {
    fn refuse(&self, around: &OwnedFd) -> Result<(), Failure> {
        if !subvolume::is_possible_in(around).during(LOOKING)? {
            return no_quota();
        }
        told(subvolume::limit(around, Limit::AsIs))
    }

    fn limit(&self, home: &OwnedFd, bytes: Option<u64>) -> Result<(), Failure> {
        // The quota of an ordinary folder would be that of the subvolume around it.
        if !subvolume::is_one(home).during(LOOKING)? {
            return no_quota();
        }
        told(subvolume::limit(home, bytes.map_or(Limit::None, Limit::Bytes)))
    }

    fn quota(&self, home: BorrowedFd<'_>) -> Result<Option<Quota>, Failure> {
        if !subvolume::is_one(home).during(LOOKING)? {
            return no_quota();
        }
        let quota = subvolume::quota(home).during("reading the quota of the home")?;
        Ok(quota.map(|quota| Quota { used: quota.used, limit: quota.limit }))
    }
}

/// An ordinary folder in its place.
fn no_quota<T>() -> Result<T, Failure> {
    refuse(
        Refusal::NotSupported,
        "The size of a home of this kind is the quota of its btrfs subvolume, and its folder is none: it has what is free \
         on its disk. Leave the size out, or choose --storage=luks.",
    )
}

fn told(done: io::Result<()>) -> Result<(), Failure> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotConnected => refuse(
            Refusal::NotSupported,
            "The size of a home of this kind is a quota, and quotas are off on its btrfs. Turn them on (btrfs quota \
             enable --simple, and the path), or leave the size out.",
        ),
        other => other.during("limiting the size of the home"),
    }
}
