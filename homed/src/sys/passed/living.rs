//! The threads that wait for files of strangers', and how a daemon that ends gets rid of them.
//!
//! A process ends with its last thread, and nobody can end one that waits for FUSE, but who ends the file system: in
//! `/sys/fs/fuse/connections/N/abort` (kernel: `filesystems/fuse`), a folder that is owned by whoever has mounted it.

use std::collections::BTreeMap;
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

/// Whose files are read or closed by the threads that there are; nobody knows of some.
static ALL: Mutex<All> = Mutex::new(All { next: 0, senders: BTreeMap::new() });
/// The daemon ends: nothing is taken any more.
static ENDING: AtomicBool = AtomicBool::new(false);

struct All {
    next: u64,
    senders: BTreeMap<u64, Option<u32>>,
}

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of them, while it asks a file system.
pub struct Closing(u64);

impl Closing {
    /// It reads or closes a file that was sent by this user.
    pub fn begin(sender: Option<u32>) -> Self {
        let mut all = all();
        all.next += 1;
        let id = all.next;
        all.senders.insert(id, sender);
        Self(id)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        all().senders.remove(&self.0);
    }
}

/// Whether [`give_up`] was called.
pub fn is_ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// For a process that ends: nothing is taken any more, and whoever still waits for a file system of the sender's own in user space
/// waits no longer: that file system ends. (Of a sender that nobody knows: any user's but root's.)
pub fn give_up() {
    ENDING.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    while begun.elapsed() < 2 * PATIENCE {
        let senders: Vec<Option<u32>> = all().senders.values().copied().collect();
        if senders.is_empty() {
            return;
        }
        if begun.elapsed() > PATIENCE {
            abort(&senders);
        }
        std::thread::sleep(LOOK);
    }
}

fn abort(senders: &[Option<u32>]) {
    for entry in std::fs::read_dir(CONNECTIONS).into_iter().flatten().flatten() {
        let owner = entry.metadata().map_or(0, |facts| facts.uid());
        let is_theirs = senders.iter().any(|sender| sender.is_none_or(|sender| sender == owner));
        if owner != 0 && is_theirs && is_waited_for(&entry.path()) {
            // One that has ended meanwhile is just as good.
            let _ = std::fs::write(entry.path().join("abort"), "1");
        }
    }
}

fn is_waited_for(connection: &Path) -> bool {
    std::fs::read_to_string(connection.join("waiting")).is_ok_and(|count| count.trim() != "0")
}
