//! Locking: nobody of the user runs, and the volume key is out of memory.
//!
//! ```text
//! freeze the processes → [their memory to swap] → seal the storage (cover, sync, evict, freeze, wipe the key)
//!     → write over free memory → [wipe the key of the swap]
//! ```
//!
//! Freezing has a bound, and so have moving to swap, writing out, dropping caches, and what follows until the key is
//! gone. What fails before the key is wiped is taken back; afterwards the home is locked, whatever else happens. Which of
//! both it is, the kernel says: nobody is thawed before it was asked.

use super::processes::Processes;
use super::strict::{self, Away};
use super::{Done, memory, steps::Reporter, terminals, terminate};
use crate::job::{Failure, Job, Step, Steps};
use crate::storage::{self, Seal, Spec, Standing, Unsealed};
use crate::sys::bounded::{self, Deadline, Late};
use records::LockLevel;
use std::io::Write;
use std::time::Duration;

const PLAN: &[Step] = &[
    Step::FreezeUser,
    Step::MakeSwap,
    Step::SwapOut,
    Step::Cover,
    Step::Sync,
    Step::Evict,
    Step::FreezeFileSystem,
    Step::FlushDevice,
    Step::SuspendDevice,
    Step::WipeKey,
    Step::RevokeKey,
    Step::Scrub,
    Step::SuspendSwap,
];

/// For freezing, and for all from what is written until the key is out of memory: nobody waits longer for a machine
/// to sleep.
const BOUND: Duration = Duration::from_secs(10);

/// The longest that caches are dropped. How large they are, others have decided: the key does not wait for them.
const EVICTING: Duration = Duration::from_secs(5);

/// Less than so many hundredths of the free memory are told.
const ENOUGH: u64 = 90;

/// Locks the home, or ends its user's processes and closes it, as the level says.
pub fn lock<W: Write>(job: &Job, uid: u32, level: LockLevel, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let deadline = Deadline::after(BOUND);
    let user = job.record.user();
    if backend.standing()? == Standing::Open {
        backend.lock_elsewhere(BOUND, steps)?;
        return scrub(steps);
    }
    if level == LockLevel::Terminate {
        terminate::terminate(&*backend, (user, uid), steps)?;
        return scrub(steps);
    }
    steps.enter(Step::FreezeUser)?;
    let frozen = Processes::freeze(user, uid, deadline)?;
    for what in terminals::hush(user, uid) {
        steps.warn(format!("Somebody at the keyboard may reach the locked session: {what}."));
    }
    let away = match level {
        LockLevel::Strict => Some(Away::put(user, uid, steps)?),
        LockLevel::Key | LockLevel::Cache | LockLevel::Terminate => None,
    };
    let mut evicted = None;
    let mut evict = |device: &str| {
        if level != LockLevel::Key {
            evicted = Some(evict(uid, device));
        }
        Ok(())
    };
    match backend.seal(Seal { bound: BOUND, evict: &mut evict }, steps) {
        Ok(()) => {}
        Err(Unsealed::Open(failure)) => return Err(failure),
        Err(Unsealed::Unknown(failure)) => {
            // The daemon settles it. Whoever went on now might wait for what is sealed, where no signal reaches.
            frozen.keep();
            let _ = away.map(Away::keep);
            return Err(failure);
        }
    }
    let is_away = away.map(Away::keep).is_some();
    frozen.keep();
    match evicted {
        Some(Ok(0)) | None => {}
        Some(Ok(left)) => steps.warn(format!("{left} pages of files that are in use stay in memory.")),
        Some(Err(why)) => steps.warn(format!("Data of the home's files may stay in memory: {why}.")),
    }
    if level != LockLevel::Key {
        scrub(steps)?;
    }
    // Last: nobody may be short of memory while its pages cannot be had.
    if is_away { strict::seal(user, steps).map(|()| None) } else { Ok(None) }
}

/// How many pages stay; or why nobody knows.
fn evict(uid: u32, device: &str) -> Result<usize, String> {
    let act = || match memory::evict(uid, device) {
        Ok(left) => Ok(left.to_string()),
        Err(failure) => Err(failure.text().to_owned()),
    };
    let left = bounded::ask(Deadline::after(EVICTING), Late::Kill, act).map_err(|why| why.to_string())?;
    left.parse().map_err(|_| "it is not known how much".to_owned())
}

/// The home is locked: what cannot be written over is told, and changes nothing.
fn scrub<W: Write>(steps: &mut Reporter<W>) -> Done {
    match steps.enter(Step::Scrub).and_then(|()| memory::scrub()) {
        Ok(Some(done)) if done.percent() < ENOUGH => steps.warn(format!(
            "Only {} % of the free memory could be written over ({} of {} MiB); what was deleted may be left in the rest.",
            done.percent(),
            done.written >> 20,
            done.free >> 20
        )),
        Ok(_) => {}
        Err(failure) => {
            steps.warn(format!("Free memory could not be written over: {}", Failure::text(&failure)));
        }
    }
    Ok(None)
}
