//! What a home is like now, shown inside of it, for a program of its user's that reads all of it and wants one moment: a backup.
//!
//! ```text
//! alice
//! └── .homed-view     root's, so that the user can neither put anything into it nor take anything out
//!     └── home        a snapshot of alice, to be read only
//! ```
//!
//! It is below the mount there is, so that nothing else is mounted: a lock and a close find what they always find. Whoever reads
//! it holds a lock on it (flock(2)); where nobody does any more, whoever comes next takes it away. The user may give the folder another
//! name, and it is found by what it is.

use crate::job::{Context, Failure, refuse};
use crate::storage::parts::erase::erase;
use crate::storage::snapshots::plan::Enter;
use crate::sys::snapshot::{self, Access};
use crate::sys::{beneath, durable, subvolume};
use records::Refusal;
use rustix::fs::{FileType, FlockOperation, Mode, Stat};
use std::ffi::{CStr, CString};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

/// Where it is, as seen from the home. The same each time: programs know a file again by its path.
pub const PATH: &str = ".homed-view/home";
const FOLDER: &str = ".homed-view";
const NAME: &CStr = c"home";
/// For so many seconds a view that nobody holds may be one that somebody is about to hold.
const YOUNG: u64 = 120;

/// Whether a view stays that was made a moment ago, and that nobody holds yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It goes.
    None,
    /// It stays.
    Young,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// No view.
    Nothing,
    /// One that nobody held; it is gone.
    Removed,
    /// One that somebody holds, or is about to hold.
    Held,
}

/// Makes one; there is none.
pub fn show(home: &OwnedFd, enter: Enter<'_, Failure>) -> Result<(), Failure> {
    // What a restored backup has left of a view is empty, and its user's.
    let _ = rustix::fs::unlinkat(home, FOLDER, rustix::fs::AtFlags::REMOVEDIR);
    let made = rustix::fs::mkdirat(home, FOLDER, Mode::from_raw_mode(0o755)).map_err(io::Error::from);
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return in_the_way(),
        other => other.during("making the folder of the view")?,
    }
    let folder = durable::directory_at(home, FOLDER).during("opening the folder of the view")?;
    // Its user may have put another one there meanwhile.
    let facts =
        rustix::fs::fstat(&folder).map_err(io::Error::from).during("looking at the folder of the view")?;
    if facts.st_uid != 0 {
        return in_the_way();
    }
    enter()?;
    snapshot::make(home, &folder, "home", Access::Read).during("making the view")
}

fn in_the_way<T>() -> Result<T, Failure> {
    refuse(
        Refusal::InvalidArgs,
        ".homed-view in the home is in the way: what a backup reads is shown there. Nothing was changed. Move it away, then try again.",
    )
}

/// Takes away what nobody holds; `now` in seconds since 1970.
pub fn sweep(
    home: &OwnedFd,
    (now, patience): (u64, Patience),
    enter: Enter<'_, Failure>,
) -> Result<Swept, Failure> {
    let mut swept = Swept::Nothing;
    for name in found(home).during("looking for views of the home")? {
        let folder = beneath::folder(home, &name).during("opening the folder of a view")?;
        if patience == Patience::Young && is_young(&folder, now).during("looking at a view")? {
            swept = Swept::Held;
            continue;
        }
        if beneath::look(&folder, NAME).during("looking at a view")?.is_some() {
            let view = beneath::folder(&folder, NAME).during("opening a view")?;
            if is_held(&view).during("asking whether somebody reads the view")? {
                swept = Swept::Held;
                continue;
            }
            drop(view);
            enter()?;
            erase(&folder, NAME).during("taking the view away")?;
        }
        drop(folder);
        // Not with all that is in it: what else may be there is nothing that was put there for a view.
        enter()?;
        let _ = rustix::fs::unlinkat(home, &name, rustix::fs::AtFlags::REMOVEDIR);
        swept = if swept == Swept::Held { Swept::Held } else { Swept::Removed };
    }
    Ok(swept)
}

/// The folders of views. They lie at the top of the home: its user may not move one elsewhere, for that would change it.
fn found(home: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut found = Vec::new();
    for name in beneath::names(durable::directory_at(home, ".")?)? {
        let Some(facts) = beneath::look(home, &name)?.filter(is_roots_folder) else { continue };
        // A mount is in no view.
        let Ok(folder) = beneath::folder(home, &name) else { continue };
        let has_view = match beneath::look(&folder, NAME)? {
            Some(inner) if FileType::from_raw_mode(inner.st_mode) == FileType::Directory => {
                subvolume::is_one(beneath::folder(&folder, NAME)?)?
            }
            Some(_) => false,
            None => name.as_bytes() == FOLDER.as_bytes() && facts.st_nlink <= 2,
        };
        if has_view {
            found.push(name);
        }
    }
    Ok(found)
}

fn is_roots_folder(facts: &Stat) -> bool {
    FileType::from_raw_mode(facts.st_mode) == FileType::Directory && facts.st_uid == 0
}

/// Whether somebody has a lock on it.
fn is_held(view: &OwnedFd) -> io::Result<bool> {
    match rustix::fs::flock(view, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether its folder was made, or the view in it, a moment ago.
fn is_young(folder: &OwnedFd, now: u64) -> io::Result<bool> {
    let changed = u64::try_from(rustix::fs::fstat(folder)?.st_mtime).unwrap_or(0);
    Ok(changed <= now && now - changed < YOUNG)
}
