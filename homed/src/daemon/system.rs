//! Facts asked from kernel and disk.

use crate::home::facts::{Facts, Figures, Mount, Place, SignedLocally, Storage, Whereabouts};
use records::Record;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use std::io::{self, ErrorKind};
use std::os::linux::fs::MetadataExt;
use std::path::Path;

/// The extended attribute of an image that was not cleanly closed.
const DIRTY: &str = "user.home-dirty";

/// Tells who signed a record.
pub type Signed = Box<dyn Fn(&Record) -> Option<SignedLocally>>;

/// Facts of this machine.
pub struct System {
    /// Who signed a record, by the keys of this machine.
    pub signed: Signed,
}

impl Facts for System {
    fn whereabouts(&self, place: &Place) -> Whereabouts {
        Whereabouts { storage: storage(Path::new(&place.image)), mount: mount(place) }
    }

    fn figures(&self, place: &Place) -> Figures {
        figures(place).unwrap_or_default()
    }

    fn signed_locally(&self, record: &Record) -> Option<SignedLocally> {
        (self.signed)(record)
    }
}

fn storage(image: &Path) -> Storage {
    // A disk that gives no answer now may give one later: only what is not there is missing.
    let not_there = |error: io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    if std::fs::symlink_metadata(image).is_err_and(not_there) {
        return Storage::Missing;
    }
    let mut value = [0; 16];
    match rustix::fs::getxattr(image, DIRTY, &mut value) {
        Ok(1) if value[0] == b'1' => Storage::Dirty,
        Ok(_) | Err(_) => Storage::There,
    }
}

fn mount(place: &Place) -> Mount {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let Ok(facts) = rustix::fs::statx(CWD, place.home_directory.as_str(), flags, StatxFlags::empty()) else {
        return Mount::None;
    };
    if !facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Mount::None;
    }
    if is_suspended(place).unwrap_or(false) { Mount::Suspended } else { Mount::Usable }
}

/// Whether the home's device-mapper device is suspended: its key is not in the kernel.
fn is_suspended(place: &Place) -> Option<bool> {
    let node = std::fs::metadata(format!("/dev/mapper/home-{}", place.user)).ok()?;
    let (major, minor) = (rustix::fs::major(node.st_rdev()), rustix::fs::minor(node.st_rdev()));
    let text = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/dm/suspended")).ok()?;
    Some(text.trim() == "1")
}

/// Sizes as the original counts them: an image is as big as its file, and could grow by what is free
/// on the file system it lies on.
fn figures(place: &Place) -> Option<Figures> {
    let image = std::fs::metadata(&place.image).ok();
    let size = image.as_ref().filter(|image| image.is_file()).map(std::os::unix::fs::MetadataExt::size);
    let allocated = image.as_ref().map(|image| image.st_blocks() * 512);
    let inside = matches!(mount(place), Mount::Usable)
        .then(|| rustix::fs::statvfs(place.home_directory.as_str()).ok())
        .flatten();
    let free = inside.map(|inside| inside.f_bavail * inside.f_frsize);
    let around = Path::new(&place.image).parent().and_then(|folder| rustix::fs::statvfs(folder).ok());
    let room = around.as_ref().map(|around| around.f_bavail * around.f_frsize);
    let usage = match (size, free) {
        (Some(size), Some(free)) => Some(size.saturating_sub(free).min(allocated.unwrap_or(u64::MAX))),
        (Some(_), None) => allocated,
        (None, _) => None,
    };
    Some(Figures {
        size,
        usage,
        free,
        ceiling: allocated.zip(room).filter(|_| size.is_some()).map(|(used, room)| used.saturating_add(room)),
        floor: None,
        allocated: allocated.filter(|_| size.is_some()),
        outside: room,
        disk: around.map(|around| around.f_blocks * around.f_frsize),
    })
}
