//! Folders beside a home that are not one yet, or not any more. Whoever works on one has it locked; one that nobody has
//! locked was left by a process that was killed, and is taken away by the next verb on any home beside it. Where it is
//! encrypted, the kernel may have its key, and it alone tells which: the key goes first.

use crate::job::{Context, Failure, refuse};
use crate::storage::parts::erase::erase;
use crate::sys::durable;
use crate::sys::fscrypt::{self, Folder, Name};
use records::Refusal;
use rustix::fs::{FlockOperation, RenameFlags};
use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;
use uuid::Uuid;

/// What the names of all of them begin with; nothing that begins so is a home.
const BEGIN: &str = ".#homed-";
/// So often a folder is made anew that somebody has swept away before it was locked.
const TRIES: usize = 8;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A home that is being made.
    New,
    /// One that is being deleted.
    Gone,
}

impl Purpose {
    fn name(self) -> String {
        let what = match self {
            Self::New => "new",
            Self::Gone => "gone",
        };
        format!("{BEGIN}{what}-{}", Uuid::new_v4().simple())
    }
}

/// One of them. Dropped, it is taken away.
pub struct Temporary<'a> {
    around: &'a OwnedFd,
    name: String,
    /// Open, and locked.
    directory: OwnedFd,
    is_kept: bool,
}

impl<'a> Temporary<'a> {
    /// One that is made now.
    pub fn new(
        purpose: Purpose,
        around: &'a OwnedFd,
        make: impl Fn(&str) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        for _ in 0..TRIES {
            let name = purpose.name();
            make(&name)?;
            if let Some(directory) = locked(around, &name).during("opening the new home")? {
                return Ok(Self { around, name, directory, is_kept: false });
            }
        }
        Err(Failure::fault("somebody sweeps the new home away again and again"))
    }

    /// What has had another name; durable.
    pub fn rename(purpose: Purpose, around: &'a OwnedFd, old: &str) -> io::Result<Self> {
        let name = purpose.name();
        // Locked before it has the name that others sweep.
        let directory = durable::directory_at(around, old)?;
        rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        rustix::fs::renameat_with(around, old, around, &name, RenameFlags::NOREPLACE)?;
        durable::sync_directory(around)?;
        Ok(Self { around, name, directory, is_kept: false })
    }

    /// The folder.
    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Gives it its name, durably; `HomeExists` where that is taken.
    pub fn publish(&mut self, name: &str) -> Result<(), Failure> {
        let done =
            rustix::fs::renameat_with(self.around, &self.name, self.around, name, RenameFlags::NOREPLACE);
        match done.map_err(io::Error::from) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return refuse(Refusal::HomeExists, format!("{name} is there by now; it was left as it is."));
            }
            other => other.during("putting the new home in its place")?,
        }
        self.is_kept = true;
        durable::sync_directory(self.around).during("writing the name of the new home to disk")
    }

    /// Takes it away, and says how that went.
    pub fn erase(mut self) -> io::Result<()> {
        self.is_kept = true;
        erase(self.around, &c_name(&self.name)?)?;
        durable::sync_directory(self.around)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // What stays is swept by the next verb.
            let _ = c_name(&self.name).and_then(|name| erase(self.around, &name));
        }
    }
}

/// The open folder around a home's, and its name in that; `HomeAbsent` where that folder is not there.
pub fn place(image: &Path) -> Result<(OwnedFd, String), Failure> {
    let name = image.file_name().and_then(|name| name.to_str());
    let (Some(name), Some(folder)) = (name, image.parent()) else {
        return refuse(Refusal::InvalidArgs, format!("{} cannot be the folder of a home.", image.display()));
    };
    match durable::folder(folder) {
        Ok(around) => Ok((around, name.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            refuse(Refusal::HomeAbsent, format!("{} is not there.", folder.display()))
        }
        Err(error) => Err(error).during(format!("opening {}", folder.display())),
    }
}

/// Takes away what killed processes have left beside a home.
pub fn sweep(image: &Path) -> Result<(), Failure> {
    let Ok((around, _)) = place(image) else { return Ok(()) };
    left(&around)
        .and_then(|names| names.iter().try_for_each(|name| sweep_one(&around, name)))
        .during("taking away what a killed worker has left")
}

fn sweep_one(around: &OwnedFd, name: &str) -> io::Result<()> {
    match locked(around, name)? {
        // Locked as long as it takes.
        Some(locked) => {
            let key = take_key(around, &locked)?;
            erase(around, &c_name(name)?)?;
            drop(locked);
            // What was open of it is closed now.
            key.map_or(Ok(()), |key| fscrypt::take_back(around, key).map(drop))
        }
        None => Ok(()),
    }
}

/// Takes the key of an encrypted folder out of the kernel; what it is called.
fn take_key(around: &OwnedFd, locked: &OwnedFd) -> io::Result<Option<Name>> {
    match fscrypt::folder(locked) {
        Ok(Folder::Encrypted(name)) => fscrypt::take_back(around, name).map(|_| Some(name)),
        Ok(Folder::Plain | Folder::Impossible) => Ok(None),
        // In a way that is not known here: this program has given no key for it.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the keys of what killed processes have left in a folder of homes out of the kernel, and leaves the rest to the next
/// verb: it may be large. Of how many that was done.
pub fn forget_keys(folder: &Path) -> usize {
    let Ok(around) = durable::folder(folder) else { return 0 };
    let names = left(&around).unwrap_or_default();
    let taken = |name: &&String| {
        let Some(locked) = locked(&around, name).ok().flatten() else { return false };
        let has_key = matches!(fscrypt::folder(&locked), Ok(Folder::Encrypted(name)) if fscrypt::is_there(&around, name).unwrap_or(true));
        let key = take_key(&around, &locked);
        drop(locked);
        // What was open of it is closed now: the folder itself is readable as long as somebody has it.
        let whole = key.and_then(|key| key.map_or(Ok(()), |key| fscrypt::take_back(&around, key).map(drop)));
        has_key && whole.is_ok()
    };
    names.iter().filter(taken).count()
}

fn left(around: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(around)? {
        let entry = entry?;
        names.extend(
            entry.file_name().to_str().ok().filter(|name| name.starts_with(BEGIN)).map(str::to_owned),
        );
    }
    Ok(names)
}

/// Opened and locked; `None`: it is somebody's, or gone.
fn locked(around: &OwnedFd, name: &str) -> io::Result<Option<OwnedFd>> {
    let directory = match durable::directory_at(around, name) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        other => other?,
    };
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
        other => other?,
    }
    // Whoever had it locked may have given it its name, or have taken it away.
    let (here, there) = (rustix::fs::fstat(&directory)?, durable::directory_at(around, name));
    let is_same = there
        .and_then(|there| Ok(rustix::fs::fstat(there)?))
        .is_ok_and(|there| (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino));
    Ok(is_same.then_some(directory))
}

fn c_name(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_works_on_is_swept_and_nothing_else() {
        let top = tempfile::tempdir().expect("folder");
        let around = durable::directory(top.path()).expect("opens");
        let make = |name: &str| std::fs::create_dir(top.path().join(name)).during("making it");
        let mut new = Temporary::new(Purpose::New, &around, make).expect("made");
        std::fs::create_dir(top.path().join(".#homed-gone-1")).expect("made");
        std::fs::create_dir(top.path().join("alice.homedir")).expect("made");
        sweep(&top.path().join("bob.homedir")).expect("swept");
        assert!(!top.path().join(".#homed-gone-1").exists());
        assert!(top.path().join(&new.name).exists() && top.path().join("alice.homedir").exists());
        assert!(new.publish("alice.homedir").is_err());
        new.publish("bob.homedir").expect("published");
        drop(new);
        assert!(top.path().join("bob.homedir").exists());
        Temporary::rename(Purpose::Gone, &around, "bob.homedir").and_then(Temporary::erase).expect("erased");
        assert!(!top.path().join("bob.homedir").exists());
        assert_eq!(left(&around).expect("read").len(), 0);
    }
}
