//! Shared memory with names (shm_overview(7)): what a user has there. Anybody makes links, folders and mounts there; none is
//! followed, and no server of a file system that is mounted there is asked: it may never answer.

use super::beneath;
use rustix::fs::{AtFlags, CWD, FileType, StatxFlags};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Where it is.
const FOLDER: &str = "/dev/shm";

/// Device and inode.
pub type Id = (u64, u64);

/// Something that has a name there, or had one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is known by.
    pub id: Id,
    /// Whose it is.
    pub uid: u32,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Bytes of memory and swap space that it takes.
    pub bytes: u64,
}

fn look(at: impl AsFd, path: impl rustix::path::Arg, follow: AtFlags) -> io::Result<Entry> {
    let flags = follow | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let wanted = StatxFlags::TYPE | StatxFlags::UID | StatxFlags::INO | StatxFlags::BLOCKS;
    let facts = rustix::fs::statx(at, path, flags, wanted)?;
    Ok(Entry {
        id: (rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor), facts.stx_ino),
        uid: facts.stx_uid,
        is_file: FileType::from_raw_mode(facts.stx_mode.into()) == FileType::RegularFile,
        bytes: facts.stx_blocks.saturating_mul(512),
    })
}

/// What a link of proc_pid_fd(5) leads to; `None`: nothing any more.
pub fn behind(link: &Path) -> Option<Entry> {
    look(CWD, link, AtFlags::empty()).ok().filter(|entry| entry.is_file)
}

/// What a user has there, at the top.
pub fn of_user(uid: u32) -> Vec<Entry> {
    within(Path::new(FOLDER), |_, _, entry| entry.uid == uid)
}

/// Removes what a user has there. What cannot be removed is somebody else's by now.
pub fn remove(uid: u32) {
    remove_from(Path::new(FOLDER), uid);
}

fn remove_from(folder: &Path, uid: u32) {
    within(folder, |top, name, entry| {
        if entry.uid == uid && rustix::fs::unlinkat(top, name, AtFlags::empty()).is_err() {
            let _ = remove_folder(top, name);
        }
        false
    });
}

/// Removes a folder and what is in it, without leaving its mount.
fn remove_folder(parent: &OwnedFd, name: &CStr) -> io::Result<()> {
    let folder = beneath::folder(parent, name)?;
    for inside in beneath::names(&folder)? {
        if rustix::fs::unlinkat(&folder, &inside, AtFlags::empty()).is_err() {
            remove_folder(&folder, &inside)?;
        }
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Those entries of a folder, on the folder's own file system, of which it is so.
fn within(folder: &Path, is_so: impl Fn(&OwnedFd, &CStr, &Entry) -> bool) -> Vec<Entry> {
    let Ok(top) = super::durable::folder(folder) else { return Vec::new() };
    let Ok(own) = look(&top, ".", AtFlags::empty()) else { return Vec::new() };
    let names = beneath::names(&top).unwrap_or_default();
    let entries = names.iter().filter_map(|name| {
        let entry = look(&top, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (entry.id.0 == own.id.0 && is_so(&top, name, &entry)).then_some(entry)
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn links_lead_nowhere_and_folders_go_with_what_is_in_them() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let elsewhere = tempfile::tempdir().expect("scratch folder");
        let (path, kept) = (folder.path(), elsewhere.path().join("kept"));
        std::fs::write(&kept, [1; 8192]).expect("written");
        std::fs::create_dir_all(path.join("a/b")).expect("made");
        std::fs::write(path.join("a/b/file"), "x").expect("written");
        std::fs::write(path.join("file"), [1; 8192]).expect("written");
        std::os::unix::fs::symlink(&kept, path.join("link")).expect("linked");
        std::os::unix::fs::symlink(elsewhere.path(), path.join("a/link")).expect("linked");
        let uid = path.metadata().expect("stat").uid();

        let files = within(path, |_, _, entry| entry.uid == uid && entry.is_file);
        assert_eq!(files.len(), 1, "{files:?}");
        let link = behind(&path.join("link")).expect("as a descriptor's link is followed");
        assert_ne!(files[0].id, link.id);

        remove_from(path, uid + 1);
        assert_eq!(std::fs::read_dir(path).expect("list").count(), 3);
        remove_from(path, uid);
        assert_eq!(std::fs::read_dir(path).expect("list").count(), 0);
        assert!(kept.exists(), "what a link leads to was removed");
    }
}
