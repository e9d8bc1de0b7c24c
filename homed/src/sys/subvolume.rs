//! btrfs subvolumes: whether a directory is one, taking one away, and how much may be in it (qgroups, btrfs-quota(8)).

use linux_raw_sys::btrfs::{
    BTRFS_FIRST_FREE_OBJECTID, BTRFS_QGROUP_INFO_KEY, BTRFS_QGROUP_LIMIT_KEY, BTRFS_QGROUP_LIMIT_MAX_RFER,
    BTRFS_QUOTA_TREE_OBJECTID, btrfs_ioctl_ino_lookup_args, btrfs_ioctl_qgroup_limit_args,
    btrfs_ioctl_search_args, btrfs_ioctl_vol_args,
};
use linux_raw_sys::ioctl::{
    BTRFS_IOC_INO_LOOKUP, BTRFS_IOC_QGROUP_LIMIT, BTRFS_IOC_SNAP_DESTROY, BTRFS_IOC_TREE_SEARCH,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// linux/magic.h.
const BTRFS: u32 = 0x9123_683e;

/// Whether an open directory is on btrfs.
pub fn is_possible_in(directory: impl AsFd) -> io::Result<bool> {
    let kind = rustix::fs::fstatfs(directory)?.f_type;
    // The field is signed, and as wide as a word: the magic number is in its lower half.
    Ok((kind as u64 & u64::from(u32::MAX)) as u32 == BTRFS)
}

/// Whether an open directory is the top of a subvolume.
pub fn is_one(directory: impl AsFd) -> io::Result<bool> {
    let top = rustix::fs::fstat(&directory)?.st_ino == u64::from(BTRFS_FIRST_FREE_OBJECTID);
    Ok(top && is_possible_in(directory)?)
}

/// Takes the subvolume of that name away, with all that is in it. `DirectoryNotEmpty`: there are others in it.
pub fn destroy(parent: impl AsFd, name: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_vol_args = unsafe { std::mem::zeroed() };
    let bytes = name.to_bytes();
    if bytes.len() >= arguments.name.len() || bytes.contains(&b'/') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in arguments.name.iter_mut().zip(bytes) {
        *to = *from as _;
    }
    // SAFETY: the fd is open for the call, the argument is the struct this ioctl reads, NUL-terminated.
    let answer = unsafe { libc::ioctl(parent.as_fd().as_raw_fd(), BTRFS_IOC_SNAP_DESTROY as _, &arguments) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How much may be in a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many bytes.
    Bytes(u64),
    /// What is free on its disk.
    None,
    /// As it is: only whether there could be another.
    AsIs,
}

/// Limits the subvolume that a directory is in. `NotConnected`: quotas are off on this file system.
pub fn limit(directory: impl AsFd, limit: Limit) -> io::Result<()> {
    // SAFETY: the struct is plain old data; all zero is a valid value: the directory's own subvolume, nothing changed.
    let mut arguments: btrfs_ioctl_qgroup_limit_args = unsafe { std::mem::zeroed() };
    let bytes = match limit {
        Limit::Bytes(bytes) => Some(bytes),
        // What is all ones is taken away.
        Limit::None => Some(u64::MAX),
        Limit::AsIs => None,
    };
    if let Some(bytes) = bytes {
        arguments.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER.into();
        arguments.lim.max_rfer = bytes;
    }
    // SAFETY: the fd is open for the call, and the struct is the one this ioctl reads.
    let answer =
        unsafe { libc::ioctl(directory.as_fd().as_raw_fd(), BTRFS_IOC_QGROUP_LIMIT as _, &mut arguments) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How much is in a subvolume, and may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes that are in it, as of the last transaction.
    pub used: u64,
    /// Bytes that may be; `None`: what is free on its disk.
    pub limit: Option<u64>,
}

/// The quota of the subvolume that a directory is in; `None`: quotas are off on this file system.
pub fn quota(directory: impl AsFd) -> io::Result<Option<Quota>> {
    let id = id(&directory)?;
    let item = |kind: u32| item(&directory, kind, id);
    // A file system without quotas has no such tree.
    let info = match item(BTRFS_QGROUP_INFO_KEY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // linux/btrfs_tree.h: generation, rfer, …; and flags, max_rfer, ….
    let Some(used) = info.and_then(|item| word(&item, 1)) else { return Ok(None) };
    let limits = item(BTRFS_QGROUP_LIMIT_KEY)?;
    let limit = limits.and_then(|item| {
        let flags = word(&item, 0)?;
        word(&item, 1).filter(|_| flags & u64::from(BTRFS_QGROUP_LIMIT_MAX_RFER) != 0)
    });
    Ok(Some(Quota { used, limit }))
}

fn id(directory: impl AsFd) -> io::Result<u64> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_ino_lookup_args = unsafe { std::mem::zeroed() };
    arguments.objectid = BTRFS_FIRST_FREE_OBJECTID.into();
    // SAFETY: the fd is open for the call, and the struct is the one this ioctl reads and writes.
    let answer =
        unsafe { libc::ioctl(directory.as_fd().as_raw_fd(), BTRFS_IOC_INO_LOOKUP as _, &mut arguments) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(arguments.treeid) }
}

/// linux/btrfs.h: struct btrfs_ioctl_search_header: transid, objectid, offset, type, len.
const HEADER: usize = 32;

fn item(directory: impl AsFd, kind: u32, id: u64) -> io::Result<Option<Vec<u8>>> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_search_args = unsafe { std::mem::zeroed() };
    let key = &mut arguments.key;
    key.tree_id = BTRFS_QUOTA_TREE_OBJECTID.into();
    (key.min_type, key.max_type) = (kind, kind);
    (key.min_offset, key.max_offset) = (id, id);
    (key.max_transid, key.nr_items) = (u64::MAX, 1);
    // SAFETY: the fd is open for the call, and the struct is the one this ioctl reads and writes.
    let answer =
        unsafe { libc::ioctl(directory.as_fd().as_raw_fd(), BTRFS_IOC_TREE_SEARCH as _, &mut arguments) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes = arguments.buf.iter().skip(HEADER).take(64).map(|byte| *byte as u8);
    Ok((arguments.key.nr_items > 0).then(|| bytes.collect()))
}

fn word(item: &[u8], number: usize) -> Option<u64> {
    let at = number * 8;
    Some(u64::from_le_bytes(item.get(at..at + 8)?.try_into().ok()?))
}
