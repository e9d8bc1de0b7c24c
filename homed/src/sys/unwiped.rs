//! Processes that have secrets in memory: each has a mark in `/run` for as long as that is so.
//!
//! Who ends as it should has wiped them, and takes its mark away. Who is killed leaves it there, with nobody at it: what was in the
//! memory of that process lies in free memory, until that is written over. So does who has made copies of itself meanwhile
//! ([`super::bounded`]): what they had of passwords and keys, libraries' pieces of them included, nobody could wipe. A copy that lives
//! is at the mark like the process itself.

use super::bounded::copies;
use super::clock::since_boot;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where the marks are, until the next boot: `KIND.PID.NANOSECONDS`, locked (flock(2)) by the process and its copies.
pub const FOLDER: &str = "/run/homed/secrets";

/// What begins so has no secret yet.
const NEW: &str = ".";

/// A process with secrets in memory: this one.
pub struct Mark {
    path: PathBuf,
    /// Copies of this process have it, too.
    _at_it: File,
    /// How many copies there were when it was made.
    copies: u64,
}

impl Mark {
    /// Makes it, before there are any. `kind` is what the process is.
    pub fn make(folder: &Path, kind: &str) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // No other process of this boot has both the same number and the same moment.
        let name = format!("{kind}.{}.{}", std::process::id(), since_boot().as_nanos());
        let (new, path) = (folder.join(format!("{NEW}{name}")), folder.join(name));
        let at_it = File::create_new(&new)?;
        flock(&at_it, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(&new, &path)?;
        Ok(Self { path, _at_it: at_it, copies: copies() })
    }

    /// There are none any more in this process.
    pub fn wiped(self) -> io::Result<()> {
        if copies() != self.copies { Ok(()) } else { fs::remove_file(&self.path) }
    }
}

/// What marks there are.
#[derive(Debug, Default)]
pub struct Marks {
    /// Of processes that are gone without having wiped what they had.
    left: Vec<PathBuf>,
    /// Of processes that live: what kind, and which.
    living: Vec<(String, u32)>,
}

impl Marks {
    /// Looks at them all.
    pub fn look(folder: &Path) -> io::Result<Self> {
        let mut marks = Self::default();
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(marks),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(NEW) {
                continue;
            }
            let file = match File::open(entry.path()) {
                // Taken away meanwhile: wiped.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            match flock(&file, FlockOperation::NonBlockingLockShared) {
                Ok(()) => marks.left.push(entry.path()),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    marks.living.extend(parsed(&name));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(marks)
    }

    /// Whether secrets may lie in free memory.
    pub fn are_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Which processes of a kind have secrets in memory now.
    pub fn living(&self, kind: &str) -> Vec<u32> {
        self.living.iter().filter(|(living, _)| living == kind).map(|(_, pid)| *pid).collect()
    }

    /// All free memory was written over since these were looked at: those that were left then are of no use any more.
    pub fn are_written_over(self) -> io::Result<()> {
        for path in self.left {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn parsed(name: &str) -> Option<(String, u32)> {
    let mut words = name.split('.');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lives_is_counted_and_who_ended_well_leaves_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path().join("secrets");
        assert!(!Marks::look(&folder).expect("nothing there").are_left());
        let mark = Mark::make(&folder, "worker").expect("made");
        let marks = Marks::look(&folder).expect("looked");
        assert_eq!((marks.living("worker"), marks.are_left()), (vec![std::process::id()], false));
        assert!(marks.living("daemon").is_empty());
        mark.wiped().expect("gone");
        let marks = Marks::look(&folder).expect("looked");
        assert_eq!((marks.living("worker"), marks.are_left()), (vec![], false));
    }

    #[test]
    fn who_is_killed_leaves_it_until_memory_is_written_over() {
        let folder = tempfile::tempdir().expect("folder");
        // As in a process that is killed: the lock goes, and the file stays.
        drop(Mark::make(folder.path(), "worker").expect("made"));
        let living = Mark::make(folder.path(), "worker").expect("made");
        let marks = Marks::look(folder.path()).expect("looked");
        assert!(marks.are_left());
        // Somebody who is killed while that goes on is not meant.
        drop(living);
        marks.are_written_over().expect("gone");
        let marks = Marks::look(folder.path()).expect("looked");
        assert!(marks.are_left());
        marks.are_written_over().expect("gone");
        assert!(!Marks::look(folder.path()).expect("looked").are_left());
    }

    #[test]
    fn what_copies_had_is_written_over_and_one_that_lives_is_counted() {
        use crate::sys::bounded::{Deadline, Late, within};
        let folder = tempfile::tempdir().expect("folder");
        let mark = Mark::make(folder.path(), "worker").expect("made");
        let own = std::process::id();
        let hangs = || -> io::Result<()> {
            crate::sys::memory::die_with_parent(i32::try_from(own).expect("a number"))?;
            loop {
                std::thread::park();
            }
        };
        let late = within(Deadline::after(std::time::Duration::from_millis(20)), Late::Leave, hangs);
        assert!(late.is_err());
        mark.wiped().expect("its own");
        let marks = Marks::look(folder.path()).expect("looked");
        assert_eq!((marks.living("worker"), marks.are_left()), (vec![own], false));
    }

    #[test]
    fn what_has_no_secret_yet_leaves_none() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(".worker.1.2"), "").expect("written");
        assert!(!Marks::look(folder.path()).expect("looked").are_left());
    }
}
