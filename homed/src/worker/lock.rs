//! Locking: nobody of the user runs, and the volume key is out of memory.
//!
//! ```text
//! freeze the processes → seal the storage (cover, sync, evict, freeze, wipe the key) → write over free memory
//! ```
//!
//! All but the last has one bound together. What fails before the key is wiped is taken back; afterwards the home
//! is locked, whatever else happens.

use super::processes::Processes;
use super::{Done, give_up, memory, steps::Reporter};
use crate::job::{Failure, Force, Job, Step, Steps};
use crate::storage::{self, Seal, Spec};
use crate::sys::bounded::Deadline;
use records::LockLevel;
use std::io::Write;
use std::time::Duration;

const PLAN: &[Step] = &[
    Step::FreezeUser,
    Step::Cover,
    Step::Sync,
    Step::Evict,
    Step::FreezeFileSystem,
    Step::SuspendDevice,
    Step::Scrub,
];

/// Until the key must be out of memory: nobody waits longer for a machine to sleep.
const BOUND: Duration = Duration::from_secs(10);

/// Locks the home, or ends its user's processes and closes it, as the level says.
pub fn lock<W: Write>(job: &Job, uid: u32, level: LockLevel, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let deadline = Deadline::after(BOUND);
    let user = job.record.user();
    if level == LockLevel::Terminate {
        give_up::end_processes(uid, steps)?;
        backend.close(Force::No, steps)?;
        return scrub(steps);
    }
    steps.enter(Step::FreezeUser)?;
    let frozen = Processes::freeze(user, uid, deadline)?;
    let mut left = 0;
    let mut evict = |device: &str| {
        if level != LockLevel::Key {
            left = memory::evict(uid, device)?;
        }
        Ok(())
    };
    backend.seal(Seal { deadline, evict: &mut evict }, steps)?;
    frozen.keep();
    if left > 0 {
        steps.warn(format!("{left} pages of files that are in use stay in memory."));
    }
    match level {
        LockLevel::Key => Ok(None),
        _ => scrub(steps),
    }
}

/// The home is locked: what cannot be written over is told, and changes nothing.
fn scrub<W: Write>(steps: &mut Reporter<W>) -> Done {
    let done = steps.enter(Step::Scrub).and_then(|()| memory::scrub());
    if let Err(failure) = done {
        steps.warn(format!("Free memory could not be written over: {}", Failure::text(&failure)));
    }
    Ok(None)
}
