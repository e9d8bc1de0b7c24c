//! What ends a copy, a measurement or a comparison.

use std::io;
use std::path::{Path, PathBuf};

use records::visible::visible_path;
use rustix::io::Errno;

/// Why it ended. Paths are those within the tree; the tree's own top is `.`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another file system, or another place of this one, is mounted inside the tree.
    #[error("{}: something is mounted there", visible_path(path))]
    Mounted {
        /// Where.
        path: PathBuf,
    },
    /// The target has something in it, and not the mark of an earlier run.
    #[error("the target is not empty, and what is in it was not put there by a copy")]
    NotOurs,
    /// The target's file system, or its quota, is full.
    #[error("{}: no space is left for it", visible_path(path))]
    NoSpace {
        /// What had no room.
        path: PathBuf,
    },
    /// The target cannot have files of this owner: an ID that its mount does not map.
    #[error(
        "{}: it belongs to user {uid} and group {gid}, and the target can have no files of theirs",
        visible_path(path)
    )]
    Owner {
        /// Whose owner.
        path: PathBuf,
        /// The user ID.
        uid: u32,
        /// The group ID.
        gid: u32,
    },
    /// A folder was moved away from over what was being read in it.
    #[error("{}: it was moved while it was read", visible_path(path))]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// What this copy had made is not there any more: somebody has put something else in its place.
    #[error("{}: somebody has put something else in the place of its copy", visible_path(path))]
    Replaced {
        /// Where.
        path: PathBuf,
    },
    /// The tree has more of something than is kept in memory.
    #[error("{}: the tree has too many {what}", visible_path(path))]
    TooMany {
        /// Where it was one too many.
        path: PathBuf,
        /// Of what.
        what: &'static str,
    },
    /// Whoever watches the progress wanted no more of it.
    #[error("it was stopped")]
    Stopped,
    /// A system call failed.
    #[error("{}: cannot {doing}: {source}", visible_path(path))]
    Failed {
        /// On what.
        path: PathBuf,
        /// What was tried, as the end of "cannot …".
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What was tried, and on what: gives an error number its meaning.
pub(crate) fn at<'a>(path: &'a Path, doing: &'static str) -> impl FnOnce(Errno) -> Error + 'a {
    move |errno| {
        let path = shown(path);
        match errno {
            Errno::NOSPC | Errno::DQUOT => Error::NoSpace { path },
            errno => Error::Failed { path, doing, source: errno.into() },
        }
    }
}

/// The path as it is shown: the top has a name, too.
pub(crate) fn shown(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}
