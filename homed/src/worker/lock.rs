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

use super::asked;
use super::memory::{self, Evicted, Turn};
use super::processes::{self, Processes};
use super::strict::{self, Away};
use super::{Done, steps::Reporter, terminals, terminate};
use crate::job::{Failure, Job, Step, Steps, refuse};
use crate::storage::{self, Locks, Seal, Spec, Standing, Unsealed};
use crate::sys::bounded::Deadline;
use crate::sys::holders;
use records::{LockLevel, Refusal, Storage, UserName};
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

/// For all of it, so that it has told how far it came before the daemon ends it.
const WHOLE: Duration = Duration::from_secs(72);

/// Locks the home, or ends its user's processes and closes it, as the level says.
pub fn lock<W: Write>(job: &Job, uid: u32, level: LockLevel, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let spec = Spec::of(&job.record, &job.machine)?;
    let (kind, standing) = (spec.storage, spec.standing()?);
    let backend = storage::backend(spec)?;
    let (deadline, end) = (Deadline::after(BOUND), Deadline::after(WHOLE));
    let (user, turn) = (job.record.user(), Turn::take());
    if level == LockLevel::Terminate && standing != Standing::Open {
        terminate::terminate(&*backend, (user, uid), steps)?;
        return sweep(turn, end, steps);
    }
    let Some(locks) = backend.locks() else { return not_lockable(kind) };
    if standing == Standing::Open {
        lock_elsewhere(locks, uid, steps)?;
        return sweep(turn, end, steps);
    }
    steps.enter(Step::FreezeUser)?;
    let mut frozen = Processes::freeze(user, uid, deadline)?;
    hush(user, uid, steps);
    let away = match level {
        LockLevel::Strict => Some(Away::put(user, uid, steps)?),
        LockLevel::Key | LockLevel::Cache | LockLevel::Terminate => None,
    };
    let (mut left, mut sealed) = (Evicted::Left(0), String::new());
    let mut evict = |device: &str| {
        device.clone_into(&mut sealed);
        // Who has come into being meanwhile would wait for the sealed home where no signal reaches it.
        frozen.again(Deadline::after(BOUND))?;
        if level != LockLevel::Key {
            left = memory::evict(uid, device);
        }
        Ok(())
    };
    let unknown = match locks.seal(Seal { bound: BOUND, evict: &mut evict }, steps) {
        Ok(()) => None,
        Err(Unsealed::Open(failure)) => return Err(failure),
        // The daemon settles it. Whoever went on now might wait for what is sealed, where no signal reaches.
        Err(Unsealed::Unknown(failure)) => Some(failure),
    };
    let is_away = away.map(Away::keep).is_some();
    frozen.keep();
    unknown.map_or(Ok(()), Err)?;
    tell(&left, steps);
    tell_of_strangers(uid, &sealed, steps);
    let swept = if level == LockLevel::Key { Ok(None) } else { sweep(turn, end, steps) };
    // Last: nobody may be short of memory while its pages cannot be had.
    let sealed = swept.and_then(|_| if is_away { strict::seal(user, steps) } else { Ok(()) });
    call_prompt(user, steps);
    sealed.map(|()| None)
}

fn hush<W: Write>(user: &UserName, uid: u32, steps: &mut Reporter<W>) {
    for what in terminals::hush(user, uid) {
        steps.warn(format!("Somebody at the keyboard may reach the locked session: {what}."));
    }
}

/// Locks what is open beside the home directory.
fn lock_elsewhere<W: Write>(locks: &dyn Locks, uid: u32, steps: &mut Reporter<W>) -> Result<(), Failure> {
    let mut left = Evicted::Left(0);
    let mut evict = |device: &str| {
        left = memory::evict(uid, device);
        Ok(())
    };
    locks.lock_elsewhere(Seal { bound: BOUND, evict: &mut evict }, steps)?;
    tell(&left, steps);
    Ok(())
}

fn call_prompt<W: Write>(user: &UserName, steps: &mut Reporter<W>) {
    if let Err(failure) = asked::ask(user) {
        steps.warn(format!("Nobody asks for the password at the screen: {}.", failure.text()));
    }
}

fn tell<W: Write>(left: &Evicted, steps: &mut Reporter<W>) {
    match left {
        Evicted::Left(0) => {}
        Evicted::Left(pages) => steps.warn(format!("{pages} pages of files that are in use stay in memory.")),
        Evicted::Unknown(why) => {
            steps.warn(format!("Pages of files that are in use may be left in memory: {why}."))
        }
    }
}

/// Whoever uses the home meanwhile waits in the kernel, and a machine with somebody who waits so does not sleep.
fn tell_of_strangers<W: Write>(uid: u32, device: &str, steps: &mut Reporter<W>) {
    let strangers = processes::strangers(uid, device);
    if !strangers.is_empty() {
        steps.warn(format!(
            "These are not its user's, have files of the home open and go on: {}. One that uses them before the home is unlocked \
             waits, and may keep the machine from sleeping.",
            holders::names(&strangers)
        ));
    }
}

/// What a home of this kind holds is readable for as long as it is open.
fn not_lockable(kind: Storage) -> Done {
    let why = match storage::kind::of(kind).is_some_and(|kind| kind.parts.keyed) {
        true => "is encrypted with keys that the kernel keeps of whatever is open of it",
        false => "is not encrypted, so it has no key that could be taken out of memory",
    };
    refuse(
        Refusal::NotSupported,
        format!(
            "A home of the kind {:?} {why}: it cannot be locked. Close it instead (homectl deactivate), or have that done at \
             each sleep (--lock-level=terminate).",
            kind.as_str()
        ),
    )
}

/// The home is locked: what cannot be written over is told, and changes nothing.
fn sweep<W: Write>(turn: Turn, end: Deadline, steps: &mut Reporter<W>) -> Done {
    let swept = match steps.enter(Step::Scrub).and_then(|()| memory::sweep(turn, end.at_most(memory::SWEEP)))
    {
        Ok(swept) => swept,
        Err(failure) => {
            steps.warn(format!("Free memory could not be written over: {}", Failure::text(&failure)));
            return Ok(None);
        }
    };
    swept.warnings().into_iter().for_each(|warning| steps.warn(warning));
    Ok(None)
}
