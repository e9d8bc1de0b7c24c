//! btrfs: subvolumes, and where on the device its chunks are.

use linux_raw_sys::btrfs::{
    BTRFS_BLOCK_GROUP_DATA, BTRFS_BLOCK_GROUP_METADATA, BTRFS_BLOCK_GROUP_SYSTEM, BTRFS_CHUNK_ITEM_KEY,
    BTRFS_CHUNK_TREE_OBJECTID, BTRFS_FEATURE_INCOMPAT_COMPRESS_LZO, BTRFS_FEATURE_INCOMPAT_COMPRESS_ZSTD,
    BTRFS_FIRST_CHUNK_TREE_OBJECTID, btrfs_ioctl_feature_flags, btrfs_ioctl_search_args,
    btrfs_ioctl_vol_args,
};
use linux_raw_sys::ioctl::{BTRFS_IOC_GET_FEATURES, BTRFS_IOC_SUBVOL_CREATE, BTRFS_IOC_TREE_SEARCH};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

/// Makes a subvolume in a directory of a mounted btrfs; `ENOTTY` elsewhere.
pub fn create_subvolume(parent: impl AsFd, name: &str) -> io::Result<()> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_vol_args = unsafe { std::mem::zeroed() };
    if name.len() >= arguments.name.len() || name.contains(['/', '\0']) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in arguments.name.iter_mut().zip(name.bytes()) {
        *to = from as _;
    }
    // SAFETY: the fd is open for the call, the argument is the struct this ioctl reads, NUL-terminated.
    let answer = unsafe { libc::ioctl(parent.as_fd().as_raw_fd(), BTRFS_IOC_SUBVOL_CREATE as _, &arguments) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether files on a mounted btrfs have ever been compressed with zstd or lzo; its superblock says so from then on, for
/// good. Of zlib, which nothing chooses by itself, it says nothing. `ENOTTY` elsewhere.
pub fn was_compressed(mounted: impl AsFd) -> io::Result<bool> {
    const COMPRESSED: u32 = BTRFS_FEATURE_INCOMPAT_COMPRESS_LZO | BTRFS_FEATURE_INCOMPAT_COMPRESS_ZSTD;
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut features: btrfs_ioctl_feature_flags = unsafe { std::mem::zeroed() };
    // SAFETY: the fd is open for the call, and the struct is the one this ioctl writes.
    let answer =
        unsafe { libc::ioctl(mounted.as_fd().as_raw_fd(), BTRFS_IOC_GET_FEATURES as _, &mut features) };
    match answer {
        0.. => Ok(features.incompat_flags & u64::from(COMPRESSED) != 0),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Files alone.
    Data,
    /// What describes them too.
    Metadata,
}

/// A piece of a btrfs' address space, and where it lies on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its addresses inside the file system.
    pub logical: Range<u64>,
    /// What it holds.
    pub holds: Holds,
    /// The first byte of each of its copies on the device (which is one: homes have one device).
    pub copies: Vec<u64>,
}

/// The chunks of a mounted btrfs, in the order of their addresses; other file systems tell of none.
pub fn chunks(mounted: impl AsFd) -> io::Result<Vec<Chunk>> {
    let mut all: Vec<Chunk> = Vec::new();
    let mut from = 0;
    loop {
        // SAFETY: the struct is plain old data; all zero is a valid value.
        let mut arguments: btrfs_ioctl_search_args = unsafe { std::mem::zeroed() };
        let key = &mut arguments.key;
        key.tree_id = BTRFS_CHUNK_TREE_OBJECTID.into();
        (key.min_objectid, key.max_objectid) = (OBJECT.into(), OBJECT.into());
        (key.min_type, key.max_type) = (BTRFS_CHUNK_ITEM_KEY, BTRFS_CHUNK_ITEM_KEY);
        (key.min_offset, key.max_offset) = (from, u64::MAX);
        (key.max_transid, key.nr_items) = (u64::MAX, u32::MAX);
        // SAFETY: the fd is open for the call, and the struct is the one this ioctl reads and writes.
        let answer =
            unsafe { libc::ioctl(mounted.as_fd().as_raw_fd(), BTRFS_IOC_TREE_SEARCH as _, &mut arguments) };
        if answer < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ENOTTY) { Ok(all) } else { Err(error) };
        }
        let bytes: Vec<u8> = arguments.buf.iter().map(|byte| *byte as u8).collect();
        let found = parse(&bytes, arguments.key.nr_items).ok_or(io::ErrorKind::InvalidData)?;
        let Some(last) = found.last() else { return Ok(all) };
        from = last.logical.start + 1;
        all.extend(found);
    }
}

const OBJECT: u32 = BTRFS_FIRST_CHUNK_TREE_OBJECTID;
/// linux/btrfs.h: struct btrfs_ioctl_search_header: transid, objectid, offset, type, len.
const HEADER: usize = 32;
/// linux/btrfs_tree.h: struct btrfs_chunk up to its stripes, and struct btrfs_stripe: devid, offset, UUID.
const CHUNK: usize = 48;
const STRIPE: usize = 32;

fn parse(mut bytes: &[u8], items: u32) -> Option<Vec<Chunk>> {
    let mut chunks = Vec::new();
    for _ in 0..items {
        let (logical, length) = (u64_at(bytes, 16)?, u32_at(bytes, 28)?);
        let end = HEADER.checked_add(usize::try_from(length).ok()?)?;
        chunks.push(chunk(logical, bytes.get(HEADER..end)?)?);
        bytes = &bytes[end..];
    }
    Some(chunks)
}

fn chunk(logical: u64, item: &[u8]) -> Option<Chunk> {
    let (length, kind) = (u64_at(item, 0)?, u64_at(item, 24)?);
    let stripes = u16::from_le_bytes(item.get(44..46)?.try_into().ok()?);
    let copies = (0..usize::from(stripes)).map(|number| u64_at(item, CHUNK + number * STRIPE + 8));
    let describes = u64::from(BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_SYSTEM);
    let data_alone = kind & u64::from(BTRFS_BLOCK_GROUP_DATA) != 0 && kind & describes == 0;
    Some(Chunk {
        logical: logical..logical.checked_add(length)?,
        holds: if data_alone { Holds::Data } else { Holds::Metadata },
        copies: copies.collect::<Option<_>>()?,
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An item of the chunk tree as the ioctl gives it.
    fn item(logical: u64, length: u64, kind: u64, copies: &[u64]) -> Vec<u8> {
        let mut body = vec![0; CHUNK + copies.len() * STRIPE];
        body[0..8].copy_from_slice(&length.to_le_bytes());
        body[24..32].copy_from_slice(&kind.to_le_bytes());
        body[44..46].copy_from_slice(&u16::try_from(copies.len()).expect("few").to_le_bytes());
        for (number, copy) in copies.iter().enumerate() {
            let at = CHUNK + number * STRIPE + 8;
            body[at..at + 8].copy_from_slice(&copy.to_le_bytes());
        }
        let mut item = vec![0; HEADER];
        item[16..24].copy_from_slice(&logical.to_le_bytes());
        item[28..32].copy_from_slice(&u32::try_from(body.len()).expect("short").to_le_bytes());
        item.extend(body);
        item
    }

    #[test]
    fn chunks_are_read_and_cut_off_ones_are_not() {
        // Types 1 (data), 4 | 32 (metadata, twice), 1 | 4 (mixed).
        let bytes =
            [item(5000, 100, 1, &[7000]), item(6000, 50, 36, &[100, 300]), item(9000, 10, 5, &[0])].concat();
        let chunks = parse(&bytes, 3).expect("whole");
        assert_eq!(chunks[0], Chunk { logical: 5000..5100, holds: Holds::Data, copies: vec![7000] });
        assert_eq!(chunks[1].holds, Holds::Metadata);
        assert_eq!(chunks[1].copies, [100, 300]);
        assert_eq!(chunks[2].holds, Holds::Metadata);
        assert_eq!(parse(&bytes[..bytes.len() - 1], 3), None);
        assert_eq!(parse(&bytes, 4), None);
        assert_eq!(parse(&item(u64::MAX, 2, 1, &[0]), 1), None);
    }
}
