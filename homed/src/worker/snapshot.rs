//! Snapshots of an open home. Nobody's credentials are needed: nothing is opened that is not open.

use super::steps::Reporter;
use crate::job::{Context, Failure, Job, Snapshots, Step, refuse};
use crate::storage::{self, Spec};
use records::Refusal;
use serde_json::Value;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const PLAN: &[Step] = &[Step::Snapshot];

/// Makes, tells, restores or deletes them; what came of it, as a report.
pub fn snapshot<W: Write>(job: &Job, wish: &Snapshots, steps: &mut Reporter<W>) -> Result<Value, Failure> {
    steps.plan(PLAN);
    let spec = Spec::of(&job.record, &job.machine)?;
    let kind = spec.storage;
    let backend = storage::backend(spec)?;
    let Some(keeps) = backend.keeps() else {
        return refuse(
            Refusal::NotSupported,
            format!(
                "A home of the kind {:?} has no snapshots: those lie in the space of an encrypted image with btrfs inside. \
                 Nothing was changed.",
                kind.as_str()
            ),
        );
    };
    let mut report = keeps.snapshots(wish, now()?, steps)?;
    report["userName"] = job.record.user().as_str().into();
    Ok(report)
}

/// Seconds since 1970.
pub fn now() -> Result<u64, Failure> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).during("reading the clock")?.as_secs())
}
