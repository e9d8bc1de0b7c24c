//! What an image file needs beyond reading and writing: lock, marks, space.

use super::mount::Entry;
use rustix::fs::{
    Advice, AtFlags, FallocateFlags, FileType, FlockOperation, IFlags, Mode, OFlags, ResolveFlags,
    StatxFlags, XattrFlags,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Free and total space of a file system, in bytes, as an unprivileged user may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What is left.
    pub free: u64,
}

/// Whether a lock could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// It is ours now.
    Taken,
    /// Another open file has it.
    Elsewhere,
}

/// What a file is known by, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Number of the device of its file system, as the kernel encodes it for programs (huge_encode_dev).
    pub device: u64,
    /// Its number in the file system.
    pub inode: u64,
    /// Whether it is a block device.
    pub is_block_device: bool,
    /// The path it was looked up by.
    pub path: PathBuf,
}

impl Identity {
    /// Of what is at this path, no link followed but those of `/dev`, which stay there.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = super::blockdev::resolved(path);
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        let facts = rustix::fs::statx(rustix::fs::CWD, &path, flags, StatxFlags::INO | StatxFlags::TYPE)?;
        let device = rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor);
        let is_block_device = FileType::from_raw_mode(facts.stx_mode.into()) == FileType::BlockDevice;
        Ok(Self { device, inode: facts.stx_ino, is_block_device, path })
    }

    /// The device of the file that a link of proc_pid_fd(5) leads to, as the kernel remembers it: no server is asked.
    pub fn behind(link: &Path) -> io::Result<u64> {
        let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        let facts = rustix::fs::statx(rustix::fs::CWD, link, flags, StatxFlags::empty())?;
        Ok(rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor))
    }
}

/// Device and inode of a file, encoded as in [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    /// Of its file system; with btrfs, of its subvolume.
    pub device: u64,
    /// In there.
    pub inode: u64,
}

/// Whether something was written at this place of a file; where its file system does not tell, it counts as written.
pub fn is_stored(file: impl AsFd, at: u64) -> bool {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(found) => found == at,
        Err(rustix::io::Errno::NXIO) => false,
        Err(_) => true,
    }
}

/// Whether an open file can be written to.
pub fn is_writable(file: impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::RDWR))
}

/// Whether an open file is what is at a path, the last link not followed. Nothing is there: it is not.
pub fn is_at(file: impl AsFd, path: &Path) -> io::Result<bool> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let facts = rustix::fs::statx(file, "", flags, StatxFlags::INO)?;
    let own = (rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor), facts.stx_ino);
    match Identity::of(path) {
        Ok(there) => Ok((there.device, there.inode) == own),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is at a path beneath a directory, without a link, and without crossing into another mount, whose server might never
/// answer. `None`: nothing is there that such a walk comes to.
pub fn beneath(directory: impl AsFd, path: &Path) -> io::Result<Option<Id>> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG) => {
            return Ok(None);
        }
        other => other?,
    };
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let facts = rustix::fs::statx(opened, "", flags, StatxFlags::INO)?;
    let device = rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor);
    Ok(Some(Id { device, inode: facts.stx_ino }))
}

/// Whether the file system at a path is one that asks a server, which may never answer.
pub fn is_of_a_server(mounts: &[Entry], path: &Path) -> bool {
    const KINDS: [&str; 9] = ["fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "gfs", "ocfs"];
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.target));
    let nearest = around.max_by_key(|mount| mount.target.as_os_str().len());
    nearest.is_some_and(|mount| KINDS.iter().any(|kind| mount.kind.starts_with(kind)))
}

/// Takes the BSD lock of an open file without waiting. It stays as long as anybody (a loop device
/// too) has this open file.
pub fn lock(file: impl AsFd) -> io::Result<Lock> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock::Taken),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Lock::Elsewhere),
        Err(error) => Err(error.into()),
    }
}

/// Reads a small extended attribute; `None` where there is none.
pub fn attribute(file: impl AsFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = [0; 256];
    match rustix::fs::fgetxattr(file, name, &mut value[..]) {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The extended attributes whose names begin so, of a file system that has them. One that is longer than any of ours comes
/// back empty.
pub fn attributes(file: impl AsFd, beginning: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0; LONGEST_LIST];
    let length = match rustix::fs::flistxattr(&file, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let texts = names[..length].split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    let mut all = Vec::new();
    for name in texts.filter(|name| name.starts_with(beginning)) {
        let mut value = vec![0; LONG];
        match rustix::fs::fgetxattr(&file, name, &mut value) {
            Ok(length) => value.truncate(length),
            Err(Errno::RANGE) => value.clear(),
            // Somebody has just removed it.
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error.into()),
        }
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

/// linux/limits.h: XATTR_LIST_MAX.
const LONGEST_LIST: usize = 65536;
/// Bytes of an attribute that is longer than any of ours.
const LONG: usize = 4096;

/// Sets an extended attribute.
pub fn set_attribute(file: impl AsFd, name: &str, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())?)
}

/// Removes an extended attribute; one that is not there is removed already.
pub fn remove_attribute(file: impl AsFd, name: &str) -> io::Result<()> {
    match rustix::fs::fremovexattr(file, name) {
        Ok(()) | Err(rustix::io::Errno::NODATA) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Asks for no copy-on-write and no compression, where the file system knows that (btrfs).
pub fn write_in_place(file: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::ioctl_getflags(&file)?;
    // A folder that compresses hands that down to its new files, and the kernel takes neither both together nor the one in the place
    // of the other (fs/btrfs/ioctl.c, `check_fsflags`).
    let plain = flags - IFlags::COMPRESSED - IFlags::from_bits_retain(linux_raw_sys::general::FS_NOCOMP_FL);
    if plain != flags {
        rustix::fs::ioctl_setflags(&file, plain)?;
    }
    Ok(rustix::fs::ioctl_setflags(&file, plain | IFlags::NOCOW)?)
}

/// Whether each write of the file goes to another place of the disk: on btrfs, unless the file says otherwise.
pub fn is_copied_on_write(file: impl AsFd) -> bool {
    is_btrfs(&file) && rustix::fs::ioctl_getflags(&file).is_ok_and(|flags| !flags.contains(IFlags::NOCOW))
}

/// Reserves disk blocks for a part of a file; the file is as long as that afterwards, or longer.
pub fn allocate(file: impl AsFd, start: u64, length: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), start, length)?)
}

/// Space of the file system an open file lies on.
pub fn space(file: impl AsFd) -> io::Result<Space> {
    let facts = rustix::fs::fstatvfs(file)?;
    let unit = facts.f_frsize;
    Ok(Space { total: facts.f_blocks.saturating_mul(unit), free: facts.f_bavail.saturating_mul(unit) })
}

/// Gives unused blocks of a part of a mounted file system's address space back to the device below; bytes given back.
pub fn trim(mounted: impl AsFd, part: std::ops::Range<u64>) -> io::Result<u64> {
    use std::os::fd::AsRawFd;
    #[repr(C)]
    struct Range {
        start: u64,
        length: u64,
        minimum: u64,
    }
    // linux/fs.h: FITRIM is _IOWR('X', 121, struct fstrim_range).
    const FITRIM: u32 = linux_raw_sys::ioctl::FITRIM;
    let mut range = Range { start: part.start, length: part.end.saturating_sub(part.start), minimum: 0 };
    // SAFETY: the fd is open for the call and the struct has the layout of `fstrim_range`.
    let answer = unsafe { libc::ioctl(mounted.as_fd().as_raw_fd(), FITRIM as _, &mut range) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(range.length) }
}

/// Has the first block of a file or block device read from where it is stored, and not from memory. Other kinds, and file
/// systems that cannot do so, are left alone: a device of another kind may act when it is opened.
pub fn read_past_memory(path: &Path) -> io::Result<()> {
    /// What devices of all usual block sizes take: 4 KiB, at such an address.
    #[repr(align(4096))]
    struct Block([u8; 4096]);
    let path = super::blockdev::resolved(path);
    let kind = FileType::from_raw_mode(rustix::fs::lstat(&path)?.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::BlockDevice) {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Err(Errno::INVAL) => Ok(()),
        file => Ok(rustix::io::pread(file?, &mut Block([0; 4096]).0, 0).map(drop)?),
    }
}

/// Reads bytes of an open file from where they are stored, and not from this machine's memory: another machine may have
/// written them. Where that cannot be, what memory has of them is let go of first.
pub fn read_stored(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    /// Bytes of what devices of all usual block sizes read at a time.
    const BLOCK: u64 = 4096;
    #[repr(align(4096))]
    struct Blocks([u8; 2 * BLOCK as usize]);
    let (begin, skipped) = (at - at % BLOCK, (at % BLOCK) as usize);
    let mut blocks = Blocks([0; 2 * BLOCK as usize]);
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let direct = rustix::fs::open(format!("/proc/self/fd/{}", file.as_raw_fd()), flags, Mode::empty());
    match direct.and_then(|direct| rustix::io::pread(direct, &mut blocks.0, begin)) {
        Ok(read) => match blocks.0.get(skipped..skipped.saturating_add(length)) {
            Some(bytes) if read >= skipped + length => Ok(bytes.to_vec()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        },
        Err(_) => {
            let _ = rustix::fs::fadvise(file, begin, NonZeroU64::new(2 * BLOCK), Advice::DontNeed);
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, at).map(|()| bytes)
        }
    }
}

/// Whether an open file lies on btrfs.
pub fn is_btrfs(file: impl AsFd) -> bool {
    /// linux/magic.h: BTRFS_SUPER_MAGIC.
    const MAGIC: u64 = 0x9123_683e;
    rustix::fs::fstatfs(file).is_ok_and(|facts| u64::try_from(facts.f_type) == Ok(MAGIC))
}

/// Freezes the file system of an open directory: what is in memory of it is written, and nothing new begins.
/// `EBUSY`: it is frozen already.
pub fn freeze(mounted: impl AsFd) -> io::Result<()> {
    no_argument(mounted, linux_raw_sys::ioctl::FIFREEZE)
}

/// Lets it go on; `EINVAL`: it was not frozen.
pub fn thaw(mounted: impl AsFd) -> io::Result<()> {
    no_argument(mounted, linux_raw_sys::ioctl::FITHAW)
}

fn no_argument(mounted: impl AsFd, request: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the fd is open for the call; these requests take no argument.
    let answer = unsafe { libc::ioctl(mounted.as_fd().as_raw_fd(), request as _, 0) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether a node is that of the device of another, open one; one that is not there is not.
pub fn is_same_device(path: &Path, like: impl AsFd) -> io::Result<bool> {
    match rustix::fs::stat(path) {
        Ok(facts) => Ok(facts.st_rdev == rustix::fs::fstat(like)?.st_rdev),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes a block device node for the device of another, open one.
pub fn make_block_node(path: &std::path::Path, like: impl AsFd) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode};
    let device = rustix::fs::fstat(like)?.st_rdev;
    Ok(rustix::fs::mknodat(CWD, path, FileType::BlockDevice, Mode::from_raw_mode(0o600), device)?)
}
