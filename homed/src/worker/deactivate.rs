//! Unmounting a home and closing what is below.

use super::{Done, give_up, processes, steps::Reporter, strict};
use crate::job::{Force, Job, Step, Steps};
use crate::storage::{self, Spec};
use crate::sys::reclaim;
use std::io::Write;

const PLAN: &[Step] = &[Step::KillUser, Step::Unmount, Step::Detach, Step::Sync];

/// Unmounts. A home that is not mounted is closed as far as anything of it is still open.
pub fn deactivate<W: Write>(job: &Job, force: Force, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let uid = job.record.on(&job.machine).uid;
    match uid {
        // They could save nothing any more, and would keep the devices of a disk that is gone.
        Some(uid) if force == Force::Yes && backend.has_lost_its_disk() => {
            give_up::end_processes(uid, steps)?;
            steps.warn("The disk that holds the home is gone: its user's processes were ended.".into());
        }
        Some(_) | None => {}
    }
    backend.close(force, steps)?;
    strict::forget(job.record.user());
    if job.record.of_home_on(&job.machine).effective_drop_caches()
        && let Err(error) = reclaim::drop_caches()
    {
        steps.warn(format!("The kernel's caches were not dropped: {error}."));
    }
    // Giving it up may have been broken off before.
    if let Some(uid) = uid {
        processes::thaw_for_good(job.record.user(), uid);
    }
    Ok(None)
}
