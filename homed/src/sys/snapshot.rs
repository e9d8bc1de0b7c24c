//! btrfs snapshots: subvolumes that begin as another one is, and what they are known by (btrfs-subvolume(8)).

use linux_raw_sys::btrfs::{
    BTRFS_FIRST_FREE_OBJECTID, BTRFS_ROOT_ITEM_KEY, BTRFS_ROOT_TREE_OBJECTID, BTRFS_SUBVOL_RDONLY,
    btrfs_ioctl_get_subvol_info_args, btrfs_ioctl_search_args, btrfs_ioctl_vol_args_v2,
};
use linux_raw_sys::ioctl::{
    BTRFS_IOC_GET_SUBVOL_INFO, BTRFS_IOC_SNAP_CREATE_V2, BTRFS_IOC_SUBVOL_SETFLAGS, BTRFS_IOC_SYNC,
    BTRFS_IOC_TREE_SEARCH,
};
use rustix::fs::RenameFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use uuid::Uuid;

/// Whether files in a subvolume can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// They can be read alone.
    Read,
    /// They can be changed.
    Write,
}

/// What the file system knows of a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its own, for as long as it is there.
    pub uuid: Uuid,
    /// Its number in the file system.
    pub number: u64,
    /// Whether its files can be changed.
    pub access: Access,
    /// What it was made a snapshot of; nil where it was made empty.
    pub parent: Uuid,
}

/// Makes a subvolume of that name which begins as `source` is, the top of another one: at one moment, whole or not at all.
pub fn make(source: impl AsFd, parent: impl AsFd, name: &str, access: Access) -> io::Result<()> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_vol_args_v2 = unsafe { std::mem::zeroed() };
    arguments.fd = source.as_fd().as_raw_fd().into();
    if access == Access::Read {
        arguments.flags = BTRFS_SUBVOL_RDONLY.into();
    }
    // SAFETY: all members of the union are plain bytes, and this one is as long as it.
    let room = unsafe { &mut arguments.__bindgen_anon_2.name };
    if name.len() >= room.len() || name.contains(['/', '\0']) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in room.iter_mut().zip(name.bytes()) {
        *to = from as _;
    }
    // SAFETY: both fds are open for the call, the argument is the struct this ioctl reads, its name NUL-terminated.
    check(unsafe { libc::ioctl(parent.as_fd().as_raw_fd(), BTRFS_IOC_SNAP_CREATE_V2 as _, &mut arguments) })
}

/// Looks at the subvolume that a directory is in.
pub fn facts(directory: impl AsFd) -> io::Result<Facts> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_get_subvol_info_args = unsafe { std::mem::zeroed() };
    // SAFETY: the fd is open for the call, and the struct is the one this ioctl writes.
    check(unsafe {
        libc::ioctl(directory.as_fd().as_raw_fd(), BTRFS_IOC_GET_SUBVOL_INFO as _, &mut arguments)
    })?;
    let access = match arguments.flags & READ_ONLY_ROOT {
        0 => Access::Write,
        _ => Access::Read,
    };
    let (uuid, parent) = (Uuid::from_bytes(arguments.uuid), Uuid::from_bytes(arguments.parent_uuid));
    Ok(Facts { uuid, number: arguments.treeid, access, parent })
}

/// linux/btrfs_tree.h: BTRFS_ROOT_SUBVOL_RDONLY. What is told has the flags of the root, not those that are set.
const READ_ONLY_ROOT: u64 = 1;

/// Has the files of the subvolume whose top this is be read alone from now on.
pub fn seal(top: impl AsFd) -> io::Result<()> {
    let flags = u64::from(BTRFS_SUBVOL_RDONLY);
    // SAFETY: the fd is open for the call, and the argument is the number this ioctl reads.
    check(unsafe { libc::ioctl(top.as_fd().as_raw_fd(), BTRFS_IOC_SUBVOL_SETFLAGS as _, &flags) })
}

/// Has two names change places, in one step.
pub fn exchange(one: (impl AsFd, &str), other: (impl AsFd, &str)) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(one.0, one.1, other.0, other.1, RenameFlags::EXCHANGE)?)
}

/// Whether the subvolume of that number is there, or its space is not free yet.
pub fn is_there(mounted: impl AsFd, number: u64) -> io::Result<bool> {
    Ok(!roots(mounted, number..=number)?.is_empty())
}

/// How many subvolumes a mounted file system has beside its own top.
pub fn count(mounted: impl AsFd) -> io::Result<usize> {
    Ok(roots(mounted, BTRFS_FIRST_FREE_OBJECTID.into()..=LAST)?.len())
}

/// linux/btrfs_tree.h: BTRFS_LAST_FREE_OBJECTID, -256.
const LAST: u64 = u64::MAX - 255;
/// linux/btrfs.h: struct btrfs_ioctl_search_header: transid, objectid, offset, type, len.
const HEADER: usize = 32;

/// The numbers of all subvolumes in a range.
fn roots(mounted: impl AsFd, range: std::ops::RangeInclusive<u64>) -> io::Result<Vec<u64>> {
    let (mut all, mut from) = (Vec::new(), *range.start());
    while from <= *range.end() {
        // SAFETY: the struct is plain old data; all zero is a valid value.
        let mut arguments: btrfs_ioctl_search_args = unsafe { std::mem::zeroed() };
        let key = &mut arguments.key;
        key.tree_id = BTRFS_ROOT_TREE_OBJECTID.into();
        (key.min_objectid, key.max_objectid) = (from, *range.end());
        (key.min_type, key.max_type) = (BTRFS_ROOT_ITEM_KEY, BTRFS_ROOT_ITEM_KEY);
        (key.max_offset, key.max_transid, key.nr_items) = (u64::MAX, u64::MAX, u32::MAX);
        // SAFETY: the fd is open for the call, and the struct is the one this ioctl reads and writes.
        check(unsafe {
            libc::ioctl(mounted.as_fd().as_raw_fd(), BTRFS_IOC_TREE_SEARCH as _, &mut arguments)
        })?;
        let bytes: Vec<u8> = arguments.buf.iter().map(|byte| *byte as u8).collect();
        let Some(last) = read(&bytes, arguments.key.nr_items, &mut all).ok_or(io::ErrorKind::InvalidData)?
        else {
            break;
        };
        from = last.saturating_add(1);
    }
    all.dedup();
    Ok(all)
}

/// Takes the numbers of root items out of an answer; the last object there was of any type. `None`: it is cut off.
fn read(mut bytes: &[u8], items: u32, all: &mut Vec<u64>) -> Option<Option<u64>> {
    let mut last = None;
    for _ in 0..items {
        let object = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
        let kind = u32::from_le_bytes(bytes.get(24..28)?.try_into().ok()?);
        let length = u32::from_le_bytes(bytes.get(28..32)?.try_into().ok()?);
        // Between the smallest and the largest key other types lie, too.
        if kind == BTRFS_ROOT_ITEM_KEY {
            all.push(object);
        }
        last = Some(object);
        bytes = bytes.get(HEADER.checked_add(usize::try_from(length).ok()?)?..)?;
    }
    Some(last)
}

/// Writes everything to disk, and has what was deleted be freed now rather than some time later.
pub fn settle_space(mounted: impl AsFd) -> io::Result<()> {
    // SAFETY: the fd is open for the call, and this ioctl takes no argument.
    check(unsafe { libc::ioctl(mounted.as_fd().as_raw_fd(), BTRFS_IOC_SYNC as _, 0) })
}

fn check(answer: i32) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_counted_among_other_items_and_cut_off_answers_are_not_read() {
        let item = |object: u64, kind: u32, length: u32| {
            let mut item = vec![0; HEADER];
            item[8..16].copy_from_slice(&object.to_le_bytes());
            item[24..28].copy_from_slice(&kind.to_le_bytes());
            item[28..32].copy_from_slice(&length.to_le_bytes());
            item.resize(HEADER + usize::try_from(length).expect("small"), 7);
            item
        };
        let bytes = [item(256, BTRFS_ROOT_ITEM_KEY, 40), item(256, 144, 3), item(257, 132, 0)].concat();
        let mut all = Vec::new();
        assert_eq!(read(&bytes, 3, &mut all), Some(Some(257)));
        assert_eq!(all, [256, 257]);
        assert_eq!(read(&bytes[..bytes.len() - 1], 3, &mut Vec::new()), None);
        assert_eq!(read(&[], 0, &mut Vec::new()), Some(None));
    }
}
