//! What is kept of a home that became an account: `/var/lib/homed/released/USER.json`, root's alone, for it has the hash of a
//! password.

use crate::classic::lines::Lines;
use crate::classic::note::Kept;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Where notes are.
pub const FOLDER: &str = "/var/lib/homed/released";
/// The version of a note.
const VERSION: u32 = 1;

/// The note of one home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Released {
    version: u32,
    /// What /etc is to say of the account.
    pub lines: Lines,
    /// Its home directory, where the home was mounted.
    pub folder: PathBuf,
    /// Where what is in the home is copied to.
    pub beside: PathBuf,
    /// The inode of that folder, once it is made.
    pub inode: Option<u64>,
    /// Whether it was put into its place: what is mounted there hides it.
    #[serde(default)]
    pub placed: bool,
    /// Where the storage of the home was.
    pub storage: PathBuf,
    /// Where that is put when the account is there.
    pub kept: PathBuf,
    /// The record of the home, as this machine had it: what it is known by again.
    pub record: Map<String, Value>,
    /// When it was written, µs since 1970.
    pub made_usec: u64,
    /// Whether the home is not wanted any more.
    pub forgotten: bool,
}

impl Kept for Released {
    const FOLDER: &'static str = FOLDER;

    fn user(&self) -> &str {
        &self.lines.user
    }

    fn is_known(&self) -> bool {
        self.version == VERSION
    }
}

impl Released {
    /// A new one, of a home with this storage and record that is mounted at a folder.
    pub fn new(lines: Lines, folder: &Path, storage: &Path, record: Map<String, Value>) -> Self {
        let (beside, kept) = (beside(folder, &lines.user), kept(storage, &lines.user));
        let (folder, storage) = (folder.to_owned(), storage.to_owned());
        Self {
            version: VERSION,
            lines,
            folder,
            beside,
            inode: None,
            placed: false,
            storage,
            kept,
            record,
            made_usec: 0,
            forgotten: false,
        }
    }
}

/// Where a copy is made that becomes a home directory: in the same folder.
pub fn beside(folder: &Path, user: &str) -> PathBuf {
    folder.with_file_name(format!(".{user}.released"))
}

/// Where storage is put: in the same folder, under a name that homed does not take for a home's.
pub fn kept(storage: &Path, user: &str) -> PathBuf {
    let ending = storage.extension().map(|ending| format!(".{}", ending.to_string_lossy()));
    storage.with_file_name(format!(".{user}.before-release{}", ending.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_and_storage_get_names_that_are_no_homes() {
        assert_eq!(beside(Path::new("/home/bob"), "bob"), Path::new("/home/.bob.released"));
        assert_eq!(kept(Path::new("/home/bob.home"), "bob"), Path::new("/home/.bob.before-release.home"));
        assert_eq!(kept(Path::new("/srv/x"), "bob"), Path::new("/srv/.bob.before-release"));
    }
}
