//! Care for the space of an active home, while nobody waits.

use super::{Done, steps::Reporter};
use crate::job::{Care, Job, Step};
use crate::storage::{self, Spec};
use crate::sys::process::{self, ToolFailed};
use std::io::Write;

const PLAN: &[Step] = &[Step::Allocate, Step::Trim];

/// Reserves blocks or gives them back. It may be killed at any moment, and does not change the record.
pub fn tend<W: Write>(job: &Job, care: Care, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    if care == Care::Left && machine_goes_down() {
        return Ok(None);
    }
    match storage::backend(Spec::of(&job.record, &job.machine)?)?.tends() {
        Some(tends) => tends.tend(care, steps).map(|()| None),
        None => Ok(None),
    }
}

/// Sessions end before the daemon hears of a shutdown.
fn machine_goes_down() -> bool {
    match process::run("systemctl", &["is-system-running"]) {
        Err(ToolFailed::Status { said, .. }) => said.trim() == "stopping",
        Err(ToolFailed::Missing(_) | ToolFailed::Start(..)) | Ok(()) => false,
    }
}
