//! What a lock, an unlock or giving up has left that was broken off: asked from the kernel, and finished or taken back.

use super::{Done, memory, processes, steps::Reporter, strict};
use crate::job::{Job, Step, Steps};
use crate::storage::{self, Settled, Spec};
use std::io::Write;

const PLAN: &[Step] = &[Step::Uncover, Step::ThawFileSystem, Step::ThawUser];

/// Where the key is in the kernel, the processes go on; where it is not, it is gone for good, and they wait for it. Of
/// a home that is closed nobody is locked any more.
pub fn settle<W: Write>(job: &Job, uid: u32, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    memory::settle();
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let user = job.record.user();
    match backend.settle(steps)? {
        Settled::Open => {
            steps.enter(Step::ThawUser)?;
            processes::thaw(user, uid)?;
            strict::bring_back(user)?;
        }
        Settled::Sealed => strict::settle(user)?,
        Settled::Closed => {
            strict::forget(user);
            processes::thaw_for_good(user, uid);
        }
    }
    Ok(None)
}
