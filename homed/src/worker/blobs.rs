//! Pictures and other blobs of a record: `blobManifest` names them with their SHA-256. They are kept on
//! this machine (for login screens) and in the home, and each side is filled up from the other.

use crate::job::{Context, Failure, Steps};
use crate::statedir::Folders;
use crate::storage::HomeDirectory;
use crate::sys::durable::{self, Owner};
use records::{Record, UserName};
use rustix::fs::Mode;
use serde_json::Value;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// In the home.
const INSIDE: &str = ".identity-blob";

/// Pictures that were taken in for a change, until they are put in place.
pub struct Claimed(Option<PathBuf>);

impl Claimed {
    /// Takes them on. Not there any more: the caller has gone.
    pub fn new(staged: Option<&str>) -> Result<Self, Failure> {
        let claim = |staged: &str| Folders::default().claim_blobs(Path::new(staged));
        Ok(Self(staged.map(claim).transpose().during("taking the pictures on")?))
    }

    /// Whether there are some that are not in place yet.
    pub fn is_waiting(&self) -> bool {
        self.0.is_some()
    }

    /// Copies them into a new home; where none were taken in, those that this machine has.
    pub fn copy_into(&self, record: &Record, home: &HomeDirectory) -> Result<(), Failure> {
        let folder = self.0.clone().unwrap_or_else(|| cache(record.user()));
        let from = match durable::directory(&folder) {
            Ok(from) if !manifest(record).is_empty() => from,
            Ok(_) | Err(_) => return Ok(()),
        };
        copy(record, &from, &inside(home)?, home.owner_of_files(0o644)).map(drop)
    }

    /// Puts them in place, if there are some.
    pub fn publish(&mut self, user: &UserName) -> Result<(), Failure> {
        match self.0.take() {
            Some(claimed) => {
                Folders::default().publish_blobs(user, &claimed).during("putting the pictures in place")
            }
            None => Ok(()),
        }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Some(claimed) = &self.0 {
            // What stays is removed when the daemon starts.
            let _ = std::fs::remove_dir_all(claimed);
        }
    }
}

/// Whether the record names any.
pub fn has_some(record: &Record) -> bool {
    !manifest(record).is_empty()
}

/// Removes from the home what only the record before had.
pub fn drop_old(before: &Record, now: &Record, home: &HomeDirectory) -> Result<(), Failure> {
    let named = manifest(now);
    let gone: Vec<&str> = manifest(before)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !named.iter().any(|(kept, _)| kept == name))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    let folder = inside(home)?;
    for name in gone {
        match rustix::fs::unlinkat(&folder, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => {
                return Err(io::Error::from(error)).during(format!("removing the picture {name:?}"));
            }
        }
    }
    durable::sync_directory(&folder).during("removing pictures")
}

/// Fills up whichever side lacks something. Pictures are not worth a refused login.
pub fn level(record: &Record, home: &HomeDirectory, steps: &mut dyn Steps) {
    if manifest(record).is_empty() {
        return;
    }
    let levelled = both(record, home);
    match levelled {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => steps.warn(format!("Missing or damaged: {}.", missing.join(", "))),
        Err(failure) => steps.warn(format!("Pictures could not be copied: {}", failure.text())),
    }
}

fn both(record: &Record, home: &HomeDirectory) -> Result<Vec<String>, Failure> {
    let path = cache(record.user());
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755).create(&path).during(format!("making {}", path.display()))?;
    let host = durable::directory(&path).during(format!("opening {}", path.display()))?;
    let inner = inside(home)?;
    copy(record, &host, &inner, home.owner_of_files(0o644))?;
    copy(record, &inner, &host, Owner { uid: 0, gid: 0, mode: 0o644 })
}

/// Copies what the target lacks and the source has; names neither has.
fn copy(record: &Record, from: &OwnedFd, to: &OwnedFd, owner: Owner) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    let mut room = records::blobs::MAX_TOTAL;
    for (name, digest) in manifest(record) {
        if read(to, name, digest, room).is_some() {
            continue;
        }
        match read(from, name, digest, room) {
            Some(bytes) => {
                room = room.saturating_sub(bytes.len() as u64);
                let _ = durable::collect(to, name);
                durable::replace(to, name, &bytes, owner).during(format!("copying the picture {name:?}"))?;
            }
            None => missing.push(name.to_owned()),
        }
    }
    Ok(missing)
}

/// Reads a blob that may have been put there by its user: a regular file of the right content, or nothing.
fn read(folder: &OwnedFd, name: &str, digest: &str, limit: u64) -> Option<Vec<u8>> {
    let bytes = durable::read_foreign(folder, name, limit).ok()?;
    let found: String = openssl::sha::sha256(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    (found == digest).then_some(bytes)
}

fn manifest(record: &Record) -> Vec<(&str, &str)> {
    let Some(Value::Object(entries)) = record.members().get("blobManifest") else { return Vec::new() };
    let usable =
        |(name, digest): (&'_ String, &'_ Value)| records::blobs::is_name(name) && digest.is_string();
    entries
        .iter()
        .filter(|(name, digest)| usable((name, digest)))
        .filter_map(|(name, digest)| Some((name.as_str(), digest.as_str()?)))
        .collect()
}

fn inside(home: &HomeDirectory) -> Result<OwnedFd, Failure> {
    match rustix::fs::mkdirat(home.as_fd(), INSIDE, Mode::from_raw_mode(0o700)) {
        Ok(()) => {
            let made = durable::directory_at(home, INSIDE).during("opening .identity-blob")?;
            let owner = home.owner_of_files(0o700);
            let (uid, gid) = (rustix::fs::Uid::from_raw(owner.uid), rustix::fs::Gid::from_raw(owner.gid));
            let given = rustix::fs::fchown(&made, Some(uid), Some(gid)).map_err(io::Error::from);
            given.during("changing the owner of .identity-blob")?;
            Ok(made)
        }
        Err(rustix::io::Errno::EXIST) => durable::directory_at(home, INSIDE).during("opening .identity-blob"),
        Err(error) => Err(io::Error::from(error)).during("making .identity-blob"),
    }
}

fn cache(user: &UserName) -> PathBuf {
    Folders::default().blob_folder(user)
}
