//! What has changed in a home since a snapshot of it. Nothing is read but what names and inodes tell.

use super::tree::DEEPEST;
use crate::sys::beneath;
use rustix::fs::{FileType, Stat};
use serde_json::{Value, json};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// So many changes are listed, in so many bytes; the others are counted. (Paths may be as long as their user likes.)
const LISTED: usize = 1000;
const ROOM: usize = 256 << 10;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It was not there.
    New,
    /// It was another.
    Changed,
    /// It is not there any more.
    Gone,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    changes: Vec<(What, String)>,
    /// Bytes of their paths.
    length: usize,
    /// So many more there are.
    more: u64,
    /// Bytes of what has changed since or is gone: at most that much is kept by the snapshot alone.
    bytes: u64,
}

impl Difference {
    /// As a report has it.
    pub fn to_json(&self) -> Value {
        let change = |(what, path): &(What, String)| json!({ "what": what.word(), "path": path });
        json!({
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(), "more": self.more,
            "keepsAtMost": self.bytes,
        })
    }

    fn add(&mut self, what: What, path: &str) {
        if self.changes.len() < LISTED && self.length + path.len() <= ROOM {
            self.length += path.len();
            self.changes.push((what, path.to_owned()));
        } else {
            self.more += 1;
        }
    }
}

/// Compares two folders, the old one first.
pub fn compare(old: &OwnedFd, new: &OwnedFd) -> io::Result<Difference> {
    let mut difference = Difference::default();
    let walk = Walk { path: String::new(), depth: 0 };
    walk.both(old.as_fd(), new.as_fd(), &mut difference)?;
    Ok(difference)
}

struct Walk {
    path: String,
    depth: usize,
}

impl Walk {
    fn below(&self, name: &CStr) -> Self {
        let name = name.to_string_lossy();
        let path = if self.path.is_empty() { name.into_owned() } else { format!("{}/{name}", self.path) };
        Self { path, depth: self.depth + 1 }
    }

    fn both(&self, old: BorrowedFd<'_>, new: BorrowedFd<'_>, all: &mut Difference) -> io::Result<()> {
        let (was, is) = (beneath::names(old)?, beneath::names(new)?);
        for name in &was {
            let Some(before) = beneath::look(old, name)? else { continue };
            let here = self.below(name);
            match beneath::look(new, name)? {
                None => {
                    all.add(What::Gone, &here.path);
                    here.weigh(old, name, &before, all)?;
                }
                Some(now) if is_folder(&before) && is_folder(&now) && here.depth < DEEPEST => {
                    let (old, new) = (beneath::folder(old, name)?, beneath::folder(new, name)?);
                    here.both(old.as_fd(), new.as_fd(), all)?;
                }
                Some(now) if is_same(&before, &now) => {}
                Some(_) => {
                    all.add(What::Changed, &here.path);
                    here.weigh(old, name, &before, all)?;
                }
            }
        }
        let fresh = is.iter().filter(|name| was.binary_search(name).is_err());
        fresh.for_each(|name| all.add(What::New, &self.below(name).path));
        Ok(())
    }

    /// Adds the space that it takes, with all that is in it.
    fn weigh(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        facts: &Stat,
        all: &mut Difference,
    ) -> io::Result<()> {
        all.bytes = all.bytes.saturating_add(u64::try_from(facts.st_blocks).unwrap_or(0) * 512);
        if is_folder(facts) && self.depth < DEEPEST {
            let folder = beneath::folder(parent, name)?;
            for name in beneath::names(&folder)? {
                if let Some(facts) = beneath::look(&folder, &name)? {
                    self.below(&name).weigh(folder.as_fd(), &name, &facts, all)?;
                }
            }
        }
        Ok(())
    }
}

fn is_folder(facts: &Stat) -> bool {
    FileType::from_raw_mode(facts.st_mode) == FileType::Directory
}

/// Untouched since, or a copy of what it was.
fn is_same(before: &Stat, now: &Stat) -> bool {
    let touched = |facts: &Stat| (facts.st_ino, facts.st_ctime, facts.st_ctime_nsec);
    let looks = |facts: &Stat| (facts.st_mode, facts.st_size, facts.st_mtime, facts.st_mtime_nsec);
    looks(before) == looks(now) && (touched(before) == touched(now) || !is_folder(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::durable;

    #[test]
    fn no_paths_make_the_list_longer_than_it_may_be() {
        let mut all = Difference::default();
        (0..100).for_each(|_| all.add(What::New, &"x".repeat(50_000)));
        assert!(all.to_json().to_string().len() < 2 * ROOM);
        (0..5000).for_each(|_| all.add(What::Gone, "y"));
        assert_eq!((all.changes.len(), all.more), (LISTED, 5100 - 1000));
    }

    #[test]
    fn what_is_new_changed_and_gone_is_told() {
        let top = tempfile::tempdir().expect("folder");
        let write = |path: &str, content: &str| {
            let path = top.path().join(path);
            std::fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
            std::fs::write(path, content).expect("written");
        };
        for (path, content) in
            [("old/same/x", "1"), ("old/d/changed", "1"), ("old/gone/a/b", "1"), ("new/fresh/y", "2")]
        {
            write(path, content);
        }
        write("new/d/changed", "other");
        std::fs::create_dir(top.path().join("new/same")).expect("made");
        std::fs::hard_link(top.path().join("old/same/x"), top.path().join("new/same/x")).expect("linked");
        let open = |name: &str| durable::directory(&top.path().join(name)).expect("opens");
        let found = compare(&open("old"), &open("new")).expect("compared");
        let told: Vec<(&str, &str)> =
            found.changes.iter().map(|(what, path)| (what.word(), path.as_str())).collect();
        assert_eq!(told, [("changed", "d/changed"), ("gone", "gone"), ("new", "fresh")]);
        assert!(found.bytes > 0);
        assert_eq!(compare(&open("old"), &open("old")).expect("compared"), Difference::default());
    }
}
