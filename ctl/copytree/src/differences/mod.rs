//! Two trees, compared name by name.
//!
//! Content is compared byte by byte, since both sides are at hand: no hash stands between. What is not kept (sockets, the mark
//! of a copy, times of access) is no difference.

mod inode;
mod walk;
mod words;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::error::Error;
use crate::terms::Terms;

/// Something in which two trees are not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path in both trees.
    pub path: PathBuf,
    /// In what they differ there.
    pub what: What,
}

/// In what a name differs in two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is in the first alone.
    OnlyInFirst,
    /// It is in the second alone.
    OnlyInSecond,
    /// One is a folder, the other a file, and so on.
    Type,
    /// The permissions, with set-ID bits.
    Mode(u32, u32),
    /// User ID and group ID.
    Owner((u32, u32), (u32, u32)),
    /// The time of the last change, in seconds and nanoseconds.
    Time((i64, u32), (i64, u32)),
    /// The length in bytes.
    Size(u64, u64),
    /// The content, from this byte on.
    Content(u64),
    /// The second has less holes: bytes of holes in both.
    Holes(u64, u64),
    /// An extended attribute, by its name: an ACL, a capability.
    Attribute(String),
    /// Inode flags (`chattr`), in their numbers.
    Flags(u32, u32),
    /// Where a symbolic link leads.
    Target,
    /// Which device a node stands for.
    Device(u64, u64),
    /// Names that are one file in one tree, and several in the other.
    Links,
    /// It went, or was replaced, while it was compared.
    Changed,
    /// Something is mounted there, which was not looked into.
    Mounted,
}

/// The first `most` differences of two trees; none if they are the same.
///
/// # Errors
/// What the kernel says when something cannot be read, [`Error::TooMany`], [`Error::Moved`].
pub fn differences(first: BorrowedFd, second: BorrowedFd, most: usize) -> Result<Vec<Difference>, Error> {
    differences_on(first, second, &Terms::default(), most)
}

/// The same of a tree and what a copy of it on these terms is to be.
///
/// # Errors
/// As [`differences`].
pub fn differences_on(
    first: BorrowedFd,
    second: BorrowedFd,
    terms: &Terms,
    most: usize,
) -> Result<Vec<Difference>, Error> {
    differences_until(&|| false, [first, second], terms, most)
}

/// The same, which ends with [`Error::Stopped`] as soon as `stop` says so.
///
/// # Errors
/// As [`differences`].
pub fn differences_until(
    stop: &dyn Fn() -> bool,
    trees: [BorrowedFd; 2],
    terms: &Terms,
    most: usize,
) -> Result<Vec<Difference>, Error> {
    let mut walk = walk::Walk::new(trees, terms, most, stop)?;
    walk.all()?;
    Ok(walk.found)
}
