//! A path as the kernel knows it: what of it is there, and in which folders that lies.

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Device and inode.
pub type Id = (u64, u64);

/// A path, resolved as far as it exists.
#[derive(Debug, Clone)]
pub struct Real {
    /// As it was given.
    pub asked: PathBuf,
    /// The longest beginning of it that is there, without links.
    pub existing: PathBuf,
    /// The names that are not there.
    pub missing: Vec<OsString>,
    /// What is there, from the innermost to the root.
    ids: Vec<Id>,
}

impl Real {
    /// Looks. `InvalidInput`: the path is not absolute, or has `.` or `..` in it.
    pub fn of(path: &Path) -> io::Result<Self> {
        let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !path.components().all(is_plain) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a whole path without dots", path.display()),
            ));
        }
        let mut missing: Vec<OsString> = Vec::new();
        for ancestor in path.ancestors() {
            match ancestor.canonicalize() {
                Ok(existing) => {
                    missing.reverse();
                    let ids = existing.ancestors().map(id).collect::<io::Result<_>>()?;
                    return Ok(Self { asked: path.to_owned(), existing, missing, ids });
                }
                Err(error) if is_not_there(&error) => {
                    missing.extend(ancestor.file_name().map(|name| name.to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    /// The folder it lies in, or would: there, and without links.
    pub fn folder(&self) -> &Path {
        if self.missing.is_empty() {
            self.existing.parent().unwrap_or(Path::new("/"))
        } else {
            &self.existing
        }
    }

    /// That folder, as the kernel knows it; `None`: more than one folder is missing.
    pub fn folder_id(&self) -> Option<Id> {
        match self.missing.len() {
            0 => self.ids.get(1).copied(),
            1 => self.ids.first().copied(),
            _ => None,
        }
    }

    /// Whether what should be its folder is one.
    pub fn is_in_a_folder(&self) -> bool {
        self.folder().is_dir()
    }

    /// Whether both are the same.
    pub fn is(&self, other: &Self) -> bool {
        self.missing == other.missing && self.ids.first() == other.ids.first()
    }

    /// Whether it is the other, or lies in it.
    pub fn is_within(&self, other: &Self) -> bool {
        if other.missing.is_empty() {
            return other.ids.first().is_some_and(|id| self.ids.contains(id));
        }
        self.ids.first() == other.ids.first() && self.missing.starts_with(&other.missing)
    }

    /// Whether something is mounted there.
    pub fn is_mount_point(&self) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let facts = rustix::fs::statx(CWD, &self.existing, flags, StatxFlags::empty());
        self.missing.is_empty()
            && facts.is_ok_and(|facts| facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
}

fn id(path: &Path) -> io::Result<Id> {
    // Not asked of the server of a network or FUSE file system: that of somebody else may give no answer.
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let facts = rustix::fs::statx(CWD, path, flags, StatxFlags::INO)?;
    Ok((rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor), facts.stx_ino))
}

/// A link that leads nowhere is not there either: whoever follows it finds nothing.
fn is_not_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
