//! Deleting a home.

use super::{Done, state, steps::Reporter};
use crate::job::{Context, Failure, Job, Step, Steps, refuse};
use crate::storage::{self, Spec};
use crate::sys::{durable, mount};
use records::Refusal;
use std::io::{self, Write};
use std::path::Path;

const PLAN: &[Step] = &[Step::Delete, Step::WriteHost];

/// Deletes the storage first: if the rest is cut short, a home without storage remains, and removing
/// it again finishes.
pub fn remove<W: Write>(job: &Job, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let spec = Spec::of(&job.record, &job.machine)?;
    let home = spec.home_directory.clone();
    if mount::at(&home).during("reading the table of mounts")?.is_some() {
        return refuse(Refusal::HomeBusy, "The home is active: log its user out first; nothing was deleted.");
    }
    storage::backend(spec)?.remove(steps)?;
    steps.enter(Step::WriteHost)?;
    state::forget(&job.record)?;
    remove_mount_point(&home)?;
    Ok(None)
}

fn remove_mount_point(home: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir(home) {
        Ok(()) => {}
        // Files that were put there while the home was not mounted are not this home's to delete.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            return Ok(());
        }
        Err(error) => return Err(error).during(format!("removing {}", home.display())),
    }
    match home.parent() {
        Some(folder) => durable::folder(folder).and_then(durable::sync_directory).during("writing to disk"),
        None => Ok(()),
    }
}
