//! What this host keeps of its users: records, signing keys, blobs.
//!
//! | folder | what | who may read |
//! | --- | --- | --- |
//! | `/var/lib/systemd/home` | `NAME.identity`, `NAME.pin-tries`, `local.private`, `*.public` | root |
//! | `/var/cache/systemd/home/NAME` | blobs | everybody |
//! | `/etc/subuid`, `/etc/subgid` | a line for each user (`subordinate.rs`) | everybody |
//!
//! The paths are the original's: a machine may go from one to the other and back.
//! Used by the daemon and by the worker; the daemon writes a home's record only while no worker runs
//! for it. Not here: what is in a record (`records`), the copies inside the home (`worker/copies.rs`).

use crate::sys::durable::{self, Existing, New, Owner};
use std::io;
use std::path::{Path, PathBuf};

pub mod blobs;
pub mod hosted;
pub mod keys;
pub mod listings;
pub mod opened_with;
pub mod subordinate;
pub mod tries;
mod writable;

pub use writable::Need;

/// How the names of files begin that are not whole yet.
const UNFINISHED: &str = ".#";

/// Where everything is; tests use scratch folders.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Host records and keys made here.
    pub state: PathBuf,
    /// Folders with keys, the most important first; `state` is one of them.
    pub keys: Vec<PathBuf>,
    /// Blobs, a folder a user.
    pub blobs: PathBuf,
}

impl Default for Folders {
    fn default() -> Self {
        let keys = ["/etc", "/run", "/var/lib", "/usr/local/lib", "/usr/lib"];
        Self {
            state: "/var/lib/systemd/home".into(),
            keys: keys.map(|base| Path::new(base).join("systemd/home")).into(),
            blobs: "/var/cache/systemd/home".into(),
        }
    }
}

impl Folders {
    /// What was written and removed here is on disk.
    pub fn flush(&self) -> io::Result<()> {
        for folder in [&self.state, &self.blobs] {
            match std::fs::File::open(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?.sync_all()?,
            }
        }
        Ok(())
    }

    /// Makes the state folder if it is not there, for root alone.
    pub fn make(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.state)
    }
}

/// Writes a file of root's, whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let folder = path.parent().ok_or_else(invalid)?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(invalid)?;
    let folder =
        rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    durable::write(folder, name, bytes, New { owner: Owner { uid, gid, mode }, existing })
}

/// Removes a file for good; whether it was there.
pub fn remove_file(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::File::open(folder)?.sync_all()?;
    Ok(true)
}
