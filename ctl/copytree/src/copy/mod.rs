//! The copy: one walk through the source, in which the target is made to be the same.
//!
//! ```text
//! begin: mark, nobody else may enter ─► for each name: is it there already? else make it ─► folder done: owner, mode, times ─► sync
//! ```
//!
//! A file gets its time last, so one that has it has all else, unless the machine lost its power. What stands in the target and is not in
//! the source, or is something else there, is removed: the mark shows that it was put there by an earlier run.

mod entry;
mod inode;
mod links;
mod removal;
mod standing;
mod walk;

pub use removal::remove_tree;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, syncfs};

use crate::differences::{Difference, What};
use crate::error::{Error, at};
use crate::listing::names;
use crate::look::read;
use crate::mark::{self, Standing};
use crate::names::Names;
use crate::terms::Terms;

/// What is to be copied, and where to. Root's rights are assumed (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER, CAP_FSETID,
/// CAP_MKNOD, CAP_SETFCAP, CAP_SYS_ADMIN, CAP_LINUX_IMMUTABLE), and that /proc is mounted.
pub struct Copy<'a> {
    /// The top of the tree.
    pub from: BorrowedFd<'a>,
    /// The folder that becomes the same, its own owner, mode and times included: empty, or filled by an earlier run.
    pub to: BorrowedFd<'a>,
    /// Names directly in the top that are left alone on both sides.
    pub except: &'a [&'a OsStr],
    /// Whether what is mounted inside is copied as if it were part of the tree. Otherwise it ends the copy.
    pub cross_mounts: bool,
    /// In what the copy is to be another than its source.
    pub terms: Terms,
    /// Told of each name, and in long files of each piece.
    pub progress: &'a mut dyn FnMut(Progress) -> Continue,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Names that are in the target.
    pub entries: u64,
    /// Bytes of files that are in the target, without holes where they were copied in this run.
    pub bytes: u64,
    /// What is being copied.
    pub path: &'a Path,
}

/// Whether a copy goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continue {
    /// It does.
    Yes,
    /// It ends with [`Error::Stopped`], and may be run again.
    No,
}

/// What was copied, and what was not.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Names that are in the target, the top counted.
    pub entries: u64,
    /// Bytes of files that were copied or shared in this run.
    pub bytes: u64,
    /// Files that share their data with the source.
    pub shared: u64,
    /// Names that were made as further names of a file.
    pub linked: u64,
    /// Files that an earlier run had copied.
    pub stood: u64,
    /// Sockets, which were left out.
    pub sockets: Names,
    /// Device nodes, which were left out on the [`Terms`] of the copy.
    pub devices: Names,
    /// What was changed, replaced or removed while it was copied: the copy is what was there then, or half of each.
    pub changed: Names,
    /// Files with a name outside of the tree, of which the copy is another file.
    pub linked_outside: Names,
    /// What files could not keep, as far as [`Names::MOST`] goes.
    pub lost: Vec<Lost>,
    /// How often something was lost.
    pub lost_count: u64,
    /// All of it, as far as [`MOST_LOST`] goes.
    all_lost: HashSet<Lost>,
}

/// So much that was lost is known by its path: on another file system each file may lose its flags.
const MOST_LOST: usize = 1_000_000;

impl Copied {
    /// Whether a difference to the source is one that was told as [`Copied::lost`]: no other copy would be without it.
    pub fn explains(&self, difference: &Difference) -> bool {
        let what = match &difference.what {
            What::Flags(..) => Loss::Flags,
            What::Links => Loss::Link,
            What::Attribute(name) => Loss::Attribute(name.clone()),
            _ => return false,
        };
        self.all_lost.contains(&Lost { path: difference.path.clone(), what })
    }

    pub(crate) fn lose(&mut self, path: &Path, what: Loss) {
        self.lost_count += 1;
        let lost = Lost { path: path.to_owned(), what };
        if self.lost.len() < Names::MOST {
            self.lost.push(lost.clone());
        }
        if self.all_lost.len() < MOST_LOST {
            self.all_lost.insert(lost);
        }
    }
}

/// Something that a file has, and that its copy could not be given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lost {
    /// Which file.
    pub path: PathBuf,
    /// What it has.
    pub what: Loss,
}

/// What a copy may have to do without.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Inode flags (`chattr`).
    Flags,
    /// The extended attribute of this name.
    Attribute(String),
    /// Being one file with another name: the target's file system allows for less names.
    Link,
}

/// Copies a tree. Run again after anything that ended it, with the same target, it goes on, and ends in the same tree. All of it is on
/// disk when it returns. The target keeps a mark until [`crate::done`].
///
/// # Errors
/// Any [`Error`]. The source is never changed.
pub fn copy(copy: Copy) -> Result<Copied, Error> {
    let standing = begin(&copy)?;
    let to = copy.to;
    let mut walk = walk::Walk::new(copy, standing)?;
    walk.all()?;
    let copied = walk.end();
    syncfs(opened(to)?).map_err(at(Path::new(""), "write it out to disk"))?;
    Ok(copied)
}

/// Shuts a target off from everybody else, and marks it. What is to be believed of what stands there.
fn begin(copy: &Copy) -> Result<Standing, Error> {
    let top = Path::new("");
    let target = opened(copy.to)?;
    let standing = match mark::look(copy.to)? {
        Some(standing) => standing,
        None => {
            let there = names(&target, usize::MAX).map_err(at(top, "read the target"))?;
            let is_spared = |name: &[u8]| spared(copy.except, name);
            if there.iter().any(|name| !is_spared(&name.bytes)) {
                return Err(Error::NotOurs);
            }
            Standing::Nothing
        }
    };
    removal::make_free(&target, top)?;
    if standing != Standing::Written {
        mark::put(copy.to)?;
    }
    Ok(standing)
}

/// The target, opened to be read: what the caller has may be good for paths only.
fn opened(folder: BorrowedFd) -> Result<std::os::fd::OwnedFd, Error> {
    read(folder, OFlags::DIRECTORY).map_err(at(Path::new(""), "open the target"))
}

/// Whether a name directly in the top is left alone.
pub(crate) fn spared(except: &[&OsStr], name: &[u8]) -> bool {
    except.iter().any(|spared| spared.as_encoded_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_explains_a_difference_however_much_it_was() {
        let mut copied = Copied::default();
        let path = |number: usize| PathBuf::from(number.to_string());
        let count = Names::MOST * 2;
        (0..count).for_each(|number| copied.lose(&path(number), Loss::Flags));
        copied.lose(&path(0), Loss::Attribute("user.note".to_owned()));
        let explains = |path, what| copied.explains(&Difference { path, what });
        assert!((0..count).all(|number| explains(path(number), What::Flags(1, 0))));
        assert!(!explains(path(count), What::Flags(1, 0)) && !explains(path(0), What::Links));
        assert!(explains(path(0), What::Attribute("user.note".to_owned())));
        assert!(!explains(path(1), What::Attribute("user.note".to_owned())));
        assert_eq!((copied.lost.len(), copied.lost_count), (Names::MOST, count as u64 + 1));
    }
}
