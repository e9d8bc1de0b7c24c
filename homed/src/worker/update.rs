//! Changing the record, so that a power cut at any moment leaves a home that opens, with the old record or
//! the new one.
//!
//! ```text
//! the host's pictures replaced, (mark, new key slots)         the old record counts
//! the record in the header is written                         ← from here the new one does
//! .identity, the host's record, pictures in the home          (found older, they are written anew at the next use)
//! (the old key slots are removed)
//! ```
//!
//! Where keys change, the order is a plan (`storage/luks/plan/keys.rs`).

use super::activate::{Offered, Unlocked, unlocked_with};
use super::blobs::{self, Claimed};
use super::copies::Copies;
use super::heal::{self, Given};
use super::{Done, state, steps::Reporter};
use crate::job::{Context, Failure, Job, Known, Mounted, Reach, RecordChange, Step, Steps};
use crate::storage::{self, Hidden, InOrder, KeyChange, Opened, Opening, Spec, Then};
use crate::token::{self, Offer, change::Change};
use records::keys::{self, wished_recovery_keys};
use records::reconcile::Rule;
use records::signature::{self, Worth};
use records::{Record, Refusal, Secret, Sections};
use std::io::Write;

const PLAN: &[Step] = &[
    Step::Unlock,
    Step::ReadCopies,
    Step::PublishBlobs,
    Step::MarkKeys,
    Step::AddKeys,
    Step::WriteHeader,
    Step::WriteIdentity,
    Step::WriteHost,
    Step::WriteBlobs,
    Step::DropKeys,
];

/// Puts a new record in force.
pub fn update<W: Write>(job: &Job, change: &RecordChange, resting: Mounted, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    refuse_impossible(job, &change.record)?;
    let claimed = Claimed::new(change.blobs.as_deref())?;
    match change.reach {
        Reach::HostOnly => on_the_host(job, &change.record, claimed, steps),
        // Of a home that is open, what opens it stays: the daemon has looked.
        Reach::Everywhere
            if resting == Mounted::Yes && job.credentials.is_empty() && keeps_keys(job, change) =>
        {
            on_the_host(job, &change.record, claimed, steps)
        }
        Reach::Everywhere => everywhere(job, (&change.record, resting), claimed, steps),
    }
}

/// What the record in force cannot have either keeps nobody from changing something else.
fn refuse_impossible(job: &Job, new: &Record) -> Result<(), Failure> {
    let storage = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    if storage.accept(&job.record).is_err() { Ok(()) } else { storage.accept(new) }
}

fn keeps_keys(job: &Job, change: &RecordChange) -> bool {
    job.record.opens_like(&change.record)
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
    let offered = Offered::new(job, steps)?;
    // What is enrolled is asked for as well, before the home is opened: nobody waits for its user then.
    if token::change::must_ask(&job.record, new, &offered.offer) {
        steps.enter(Step::AskTokens)?;
        token::change::ask(&job.record, new, &offered.offer)?;
    }
    let how = Opening::Change(resting);
    let Unlocked { offer, keys, mut copies, mut opened } =
        unlocked_with(job, offered, (Known::Yes, Rule::HostNotOlder), how, steps)?;
    let proven = copies.prove(&offer)?;
    let given = Given { tried: &keys, proven: &proven, offer: &offer };
    let in_order = heal::keys(&mut copies, opened.as_mut(), &given, Then::Rest, steps)?;
    let before = keys::without_wishes(copies.winner()?);
    let new = without_old_wish(new, copies.winner()?, &offer);
    let Some(new) = accepted(&copies, &token::filled(&new, &offer)?)? else {
        // It is in force already; what was cut short is finished.
        let host = copies.write_others(job, opened.as_mut(), steps)?;
        opened.finish(steps)?;
        return Ok(host);
    };
    token::change::refuse_removal(&before, &new, &offer, job.removal)?;
    let keys = token::change::compare(&before, &new, &offer)?;
    if opened.vault().is_none() {
        token::change::refuse_untold(&before, &new)?;
        keys.as_ref().map_or(Ok(()), |_| opened.keeps_passwords())?;
    }
    let keys = keys.filter(|_| opened.vault().is_some());
    steps.enter(Step::PublishBlobs).and_then(|()| claimed.publish(new.user()))?;
    copies.replace(new);
    let new = copies.winner()?.clone();
    let records = Records { before: &before, new: &new };
    let host = match keys {
        None => {
            copies.write_header(opened.as_mut(), &in_order, steps)?;
            write_others(job, &mut copies, records, opened.as_mut(), steps)?
        }
        Some(keys) => {
            let change = Keys { change: &keys, random: offer.random(), proven: &proven };
            with_keys(job, (&mut copies, records), change, (opened.as_mut(), &in_order), steps)?
        }
    };
    opened.finish(steps)?;
    Ok(host)
}

/// A wish for a recovery key that is in force already came from elsewhere, and nobody has its key: it goes.
fn without_old_wish(new: &Record, before: &Record, offer: &Offer<'_>) -> Record {
    let is_old = wished_recovery_keys(before) > 0 && offer.credentials.new_recovery_key.is_none();
    if is_old { keys::without_wishes(new) } else { new.clone() }
}

/// The record that was in force, and the one that is to be.
#[derive(Clone, Copy)]
struct Records<'a> {
    before: &'a Record,
    new: &'a Record,
}

/// The keys of the new record, and those of the one before that were given.
struct Keys<'a> {
    change: &'a Change,
    random: Vec<Secret>,
    proven: &'a [Secret],
}

fn with_keys<W: Write>(
    job: &Job,
    (copies, records): (&mut Copies, Records<'_>),
    keys: Keys<'_>,
    (opened, in_order): (&mut dyn Opened, &InOrder),
    steps: &mut Reporter<W>,
) -> Result<Option<Record>, Failure> {
    let all = token::count(records.before);
    let stay = keys.change.others;
    let hidden = Hidden { stay, go: all.saturating_sub(keys.proven.len() + stay) };
    let mut host = None;
    let mut others = |opened: &mut dyn Opened, steps: &mut dyn Steps| {
        copies.keys_are_added(opened, steps)?;
        host = write_others(job, copies, records, opened, steps)?;
        Ok(())
    };
    let change = KeyChange {
        old: keys.proven,
        new: &keys.change.wanted,
        random: &keys.random,
        known: keys.proven,
        hidden,
        before: Some(records.before),
        record: records.new,
        copies: Some(&mut others),
    };
    heal::vault(opened)?.change_keys(change, in_order, steps)?;
    Ok(host)
}

/// The copies in the home and on this machine, and the pictures in the home.
fn write_others(
    job: &Job,
    copies: &mut Copies,
    records: Records<'_>,
    opened: &mut dyn Opened,
    steps: &mut dyn Steps,
) -> Result<Option<Record>, Failure> {
    let host = copies.write_others(job, opened, steps)?;
    write_blobs(records, opened, steps);
    Ok(host)
}

/// The record as it can be put in force: signed, and newer; `None` where it is in force already.
fn accepted(copies: &Copies, new: &Record) -> Result<Option<Record>, Failure> {
    let winner = copies.winner()?;
    if new.only(Sections::SIGNED) == winner.only(Sections::SIGNED) {
        return Ok(None);
    }
    match copies.worth(new) {
        Worth::Unsigned if !copies.is_local()? => Err(Refusal::RecordSigned.into()),
        Worth::Unsigned => {
            signature::sign(new, &state::private_key()?).during("signing the changed record").map(Some)
        }
        Worth::Local | Worth::LocalAmongOthers | Worth::Foreign => Ok(Some(new.clone())),
        Worth::Stranger | Worth::Rejected => Err(Refusal::BadSignature.into()),
    }
}

/// Pictures are not worth a failed change.
fn write_blobs(records: Records<'_>, opened: &mut dyn Opened, steps: &mut dyn Steps) {
    let Records { before, new } = records;
    if before.members().get("blobManifest") == new.members().get("blobManifest") {
        return;
    }
    let written = steps.enter(Step::WriteBlobs).and_then(|()| match opened.home(steps) {
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
