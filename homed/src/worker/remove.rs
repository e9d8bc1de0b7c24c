//! Deleting a home.

use super::life::here::{Here, refuse_mounted};
use super::life::plan::{self, Is, Wish};
use super::{Done, steps::Reporter};
use crate::job::{Job, Step, Steps};
use crate::statedir::subordinate;
use crate::storage::{self, Spec};
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
    plan::reach(&mut here, plan::next, Wish::Gone).map_err(|stopped| stopped.failure)?;
    if let Err(error) = subordinate::take(Path::new(subordinate::ETC), job.record.user()) {
        steps.warn(format!("The user's lines in /etc/subuid and /etc/subgid stay: {error}."));
    }
    Ok(None)
}
