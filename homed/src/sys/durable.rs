//! Files that are there whole or not at all, also after a power cut.

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whose a new file is and who may read it.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// Its UID, as seen through the directory's mount.
    pub uid: u32,
    /// Its GID.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// Opens a directory; never follows a symlink at the end.
pub fn directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a folder of the administrator's, such as `/home`: a symlink there has been put there by wish, and is followed.
pub fn folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a directory inside an open one; never follows a symlink.
pub fn directory_at(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The new one takes its place.
    Replace,
    /// It stays, and writing fails with `EEXIST`.
    Keep,
}

/// Replaces a file, or makes it.
pub fn replace(directory: impl AsFd, name: &str, content: &[u8], owner: Owner) -> io::Result<()> {
    write(directory, name, content, New { owner, existing: Existing::Replace })
}

/// What [`write`] makes.
#[derive(Debug, Clone, Copy)]
pub struct New {
    /// Whose it is.
    pub owner: Owner,
    /// What becomes of the one that is there.
    pub existing: Existing,
}

/// Writes a file so that at every moment the old or the new one is there, whole: temporary, fsync, rename, fsync of
/// the directory. A power cut can leave the temporary: its name begins with `.#`.
pub fn write(directory: impl AsFd, name: &str, content: &[u8], new: New) -> io::Result<()> {
    let temporary = format!(".#{name}.{}", uuid::Uuid::new_v4().simple());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::openat(&directory, &temporary, flags, Mode::from_raw_mode(0o600))?;
    let rename = match new.existing {
        Existing::Replace => RenameFlags::empty(),
        Existing::Keep => RenameFlags::NOREPLACE,
    };
    let written = fill(fd, content, new.owner)
        .and_then(|()| Ok(rustix::fs::renameat_with(&directory, &temporary, &directory, name, rename)?));
    if let Err(error) = written {
        let _ = rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty());
        return Err(error);
    }
    sync_directory(&directory)
}

fn fill(fd: OwnedFd, content: &[u8], owner: Owner) -> io::Result<()> {
    rustix::fs::fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(owner.mode))?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.sync_all()
}

/// The name of a file beside this path while it is written: as [`write`] calls those.
pub fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".#{name}.{}", uuid::Uuid::new_v4().simple()))
}

/// What a file is to be called whose content has such a name while it is written; `None`: that is not what it is.
pub fn is_unfinished_of(name: &str) -> Option<&str> {
    let (of, unique) = name.strip_prefix(".#")?.rsplit_once('.')?;
    let is_ours = unique.len() == 32 && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_ours && !of.is_empty()).then_some(of)
}

/// Removes what a power cut has left of [`write`] of this name. Nobody else may write it at the same time. What stays does no harm
/// to the next.
pub fn collect(directory: impl AsFd, name: &str) -> io::Result<()> {
    for found in rustix::fs::Dir::read_from(&directory)? {
        let found = found?;
        if found.file_name().to_str().ok().and_then(is_unfinished_of) == Some(name) {
            // What cannot be removed does not stand in the way.
            let _ = rustix::fs::unlinkat(&directory, found.file_name(), AtFlags::empty());
        }
    }
    Ok(())
}

/// Gives a file that is whole and on disk its name, durably; the error is `AlreadyExists` where something has that.
pub fn name(unfinished: &Path, path: &Path) -> io::Result<()> {
    rustix::fs::renameat_with(CWD, unfinished, CWD, path, RenameFlags::NOREPLACE)?;
    path.parent().map_or(Ok(()), |around| folder(around).and_then(sync_directory))
}

/// Gives what has a name in this directory a second one there, durably; whether it is there. What is written to the first
/// name by [`write`] leaves the second alone. The error is `AlreadyExists` where something has that.
pub fn keep(directory: impl AsFd, name: &str, second: &str) -> io::Result<bool> {
    match rustix::fs::linkat(&directory, name, &directory, second, AtFlags::empty()) {
        Err(rustix::io::Errno::NOENT) => Ok(false),
        linked => {
            linked?;
            sync_directory(&directory).map(|()| true)
        }
    }
}

/// Makes the names in a directory durable.
pub fn sync_directory(directory: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(directory)?)
}

/// Writes all of the file system an open file lies on to disk.
pub fn sync_file_system(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// Opens a regular file that somebody else may have put there: no symlink, no waiting for a FIFO's
/// other end, nothing but a regular file.
pub fn open_foreign(directory: impl AsFd, name: &str) -> io::Result<File> {
    open_foreign_to(OFlags::RDONLY, directory, name)
}

/// The same to be locked: NFS and CIFS lock no file that is open for reading alone (`EBADF`). One that cannot be written is
/// open for reading.
pub fn open_foreign_to_lock(directory: impl AsFd, name: &str) -> io::Result<File> {
    open_foreign_to(OFlags::RDWR, &directory, name)
        .or_else(|_| open_foreign_to(OFlags::RDONLY, &directory, name))
}

fn open_foreign_to(way: OFlags, directory: impl AsFd, name: &str) -> io::Result<File> {
    let flags = way | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

/// Reads such a file whole; `EFBIG` beyond `limit` bytes.
pub fn read_foreign(directory: impl AsFd, name: &str, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let file = open_foreign(directory, name)?;
    if file.metadata()?.size() > limit {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_no_temporary_stays() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let directory = directory(folder.path()).expect("opens");
        let me = folder.path().metadata().expect("stat");
        let owner = Owner { uid: me.uid(), gid: me.gid(), mode: 0o600 };
        replace(&directory, "x", b"one", owner).expect("written");
        replace(&directory, "x", b"two", owner).expect("written");
        assert_eq!(read_foreign(&directory, "x", 10).expect("read"), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
        assert!(read_foreign(&directory, "x", 2).is_err());
    }

    #[test]
    fn what_a_power_cut_left_of_a_name_is_collected_and_nothing_else() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let left = unfinished(&folder.path().join("x"));
        let others = ["x", ".#x", ".#x.", "y", ".#x.0123", ".#y.0123456789abcdef0123456789abcdef"];
        std::fs::write(&left, "half").expect("written");
        for name in others {
            std::fs::write(folder.path().join(name), "whole").expect("written");
        }
        collect(directory(folder.path()).expect("opens"), "x").expect("collected");
        assert!(!left.exists());
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
    }

    #[test]
    fn a_file_that_is_to_be_kept_is_not_replaced_and_no_temporary_stays() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let directory = directory(folder.path()).expect("opens");
        let me = folder.path().metadata().expect("stat");
        let owner = Owner { uid: me.uid(), gid: me.gid(), mode: 0o400 };
        let new = New { owner, existing: Existing::Keep };
        write(&directory, "x", b"one", new).expect("written");
        let refused = write(&directory, "x", b"two", new).expect_err("it is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read_foreign(&directory, "x", 10).expect("read"), b"one");
        assert_eq!(folder.path().join("x").metadata().expect("stat").mode() & 0o777, 0o400);
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn what_is_kept_under_a_second_name_stays_when_the_first_is_written() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let directory = directory(folder.path()).expect("opens");
        let me = folder.path().metadata().expect("stat");
        let owner = Owner { uid: me.uid(), gid: me.gid(), mode: 0o600 };
        assert!(!keep(&directory, "x", "y").expect("looked"));
        replace(&directory, "x", b"one", owner).expect("written");
        assert!(keep(&directory, "x", "y").expect("kept"));
        replace(&directory, "x", b"two", owner).expect("written");
        assert_eq!(read_foreign(&directory, "y", 10).expect("read"), b"one");
        let taken = keep(&directory, "x", "y").expect_err("the name is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_symlink_or_fifo_is_not_read() {
        let folder = tempfile::tempdir().expect("scratch folder");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("link");
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("fifo");
        let directory = directory(folder.path()).expect("opens");
        assert!(read_foreign(&directory, "link", 100).is_err());
        assert!(read_foreign(&directory, "fifo", 100).is_err());
    }
}
