//! How large homes are, asked of file systems.

use super::system::{clues, mount};
use crate::home::facts::{Figures, Mount, Place};
use crate::storage::whereabouts::{self, Clues, Kernel, Walk};
use crate::sys::apart::apart;
use crate::sys::blockdev;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Sizes as the original counts them: an image is as big as its file, and could grow by what is free
/// on the file system it lies on. It may wait for file systems.
pub(super) fn of(place: &Place) -> Figures {
    let walked =
        whereabouts::ask((place.kind, Path::new(&place.image)), Path::new(&place.home_directory)).spot;
    let known = Clues { walk: Walk::Before(walked.as_ref()), ..clues(place) };
    let is_mounted = matches!(mount(&known, &Kernel::default()), Mount::Usable);
    let place = place.clone();
    apart(move || measured(&place, is_mounted))
}

fn measured(place: &Place, is_mounted: bool) -> Figures {
    let image = std::fs::metadata(&place.image).ok();
    if image.as_ref().is_some_and(|image| image.file_type().is_block_device()) {
        return of_device(place, is_mounted);
    }
    let size = image.as_ref().filter(|image| image.is_file()).map(std::os::unix::fs::MetadataExt::size);
    let allocated = image.as_ref().map(|image| image.st_blocks() * 512);
    let inside = is_mounted.then(|| rustix::fs::statvfs(place.home_directory.as_str()).ok()).flatten();
    let free = inside.map(|inside| inside.f_bavail * inside.f_frsize);
    let around = Path::new(&place.image).parent().and_then(|folder| rustix::fs::statvfs(folder).ok());
    let room = around.as_ref().map(|around| around.f_bavail * around.f_frsize);
    let usage = match (size, free) {
        (Some(size), Some(free)) => Some(size.saturating_sub(free).min(allocated.unwrap_or(u64::MAX))),
        (Some(_), None) => allocated,
        (None, _) => None,
    };
    Figures {
        size,
        usage,
        free,
        ceiling: allocated.zip(room).filter(|_| size.is_some()).map(|(used, room)| used.saturating_add(room)),
        floor: None,
        allocated: allocated.filter(|_| size.is_some()),
        outside: room,
        disk: around.map(|around| around.f_blocks * around.f_frsize),
        access_mode: access_mode(place, is_mounted),
    }
}

/// A device is as large as it is: there is nothing to grow into, and nobody it could give anything to.
fn of_device(place: &Place, is_mounted: bool) -> Figures {
    let size = blockdev::size_at(Path::new(&place.image)).ok();
    let inside = is_mounted.then(|| rustix::fs::statvfs(place.home_directory.as_str()).ok()).flatten();
    let free = inside.map(|inside| inside.f_bavail * inside.f_frsize);
    let usage = size.zip(free).map(|(size, free)| size.saturating_sub(free));
    let access_mode = access_mode(place, is_mounted);
    Figures { size, usage, free, access_mode, ..Figures::default() }
}

/// Of the home directory, as it is now.
fn access_mode(place: &Place, is_mounted: bool) -> Option<u32> {
    let home = is_mounted.then(|| std::fs::symlink_metadata(&place.home_directory).ok()).flatten()?;
    Some(home.st_mode() & 0o7777)
}
