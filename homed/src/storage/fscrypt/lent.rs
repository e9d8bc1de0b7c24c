//! The key of a home while the kernel has it: taken back with the worker's use of it, unless the home is shown by then.

use crate::job::{Context, Failure, Steps, refuse};
use crate::storage::Spec;
use crate::storage::folder::temporary;
use crate::sys::durable;
use crate::sys::fscrypt::{self, Folder, Name, Taken};
use records::{Refusal, Secret};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};

/// A key that was given to a file system. Dropped, it is taken back.
pub struct Lent {
    /// The folder around the home: what is in the home would be kept open by what takes the key away.
    around: OwnedFd,
    name: Name,
    is_kept: bool,
}

impl Lent {
    /// Gives the key to the file system of the folder around a home.
    pub fn give(around: &OwnedFd, name: Name, key: &Secret) -> Result<Self, Failure> {
        let around = around.try_clone().during("opening the folder of the home")?;
        fscrypt::give(&around, name, key.open()).during("giving the key of the home to the kernel")?;
        Ok(Self { around, name, is_kept: false })
    }

    /// From now on it is the home's, until that is closed.
    pub fn keep(mut self) {
        self.is_kept = true;
    }

    /// Takes it back, and tells what stays.
    pub fn take_back(mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        self.is_kept = true;
        take_back(&self.around, self.name, steps)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_kept {
            // What stays is taken back by the next verb.
            let _ = fscrypt::take_back(&self.around, self.name);
        }
    }
}

/// The open folder around a home, on the same file system as that.
pub fn around(spec: &Spec, home: impl AsFd) -> Result<OwnedFd, Failure> {
    let (around, _) = temporary::place(&spec.image)?;
    let device = |file: rustix::fd::BorrowedFd<'_>| rustix::fs::fstat(file).map(|facts| facts.st_dev);
    let same = device(around.as_fd()).and_then(|one| Ok(one == device(home.as_fd())?));
    if same.map_err(std::io::Error::from).during("looking at the folder of the home")? {
        return Ok(around);
    }
    refuse(
        Refusal::NotSupported,
        format!(
            "{} is on another file system than the folder it lies in, and its key could not be taken back by the kernel: have \
             that folder on the same one.",
            spec.image.display()
        ),
    )
}

/// Takes the key of a home that is not shown any more out of the kernel; one that is not there is out of it.
pub fn forget(spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    let Some((around, name)) = key_of(spec)? else { return Ok(()) };
    if !fscrypt::is_there(&around, name).during("asking for the key of the home")? {
        return Ok(());
    }
    take_back(&around, name, steps)
}

/// Where its key would be, and what it is called; `None`: there is no such home.
fn key_of(spec: &Spec) -> Result<Option<(OwnedFd, Name)>, Failure> {
    let home = match durable::directory(&spec.image) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        other => other.during(format!("opening {}", spec.image.display()))?,
    };
    match fscrypt::folder(&home).during("reading how the home is encrypted")? {
        Folder::Encrypted(name) => Ok(Some((around(spec, &home)?, name))),
        Folder::Plain | Folder::Impossible => Ok(None),
    }
}

fn take_back(around: &OwnedFd, name: Name, steps: &mut dyn Steps) -> Result<(), Failure> {
    let taken = fscrypt::take_back(around, name).during("taking the key of the home out of the kernel")?;
    if taken == Taken::Busy {
        steps.warn(
            "The key of the home is out of the kernel, but some of its files are still open somewhere (in a container, perhaps): \
             these can be read until they are closed."
                .into(),
        );
    }
    Ok(())
}
