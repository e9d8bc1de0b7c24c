//! File systems as the kernel has them: which one runs on a device, how full it is, and giving it another size.

use super::mount::Number;
use linux_raw_sys::btrfs::{btrfs_ioctl_dev_info_args, btrfs_ioctl_fs_info_args, btrfs_ioctl_vol_args};
use linux_raw_sys::ioctl::{BTRFS_IOC_DEV_INFO, BTRFS_IOC_FS_INFO, BTRFS_IOC_RESIZE};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

// linux/magic.h.
const BTRFS: u64 = 0x9123_683e;
const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;

/// The kinds that a home may have inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The default. Grows and shrinks while it is mounted.
    Btrfs,
    /// Grows while it is mounted, and shrinks while it is not.
    Ext4,
    /// Grows.
    Xfs,
}

impl Kind {
    /// The name the kernel and the record know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Btrfs => "btrfs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Reads the name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Btrfs, Self::Ext4, Self::Xfs].into_iter().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Which file system runs on a block device, wherever it is mounted, or nowhere: one that was unmounted lazily goes on as
/// long as somebody has a file of it open, and no table of mounts shows it. `None`: none of these kinds.
///
/// Each kind tells of its own in /sys (Documentation/ABI/testing/sysfs-fs-ext4, sysfs-fs-xfs; btrfs by its UUID).
pub fn running_on(device: Number) -> io::Result<Option<Kind>> {
    let Number { major, minor } = device;
    let block = match std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    block
        .file_name()
        .and_then(|name| name.to_str())
        .map_or(Ok(None), |name| running_in(Path::new("/sys/fs"), name))
}

fn running_in(all: &Path, block: &str) -> io::Result<Option<Kind>> {
    for kind in [Kind::Ext4, Kind::Xfs] {
        if all.join(kind.name()).join(block).try_exists()? {
            return Ok(Some(kind));
        }
    }
    let each = match std::fs::read_dir(all.join(Kind::Btrfs.name())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    for one in each {
        if one?.path().join("devices").join(block).try_exists()? {
            return Ok(Some(Kind::Btrfs));
        }
    }
    Ok(None)
}

/// The options that an ext4 on a block device runs with, as `a,b=c`, whoever sees it mounted.
pub fn options_of_ext4(device: Number) -> io::Result<String> {
    let Number { major, minor } = device;
    let block = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    let block = block.file_name().unwrap_or_default().to_owned();
    let text = std::fs::read_to_string(Path::new("/proc/fs/ext4").join(block).join("options"))?;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(","))
}

/// A mounted file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// `None`: another.
    pub kind: Option<Kind>,
    /// Bytes in use, as it counts them.
    pub used: u64,
}

/// Looks at the file system of an open file.
pub fn look(file: impl AsFd) -> io::Result<Usage> {
    let facts = rustix::fs::fstatfs(file)?;
    let kind = match u64::try_from(facts.f_type).unwrap_or(0) {
        BTRFS => Some(Kind::Btrfs),
        EXT4 => Some(Kind::Ext4),
        XFS => Some(Kind::Xfs),
        _ => None,
    };
    let block = u64::try_from(facts.f_bsize).map_err(io::Error::other)?;
    Ok(Usage { kind, used: facts.f_blocks.saturating_sub(facts.f_bfree).saturating_mul(block) })
}

/// Whether nothing can be changed in it: the file system, or this mount of it, can only be read.
pub fn is_read_only(file: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatvfs(file)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Gives a btrfs on one device another size. Growing is a matter of a moment; shrinking moves what lies beyond the
/// new end, and stops as if nothing had been when the process is killed. `ENOSPC`: what is in it does not fit.
pub fn resize_btrfs(file: impl AsFd, bytes: u64) -> io::Result<()> {
    let device = only_device(&file)?;
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_vol_args = unsafe { std::mem::zeroed() };
    for (to, from) in arguments.name.iter_mut().zip(format!("{device}:{bytes}").bytes()) {
        *to = from as _;
    }
    // SAFETY: the fd is open for the call, the argument is the struct this ioctl reads, NUL-terminated.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), BTRFS_IOC_RESIZE as _, &arguments) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number of the one device that a btrfs lies on. It is 1 when the file system is made, and another where devices were
/// added to it and removed since (btrfs-device(8)); the kernel means 1 if it is not told.
fn only_device(file: impl AsFd) -> io::Result<u64> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut all: btrfs_ioctl_fs_info_args = unsafe { std::mem::zeroed() };
    // SAFETY: the fd is open for the call, and the argument is the struct this ioctl writes.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), BTRFS_IOC_FS_INFO as _, &mut all) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    if all.num_devices != 1 {
        return Err(io::Error::other(format!(
            "the file system lies on {} devices, and should lie on its home's alone (btrfs device remove)",
            all.num_devices
        )));
    }
    let is_there = |number: &u64| {
        // SAFETY: as above; the number is what this ioctl reads.
        let mut one: btrfs_ioctl_dev_info_args = unsafe { std::mem::zeroed() };
        one.devid = *number;
        // SAFETY: the fd is open for the call, and the argument is the struct this ioctl reads and writes.
        unsafe { libc::ioctl(file.as_fd().as_raw_fd(), BTRFS_IOC_DEV_INFO as _, &mut one) >= 0 }
    };
    // The last number that was given: it is most often the one that is left.
    (1..=all.max_id).rev().find(is_there).ok_or_else(|| io::ErrorKind::NotFound.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_on_a_device_is_told_by_its_kind() {
        let all = tempfile::tempdir().expect("a folder");
        for folder in ["ext4/features", "ext4/dm-1", "xfs/dm-2", "btrfs/features", "btrfs/5a1f/devices/dm-3"]
        {
            std::fs::create_dir_all(all.path().join(folder)).expect("made");
        }
        let kinds =
            ["dm-0", "dm-1", "dm-2", "dm-3"].map(|block| running_in(all.path(), block).expect("told"));
        assert_eq!(kinds, [None, Some(Kind::Ext4), Some(Kind::Xfs), Some(Kind::Btrfs)]);
        assert_eq!(running_in(&all.path().join("nothing"), "dm-1").expect("told"), None);
        assert_eq!(running_on(Number { major: 0, minor: 999_999 }).expect("told"), None);
    }
}
