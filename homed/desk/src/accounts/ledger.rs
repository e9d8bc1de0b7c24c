//! What AccountsService was told by us, kept over restarts: what is not in here is not ours, and stays.

use super::plan::{Entry, Ledger};
use records::UserName;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where it is.
pub const FOLDER: &str = "/var/lib/homed-accounts";
const NAME: &str = "told.json";

/// The file.
pub struct Kept(PathBuf);

impl Kept {
    /// In that folder.
    pub fn at(folder: &Path) -> Self {
        Self(folder.join(NAME))
    }

    /// What it says; nothing, where there is none.
    ///
    /// # Errors
    /// It cannot be read, or was written by somebody else.
    pub fn read(&self) -> io::Result<Ledger> {
        match fs::read(&self.0) {
            Ok(bytes) => {
                let all: BTreeMap<String, Entry> = serde_json::from_slice(&bytes)?;
                Ok(all
                    .into_iter()
                    .filter_map(|(name, entry)| Some((UserName::parse(&name).ok()?, entry)))
                    .collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ledger::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes it whole: a power cut leaves the old one or the new one.
    ///
    /// # Errors
    /// The disk is full, or cannot be written.
    pub fn write(&self, ledger: &Ledger) -> io::Result<()> {
        let partial = self.0.with_extension("partial");
        let mut file = File::create(&partial)?;
        let all: BTreeMap<&str, &Entry> = ledger.iter().map(|(user, entry)| (user.as_str(), entry)).collect();
        file.write_all(&serde_json::to_vec(&all)?)?;
        file.sync_all()?;
        fs::rename(&partial, &self.0)?;
        self.sync()
    }

    /// It is of no use any more.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync(),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let folder = self.0.parent().ok_or(io::ErrorKind::NotFound)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().expect("folder");
        let kept = Kept::at(folder.path());
        assert_eq!(kept.read().expect("none"), Ledger::new());
        let alice = UserName::parse("alice").expect("valid");
        let ledger = Ledger::from([(alice, Entry { picture: Some("ab".into()), ..Entry::default() })]);
        kept.write(&ledger).expect("written");
        assert_eq!(kept.read().expect("read"), ledger);
        kept.remove().expect("removed");
        kept.remove().expect("there is none");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    }
}
