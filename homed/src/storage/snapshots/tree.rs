//! Copies of files and folders of a user, made with the user's own rights: content shared where the file system can, modes,
//! times and the user's attributes kept. Whose the originals are it cannot keep: the copies are the user's.

use crate::sys::{beneath, durable, subvolume};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags, fgetxattr, flistxattr, fsetxattr,
};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Folders in each other that are gone through.
pub const DEEPEST: usize = 200;

/// What came of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// So much was copied: files, links and folders.
    pub copied: u64,
    /// So much was not: sockets and devices, and what its user may not read.
    pub left_out: u64,
}

/// What is copied, and what the copy is called.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    /// The folder that it is in.
    pub from: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a CStr,
    /// The folder that the copy is to be in.
    pub to: BorrowedFd<'a>,
    /// What it is to be called.
    pub new: &'a CStr,
}

/// A folder that its user can move, and whose mode is to be another: a folder that is not to be written to cannot be moved.
pub struct Movable(Option<(OwnedFd, Mode)>);

impl Movable {
    /// Gives it that mode, now that it is where it belongs.
    pub fn settle(self) -> io::Result<()> {
        self.0.map_or(Ok(()), |(folder, mode)| Ok(rustix::fs::fchmod(folder, mode)?))
    }
}

/// Copies what is there. An error says that the copy is not whole; it may have begun.
pub fn copy(pair: Pair<'_>, tally: &mut Tally) -> io::Result<Movable> {
    copy_at(pair, tally, 0)?;
    let Some(facts) = beneath::look(pair.to, pair.new)? else { return Ok(Movable(None)) };
    if FileType::from_raw_mode(facts.st_mode) != FileType::Directory {
        return Ok(Movable(None));
    }
    let mode = mode(&facts);
    beneath::open_up(pair.to, pair.new)?;
    Ok(Movable(Some((beneath::folder(pair.to, pair.new)?, mode))))
}

/// Opens all folders of a tree for their user, so that it can be taken away; `false`: there is a subvolume in it.
pub fn open_up(parent: impl AsFd, name: &CStr) -> io::Result<bool> {
    open_up_at(parent.as_fd(), name, 0)
}

fn open_up_at(parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<bool> {
    let Some(facts) = beneath::look(parent, name)? else { return Ok(true) };
    // No copy is any deeper.
    if depth > DEEPEST || FileType::from_raw_mode(facts.st_mode) != FileType::Directory {
        return Ok(true);
    }
    beneath::open_up(parent, name)?;
    let folder = beneath::folder(parent, name)?;
    if subvolume::is_one(&folder)? {
        return Ok(false);
    }
    for name in beneath::names(durable::directory_at(&folder, ".")?)? {
        if !open_up_at(folder.as_fd(), &name, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn copy_at(pair: Pair<'_>, tally: &mut Tally, depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::other(format!("more than {DEEPEST} folders lie in each other")));
    }
    let Some(facts) = beneath::look(pair.from, pair.name)? else { return Ok(()) };
    let done = match FileType::from_raw_mode(facts.st_mode) {
        FileType::Directory => folder(pair, &facts, tally, depth),
        FileType::RegularFile => file(pair, &facts),
        FileType::Symlink => link(pair, &facts),
        FileType::Fifo => Ok(rustix::fs::mknodat(pair.to, pair.new, FileType::Fifo, mode(&facts), 0)?),
        FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            tally.left_out += 1;
            return Ok(());
        }
    };
    match done {
        Ok(()) => tally.copied += 1,
        // It is somebody else's.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && depth > 0 => tally.left_out += 1,
        Err(error) => return Err(error),
    }
    Ok(())
}

fn folder(pair: Pair<'_>, facts: &Stat, tally: &mut Tally, depth: usize) -> io::Result<()> {
    let from = beneath::folder(pair.from, pair.name)?;
    rustix::fs::mkdirat(pair.to, pair.new, Mode::RWXU)?;
    let to = beneath::folder(pair.to, pair.new)?;
    for name in beneath::names(&from)? {
        copy_at(Pair { from: from.as_fd(), name: &name, to: to.as_fd(), new: &name }, tally, depth + 1)?;
    }
    dress(&from, &to, facts)
}

fn file(pair: Pair<'_>, facts: &Stat) -> io::Result<()> {
    let from = beneath::file(pair.from, pair.name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let to = File::from(rustix::fs::openat(pair.to, pair.new, flags, Mode::RUSR | Mode::WUSR)?);
    if !beneath::share(&from, &to) {
        io::copy(&mut &from, &mut &to)?;
    }
    dress(&from, &to, facts)
}

fn link(pair: Pair<'_>, facts: &Stat) -> io::Result<()> {
    let target = rustix::fs::readlinkat(pair.from, pair.name, Vec::new())?;
    rustix::fs::symlinkat(target, pair.to, pair.new)?;
    Ok(rustix::fs::utimensat(pair.to, pair.new, &times(facts), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Attributes, mode and times. What runs as its owner or group does so no more where that is not the user.
fn dress(from: impl AsFd, to: impl AsFd, facts: &Stat) -> io::Result<()> {
    for name in attributes(&from)? {
        let value = value(&from, &name)?;
        fsetxattr(&to, &name, &value, XattrFlags::empty())?;
    }
    let own = rustix::fs::fstat(&to)?;
    let mut mode = mode(facts);
    if (own.st_uid, own.st_gid) != (facts.st_uid, facts.st_gid) {
        mode.remove(Mode::SUID | Mode::SGID);
    }
    rustix::fs::fchmod(&to, mode)?;
    Ok(rustix::fs::futimens(&to, &times(facts))?)
}

/// The names of the user's own attributes; a file system without has none.
fn attributes(from: impl AsFd) -> io::Result<Vec<CString>> {
    let mut names = vec![0; LONGEST_LIST];
    let Ok(length) = flistxattr(from, &mut names) else { return Ok(Vec::new()) };
    let all = names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user."));
    all.map(|name| CString::new(name).map_err(io::Error::other)).collect()
}

/// linux/limits.h: XATTR_LIST_MAX, and XATTR_SIZE_MAX is as much.
const LONGEST_LIST: usize = 65536;

fn value(from: impl AsFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut value = vec![0; LONGEST_LIST];
    let length = fgetxattr(from, name, &mut value)?;
    value.truncate(length);
    Ok(value)
}

fn mode(facts: &Stat) -> Mode {
    Mode::from_raw_mode(facts.st_mode & 0o7777)
}

fn times(facts: &Stat) -> Timestamps {
    let moment =
        |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    Timestamps {
        last_access: moment(facts.st_atime, facts.st_atime_nsec),
        last_modification: moment(facts.st_mtime, facts.st_mtime_nsec),
    }
}
