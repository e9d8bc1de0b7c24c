//! Making a home.

use super::blobs::{self, Claimed};
use super::{Done, state, steps::Reporter};
use crate::job::{Context, Failure, Job, Step, Steps};
use crate::storage::{self, HomeDirectory, NewHome, Spec, site};
use crate::token::{self, Offer};
use records::signature::{self, Verdict};
use records::{Record, Sections};
use serde_json::json;
use std::io::Write;

const PLAN: &[Step] = &[
    Step::Check,
    Step::Allocate,
    Step::Partition,
    Step::Attach,
    Step::Format,
    Step::AddKeys,
    Step::MakeFileSystem,
    Step::Mount,
    Step::Populate,
    Step::Sync,
    Step::Publish,
    Step::WriteHost,
];

/// Makes storage for the job's record. The host's record is written last: without it the home is
/// whole, and taken over at the first login.
pub fn create<W: Write>(
    job: &Job,
    (uid, overcommit): (u32, u32),
    staged: Option<&str>,
    steps: &mut Reporter<W>,
) -> Done {
    steps.plan(PLAN);
    let mut claimed = Claimed::new(staged)?;
    let offer = Offer::new(&job.credentials);
    let keys = token::all_keys(&job.record, &offer)?;
    let embedded = signed(&job.record.only(Sections::EMBEDDED))?;
    let spec = Spec::of(&job.record, &job.machine)?;
    steps.enter(Step::Check)?;
    site::examine(&spec, &state::neighbours(job)?)?;
    let backend = storage::backend(spec)?;
    claimed.publish(embedded.user())?;
    let mut fill = |home: &HomeDirectory| {
        home.write_record(&embedded)?;
        blobs::into_home(&embedded, home)
    };
    let vouched = state::trust()?.vouch(&embedded).ok_or(records::Refusal::BadSignature)?;
    let mut request = NewHome { record: &embedded, keys: &keys, vouched, uid, overcommit, fill: &mut fill };
    let created = backend.create(&mut request, steps);
    if created.is_err() {
        // Already failing: what matters is the first error.
        let _ = state::forget_blobs(&embedded);
    }
    let mut binding = created?;
    if embedded.members().contains_key("blobManifest") {
        binding.insert("blobDirectory".into(), json!(state::blob_folder(&embedded)));
    }
    binding.insert("uid".into(), json!(uid));
    binding.insert("gid".into(), json!(uid));
    let mut host = embedded.clone();
    if let Some(status) = job.record.members().get("status") {
        host = host.with_member("status", status.clone());
    }
    let host = host.with_binding(&job.machine.id, binding);
    let saved = steps.enter(Step::WriteHost).and_then(|()| state::save(&host));
    if let Err(failure) = saved {
        // Nobody has the new home yet; without its record on this host it would be a surprise.
        backend.remove(steps)?;
        return Err(failure);
    }
    Ok(Some(host))
}

/// Signs a record that nobody has signed.
fn signed(record: &Record) -> Result<Record, Failure> {
    match state::trust()?.verdict(record) {
        Verdict::Unsigned => signature::sign(record, &state::private_key()?).during("signing the record"),
        Verdict::Local | Verdict::LocalAmongOthers | Verdict::Foreign => Ok(record.clone()),
        Verdict::Rejected => Err(records::Refusal::BadSignature.into()),
    }
}
