//! The key of a home while the kernel has it: taken back with the worker's use of it, unless the home is shown by then.

use crate::job::{Context, Failure, Steps, refuse};
use crate::storage::Spec;
use crate::storage::folder::temporary;
use crate::storage::parts::bound;
use crate::sys::durable;
use crate::sys::fscrypt::{self, Folder, Name, Taken};
use crate::sys::mount::{self, Entry};
use records::{Refusal, Secret};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

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
    if is_on_the_same(&around, home).during("looking at the folder of the home")? {
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

/// The key of a home that is shown, by what is shown: its folder may have been moved meanwhile.
pub struct Shown {
    name: Name,
    /// A folder of the same file system outside of the home.
    around: Option<OwnedFd>,
    /// What that file system is on.
    source: PathBuf,
}

impl Shown {
    /// Looks at the mount at the home directory; `None`: there is none, or something lies over it.
    pub fn look(spec: &Spec) -> Result<Option<Self>, Failure> {
        let found = bound::at(&spec.home_directory).during("reading the table of mounts")?;
        let Some(found) = found.into_iter().find(|found| found.over.is_empty()) else { return Ok(None) };
        let Ok(home) = durable::directory(&spec.home_directory) else { return Ok(None) };
        let Ok(Folder::Encrypted(name)) = fscrypt::folder(&home) else { return Ok(None) };
        let around = match around(spec, &home) {
            Ok(around) => Some(around),
            Err(_) => elsewhere(&found.mount, &home, name)?,
        };
        Ok(Some(Self { name, around, source: found.mount.source }))
    }

    /// Takes the key out of the kernel, once the home is not mounted any more. Where its folder is not there, and that cannot be
    /// done, it is told.
    pub fn forget(self, is_there: impl Fn() -> bool, steps: &mut dyn Steps) -> Result<(), Failure> {
        let taken = self.around.as_ref().map(|around| take_back(around, self.name, steps));
        let why = match taken {
            Some(Ok(())) => return Ok(()),
            Some(Err(failure)) if is_there() => return Err(failure),
            Some(Err(failure)) => failure.text().to_owned(),
            None => "nothing else of its file system is mounted here".into(),
        };
        let source = self.source.display();
        steps.warn(format!(
            "The home is closed, its folder is not where it was, and its key stays in the kernel until {source} is unmounted \
             everywhere ({why}). Nothing is lost."
        ));
        Ok(())
    }
}

/// An open folder of the same file system, which another mount shows.
fn elsewhere(home: &Entry, open: &OwnedFd, name: Name) -> Result<Option<OwnedFd>, Failure> {
    let mounts = mount::table("self").during("reading the table of mounts")?;
    let others = mounts.iter().filter(|mount| mount.device == home.device && !bound::is_mapped(mount));
    let is_good = |folder: &OwnedFd| {
        is_on_the_same(folder, open).unwrap_or(false)
            && !matches!(fscrypt::folder(folder), Ok(Folder::Encrypted(other)) if other == name)
    };
    Ok(others.filter_map(|mount| durable::directory(&mount.target).ok()).find(is_good))
}

fn is_on_the_same(one: impl AsFd, other: impl AsFd) -> std::io::Result<bool> {
    Ok(rustix::fs::fstat(one)?.st_dev == rustix::fs::fstat(other)?.st_dev)
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
