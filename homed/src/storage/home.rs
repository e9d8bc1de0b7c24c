//! A home directory that is open: the record and the pictures in it, and what a new one is filled with.
//!
//! Everything in it may have been put there by its user, so nothing is followed and nothing waited for.

use super::parts::idmap;
pub use super::parts::idmap::Own;
use crate::job::{Context, Failure, refuse};
use crate::sys::durable::{self, Owner};
use crate::sys::mount;
use records::{Record, Refusal, Sections};
use rustix::fs::{AtFlags, FileType, Mode};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The record inside.
pub(super) const IDENTITY: &str = ".identity";
/// Largest record that is read, in bytes.
const LIMIT: u64 = 4 * 1024 * 1024;

/// An open home directory; new files in it belong to the owner of the directory.
pub struct HomeDirectory {
    fd: OwnedFd,
    owner: u32,
}

impl HomeDirectory {
    /// Takes an open directory; its owner is the user, as this mount shows them.
    pub fn new(fd: OwnedFd) -> Result<Self, Failure> {
        let facts =
            rustix::fs::fstat(&fd).map_err(io::Error::from).during("looking at the home directory")?;
        Ok(Self { fd, owner: facts.st_uid })
    }

    /// The owner's UID, as this mount shows it.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// The open directory again.
    pub fn reopen(&self) -> Result<OwnedFd, Failure> {
        self.fd.try_clone().during("keeping the home directory open")
    }

    /// Reads `.identity`.
    pub fn read_record(&self) -> Result<Record, Failure> {
        let bytes = durable::read_foreign(&self.fd, IDENTITY, LIMIT).during("reading .identity")?;
        let text = std::str::from_utf8(&bytes).during("reading .identity")?;
        Record::parse(text, Sections::EMBEDDED).during("reading .identity")
    }

    /// Replaces `.identity`, durably.
    pub fn write_record(&self, record: &Record) -> Result<(), Failure> {
        let text = record.only(Sections::EMBEDDED).to_pretty();
        // What a power cut left has the hashes of a former password.
        let _ = durable::collect(&self.fd, IDENTITY);
        durable::replace(&self.fd, IDENTITY, text.as_bytes(), self.owner_of_files(0o600))
            .during("writing .identity")
    }

    /// Keeps `.identity`, whatever it is, under another name beside it; whether there is one.
    pub fn keep_record(&self, name: &str) -> Result<bool, Failure> {
        durable::keep(&self.fd, IDENTITY, name).during("keeping .identity as it was")
    }

    /// The directory as somebody sees it whose files become the home's own: what is given to that user, or that group, is
    /// stored as the home's.
    pub fn seen_by(&self, own: Own) -> Result<OwnedFd, Failure> {
        if self.owner == own.uid && self.owner == own.gid {
            return self.reopen();
        }
        let tree = mount::clone_tree(&self.fd).during("making a mount of the home directory")?;
        match idmap::apply_own(&tree, self.owner, own) {
            Ok(()) => durable::directory_at(&tree, ".").during("opening the home directory"),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                refuse(
                    Refusal::NotSupported,
                    "The file system of the new home cannot store files of another group as the user's own \
                 (mount_setattr(2), MOUNT_ATTR_IDMAP). Nothing was changed: choose another one (--fs-type=).",
                )
            }
            Err(error) => Err(error).during("mapping the owner of the files"),
        }
    }

    /// Copies a skeleton into it. A skeleton that is not there is an empty one.
    pub fn copy_skeleton(&self, skeleton: &Path) -> Result<(), Failure> {
        match durable::directory(skeleton) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).during(format!("opening {}", skeleton.display())),
            Ok(from) => {
                copy_tree(&from, &self.fd, self.owner).during(format!("copying {}", skeleton.display()))
            }
        }
    }

    /// Sets the directory's mode.
    pub fn set_mode(&self, mode: u32) -> Result<(), Failure> {
        rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode))
            .map_err(io::Error::from)
            .during("setting the mode of the home directory")
    }

    /// What files made in it have to be.
    pub fn owner_of_files(&self, mode: u32) -> Owner {
        Owner { uid: self.owner, gid: self.owner, mode }
    }
}

impl AsFd for HomeDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Copies directories, regular files and symlinks; other things are left out.
fn copy_tree(from: &OwnedFd, to: &OwnedFd, owner: u32) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let facts = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(facts.st_mode & 0o777);
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::Directory => copy_directory((from, to), name, mode, owner)?,
            FileType::RegularFile => copy_file((from, to), name, mode, owner)?,
            FileType::Symlink => copy_link((from, to), name, owner)?,
            _ => {}
        }
    }
    Ok(())
}

type Between<'a> = (&'a OwnedFd, &'a OwnedFd);

fn copy_directory((from, to): Between<'_>, name: &std::ffi::CStr, mode: Mode, owner: u32) -> io::Result<()> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
    let inner_from = rustix::fs::openat(from, name, flags, Mode::empty())?;
    let inner_to = rustix::fs::openat(to, name, flags, Mode::empty())?;
    copy_tree(&inner_from, &inner_to, owner)?;
    own(&inner_to, owner)?;
    Ok(rustix::fs::fchmod(&inner_to, mode)?)
}

fn copy_file((from, to): Between<'_>, name: &std::ffi::CStr, mode: Mode, owner: u32) -> io::Result<()> {
    use rustix::fs::OFlags;
    let reading = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let writing = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut source = std::fs::File::from(rustix::fs::openat(from, name, reading, Mode::empty())?);
    let mut copy = std::fs::File::from(rustix::fs::openat(to, name, writing, Mode::from_raw_mode(0o600))?);
    io::copy(&mut source, &mut copy)?;
    own(&copy, owner)?;
    Ok(rustix::fs::fchmod(&copy, mode)?)
}

fn copy_link((from, to): Between<'_>, name: &std::ffi::CStr, owner: u32) -> io::Result<()> {
    let target = rustix::fs::readlinkat(from, name, Vec::new())?;
    rustix::fs::symlinkat(target, to, name)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(owner));
    Ok(rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn own(file: impl AsFd, owner: u32) -> io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(owner));
    Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, HomeDirectory) {
        let folder = tempfile::tempdir().expect("scratch folder");
        let home = HomeDirectory::new(durable::directory(folder.path()).expect("opens")).expect("owner");
        (folder, home)
    }

    #[test]
    fn a_record_survives_and_a_symlink_is_not_followed() {
        let (folder, home) = scratch();
        let record = Record::parse(r#"{"userName":"alice"}"#, Sections::EMBEDDED).expect("valid");
        home.write_record(&record).expect("written");
        assert_eq!(home.read_record().expect("read"), record);
        std::fs::rename(folder.path().join(IDENTITY), folder.path().join("elsewhere")).expect("moved");
        std::os::unix::fs::symlink("elsewhere", folder.path().join(IDENTITY)).expect("linked");
        assert!(home.read_record().is_err());
    }

    #[test]
    fn a_skeleton_is_copied_with_modes_and_links() {
        let (folder, home) = scratch();
        let skeleton = tempfile::tempdir().expect("scratch folder");
        std::fs::create_dir(skeleton.path().join("d")).expect("made");
        std::fs::write(skeleton.path().join("d/f"), "text").expect("written");
        std::os::unix::fs::symlink("d/f", skeleton.path().join("l")).expect("linked");
        home.copy_skeleton(skeleton.path()).expect("copied");
        assert_eq!(std::fs::read(folder.path().join("l")).expect("read"), b"text");
        home.copy_skeleton(Path::new("/no/such/folder")).expect("nothing to copy");
    }
}
