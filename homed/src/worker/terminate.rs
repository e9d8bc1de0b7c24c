//! The level `terminate`: the user's processes are ended, and what they have left in memory goes with them.

use super::steps::Reporter;
use super::{give_up, strict};
use crate::job::{Failure, Force, Steps};
use crate::storage::Backend;
use crate::sys::bounded::Deadline;
use crate::sys::slice;
use records::UserName;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// How long systemd may take to end what belongs to a user.
const ENDING: Duration = Duration::from_secs(15);
/// Where shared memory has names (shm_overview(7)).
const SHARED: &str = "/dev/shm";

/// Ends all processes, closes the home, and removes what is in memory only: the run-time directory, and shared
/// memory as at the last logout (`RemoveIPC=` of logind.conf(5)).
pub fn terminate<W: Write>(
    backend: &dyn Backend,
    (user, uid): (&UserName, u32),
    steps: &mut Reporter<W>,
) -> Result<(), Failure> {
    give_up::end_processes(uid, steps)?;
    backend.close(Force::No, steps)?;
    strict::forget(user);
    if let Err(why) = slice::stop(uid, Deadline::after(ENDING)) {
        steps.warn(format!("What systemd keeps of {user} may be left in memory: {why}."));
    }
    remove_shared(uid);
    Ok(())
}

/// What cannot be removed is somebody else's by now.
fn remove_shared(uid: u32) {
    let entries = std::fs::read_dir(SHARED).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.metadata().is_ok_and(|facts| facts.uid() == uid)) {
        let path = entry.path();
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}
