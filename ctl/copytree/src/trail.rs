//! The way from the top of a tree down to the folder where one is, however deep that lies, with few descriptors open.
//!
//! ```text
//! top (open) ─ closed ─ closed ─ … ─ the last KEPT folders (open) ─ here
//! ```
//!
//! On the way up a closed folder is opened again through `..`, and counts if it is the one that was left; else from the top, name by name.
//! There is no recursion anywhere.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::error::{Error, at, shown};
use crate::look::{Id, Look, find};

/// How many folders stay open above the one where one is.
const KEPT: usize = 48;

/// The longest piece of a path that the kernel is given at once.
const PIECE: usize = 3000;

/// To list a folder, and to be where it is.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Nothing outside of the tree, through nothing that leads elsewhere.
pub(crate) const WITHIN: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Where one is in a tree.
pub(crate) struct Trail {
    top: OwnedFd,
    resolve: ResolveFlags,
    levels: Vec<Level>,
    path: Vec<u8>,
}

/// A folder below the top.
struct Level {
    folder: Option<OwnedFd>,
    id: Id,
    /// How long the path was above it.
    above: usize,
}

impl Trail {
    /// At the top of a tree.
    pub fn new(top: BorrowedFd, resolve: ResolveFlags) -> Result<Self, Error> {
        let top = openat(top, c".", FOLDER, Mode::empty()).map_err(at(Path::new(""), "open it"))?;
        Ok(Self { top, resolve, levels: Vec::new(), path: Vec::new() })
    }

    /// The folder where one is.
    pub fn here(&self) -> BorrowedFd<'_> {
        self.levels.last().and_then(|level| level.folder.as_ref()).unwrap_or(&self.top).as_fd()
    }

    pub fn is_at_top(&self) -> bool {
        self.levels.is_empty()
    }

    /// The path of the folder where one is, empty at the top.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path of the folder where one is, as it is shown.
    pub fn shown(&self) -> PathBuf {
        shown(Path::new(OsStr::from_bytes(&self.path)))
    }

    /// The path of a name here.
    pub fn path_of(&self, name: &[u8]) -> PathBuf {
        Path::new(OsStr::from_bytes(&self.path)).join(OsStr::from_bytes(name))
    }

    /// Finds a name here, without opening what it stands for.
    pub fn find(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        find(self.here(), name, self.resolve)
    }

    /// Goes into a folder that was found here, and was opened.
    pub fn enter(&mut self, name: &[u8], folder: OwnedFd) -> Result<(), Errno> {
        let id = Look::at(&folder)?.id();
        let above = self.path.len();
        if above > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        self.levels.push(Level { folder: Some(folder), id, above });
        if let Some(far) = self.levels.len().checked_sub(KEPT + 1) {
            self.levels[far].folder = None;
        }
        Ok(())
    }

    /// Goes up to the folder above.
    pub fn leave(&mut self) -> Result<(), Error> {
        let Some(left) = self.levels.pop() else { return Ok(()) };
        self.path.truncate(left.above);
        let Some(level) = self.levels.last() else { return Ok(()) };
        if level.folder.is_some() {
            return Ok(());
        }
        let id = level.id;
        let is_it = |folder: &OwnedFd| Look::at(folder).is_ok_and(|look| look.id() == id);
        let above = left.folder.and_then(|folder| openat(folder, c"..", FOLDER, Mode::empty()).ok());
        let found = above.filter(is_it).or_else(|| self.walk(&self.path).ok().filter(is_it));
        let Some(found) = found else { return Err(Error::Moved { path: self.shown() }) };
        if let Some(level) = self.levels.last_mut() {
            level.folder = Some(found);
        }
        Ok(())
    }

    /// Opens a folder of the tree by its path.
    pub fn walk(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut folder = openat(&self.top, c".", FOLDER, Mode::empty())?;
        let mut rest = path;
        while !rest.is_empty() {
            let (piece, next) = cut(rest);
            folder = openat2(&folder, piece, FOLDER, Mode::empty(), self.resolve)?;
            rest = next;
        }
        Ok(folder)
    }
}

/// The first names of a path, as many as the kernel takes at once, and the rest.
fn cut(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= PIECE {
        return (path, &[]);
    }
    match path[..PIECE].iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (path, &[]),
    }
}
