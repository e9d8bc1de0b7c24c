//! Whether the folder for host records takes what a verb would write there: asked before anything is made or changed, for
//! a home without its record, or a record without its home, is what is left otherwise.

use super::{Folders, UNFINISHED};
use records::Refusal;
use records::refusal::Refused;
use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

/// How much is tried, in bytes: a record with all that tools may put into one.
const TRIED: usize = 64 << 10;

/// What a verb does in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It writes a record.
    Room,
    /// It takes one away, which a full disk is no reason against: it may be done to have room again.
    Names,
}

impl Folders {
    /// Tries it with a file that has no name, or not for long.
    pub fn refuse_unwritable(&self, need: Need) -> Result<(), Refused> {
        let tried = self.make().and_then(|()| self.try_to_write());
        let Err(error) = tried else { return Ok(()) };
        let folder = self.state.display();
        let (refusal, sentence) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded if need == Need::Names => return Ok(()),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                Refusal::NoDiskSpace,
                format!("There is no room for this machine's record of the home in {folder}."),
            ),
            io::ErrorKind::ReadOnlyFilesystem => (
                Refusal::NotSupported,
                format!(
                    "{folder}, where this machine keeps the records of homes, can only be read. A disk with errors gets so \
                     by itself: see dmesg(1), and which one it is: findmnt --target {folder}. Mount it for writing and try \
                     again."
                ),
            ),
            _ => (
                Refusal::NotSupported,
                format!(
                    "{folder}, where this machine keeps the records of homes, cannot be written: {error}. See to that and \
                     try again."
                ),
            ),
        };
        Err(Refused::new(refusal, sentence))
    }

    fn try_to_write(&self) -> io::Result<()> {
        let folder = File::open(&self.state)?;
        let file = nameless(&folder.into())?;
        (&file).write_all(&vec![0; TRIED])
    }
}

/// A file that goes with its descriptor.
fn nameless(folder: &OwnedFd) -> io::Result<File> {
    let (flags, mode) = (OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o600));
    if let Ok(file) = rustix::fs::openat(folder, ".", flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    // As what is not whole yet is called: a daemon that starts collects it.
    let name = format!("{UNFINISHED}tried.{}", uuid::Uuid::new_v4().simple());
    let file = rustix::fs::openat(folder, &name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    rustix::fs::unlinkat(folder, &name, AtFlags::empty())?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statedir::Folders;

    #[test]
    fn what_is_tried_leaves_nothing_and_what_is_in_the_way_is_named() {
        let scratch = tempfile::tempdir().expect("scratch folder");
        let folders = Folders { state: scratch.path().join("home"), ..Folders::default() };
        for need in [Need::Room, Need::Names] {
            folders.refuse_unwritable(need).expect("it can be written");
        }
        assert_eq!(std::fs::read_dir(&folders.state).expect("made").count(), 0);
        std::fs::write(scratch.path().join("file"), "").expect("written");
        let none = Folders { state: scratch.path().join("file"), ..folders };
        let refused = none.refuse_unwritable(Need::Names).expect_err("no folder");
        assert!(refused.sentence.contains("/file, where this machine keeps"), "{}", refused.sentence);
    }
}
