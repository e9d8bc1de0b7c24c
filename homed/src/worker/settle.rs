//! What a lock, an unlock or giving up has left that was broken off: asked from the kernel, and finished or taken back.

use super::{Done, asked, memory, processes, steps::Reporter, strict, swept};
use crate::job::{Job, Step, Steps};
use crate::storage::{self, Settled, Spec, Standing};
use std::io::Write;

const PLAN: &[Step] = &[Step::Uncover, Step::ThawFileSystem, Step::ThawUser];

/// Where the key is in the kernel, the processes go on; where it is not, it is gone for good, and they wait for it. Of
/// a home that is closed nobody is locked any more.
pub fn settle<W: Write>(job: &Job, uid: u32, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    memory::settle();
    strict::settle_settings();
    let spec = Spec::of(&job.record, &job.machine)?;
    let standing = spec.standing()?;
    let backend = storage::backend(spec)?;
    let user = job.record.user();
    backend.sweep()?;
    let settled = match (backend.locks(), standing) {
        (Some(locks), _) => locks.settle(steps)?,
        (None, Standing::Closed) => Settled::Closed,
        (None, Standing::Mounted | Standing::Suspended | Standing::Open) => Settled::Open,
    };
    match settled {
        Settled::Open => {
            steps.enter(Step::ThawUser)?;
            processes::thaw(user, uid)?;
            strict::bring_back(user)?;
        }
        Settled::Sealed => {
            asked::ask(user)?;
            // Whoever was killed may have had the key, and had not written over memory.
            match swept::what_is_left(memory::SWEEP_SETTLING) {
                Ok(warnings) => warnings.into_iter().for_each(|warning| steps.warn(warning)),
                Err(failure) => {
                    steps.warn(format!("Free memory could not be written over: {}", failure.text()))
                }
            }
            strict::settle(user)?;
        }
        Settled::Closed => {
            strict::forget(user);
            processes::thaw_for_good(user, uid);
        }
    }
    Ok(None)
}
