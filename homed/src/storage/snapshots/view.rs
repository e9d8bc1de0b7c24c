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
//! name, and it is found by a mark that only root can set. What else root has in a home, subvolumes and snapshots of it too, is no view
//! and is left alone.

use crate::job::{Context, Failure, refuse};
use crate::storage::snapshots::plan::Enter;
use crate::sys::snapshot::{self, Access};
use crate::sys::{beneath, durable, file, subvolume};
use records::Refusal;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, Stat};
use std::ffi::{CStr, CString};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use uuid::Uuid;

/// Where it is, as seen from the home. The same each time: programs know a file again by its path.
pub const PATH: &str = ".homed-view/home";
const FOLDER: &CStr = c".homed-view";
const NAME: &CStr = c"home";
/// What the folder has so that it is known again, whatever it is called: the number of the home's subvolume, as text. Nobody but root sets an
/// attribute of this kind (xattr(7)).
const MARK: &str = "trusted.homed.view";
/// The mode of the folder.
const MODE: u32 = 0o755;
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
    let _ = rustix::fs::unlinkat(home, FOLDER, AtFlags::REMOVEDIR);
    let made = rustix::fs::mkdirat(home, FOLDER, Mode::from_raw_mode(MODE)).map_err(io::Error::from);
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return in_the_way(),
        other => other.during("making the folder of the view")?,
    }
    let folder = beneath::folder(home, FOLDER).during("opening the folder of the view")?;
    let number = snapshot::facts(home).during("looking at the home")?.uuid;
    if !is_taken_over(&folder, home, number).during("marking the folder of the view")? {
        return in_the_way();
    }
    enter()?;
    snapshot::make(home, &folder, "home", Access::Read).during("making the view")
}

/// Has a folder be that of a view. Its user may have put another one in the place of what was made: so it has to be root's, in the
/// home itself, and empty when nobody but root can put anything into it any more.
fn is_taken_over(folder: &OwnedFd, home: &OwnedFd, number: Uuid) -> io::Result<bool> {
    let is_empty = || beneath::names(durable::directory_at(folder, ".")?).map(|names| names.is_empty());
    let (facts, around) = (rustix::fs::fstat(folder)?, rustix::fs::fstat(home)?);
    if facts.st_uid != 0 || facts.st_dev != around.st_dev || !is_empty()? {
        return Ok(false);
    }
    rustix::fs::fchmod(folder, Mode::from_raw_mode(MODE))?;
    if !is_empty()? {
        return Ok(false);
    }
    file::set_attribute(folder, MARK, number.to_string().as_bytes())?;
    Ok(true)
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
    let number = snapshot::facts(home).during("looking at the home")?.uuid;
    for (name, folder) in marked(home).during("looking for views of the home")? {
        match content(&folder, number).during("looking at a view")? {
            Content::Foreign => continue,
            Content::Nothing => {}
            // Nothing but an empty folder goes that way.
            Content::Trace => {
                let _ = rustix::fs::unlinkat(&folder, NAME, AtFlags::REMOVEDIR);
            }
            Content::View(view) => {
                let is_young =
                    patience == Patience::Young && is_young(&folder, now).during("looking at a view")?;
                if is_young || is_held(&view).during("asking whether somebody reads the view")? {
                    swept = Swept::Held;
                    continue;
                }
                drop(view);
                enter()?;
                // Never more than the one subvolume: the folder is root's, so nobody else has put another one there.
                subvolume::destroy(&folder, NAME).during("taking the view away")?;
            }
        }
        drop(folder);
        // Not with all that is in it: what else may be there is nothing that was put there for a view.
        enter()?;
        let _ = rustix::fs::unlinkat(home, &name, AtFlags::REMOVEDIR);
        swept = if swept == Swept::Held { Swept::Held } else { Swept::Removed };
    }
    Ok(swept)
}

/// The folders that were made for views. They lie at the top of the home: its user may not move one elsewhere, for that would
/// change it.
fn marked(home: &OwnedFd) -> io::Result<Vec<(CString, OwnedFd)>> {
    let mut marked = Vec::new();
    let around = rustix::fs::fstat(home)?;
    for name in beneath::names(durable::directory_at(home, ".")?)? {
        if beneath::look(home, &name)?.filter(is_as_made).is_none() {
            continue;
        }
        // A mount is in no view.
        let Ok(folder) = beneath::folder(home, &name) else { continue };
        let facts = rustix::fs::fstat(&folder)?;
        let is_here = is_as_made(&facts) && facts.st_dev == around.st_dev;
        if is_here && file::attribute(&folder, MARK)?.is_some() {
            marked.push((name, folder));
        }
    }
    Ok(marked)
}

fn is_as_made(facts: &Stat) -> bool {
    let is_folder = FileType::from_raw_mode(facts.st_mode) == FileType::Directory;
    is_folder && facts.st_uid == 0 && facts.st_mode & 0o7777 == MODE
}

/// What is in a folder that was made for a view.
enum Content {
    /// Nothing of that name.
    Nothing,
    /// What a snapshot of the home keeps of a view that stood: a folder that is none.
    Trace,
    /// A view.
    View(OwnedFd),
    /// Something that was put there by root, and by no backup.
    Foreign,
}

fn content(folder: &OwnedFd, home: Uuid) -> io::Result<Content> {
    match beneath::look(folder, NAME)? {
        None => return Ok(Content::Nothing),
        Some(facts) if FileType::from_raw_mode(facts.st_mode) == FileType::Directory => {}
        Some(_) => return Ok(Content::Foreign),
    }
    let Ok(inner) = beneath::folder(folder, NAME) else { return Ok(Content::Foreign) };
    if !subvolume::is_one(&inner)? {
        return Ok(Content::Trace);
    }
    let mark = file::attribute(folder, MARK)?.unwrap_or_default();
    Ok(match is_view(&snapshot::facts(&inner)?, &mark, home) {
        true => Content::View(inner),
        false => Content::Foreign,
    })
}

/// Whether a subvolume is a view of the home with that number: a snapshot of it that can be read alone, in a folder that was
/// marked for views of just that home.
fn is_view(facts: &snapshot::Facts, mark: &[u8], home: Uuid) -> bool {
    facts.access == Access::Read && facts.parent == home && mark == home.to_string().as_bytes()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_nothing_but_what_was_made_as_one() {
        let (home, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let facts =
            |access, parent| snapshot::Facts { uuid: Uuid::from_u128(3), number: 300, access, parent };
        let mark = home.to_string().into_bytes();
        assert!(is_view(&facts(Access::Read, home), &mark, home));
        for (facts, mark) in [
            (facts(Access::Write, home), mark.clone()),
            (facts(Access::Read, other), mark.clone()),
            (facts(Access::Read, Uuid::nil()), mark.clone()),
            (facts(Access::Read, home), other.to_string().into_bytes()),
            (facts(Access::Read, home), Vec::new()),
        ] {
            assert!(!is_view(&facts, &mark, home), "{facts:?}");
        }
    }
}
