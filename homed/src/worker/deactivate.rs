//! Unmounting a home and closing what is below.

use super::{Done, processes, steps::Reporter, strict};
use crate::job::{Force, Job, Step};
use crate::storage::{self, Spec};
use std::io::Write;

const PLAN: &[Step] = &[Step::Unmount, Step::Detach, Step::Sync];

/// Unmounts. A home that is not mounted is closed as far as anything of it is still open.
pub fn deactivate<W: Write>(job: &Job, force: Force, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    storage::backend(Spec::of(&job.record, &job.machine)?)?.close(force, steps)?;
    strict::forget(job.record.user());
    // Giving it up may have been broken off before.
    if let Some(uid) = job.record.on(&job.machine).uid {
        processes::thaw_for_good(job.record.user(), uid);
    }
    Ok(None)
}
