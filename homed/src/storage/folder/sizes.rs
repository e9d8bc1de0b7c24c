//! How much may be in a folder.

use super::Variety;
use crate::job::{Context, Failure, Size, Step, Steps, refuse};
use crate::storage::parts::size::{MIB, Wish, share};
use crate::storage::{Resized, Spec};
use crate::sys::durable;
use records::Refusal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Room that is left at least, in bytes: who logs in writes.
const AIR: u64 = 16 * MIB;

/// A bound for what is in a folder.
pub trait Limits: Sync {
    /// Refuses where the file system of the folder around has no such bounds. Nothing is changed.
    fn refuse(&self, around: &OwnedFd) -> Result<(), Failure>;

    /// Sets the bound in bytes; `None`: the disk is the bound.
    fn limit(&self, home: &OwnedFd, bytes: Option<u64>) -> Result<(), Failure>;

    /// Bytes that are in it, and the bound. `None`: it is not counted.
    fn quota(&self, home: BorrowedFd<'_>) -> Result<Option<Quota>, Failure>;
}

/// What is in a folder, and may be; bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Is.
    pub used: u64,
    /// May be; `None`: what the disk has.
    pub limit: Option<u64>,
}

/// The bound that a new home is to have, if one was asked for.
pub fn asked(
    variety: &'static dyn Variety,
    around: &OwnedFd,
    spec: &Spec,
) -> Result<Option<(&'static dyn Limits, u64)>, Failure> {
    let bytes = match spec.size {
        Wish::Unset => return Ok(None),
        Wish::Bytes(bytes) => bytes,
        Wish::Share(part) => share(disk(around.as_fd())?.free, part),
    };
    let Some(limits) = variety.limits() else { return no_size() };
    limits.refuse(around)?;
    Ok(Some((limits, (bytes / MIB * MIB).max(AIR))))
}

/// Says that it can have none.
pub fn no_size<T>() -> Result<T, Failure> {
    refuse(
        Refusal::NotSupported,
        "A home of the kind \"directory\" cannot be given a size: it has what is free on the disk it lies on. Leave \
         --disk-size= out, or choose --storage=luks, or --storage=subvolume on btrfs.",
    )
}

/// Gives it another bound.
pub fn resize(
    variety: &dyn Variety,
    home: BorrowedFd<'_>,
    size: Size,
    steps: &mut dyn Steps,
) -> Result<Resized, Failure> {
    let Some(limits) = variety.limits() else { return no_size() };
    let home = home.try_clone_to_owned().during("opening the home")?;
    // What is in it is counted when it is written.
    durable::sync_file_system(&home).during("writing the home to disk")?;
    let disk = disk(home.as_fd())?;
    let Some(quota) = limits.quota(home.as_fd())? else {
        return limits.refuse(&home).and_then(|()| no_size());
    };
    let least = (quota.used + AIR).next_multiple_of(MIB);
    let bytes = match size {
        Size::Exactly(bytes) if bytes < least => {
            return refuse(
                Refusal::BadHomeSize,
                format!(
                    "{} MiB are too few: {} MiB are in the home, and it needs {} MiB at least. Nothing was changed.",
                    bytes / MIB,
                    quota.used / MIB,
                    least / MIB
                ),
            );
        }
        Size::Exactly(bytes) | Size::Near(bytes) => (bytes / MIB * MIB).max(least),
        Size::Share(part) => (share(disk.size, part) / MIB * MIB).max(least),
        Size::Least => least,
        Size::Most => disk.size / MIB * MIB,
        Size::AsIs => return Ok(Resized { size: quota.limit.unwrap_or(disk.size) }),
    };
    steps.enter(Step::Extend)?;
    limits.limit(&home, Some(bytes))?;
    durable::sync_file_system(&home).during("writing the new size to disk")?;
    Ok(Resized { size: bytes })
}

struct Disk {
    free: u64,
    size: u64,
}

fn disk(directory: BorrowedFd<'_>) -> Result<Disk, Failure> {
    let facts =
        rustix::fs::fstatvfs(directory).map_err(std::io::Error::from).during("looking at the disk")?;
    Ok(Disk { free: facts.f_bavail * facts.f_frsize, size: facts.f_blocks * facts.f_frsize })
}
