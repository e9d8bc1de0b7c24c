//! Changing the record, so that a power cut at any moment leaves a home that opens, with the old record or
//! the new one.
//!
//! ```text
//! new key slots are prepared, the host's pictures replaced    the old record counts
//! the record in the header is written                         ← from here the new one does
//! .identity, the host's record, pictures in the home          (found older, they are written anew at the next use)
//! the old key slots are removed
//! ```

use super::activate::{Unlocked, for_change};
use super::blobs::{self, Claimed};
use super::copies::Copies;
use super::passwd::used_and_proven;
use super::{Done, heal, state, steps::Reporter};
use crate::job::{Context, Failure, Job, Known, Mounted, Reach, RecordChange, Step, Steps};
use crate::storage::{KeyChange, Opened};
use crate::token::{self, Offer};
use records::reconcile::Rule;
use records::signature::{self, Verdict};
use records::{Record, Refusal, Secret, Sections};
use std::io::Write;

const PLAN: &[Step] = &[
    Step::Unlock,
    Step::ReadCopies,
    Step::AddKeys,
    Step::PublishBlobs,
    Step::WriteHeader,
    Step::WriteIdentity,
    Step::WriteHost,
    Step::WriteBlobs,
    Step::DropKeys,
    Step::SwitchKeys,
];

/// Puts a new record in force.
pub fn update<W: Write>(job: &Job, change: &RecordChange, resting: Mounted, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let claimed = Claimed::new(change.blobs.as_deref())?;
    match change.reach {
        Reach::HostOnly => on_the_host(job, &change.record, claimed, steps),
        Reach::Everywhere => everywhere(job, (&change.record, resting), claimed, steps),
    }
}

/// The host's copy alone: it is newer then, and the next use writes the others.
fn on_the_host<W: Write>(job: &Job, new: &Record, mut claimed: Claimed, steps: &mut Reporter<W>) -> Done {
    let mut copies = Copies::new(job, Known::Yes, Rule::HostNotOlder)?;
    if let Some(new) = accepted(&copies, new)? {
        steps.enter(Step::PublishBlobs)?;
        claimed.publish(new.user())?;
        copies.replace(new);
    }
    copies.write_host(job, serde_json::Map::new(), steps)
}

fn everywhere<W: Write>(
    job: &Job,
    (new, resting): (&Record, Mounted),
    mut claimed: Claimed,
    steps: &mut Reporter<W>,
) -> Done {
    let Unlocked { offer, keys, mut copies, mut opened } = for_change(job, resting, steps)?;
    let proven = copies.prove(&offer)?;
    heal::keys(&copies, opened.as_mut(), (&keys, &proven, &offer), steps);
    let before = copies.winner()?.clone();
    let Some(new) = accepted(&copies, new)? else {
        // It is in force already; what was cut short is finished.
        let host = copies.write_all(job, opened.as_mut(), steps)?;
        opened.finish(steps)?;
        return Ok(host);
    };
    let used = used_and_proven(opened.as_ref(), keys, proven);
    let keys_change = prepare(&copies, opened.as_mut(), (&new, used, &offer), steps)?;
    let published = steps.enter(Step::PublishBlobs).and_then(|()| claimed.publish(new.user()));
    if let Err(failure) = published {
        // What was added counts for nothing yet; what cannot be taken back now is at the next use.
        let _ = opened.heal_keys();
        return Err(failure);
    }
    copies.replace(new.clone());
    let host = copies.write_all(job, opened.as_mut(), steps)?;
    write_blobs((&before, &new), opened.as_mut(), steps);
    if keys_change == Keys::Changed {
        opened.switch_keys(steps)?;
    }
    opened.finish(steps)?;
    Ok(host)
}

/// The record as it can be put in force: signed, and newer; `None` where it is in force already.
fn accepted(copies: &Copies, new: &Record) -> Result<Option<Record>, Failure> {
    let winner = copies.winner()?;
    if new.only(Sections::SIGNED) == winner.only(Sections::SIGNED) {
        return Ok(None);
    }
    match copies.verdict(new) {
        Verdict::Unsigned if !copies.is_local()? => Err(Refusal::RecordSigned.into()),
        Verdict::Unsigned => {
            signature::sign(new, &state::private_key()?).during("signing the changed record").map(Some)
        }
        Verdict::Local | Verdict::LocalAmongOthers | Verdict::Foreign => Ok(Some(new.clone())),
        Verdict::Rejected => Err(Refusal::BadSignature.into()),
    }
}

/// Whether other keys open the home from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Same,
    Changed,
}

fn prepare<W: Write>(
    copies: &Copies,
    opened: &mut dyn Opened,
    (new, used, offer): (&Record, Vec<Secret>, &Offer<'_>),
    steps: &mut Reporter<W>,
) -> Result<Keys, Failure> {
    let before = copies.winner()?;
    let Some(change) = token::change::compare(before, new, offer)? else { return Ok(Keys::Same) };
    steps.enter(Step::AddKeys)?;
    let (others, date) = (change.others, new.last_change_usec());
    let keys = KeyChange { old: &used, new: &change.wanted, others, date };
    if let Err(failure) = opened.prepare_keys(&keys) {
        // What was added counts for nothing yet; what cannot be taken back now is at the next use.
        let _ = opened.heal_keys();
        return Err(failure);
    }
    Ok(Keys::Changed)
}

/// Pictures are not worth a failed change.
fn write_blobs<W: Write>(
    (before, new): (&Record, &Record),
    opened: &mut dyn Opened,
    steps: &mut Reporter<W>,
) {
    if before.members().get("blobManifest") == new.members().get("blobManifest") {
        return;
    }
    let written = steps.enter(Step::WriteBlobs).and_then(|()| match opened.directory(steps) {
        Ok(home) => {
            blobs::drop_old(before, new, home)?;
            blobs::level(new, home, steps);
            Ok(())
        }
        Err(failure) => Err(failure),
    });
    if let Err(failure) = written {
        steps.warn(format!("Pictures are copied into the home at a later change: {}", failure.text()));
    }
}
