//! Paths that stay beneath a directory: no symlink is followed, no mount is crossed, and nothing leads out.

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Where a walk has come to.
#[derive(Debug)]
pub enum Reached {
    /// The directory.
    There(OwnedFd),
    /// There is none.
    Missing,
    /// A symlink, a mount, or something that is no directory is on the way.
    Barred,
}

fn resolve() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV
}

/// Opens a directory beneath another one.
pub fn directory(top: impl AsFd, path: &str) -> io::Result<Reached> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat2(top, if path.is_empty() { "." } else { path }, flags, Mode::empty(), resolve())
    {
        Ok(fd) => Ok(Reached::There(fd)),
        Err(rustix::io::Errno::NOENT) => Ok(Reached::Missing),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::XDEV | rustix::io::Errno::NOTDIR) => {
            Ok(Reached::Barred)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory in another one, by a name of any bytes.
pub fn folder(parent: impl AsFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve())?)
}

/// Has its owner be let into a directory, and change what is in it, whatever mode it has. (Who is neither the owner nor root
/// changes nothing.)
pub fn open_up(parent: impl AsFd, name: &CStr) -> io::Result<()> {
    // Without the right to read it, it can be opened as a path only.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let folder = rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve())?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&folder)?.st_mode & 0o7777);
    if mode.contains(Mode::RWXU) {
        return Ok(());
    }
    match rustix::fs::chmod(format!("/proc/self/fd/{}", folder.as_raw_fd()), mode | Mode::RWXU) {
        Err(rustix::io::Errno::PERM) => Ok(()),
        other => Ok(other?),
    }
}

/// Opens a regular file in a directory, to be read; it waits for nobody.
pub fn file(parent: impl AsFd, name: &CStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve())?))
}

/// Looks at what has this name in a directory; `None`: nothing has.
pub fn look(parent: impl AsFd, name: &CStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(facts) => Ok(Some(facts)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// All names in a directory, in their order.
pub fn names(directory: impl AsFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Gives a file the content of another one on the same file system, without a copy of it; `false`: that cannot be.
pub fn share(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}
