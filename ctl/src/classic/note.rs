//! What is kept of an account that became a home: `/var/lib/homed/converted/USER.json`, root's alone, for it has the hash of a
//! password.

use super::lines::Lines;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Write};
use std::marker::PhantomData;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where notes are.
pub const FOLDER: &str = "/var/lib/homed/converted";
/// The version of a note.
const VERSION: u32 = 1;

/// The note of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    version: u32,
    /// What /etc has said of it.
    pub lines: Lines,
    /// Its home directory.
    pub folder: PathBuf,
    /// The inode of that, by which it is known from the directory that the home is mounted at.
    pub inode: u64,
    /// Where that is put when the home is there.
    pub away: PathBuf,
    /// Where the storage of the home is.
    pub storage: PathBuf,
    /// When it was written, µs since 1970.
    pub made_usec: u64,
    /// Whether the folder is not wanted any more.
    pub forgotten: bool,
    /// The folder's mode, once it is put away: there it is root's and its user's alone, for its group may be others' by then.
    #[serde(default)]
    pub mode: Option<u32>,
}

impl Note {
    /// A new one.
    pub fn new(lines: Lines, (folder, inode): (&Path, u64), storage: &Path, made_usec: u64) -> Self {
        let user = &lines.user;
        let away = folder.with_file_name(format!(".{user}.before-homed"));
        let (folder, storage) = (folder.to_owned(), storage.to_owned());
        Self {
            version: VERSION,
            lines,
            folder,
            inode,
            away,
            storage,
            made_usec,
            forgotten: false,
            mode: None,
        }
    }
}

/// What is kept of a change of an account, one file for each user.
pub trait Kept: Serialize + DeserializeOwned {
    /// Where such notes are.
    const FOLDER: &'static str;
    /// Whose it is.
    fn user(&self) -> &str;
    /// Whether this version of homectl knows all that it says.
    fn is_known(&self) -> bool;
}

impl Kept for Note {
    const FOLDER: &'static str = FOLDER;

    fn user(&self) -> &str {
        &self.lines.user
    }

    fn is_known(&self) -> bool {
        self.version == VERSION
    }
}

/// The notes of a machine.
pub struct Notes<N = Note>(PathBuf, PhantomData<N>);

impl<N: Kept> Default for Notes<N> {
    fn default() -> Self {
        Self::at(Path::new(N::FOLDER))
    }
}

impl<N: Kept> Notes<N> {
    /// Those in a folder.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned(), PhantomData)
    }

    /// Where the note of a user is.
    pub fn path(&self, user: &str) -> PathBuf {
        self.0.join(format!("{user}.json"))
    }

    /// Reads one; `None`: there is none.
    pub fn read(&self, user: &str) -> io::Result<Option<N>> {
        let text = match fs::read_to_string(self.path(user)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let note: N = serde_json::from_str(&text).map_err(io::Error::other)?;
        match note.is_known() && note.user() == user {
            true => Ok(Some(note)),
            false => {
                Err(io::Error::other("it was written by another version of homectl, or is another user's"))
            }
        }
    }

    /// Writes one, whole, and has it on disk.
    pub fn write(&self, note: &N) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        // The folder itself is on disk before what is in it.
        self.0.ancestors().skip(1).take(2).try_for_each(sync)?;
        let mut new = tempfile::NamedTempFile::new_in(&self.0)?;
        serde_json::to_writer_pretty(&mut new, note)?;
        new.flush()?;
        new.as_file().sync_all()?;
        new.persist(self.path(note.user())).map_err(|error| error.error)?;
        sync(&self.0)
    }

    /// Removes one.
    pub fn remove(&self, user: &str) -> io::Result<()> {
        match fs::remove_file(self.path(user)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        sync(&self.0)
    }
}

/// Has the names in a folder on disk.
pub fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_note_is_roots_alone_and_reads_as_it_was_written() {
        let scratch = tempfile::tempdir().expect("scratch");
        let notes = Notes::at(&scratch.path().join("lib/homed/converted"));
        assert_eq!(notes.read("bob").expect("reads"), None);
        let lines = Lines {
            user: "bob".into(),
            passwd: "bob:x:1000:1000::/home/bob:/bin/sh".into(),
            shadow: Some("bob:$y$h:1::::::".into()),
            group: None,
            gshadow: None,
            member_of: vec!["wheel".into()],
            shadow_member_of: Vec::new(),
        };
        let note = Note::new(lines, (Path::new("/home/bob"), 12), Path::new("/home/bob.home"), 7);
        assert_eq!(note.away, Path::new("/home/.bob.before-homed"));
        notes.write(&note).expect("written");
        assert_eq!(notes.read("bob").expect("reads"), Some(note));
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o077;
        assert_eq!((mode(&notes.path("bob")), mode(&notes.0)), (0, 0));
        fs::copy(notes.path("bob"), notes.path("eve")).expect("copied");
        assert!(notes.read("eve").is_err(), "another user's note");
        notes.remove("bob").expect("removed");
        notes.remove("bob").expect("removed already");
        assert_eq!(notes.read("bob").expect("reads"), None);
    }
}
