//! Facts asked from kernel and disk.

use crate::home::facts::{Facts, Figures, Mount, Parts, Place, SignedLocally, Storage, Whereabouts};
use crate::storage::kind;
use crate::storage::whereabouts::{self, Clues, Standing};
use records::Record;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

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

    fn parts(&self, place: &Place) -> Option<Parts> {
        let parts = kind::of(place.kind)?.parts;
        Some(Parts { locks: parts.locks, resizes: parts.resizes, tends: parts.tends })
    }

    fn figures(&self, place: &Place) -> Figures {
        figures(place)
    }

    fn signed_locally(&self, record: &Record) -> Option<SignedLocally> {
        (self.signed)(record)
    }
}

/// What the kernel knows the parts of a home by.
pub(super) fn clues(place: &Place) -> Clues<'_> {
    Clues {
        kind: place.kind,
        user: place.user.as_str(),
        image: Path::new(&place.image),
        home_directory: Path::new(&place.home_directory),
        luks: None,
    }
    .with_luks(place.luks_uuid.as_deref())
}

fn storage(image: &Path) -> Storage {
    match whereabouts::storage(image) {
        whereabouts::Storage::Missing => Storage::Missing,
        whereabouts::Storage::There => Storage::There,
        whereabouts::Storage::Dirty => Storage::Dirty,
    }
}

fn mount(place: &Place) -> Mount {
    match whereabouts::standing(&clues(place)) {
        Ok(Standing::Closed) => Mount::None,
        Ok(Standing::Mounted) => Mount::Usable,
        Ok(Standing::Suspended) => Mount::Suspended,
        // What cannot be told must not count as closed: whoever locks it looks again, and says what is wrong.
        Ok(Standing::Open) | Err(_) => Mount::Open,
    }
}

/// Sizes as the original counts them: an image is as big as its file, and could grow by what is free
/// on the file system it lies on.
pub(super) fn figures(place: &Place) -> Figures {
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
    Figures {
        size,
        usage,
        free,
        ceiling: allocated.zip(room).filter(|_| size.is_some()).map(|(used, room)| used.saturating_add(room)),
        floor: None,
        allocated: allocated.filter(|_| size.is_some()),
        outside: room,
        disk: around.map(|around| around.f_blocks * around.f_frsize),
    }
}
