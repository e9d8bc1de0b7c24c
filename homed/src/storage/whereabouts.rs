//! Whether a home is open, and how: asked of the kernel, by daemon and worker alike.

use super::kind;
use records::Storage as Kind;
use std::io::{self, ErrorKind};
use std::path::Path;
use uuid::Uuid;

/// What a home's parts are known by on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Clues<'a> {
    /// The kind of its storage.
    pub kind: Kind,
    /// Whose.
    pub user: &'a str,
    /// Its storage: the image file or the directory.
    pub image: &'a Path,
    /// Where it is to be mounted.
    pub home_directory: &'a Path,
    /// The UUID of its LUKS header, where it is known.
    pub luks: Option<Uuid>,
}

impl<'a> Clues<'a> {
    /// The same, with the UUID as the record has it.
    pub fn with_luks(self, luks: Option<&str>) -> Self {
        Self { luks: luks.and_then(|text| Uuid::try_parse(text).ok()), ..self }
    }
}

/// Whose homes have devices of ours, by their names and UUIDs: of homes that this machine has no record of, too.
pub fn users_with_devices() -> io::Result<Vec<String>> {
    let user = |name: &str| Some(name.strip_prefix("home-")?.split('+').next()?.to_owned());
    let mut users: Vec<String> = crate::sys::devmapper::named(|name| user(name).is_some())?
        .iter()
        .filter(|device| device.luks_uuid.is_some())
        .filter_map(|device| user(&device.name))
        .collect();
    users.sort();
    users.dedup();
    Ok(users)
}

/// Whether storage is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Not there.
    Missing,
    /// There, cleanly closed or open now.
    There,
    /// There, not cleanly closed the last time.
    Dirty,
}

/// How far a home is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of it is there: neither is its key.
    Closed,
    /// Mounted at the home directory, its key in the kernel.
    Mounted,
    /// Mounted at the home directory, its key out of memory.
    Suspended,
    /// Not mounted at the home directory, and open all the same: it is shown elsewhere, another mount namespace has a
    /// copy of the mount, a killed process has left it, or somebody has opened it by hand.
    Open,
}

/// Where the image is.
pub fn storage(image: &Path) -> Storage {
    // A disk that gives no answer now may give one later: only what is not there is missing.
    let not_there = |error: io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    if std::fs::symlink_metadata(image).is_err_and(not_there) {
        return Storage::Missing;
    }
    let mut value = [0; 16];
    match rustix::fs::getxattr(image, super::parts::image::DIRTY, &mut value) {
        Ok(1) if value[0] == b'1' => Storage::Dirty,
        Ok(_) | Err(_) => Storage::There,
    }
}

/// How far it is open.
pub fn standing(clues: &Clues<'_>) -> io::Result<Standing> {
    // Of a kind that cannot be used here, nothing can have been opened here.
    kind::of(clues.kind).map_or(Ok(Standing::Closed), |kind| (kind.standing)(clues))
}
