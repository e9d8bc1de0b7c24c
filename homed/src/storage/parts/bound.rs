//! A folder shown at another place of the machine, its owner mapped to a user's UID.
//!
//! Such a mount is known by being mapped: at a home directory nothing else is. Where the kernel or the file system
//! cannot map IDs, no home is opened like that, not even one whose files are the user's already: their programs could
//! write files for all other homes' users there.

use super::idmap;
use super::tree::Ids;
use crate::job::{Context, Failure, refuse};
use crate::sys::limits::Limit;
use crate::sys::mount::{self, Attributes, Entry, Found, Spot};
use records::Refusal;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The home's mounts at its home directory, whatever lies over them.
pub fn at(place: &Path) -> io::Result<Vec<Found>> {
    let Some(top) = mount::at(place)? else { return Ok(Vec::new()) };
    let mut found = mount::find(&mount::table("self")?, is_mapped);
    found.retain(|found| found.top().id == top.id);
    // The walk to the place has just ended there.
    found.iter_mut().for_each(|found| found.reachable = true);
    Ok(found)
}

/// Whether a home's mount is at this place, whatever lies over it.
pub fn is_at(spot: &Spot, mounts: &[Entry]) -> bool {
    // Where nothing is mounted, the walk ends in the mount around it.
    let top = spot.mounts(mounts).last().map(|top| top.id);
    top.is_some_and(|top| mount::find(mounts, is_mapped).iter().any(|found| found.top().id == top))
}

/// Whether a mount shows files as somebody else's.
pub fn is_mapped(mount: &Entry) -> bool {
    mount.attributes.split(',').any(|attribute| attribute == "idmapped")
}

/// A mount of an open directory that is nowhere yet.
pub fn mapped(directory: impl AsFd, ids: Ids, attributes: Attributes) -> Result<OwnedFd, Failure> {
    let tree = mount::clone_tree(directory).during("making a mount of the home directory")?;
    match idmap::apply(&tree, ids.stored, ids.exposed) {
        Ok(()) => {}
        Err(error) => return unmapped(error),
    }
    mount::restrict(&tree, attributes).during("restricting the mount of the home directory")?;
    Ok(tree)
}

/// Refuses a file system that cannot show files as somebody else's. Nothing is changed.
pub fn refuse_unmapped(around: &OwnedFd, ids: Ids) -> Result<(), Failure> {
    let tree = mount::clone_tree(around).during("making a mount of the folder")?;
    match idmap::apply(&tree, ids.stored, ids.exposed) {
        Ok(()) => Ok(()),
        Err(error) => unmapped(error),
    }
}

fn unmapped<T>(error: io::Error) -> Result<T, Failure> {
    if let Some(limit) = Limit::met(&error) {
        return refuse(
            Refusal::NotSupported,
            format!("The files of the home cannot be shown as its user's: {limit}. Allow more."),
        );
    }
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => refuse(
            Refusal::NotSupported,
            "The file system that the home lies on cannot show files as another user's (mount_setattr(2), \
             MOUNT_ATTR_IDMAP): keep homes of this kind on btrfs, ext4 or xfs, or use --storage=luks.",
        ),
        _ => Err(error).during("mapping the owner of the files"),
    }
}

/// Puts it in its place.
pub fn attach(tree: &OwnedFd, target: &Path) -> Result<(), Failure> {
    mount::attach(tree, target).during(format!("mounting at {}", target.display()))
}
