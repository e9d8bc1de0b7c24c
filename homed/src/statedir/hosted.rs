//! The host's copies of the records: `NAME.identity`.

use super::{Folders, remove_file, write_whole};
use crate::sys::durable::{self, Existing};
use records::{Record, Sections, UserName};
use std::io;
use std::path::{Path, PathBuf};

/// How a file ends that has a host record as a repair found it.
const OF_RECORD: &str = ".identity.backup";

/// Why a host record cannot be used. The file stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// It is not a record, or not this user's.
    #[error("{0}: {1}")]
    Invalid(PathBuf, String),
}

impl Folders {
    fn record_path(&self, user: &UserName) -> PathBuf {
        self.state.join(format!("{user}.identity"))
    }

    /// One host record; `None` where there is none (an empty file counts as none: a power cut of the
    /// original's can leave it).
    pub fn load(&self, user: &UserName) -> Result<Option<Record>, Unusable> {
        let path = self.record_path(user);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Unusable::Io(path, e)),
        };
        if matches!(text.trim(), "" | "{}") {
            return Ok(None);
        }
        let record = Record::parse(&text, Sections::HOST);
        let record = record.map_err(|e| Unusable::Invalid(path.clone(), e.to_string()))?;
        if record.user() != user {
            return Err(Unusable::Invalid(path, format!("it is the record of {}", record.user())));
        }
        Ok(Some(record))
    }

    /// All host records, and what is wrong with the others.
    pub fn load_all(&self) -> io::Result<(Vec<Record>, Vec<Unusable>)> {
        let (mut records, mut unusable) = (Vec::new(), Vec::new());
        let entries = match std::fs::read_dir(&self.state) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((records, unusable)),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let name = entry?.file_name();
            let user = name.to_str().and_then(|name| name.strip_suffix(".identity"));
            let Some(user) = user.and_then(|user| UserName::parse(user).ok()) else {
                continue;
            };
            match self.load(&user) {
                Ok(Some(record)) => records.push(record),
                // As the original does: it says nothing, and would be in the way of whoever looks for a record.
                // (Where that does not work, it stays without a meaning.)
                Ok(None) => drop(remove_file(&self.record_path(&user))),
                Err(e) => unusable.push(e),
            }
        }
        records.sort_by(|a, b| a.user().cmp(b.user()));
        Ok((records, unusable))
    }

    /// Writes a host record, whole or not at all.
    pub fn save(&self, record: &Record) -> io::Result<()> {
        let text = format!("{}\n", record.only(Sections::HOST).to_pretty());
        write_whole(&self.record_path(record.user()), text.as_bytes(), 0o600, Existing::Replace)
    }

    /// Whether there is a host record, whatever is in it.
    pub fn has_record(&self, user: &UserName) -> io::Result<bool> {
        self.record_path(user).try_exists()
    }

    /// Removes a host record; whether there was one.
    pub fn forget(&self, user: &UserName) -> io::Result<bool> {
        self.forget_tries(user)?;
        remove_file(&self.record_path(user))
    }

    /// Where a repair of this second keeps what it writes over of the home's storage.
    pub fn backup_path(&self, user: &UserName, seconds: u64) -> PathBuf {
        self.state.join(format!("{user}.home.{seconds}.backup"))
    }

    /// Keeps the host record as it is, whatever is in it, for a repair of this second that writes over it. Where it is;
    /// `None`: there is none.
    pub fn keep_record(&self, user: &UserName, seconds: u64) -> io::Result<Option<PathBuf>> {
        let (from, to) = (format!("{user}.identity"), format!("{user}.home.{seconds}{OF_RECORD}"));
        let kept = durable::keep(durable::directory(&self.state)?, &from, &to)?;
        Ok(kept.then(|| self.state.join(to)))
    }

    /// The first second from this one on that nothing is called by which a repair has kept of a home.
    pub fn free_second(&self, user: &UserName, from: u64) -> io::Result<u64> {
        let kept = self.backups(user)?;
        let is_free = |seconds: &u64| {
            let begin = format!("{user}.home.{seconds}.");
            let is_its = |path: &PathBuf| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begin))
            };
            !kept.iter().any(is_its)
        };
        Ok((from..).find(is_free).unwrap_or(from))
    }

    /// The files that have what repairs have kept of a home, with the key slots of then.
    pub fn backups(&self, user: &UserName) -> io::Result<Vec<PathBuf>> {
        let begin = format!("{user}.home.");
        let is_ours = |name: &str| {
            let date = name
                .strip_prefix(&begin)
                .and_then(|rest| [OF_RECORD, ".backup"].into_iter().find_map(|end| rest.strip_suffix(end)));
            date.is_some_and(|date| !date.is_empty() && date.bytes().all(|byte| byte.is_ascii_digit()))
        };
        Ok(names(&self.state, &is_ours)?.iter().map(|name| self.state.join(name)).collect())
    }

    /// Removes them; how many there were.
    pub fn forget_backups(&self, user: &UserName) -> io::Result<usize> {
        let found = self.backups(user)?;
        for path in &found {
            remove_file(path)?;
        }
        Ok(found.len())
    }

    /// Removes what a power cut has left of files that were being written, which have hashes of passwords: for a daemon
    /// that starts, when nobody else writes here.
    pub fn collect_unfinished(&self) {
        let is_unfinished = |name: &str| {
            name.starts_with(super::UNFINISHED)
                && name.len() > 34
                && name.bytes().rev().take(32).all(|byte| byte.is_ascii_hexdigit())
        };
        for name in names(&self.state, &is_unfinished).unwrap_or_default() {
            // Tried again at the next start.
            let _ = remove_file(&self.state.join(name));
        }
    }
}

fn names(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for entry in entries {
        all.extend(entry?.file_name().into_string().ok().filter(|name| wanted(name)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn scratch() -> (tempfile::TempDir, Folders) {
        let folder = tempfile::tempdir().expect("made");
        let folders = Folders { state: folder.path().to_owned(), ..Folders::default() };
        (folder, folders)
    }

    fn alice() -> UserName {
        UserName::parse("alice").expect("valid")
    }

    #[test]
    fn a_record_is_found_again() {
        let (_scratch, folders) = scratch();
        let record = Record::parse(r#"{"userName":"alice","x":[1]}"#, Sections::HOST).expect("valid");
        folders.save(&record).expect("saved");
        assert_eq!(folders.load(&alice()).expect("reads"), Some(record.clone()));
        assert_eq!(folders.load_all().expect("reads").0, [record]);
        assert!(folders.forget(&alice()).expect("removed"));
        assert_eq!(folders.load(&alice()).expect("reads"), None);
        assert_eq!(fs::read_dir(&folders.state).expect("reads").count(), 0);
    }

    #[test]
    fn what_was_cut_short_is_collected_and_backups_go_with_their_home() {
        let (_scratch, folders) = scratch();
        let unfinished = format!(".#alice.identity{}", "0".repeat(32));
        let backup = folders.backup_path(&alice(), 1_700_000_000);
        let others =
            ["alice.identity", "alice.home.x.backup", "alice2.home.17.backup", ".#odd", "local.public"];
        for name in others.into_iter().chain([unfinished.as_str()]) {
            fs::write(folders.state.join(name), "x").expect("written");
        }
        fs::write(&backup, "key slots").expect("written");
        let record = folders.keep_record(&alice(), 1_700_000_000).expect("kept").expect("there is one");
        assert_eq!(fs::read(&record).expect("reads"), b"x");
        assert_eq!(folders.keep_record(&UserName::parse("bob").expect("valid"), 17).expect("looked"), None);
        folders.collect_unfinished();
        assert!(!folders.state.join(unfinished).exists() && backup.exists());
        assert_eq!(folders.forget_backups(&alice()).expect("removed"), 2);
        assert!(
            !backup.exists()
                && !record.exists()
                && others.iter().all(|name| folders.state.join(name).exists())
        );
        assert_eq!(folders.forget_backups(&alice()).expect("removed"), 0);
    }

    #[test]
    fn damaged_ones_are_reported_and_left_alone_and_what_says_nothing_goes() {
        let (_scratch, folders) = scratch();
        for (name, text) in
            [("bob", "{"), ("carol", r#"{"userName":"dave"}"#), ("empty", ""), ("braces", "{}\n")]
        {
            fs::write(folders.state.join(format!("{name}.identity")), text).expect("written");
        }
        fs::write(folders.state.join("local.public"), "x").expect("written");
        let (records, unusable) = folders.load_all().expect("reads");
        assert_eq!((records.len(), unusable.len()), (0, 2));
        let mut left: Vec<_> =
            fs::read_dir(&folders.state).expect("reads").flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["bob.identity", "carol.identity", "local.public"]);
    }
}
