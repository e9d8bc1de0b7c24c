//! Care for the space of an active home, while nobody waits.

use super::{Done, steps::Reporter};
use crate::job::{Care, Job, Step, Steps};
use crate::storage::{self, Spec};
use crate::sys::process::{self, ToolFailed};
use std::io::Write;

const PLAN: &[Step] = &[Step::Allocate, Step::Trim, Step::Snapshot];

/// Reserves blocks or gives them back, and follows the schedule of snapshots. It may be killed at any moment, and does not change the record.
pub fn tend<W: Write>(job: &Job, care: Care, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    if care == Care::Left && machine_goes_down() {
        return Ok(None);
    }
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    if let Some(tends) = backend.tends() {
        tends.tend(care, steps)?;
    }
    // A home that everybody has left is closed: nobody waits for more than that.
    if let Some(keeps) = backend.keeps().filter(|_| care != Care::Left)
        && let Err(failure) = keeps.keep(super::snapshot::now()?, steps)
    {
        steps.warn(format!("The schedule of snapshots could not be followed: {}", failure.text()));
    }
    Ok(None)
}

/// Sessions end before the daemon hears of a shutdown.
fn machine_goes_down() -> bool {
    match process::run("systemctl", &["is-system-running"]) {
        Err(ToolFailed::Status { said, .. }) => said.trim() == "stopping",
        Err(ToolFailed::Missing(_) | ToolFailed::Start(..)) | Ok(()) => false,
    }
}
