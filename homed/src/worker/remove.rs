//! Deleting a home.

use super::life::here::{Here, refuse_mounted};
use super::life::plan::{self, Is, Stopped, Wish};
use super::{Done, steps::Reporter};
use crate::job::{Failure, Job, Step, Steps};
use crate::statedir::subordinate;
use crate::storage::{self, Spec};
use records::UserName;
use std::io::Write;
use std::path::Path;

const PLAN: &[Step] =
    &[Step::Delete, Step::RemoveMountPoint, Step::RemoveBlobs, Step::RemoveBackups, Step::RemoveHost];

/// Deletes all of it, in the order of [`plan`]: what was cut short is finished by removing it again.
pub fn remove<W: Write>(job: &Job, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let spec = Spec::of(&job.record, &job.machine)?;
    let home_directory = spec.home_directory.clone();
    refuse_mounted(&home_directory)?;
    let backend = storage::backend(spec)?;
    let mut here = Here {
        record: &job.record,
        backend: backend.as_ref(),
        home_directory,
        makes: None,
        storage: Is::There,
        wrote_record: Is::There,
        flushed: Is::Missing,
        leaves_mount_point: false,
        steps,
    };
    let gone = plan::reach(&mut here, plan::next, Wish::Gone);
    gone.map_err(|stopped| told(stopped, &job.home.user))?;
    if let Err(error) = subordinate::take(Path::new(subordinate::ETC), job.record.user()) {
        steps.warn(format!("The user's lines in /etc/subuid and /etc/subgid stay: {error}."));
    }
    Ok(None)
}

/// What is gone, where the last step of all did not work: that the home is not deleted is not true any more.
fn told(stopped: Stopped, user: &UserName) -> Failure {
    match stopped.at {
        Some(plan::Step::RemoveRecord) => stopped.failure.and(format!(
            "The files of the home are deleted; this machine's record of it is not. Then: homectl remove {user}"
        )),
        _ => stopped.failure,
    }
}
