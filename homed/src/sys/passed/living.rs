//! The threads that wait for files of strangers', and how a daemon that ends gets rid of them.
//!
//! A process ends with its last thread, and nobody can end one that waits for FUSE, but who ends the file system: in
//! `/sys/fs/fuse/connections/N/abort`, where N is the minor number of its device (kernel: `filesystems/fuse`).

use rustix::fs::{AtFlags, StatxFlags};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where the kernel shows connections to FUSE's servers.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";
/// How long a daemon that ends waits for them to end by themselves, and for those that were let go of.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

static ALL: Mutex<All> = Mutex::new(All { next: 0, devices: BTreeMap::new() });

struct All {
    next: u64,
    /// The minor number of each one's device.
    devices: BTreeMap<u64, u32>,
}

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of them.
pub struct Living(u64);

impl Living {
    /// One that reads and closes this file.
    pub fn begin(file: impl AsFd) -> Self {
        // Its file system is not asked: what the kernel does not know without it is not wanted.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let seen = rustix::fs::statx(file, "", flags, StatxFlags::empty());
        let mut all = all();
        all.next += 1;
        let id = all.next;
        all.devices.insert(id, seen.map_or(0, |seen| seen.stx_dev_minor));
        Self(id)
    }

    /// How many there are.
    pub fn count() -> usize {
        all().devices.len()
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        all().devices.remove(&self.0);
    }
}

/// For a process that ends: whoever still waits for a file system in user space waits no longer. That file system ends.
pub fn give_up() {
    await_end();
    for device in all().devices.values() {
        let abort = Path::new(CONNECTIONS).join(device.to_string()).join("abort");
        // Where there is none, it is another kind of file, and the kernel ends who waits for it.
        let _ = std::fs::write(abort, "1");
    }
    await_end();
}

fn await_end() {
    let until = Instant::now() + PATIENCE;
    while Living::count() > 0 && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
}
