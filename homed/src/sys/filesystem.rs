//! The size of a mounted file system: how full it is, and giving it another.

use linux_raw_sys::btrfs::btrfs_ioctl_vol_args;
use linux_raw_sys::ioctl::BTRFS_IOC_RESIZE;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

// linux/magic.h.
const BTRFS: u64 = 0x9123_683e;
const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;

/// The kinds whose size can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows and shrinks.
    Btrfs,
    /// Grows.
    Ext4,
    /// Grows.
    Xfs,
}

/// A mounted file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mounted {
    /// `None`: another.
    pub kind: Option<Kind>,
    /// Bytes in use, as it counts them.
    pub used: u64,
}

/// Looks at the file system of an open file.
pub fn look(file: impl AsFd) -> io::Result<Mounted> {
    let facts = rustix::fs::fstatfs(file)?;
    let kind = match u64::try_from(facts.f_type).unwrap_or(0) {
        BTRFS => Some(Kind::Btrfs),
        EXT4 => Some(Kind::Ext4),
        XFS => Some(Kind::Xfs),
        _ => None,
    };
    let block = u64::try_from(facts.f_bsize).map_err(io::Error::other)?;
    Ok(Mounted { kind, used: facts.f_blocks.saturating_sub(facts.f_bfree).saturating_mul(block) })
}

/// Whether nothing can be changed in it: the file system, or this mount of it, can only be read.
pub fn is_read_only(file: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatvfs(file)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Gives a btrfs on one device another size. Growing is a matter of a moment; shrinking moves what lies beyond the
/// new end, and stops as if nothing had been when the process is killed. `ENOSPC`: what is in it does not fit.
pub fn resize_btrfs(file: impl AsFd, bytes: u64) -> io::Result<()> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_vol_args = unsafe { std::mem::zeroed() };
    // Without a number before a colon the first device is meant, and there is only one.
    for (to, from) in arguments.name.iter_mut().zip(bytes.to_string().bytes()) {
        *to = from as _;
    }
    // SAFETY: the fd is open for the call, the argument is the struct this ioctl reads, NUL-terminated.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), BTRFS_IOC_RESIZE as _, &arguments) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Grows an ext4; to the size it has is fine.
pub fn grow_ext4(file: impl AsFd, bytes: u64) -> io::Result<()> {
    // fs/ext4/ext4.h: EXT4_IOC_RESIZE_FS is _IOW('f', 16, __u64), in blocks of the file system.
    const RESIZE: u64 = 0x4008_6610;
    let block = u64::try_from(rustix::fs::fstatfs(&file)?.f_bsize).map_err(io::Error::other)?;
    let blocks = bytes / block;
    // SAFETY: the fd is open for the call, and the argument is the number this ioctl reads.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), RESIZE as _, &blocks) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Grows an xfs; to the size it has is fine.
pub fn grow_xfs(file: impl AsFd, bytes: u64) -> io::Result<()> {
    // xfs_fs.h: XFS_IOC_FSGEOMETRY_V1 is _IOR('X', 100, …) of 112 bytes, XFS_IOC_FSGROWFSDATA _IOW('X', 110, …).
    const GEOMETRY: u64 = 0x8070_5864;
    const GROW: u64 = 0x4010_586e;
    #[repr(C)]
    struct Grow {
        blocks: u64,
        inode_percent: u32,
    }
    // Eight numbers of 32 bits, the first the block size and the eighth the share of inodes, then the data blocks.
    let mut geometry = [0u32; 28];
    // SAFETY: the fd is open for the call, and the buffer has the size this ioctl writes.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), GEOMETRY as _, geometry.as_mut_ptr()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let grow = Grow { blocks: bytes / u64::from(geometry[0].max(1)), inode_percent: geometry[7] };
    if grow.blocks <= u64::from(geometry[8]) | u64::from(geometry[9]) << 32 {
        return Ok(());
    }
    // SAFETY: as above; the struct has the layout of xfs_growfs_data.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), GROW as _, &grow) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
