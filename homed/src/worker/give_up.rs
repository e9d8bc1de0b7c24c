//! Closing a locked home without its key: what its user's processes had in memory is lost, what was on disk is not.

use super::{Done, processes, steps::Reporter, strict};
use crate::job::{Context, Failure, Force, Job, Step, Steps};
use crate::storage::{self, Spec};
use crate::sys::holders;
use crate::sys::slice::{self, Slice};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::time::{Duration, Instant};

const PLAN: &[Step] =
    &[Step::KillUser, Step::CutOff, Step::Uncover, Step::ThawFileSystem, Step::Unmount, Step::Detach];

/// How long killed processes may take to be gone.
const DYING: Duration = Duration::from_secs(5);
/// How often it is looked at: they are nobody's children here.
const LOOK: Duration = Duration::from_millis(5);

/// Ends the processes and closes the home.
pub fn give_up<W: Write>(job: &Job, uid: u32, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let user = job.record.user();
    strict::cut_off(user)?;
    steps.enter(Step::KillUser)?;
    kill_all(uid)?;
    match backend.locks() {
        Some(locks) => locks.give_up(steps)?,
        None => backend.close(Force::Yes, steps)?,
    }
    // The slice outlives its processes, and who logs in next comes into it.
    processes::thaw_for_good(user, uid);
    strict::forget(user);
    Ok(None)
}

/// Ends all processes of the user and waits until they are gone.
pub fn end_processes<W: Write>(uid: u32, steps: &mut Reporter<W>) -> Result<(), Failure> {
    steps.enter(Step::KillUser)?;
    kill_all(uid)?;
    let begin = Instant::now();
    while !holders::of_user(uid).is_empty() && begin.elapsed() < DYING {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn kill_all(uid: u32) -> Result<(), Failure> {
    if let Some(slice) = Slice::of(uid) {
        slice.kill().during("ending the user's processes")?;
    }
    holders::of_user(uid).into_iter().try_for_each(kill_one)
}

fn kill_one(pid: u32) -> Result<(), Failure> {
    let pid = i32::try_from(pid).during("ending the user's processes")?;
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).during("ending the user's processes"),
    }
}

/// Ends a process that is no child of ours, and waits until it is gone.
pub fn end(pid: u32) {
    // Gone already is just as good.
    let _ = kill_one(pid);
    let begin = Instant::now();
    while slice::state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X')) && begin.elapsed() < DYING {
        std::thread::sleep(LOOK);
    }
}
