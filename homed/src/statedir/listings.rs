//! Which public keys lie in a folder, listed again where it has changed: the state folder has a file for each home, and the keys
//! are asked for at every look at one.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A folder that has changed so shortly before it was listed may have changed once more since, at the same time by its clock:
/// kernels count in steps of some milliseconds, and file systems in steps of two seconds at most.
const SETTLED: Duration = Duration::from_secs(3);

/// What was listed last, by folder.
#[derive(Default)]
pub struct Listings(Mutex<HashMap<PathBuf, Listing>>);

#[derive(Clone)]
struct Listing {
    stamp: Stamp,
    names: Vec<String>,
}

/// What changes with a folder. Who copies folders sets the time of the last modification as it was elsewhere; the time of the
/// last change of the inode is the kernel's own.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    folder: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(folder: &Path) -> io::Result<Self> {
        let facts = folder.metadata()?;
        let (modified, changed) = ((facts.mtime(), facts.mtime_nsec()), (facts.ctime(), facts.ctime_nsec()));
        Ok(Self { folder: (facts.dev(), facts.ino()), modified, changed })
    }

    /// Whether whatever comes from now on gets another time.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let latest = self.modified.0.max(self.changed.0);
        u64::try_from(latest).is_ok_and(|latest| Duration::from_secs(latest).saturating_add(SETTLED) < now)
    }
}

impl Listings {
    /// The names of the files in that folder that may be public keys; none where there is no folder.
    pub fn keys_in(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.keys_at(folder, SystemTime::now())
    }

    fn keys_at(&self, folder: &Path, now: SystemTime) -> io::Result<Vec<String>> {
        let stamp = match Stamp::of(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            stamp => stamp?,
        };
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned();
        if let Some(last) = last.filter(|last| last.stamp == stamp) {
            return Ok(last.names);
        }
        let names = list(folder)?;
        if stamp.is_settled(now) {
            let listing = Listing { stamp, names: names.clone() };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned(), listing);
        }
        Ok(names)
    }
}

fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".public") && !name.starts_with('.') {
            names.push(name.into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};

    fn dated(folder: &Path, when: SystemTime) {
        let folder = File::open(folder).expect("opened");
        folder.set_times(FileTimes::new().set_modified(when)).expect("dated");
    }

    #[test]
    fn a_folder_is_listed_again_once_it_has_changed_or_if_it_may_have() {
        let (folder, listings) = (tempfile::tempdir().expect("made"), Listings::default());
        let at = |name: &str| folder.path().join(name);
        let names = |later: Duration| {
            let mut names = listings.keys_at(folder.path(), SystemTime::now() + later).expect("listed");
            names.sort();
            names
        };
        for name in ["a.public", ".b.public", "alice.identity"] {
            std::fs::write(at(name), "").expect("written");
        }
        // Changed a moment ago, at a time that the next change may have as well: it is not kept.
        assert_eq!(names(Duration::ZERO), ["a.public"]);
        assert!(listings.0.lock().expect("whole").is_empty());
        let later = Duration::from_secs(60);
        assert_eq!(names(later), ["a.public"]);
        assert!(!listings.0.lock().expect("whole").is_empty(), "it is not listed at each look");
        let old = folder.path().metadata().expect("there").modified().expect("dated");
        std::fs::write(at("c.public"), "").expect("written");
        // Whoever copied it there has set the time back.
        dated(folder.path(), old);
        assert_eq!(names(later), ["a.public", "c.public"]);
        dated(folder.path(), SystemTime::UNIX_EPOCH);
        assert_eq!(names(later), ["a.public", "c.public"]);
        assert_eq!(listings.keys_in(Path::new("/nowhere")).expect("none"), [""; 0]);
    }
}
