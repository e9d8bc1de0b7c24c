//! The threads that wait for files of strangers', and how a daemon that ends gets rid of them.
//!
//! A process ends with its last thread, and nobody can end one that waits for FUSE, but who ends the file system: in
//! `/sys/fs/fuse/connections/N/abort` (kernel: `filesystems/fuse`): N is the minor number of its device, and the folder is owned by
//! whoever has mounted it.

use rustix::fs::{AtFlags, StatxFlags};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where the kernel shows connections to FUSE's servers.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";
/// How long a daemon that ends waits for them to end by themselves, and then for those that were let go of.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// What the threads that there are wait for.
static ALL: Mutex<All> = Mutex::new(All { next: 0, waits: BTreeMap::new() });
/// The daemon ends: nothing is taken any more.
static ENDING: AtomicBool = AtomicBool::new(false);

struct All {
    next: u64,
    waits: BTreeMap<u64, For>,
}

/// A file system in user space that one may wait for.
#[derive(Debug, Clone, Copy)]
enum For {
    /// One of this user's, who has sent the file: whichever it is below an overlay.
    User(u32),
    /// Nobody knows who has sent it: the one that it is on, by the minor number of its device.
    Device(u32),
}

impl For {
    fn of(sender: Option<u32>, file: impl AsFd) -> Self {
        if let Some(uid) = sender {
            return Self::User(uid);
        }
        // The file system is not asked: what the kernel does not know without it is not wanted. 0: it is on a disk, or is no file.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let seen = rustix::fs::statx(file, "", flags, StatxFlags::empty());
        Self::Device(seen.map_or(0, |seen| if seen.stx_dev_major == 0 { seen.stx_dev_minor } else { 0 }))
    }

    fn is(self, connection: &str, owner: u32) -> bool {
        match self {
            Self::User(uid) => owner == uid,
            Self::Device(minor) => connection.parse() == Ok(minor),
        }
    }
}

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of them, while it asks a file system.
pub struct Closing(u64);

impl Closing {
    /// It reads or closes this file, which was sent by that user.
    pub fn begin(sender: Option<u32>, file: impl AsFd) -> Self {
        let wait = For::of(sender, file);
        let mut all = all();
        all.next += 1;
        let id = all.next;
        all.waits.insert(id, wait);
        Self(id)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        all().waits.remove(&self.0);
    }
}

/// Whether [`give_up`] was called.
pub fn is_ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// For a process that ends: nothing is taken any more, and whoever still waits for a file system in user space waits no longer: that
/// file system ends. Root's never does.
pub fn give_up() {
    ENDING.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    while begun.elapsed() < 2 * PATIENCE {
        let waits: Vec<For> = all().waits.values().copied().collect();
        if waits.is_empty() {
            return;
        }
        if begun.elapsed() > PATIENCE {
            abort(&waits);
        }
        std::thread::sleep(LOOK);
    }
}

fn abort(waits: &[For]) {
    for entry in std::fs::read_dir(CONNECTIONS).into_iter().flatten().flatten() {
        let owner = entry.metadata().map_or(0, |facts| facts.uid());
        let name = entry.file_name();
        let is_theirs = name.to_str().is_some_and(|name| waits.iter().any(|wait| wait.is(name, owner)));
        if owner != 0 && is_theirs && is_waited_for(&entry.path()) {
            // One that has ended meanwhile is just as good.
            let _ = std::fs::write(entry.path().join("abort"), "1");
        }
    }
}

fn is_waited_for(connection: &Path) -> bool {
    std::fs::read_to_string(connection.join("waiting")).is_ok_and(|count| count.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elses_file_system_is_ended() {
        let alices = For::User(60001);
        assert!(alices.is("47", 60001) && !alices.is("48", 1000));
        let file = tempfile::tempfile().expect("made");
        // On a disk, or on a file system without one: no connection of somebody else's has its number.
        let For::Device(minor) = For::of(None, &file) else { panic!("nobody has sent it") };
        assert!(For::Device(minor).is(&minor.to_string(), 1000) && !For::Device(minor).is("4711000", 1000));
        assert!(!For::Device(0).is("47", 1000));
    }
}
