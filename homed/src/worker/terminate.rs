//! The level `terminate`: the user's processes are ended, and what they have left in memory goes with them.

use super::steps::Reporter;
use super::{give_up, strict};
use crate::job::{Failure, Force, Steps};
use crate::storage::Backend;
use crate::sys::bounded::Deadline;
use crate::sys::{shared, slice};
use records::UserName;
use std::io::Write;
use std::time::Duration;

/// How long systemd may take to end what belongs to a user.
const ENDING: Duration = Duration::from_secs(15);

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
    shared::remove(uid);
    Ok(())
}
