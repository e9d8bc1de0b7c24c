//! Inode flags (`chattr`), as far as they belong to what a user has.

use std::os::fd::AsFd;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

/// What is kept. No copy on write (btrfs) has to be there before data; all of them can be looked at by their owner.
const KEPT: IFlags = IFlags::IMMUTABLE
    .union(IFlags::APPEND)
    .union(IFlags::NODUMP)
    .union(IFlags::NOATIME)
    .union(IFlags::SYNC)
    .union(IFlags::DIRSYNC)
    .union(IFlags::NOCOW);

/// What forbids to change an inode.
const HELD: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// The kept flags of a file or folder; none where there are no flags.
pub(crate) fn of(file: impl AsFd) -> Result<IFlags, Errno> {
    all(file).map(|flags| flags.unwrap_or(IFlags::empty()) & KEPT)
}

/// Gives an empty file or folder what has to be there before its data. Whether it was.
pub(crate) fn begin(file: impl AsFd, wanted: IFlags) -> Result<bool, Errno> {
    if wanted.contains(IFlags::NOCOW) { set(file, IFlags::NOCOW, IFlags::empty()) } else { Ok(true) }
}

/// Gives it its flags, all else being in place. Whether it could have them.
pub(crate) fn finish(file: impl AsFd, wanted: IFlags) -> Result<bool, Errno> {
    // Whether a copy on write is made is a file's own affair since it has data, and inherited from the folder by a new one.
    let wanted = wanted - IFlags::NOCOW;
    set(file, wanted, (KEPT - IFlags::NOCOW) - wanted)
}

/// Takes away what would keep it from being changed or removed.
pub(crate) fn release(file: impl AsFd) -> Result<(), Errno> {
    set(file, IFlags::empty(), HELD).map(drop)
}

fn set(file: impl AsFd, wanted: IFlags, unwanted: IFlags) -> Result<bool, Errno> {
    let Some(now) = all(&file)? else { return Ok(wanted.is_empty()) };
    let then = (now | wanted) - unwanted;
    if then == now {
        return Ok(true);
    }
    match ioctl_setflags(file, then) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOTTY | Errno::PERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn all(file: impl AsFd) -> Result<Option<IFlags>, Errno> {
    match ioctl_getflags(file) {
        Ok(flags) => Ok(Some(flags)),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}
