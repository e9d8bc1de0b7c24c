//! A home by its open top folder: every path is looked up beneath it, through no symbolic link and into no other mount.

use crate::node::{Attribute, Dress, LONGEST_ATTRIBUTES, MOST_ATTRIBUTES, PERMISSIONS, Time, split};
use crate::sys::is_being_written;
use crate::tree::{Stamp, Why};
use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags, StatxTimestamp, Timespec, Timestamps, XattrFlags,
    fchmod, fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, fremovexattr, fsetxattr, futimens,
    openat2, statx,
};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const WITHIN: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The attribute in which an ACL is.
const ACL: &str = "system.posix_acl_access";
/// Permissions of the group: with an ACL, these bits are its mask.
const GROUP: u32 = 0o070;
/// No file of a user's has more.
const LONGEST_LIST: usize = 64 * 1024;

/// The top of a home.
pub(crate) struct Home {
    top: OwnedFd,
    /// Its file system, as `stat` numbers it: a subvolume has another.
    device: u64,
}

impl Home {
    /// From its open top folder.
    pub fn new(top: OwnedFd) -> Result<Self, Errno> {
        let device = device(&look_at(&top)?);
        Ok(Self { top, device })
    }

    pub fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// Whether what was looked at is on the home's own file system.
    pub fn has(&self, look: &Statx) -> bool {
        device(look) == self.device
    }

    /// Opens a folder, to list it or to do something in it. An empty path is the top.
    pub fn folder(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        let folder = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        // The path could lead through a subvolume.
        if self.has(&look_at(&folder)?) { Ok(folder) } else { Err(Errno::XDEV) }
    }

    /// Opens a file to read it; nothing but a file.
    pub fn file(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let (folder, name) = split(path);
        let file = open_file(self.folder(folder)?.as_fd(), name)?;
        Ok(file)
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat2(&self.top, path, flags, Mode::empty(), WITHIN)
    }
}

/// Opens a file in a folder to read it; nothing but a file.
pub(crate) fn open_file(folder: BorrowedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat2(folder, name, flags | OFlags::NOATIME, Mode::empty(), WITHIN) {
        Err(Errno::PERM) => openat2(folder, name, flags, Mode::empty(), WITHIN)?,
        opened => opened?,
    };
    let kind = rustix::fs::FileType::from_raw_mode(look_at(&file)?.stx_mode.into());
    if kind == rustix::fs::FileType::RegularFile { Ok(file) } else { Err(Errno::INVAL) }
}

/// Looks at what is open.
pub(crate) fn look_at(file: impl AsFd) -> Result<Statx, Errno> {
    statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
}

/// Looks at a name in a folder, and through no link.
pub(crate) fn look(folder: BorrowedFd, name: &[u8]) -> Result<Statx, Errno> {
    statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
}

fn device(look: &Statx) -> u64 {
    rustix::fs::makedev(look.stx_dev_major, look.stx_dev_minor)
}

/// How a file stands.
pub(crate) fn stamp(look: &Statx) -> Stamp {
    Stamp {
        inode: look.stx_ino,
        size: look.stx_size,
        modified: time(look.stx_mtime),
        changed: time(look.stx_ctime),
    }
}

fn time(time: StatxTimestamp) -> Time {
    Time { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}

/// Whether a program writes to it.
pub(crate) fn is_in_use(file: &OwnedFd) -> bool {
    is_being_written(file)
}

/// What a file or folder has beside its content, as it goes to the other end. Of one with an ACL the group's permissions stay
/// at home: they are the mask of what the ACL gives to whom it names, who may be others there.
pub(crate) fn dress(file: &OwnedFd, look: &Statx) -> Result<Dress, Why> {
    let mut mode = u32::from(look.stx_mode) & PERMISSIONS;
    if fgetxattr_query(file, ACL).is_ok() {
        mode &= !GROUP;
    }
    Ok(Dress { mode, attributes: attributes(file)? })
}

fn attributes(file: &OwnedFd) -> Result<Vec<Attribute>, Why> {
    // Most files have none.
    match flistxattr_query(file) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(_) => return Err(Why::Unreadable),
    }
    let mut room = vec![0; LONGEST_LIST];
    let length = flistxattr(file, &mut room[..]).map_err(|_| Why::Unreadable)?;
    let names = room[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user."));
    let mut all = Vec::new();
    let mut bytes = 0;
    let mut value = vec![0; LONGEST_ATTRIBUTES];
    for name in names {
        match fgetxattr(file, name, &mut value[..]) {
            Ok(length) => {
                bytes += length;
                all.push(Attribute { name: name.to_vec(), value: value[..length].to_vec() });
            }
            Err(Errno::NODATA) => {}
            Err(_) => return Err(Why::Unreadable),
        }
    }
    if all.len() > MOST_ATTRIBUTES || bytes > LONGEST_ATTRIBUTES {
        return Err(Why::TooLong);
    }
    all.sort();
    Ok(all)
}

/// Gives an open file or folder what it is to have beside its content.
pub(crate) fn give(file: &OwnedFd, dress: &Dress) -> Result<(), Errno> {
    let there = attributes(file).map_err(|_| Errno::ACCESS)?;
    for attribute in there.iter().filter(|there| dress.attributes.iter().all(|new| new.name != there.name)) {
        fremovexattr(file, &*attribute.name)?;
    }
    for attribute in dress.attributes.iter().filter(|new| !there.contains(new)) {
        fsetxattr(file, &*attribute.name, &attribute.value, XattrFlags::empty())?;
    }
    let mut mode = dress.mode;
    if fgetxattr_query(file, ACL).is_ok() {
        mode |= u32::from(look_at(file)?.stx_mode) & GROUP;
    }
    fchmod(file, Mode::from_raw_mode(mode))
}

/// Gives a new file the ACL of the one whose place it takes: that is this machine's own.
pub(crate) fn keep_acl(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let mut room = vec![0; LONGEST_LIST];
    match fgetxattr(from, ACL, &mut room[..]) {
        Ok(length) => fsetxattr(to, ACL, &room[..length], XattrFlags::empty()),
        Err(_) => Ok(()),
    }
}

/// Sets the time at which the content was changed.
pub(crate) fn set_time(file: &OwnedFd, time: Time) -> Result<(), Errno> {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    futimens(file, &Timestamps { last_access: time, last_modification: time })
}
