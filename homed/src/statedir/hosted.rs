//! The host's copies of the records: `NAME.identity`.

use super::{Folders, remove_file, write_whole};
use crate::sys::durable::Existing;
use records::{Record, Sections, UserName};
use std::io;
use std::path::PathBuf;

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
                Ok(None) => {}
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

    /// Removes a host record; whether there was one.
    pub fn forget(&self, user: &UserName) -> io::Result<bool> {
        remove_file(&self.record_path(user))
    }
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
    fn damaged_ones_are_reported_and_left_alone() {
        let (_scratch, folders) = scratch();
        for (name, text) in
            [("bob", "{"), ("carol", r#"{"userName":"dave"}"#), ("empty", ""), ("braces", "{}\n")]
        {
            fs::write(folders.state.join(format!("{name}.identity")), text).expect("written");
        }
        fs::write(folders.state.join("local.public"), "x").expect("written");
        let (records, unusable) = folders.load_all().expect("reads");
        assert_eq!((records.len(), unusable.len()), (0, 2));
        assert_eq!(fs::read_dir(&folders.state).expect("reads").count(), 5);
    }
}
