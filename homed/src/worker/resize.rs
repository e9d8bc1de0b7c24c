//! Another size for a home.
//!
//! With credentials all is done as for any other change. Without, which is for who may do it anyway and for the
//! daemon itself, the home has to be open, and the copies of the record inside wait for the next login.

use super::activate::{Unlocked, for_change};
use super::copies::Copies;
use super::heal::{self, Given};
use super::{Done, state, steps::Reporter};
use crate::job::{Context, Failure, Job, Known, Mounted, Remember, Size, Step, refuse};
use crate::storage::{self, Spec, Then};
use records::edit::{Changes, Match};
use records::reconcile::Rule;
use records::{Record, Refusal, signature};
use serde_json::{Map, json};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const PLAN: &[Step] = &[
    Step::Unlock,
    Step::ReadCopies,
    Step::Check,
    Step::NoteResize,
    Step::Allocate,
    Step::CheckFileSystem,
    Step::ShrinkFileSystem,
    Step::Extend,
    Step::SecondTable,
    Step::FirstTable,
    Step::Publish,
    Step::GrowFileSystem,
    Step::ForgetResize,
    Step::WriteHeader,
    Step::WriteIdentity,
    Step::WriteHost,
];

/// Gives the home this size; where it is to be remembered, the record says so afterwards.
pub fn resize<W: Write>(
    job: &Job,
    (size, remember): (Size, Remember),
    resting: Mounted,
    steps: &mut Reporter<W>,
) -> Done {
    steps.plan(PLAN);
    if job.credentials.is_empty() && resting == Mounted::Yes {
        return without_password(job, (size, remember), steps);
    }
    if storage::backend(Spec::of(&job.record, &job.machine)?)?.resizes().is_none() {
        return no_size();
    }
    let Unlocked { offer, keys, mut copies, mut opened } = for_change(job, resting, steps)?;
    let proven = copies.prove(&offer)?;
    may_change(&copies, remember)?;
    let given = Given { tried: &keys, proven: &proven, offer: &offer };
    let in_order = heal::keys(&mut copies, opened.as_mut(), &given, Then::Rest, steps)?;
    let resized = opened.resize(size, steps)?;
    let mut host = None;
    if remember == Remember::Yes {
        copies.replace(changed(copies.winner()?, resized.size, job)?);
        copies.write_header(opened.as_mut(), &in_order, steps)?;
        copies.write_identity(opened.as_mut(), steps)?;
        host = copies.write_host(job, Map::new(), steps)?;
    }
    opened.finish(steps)?;
    Ok(host)
}

/// With the key that the kernel keeps for an open home.
fn without_password<W: Write>(
    job: &Job,
    (size, remember): (Size, Remember),
    steps: &mut Reporter<W>,
) -> Done {
    let mut copies = Copies::new(job, Known::Yes, Rule::HostNotOlder)?;
    may_change(&copies, remember)?;
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let Some(resizes) = backend.resizes() else { return no_size() };
    let resized = resizes.resize(size, steps)?;
    if remember == Remember::No {
        return Ok(None);
    }
    copies.replace(changed(copies.winner()?, resized.size, job)?);
    copies.write_host(job, Map::new(), steps)
}

fn no_size() -> Done {
    refuse(
        Refusal::NotSupported,
        "A home of this kind has no size of its own: it has what is free on the disk it lies on.",
    )
}

fn may_change(copies: &Copies, remember: Remember) -> Result<(), Failure> {
    if remember == Remember::Yes && !copies.is_local()? {
        return Err(Refusal::RecordSigned.into());
    }
    Ok(())
}

/// The record with the size in it, and without rebalancing, as the original does for a size that somebody chose.
fn changed(record: &Record, size: u64, job: &Job) -> Result<Record, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).during("reading the clock")?;
    let now = u64::try_from(now.as_micros()).during("reading the clock")?;
    // A clock that has gone back must not make the change look older than what it replaces.
    let now = now.max(record.last_change_usec().saturating_add(1));
    let mut changes = Changes::default();
    let set = changes.set(Match::This, "diskSize", json!(size));
    set.and_then(|()| changes.set(Match::This, "rebalanceWeight", json!(0)))
        .during("writing the size into the record")?;
    let changed = changes.apply(record, &job.machine.id).during("writing the size into the record")?;
    let changed = changed.with_member("lastChangeUSec", json!(now));
    signature::sign(&changed, &state::private_key()?).during("signing the changed record")
}
