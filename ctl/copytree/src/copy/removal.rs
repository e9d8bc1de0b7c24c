//! Taking away what stands in a target and does not belong there.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, fchmod, fchown, unlinkat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use crate::error::{Error, at};
use crate::flags;
use crate::listing::{MOST, Name, names};
use crate::look::{Look, read};
use crate::measure::too_many;
use crate::trail::{Trail, WITHIN};

/// Removes a name of a folder, with all that is in it, however deep, and what nobody may change (`chattr +i`). One that is not
/// there is none. Nothing that is mounted is gone into.
///
/// # Errors
/// [`Error::Mounted`], or what the kernel says. What was removed before is removed.
pub fn remove_tree(folder: BorrowedFd, name: &std::ffi::OsStr) -> Result<(), Error> {
    remove(folder, name.as_encoded_bytes(), Path::new(name))
}

/// Removes a name of a target, with all that is in it. One that is not there is none.
pub(crate) fn remove(folder: BorrowedFd, name: &[u8], path: &Path) -> Result<(), Error> {
    let mut trail = Trail::new(folder, WITHIN | ResolveFlags::NO_XDEV)?;
    let mut waiting: Vec<(Vec<u8>, Vec<Name>)> = Vec::new();
    step(&mut trail, &mut waiting, name, path)?;
    while let Some((_, names)) = waiting.last_mut() {
        match names.pop() {
            Some(name) => step(&mut trail, &mut waiting, &name.bytes, path)?,
            None => {
                let Some((name, _)) = waiting.pop() else { break };
                trail.leave()?;
                unlinkat(trail.here(), &*name, AtFlags::REMOVEDIR)
                    .map_err(at(path, "remove it from the target"))?;
            }
        }
    }
    Ok(())
}

/// Removes a name, or goes into the folder that it is.
fn step(
    trail: &mut Trail,
    waiting: &mut Vec<(Vec<u8>, Vec<Name>)>,
    name: &[u8],
    path: &Path,
) -> Result<(), Error> {
    let found = match trail.find(name) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        // What is mounted there is somebody else's.
        Err(Errno::XDEV) => return Err(Error::Mounted { path: trail.path_of(name) }),
        Err(errno) => return Err(at(path, "remove it from the target")(errno)),
    };
    let look = Look::at(&found).map_err(at(path, "look at it in the target"))?;
    if look.is_folder() {
        let opened = read(&found, OFlags::DIRECTORY).map_err(at(path, "open it in the target"))?;
        make_free(&opened, path)?;
        trail.enter(name, opened).map_err(at(path, "look at it in the target"))?;
        let names = names(trail.here(), MOST).map_err(too_many(path, "names"))?;
        waiting.push((name.to_vec(), names));
        return Ok(());
    }
    if look.is_file() && look.is_held() {
        let opened = read(&found, OFlags::empty()).map_err(at(path, "open it in the target"))?;
        flags::release(&opened).map_err(at(path, "change its flags in the target"))?;
    }
    unlinkat(trail.here(), name, AtFlags::empty()).map_err(at(path, "remove it from the target"))
}

/// Lets names be made and removed in a folder of the target, and by nobody else: whose it was may hold a descriptor of it.
pub(crate) fn make_free(folder: impl AsFd, path: &Path) -> Result<(), Error> {
    flags::release(&folder).map_err(at(path, "change its flags in the target"))?;
    fchown(&folder, Some(geteuid()), Some(getegid())).map_err(at(path, "own it in the target"))?;
    fchmod(&folder, Mode::RWXU).map_err(at(path, "change its mode in the target"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    #[test]
    fn a_folder_of_the_target_is_its_owners_no_more() {
        let folder = tempfile::tempdir().expect("scratch");
        set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("mode");
        // Root alone can have it belong to somebody.
        if geteuid().is_root() {
            chown(folder.path(), Some(65533), Some(65533)).expect("owner");
        }
        let opened = File::open(folder.path()).expect("opened");
        make_free(&opened, Path::new("folder")).expect("done");
        let facts = opened.metadata().expect("there");
        let own = (geteuid().as_raw(), getegid().as_raw(), 0o700);
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o7777), own);
    }
}
