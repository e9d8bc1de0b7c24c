//! Unlocking a home and mounting it.

use super::copies::Copies;
use super::heal::{self, Given};
use super::{Done, blobs, opened_with, steps::Reporter, strict};
use crate::job::{Failure, Job, Known, Mounted, Step, Steps};
use crate::statedir::subordinate;
use crate::storage::{self, Opened, Opening, Spec, Then};
use crate::token::{self, Offer};
use records::reconcile::Rule;
use records::refusal::Refused;
use records::{Refusal, Secret};
use serde_json::json;
use std::io::Write;
use std::path::Path;

const PLAN: &[Step] = &[
    Step::Unlock,
    Step::MarkOpen,
    Step::Attach,
    Step::CheckFileSystem,
    Step::Mount,
    Step::ReadCopies,
    Step::WriteHeader,
    Step::WriteIdentity,
    Step::WriteHost,
    Step::Expose,
    Step::KeepKey,
];

/// Mounts the home, with all copies of its record alike. Nothing is written before the key has
/// opened the storage and fits the record in force.
pub fn activate<W: Write>(job: &Job, uid: u32, known: Known, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let spec = Spec::of(&job.record, &job.machine)?;
    if crate::sys::mount::at(&spec.home_directory).is_ok_and(|mount| mount.is_some()) {
        return Err(Refusal::HomeAlreadyActive.into());
    }
    let Unlocked { offer, keys, mut copies, mut opened } =
        unlocked(job, (known, Rule::Any), Opening::Activate, steps)?;
    proven_first(&copies, opened.as_mut(), &offer)?;
    let stored = opened.home(steps)?.owner();
    storage::refuse_unmapped(storage::Ids { stored, exposed: uid })?;
    let home = opened.home(steps)?;
    copies.see_identity(home, steps)?;
    let proven = copies.prove(&offer)?;
    let given = Given { tried: &keys, proven: &proven, offer: &offer };
    let settled = heal::keys(&mut copies, opened.as_mut(), &given, Then::Rest, steps);
    not_now("header of the home", settled.map(drop), steps);
    opened_with::note((job, copies.winner()?), (&offer, &keys), opened.as_mut(), steps)?;
    finish(job, (uid, known), (copies, opened), steps).inspect_err(|_| opened_with::closed(job))
}

/// A key that does not fit what is known by now is refused before anything is touched; one that fits vouches for the home of
/// a stranger.
pub fn proven_first(copies: &Copies, opened: &mut dyn Opened, offer: &Offer<'_>) -> Result<(), Failure> {
    if copies.winner().is_ok() {
        copies.prove(offer)?;
    }
    if let Some(vouched) = copies.vouched() {
        opened.vouch(vouched);
    }
    Ok(())
}

/// A copy that cannot be written (a full disk, a home that can only be read) is written at the next login: nobody is
/// kept out for it.
fn not_now<W: Write>(place: &str, written: Result<(), Failure>, steps: &mut Reporter<W>) {
    if let Err(failure) = written {
        steps.warn(format!("The record in the {place} is written at the next login: {}", failure.text()));
    }
}

fn finish<W: Write>(
    job: &Job,
    (uid, known): (u32, Known),
    (mut copies, mut opened): (Copies, Box<dyn Opened>),
    steps: &mut Reporter<W>,
) -> Done {
    let written = copies.write_identity(opened.as_mut(), steps);
    not_now("home", written, steps);
    let mut binding = opened.binding();
    binding.insert("uid".into(), json!(uid));
    binding.insert("gid".into(), json!(uid));
    let host = match copies.write_host(job, binding, steps) {
        // Without it this machine would not know a home that it takes over.
        Err(failure) if known == Known::No => return Err(failure),
        Err(failure) => {
            not_now("state of this machine", Err(failure), steps);
            None
        }
        Ok(host) => host,
    };
    let winner = copies.winner()?.clone();
    // No copy of the record tells whether its pictures had come in when a change was cut short.
    if blobs::has_some(&winner) {
        steps.enter(Step::WriteBlobs)?;
        blobs::level(&winner, opened.home(steps)?, steps);
    }
    let published = opened.vault().map_or(Ok(()), |vault| strict::publish(job.record.user(), vault));
    if let Err(failure) = published {
        steps.warn(format!("The home cannot be locked at the level \"strict\": {}.", failure.text()));
    }
    if let Err(error) = subordinate::give(Path::new(subordinate::ETC), job.record.user(), uid) {
        steps.warn(format!("The user has no IDs for rootless containers, see subuid(5): {error}."));
    }
    opened.expose(uid, steps)?;
    Ok(host)
}

/// Opens the storage, with one of these keys; where none of them opens it, with what devices answer that only the storage knows of:
/// the record of this machine may be older, or there is none. What they have answered is among the keys then.
pub fn open<W: Write>(
    job: &Job,
    how: Opening,
    keys: &mut Vec<Secret>,
    (copies, offer): (&Copies, &Offer<'_>),
    steps: &mut Reporter<W>,
) -> Result<Box<dyn Opened>, Failure> {
    let backend = storage::backend(Spec::of(&job.record, &job.machine)?)?;
    let refused = match backend.open(how, keys, steps) {
        Err(Failure::Refused(why)) if why.refusal == Refusal::BadPassword => why,
        other => return other,
    };
    // Devices are asked once nothing of the image is open any more.
    let refused = more_precisely(refused, copies, offer);
    let unknown = token::unknown::beside(&job.record, backend.questions());
    if unknown.is_empty() {
        return Err(refused.into());
    }
    steps.enter(Step::AskTokens)?;
    match token::unknown::ask(&unknown, offer) {
        Ok(None) => return Err(refused.into()),
        Ok(Some(answer)) => keys.insert(0, answer),
        Err(why) => return Err(token::more(refused, why).into()),
    }
    match backend.open(how, &keys[..1], steps) {
        Err(Failure::Refused(why)) if why.refusal == Refusal::BadPassword => Err(refused.into()),
        other => other,
    }
}

/// That no key slot fits is told as precisely as the host's record allows.
fn more_precisely(why: Refused, copies: &Copies, offer: &Offer<'_>) -> Refused {
    if copies.winner().is_err() {
        return why;
    }
    // Not all key slots could be read, and the storage has told so.
    let is_unsure = why.sentence != Refusal::BadPassword.sentence();
    match copies.prove_by_host(offer) {
        Err(Failure::Refused(told)) if is_unsure && told.refusal == Refusal::BadPassword => why,
        Err(Failure::Refused(told)) => told,
        Err(Failure::Fault(_)) => why,
        Ok(_) if is_unsure => Refused::new(
            Refusal::HomeDamaged,
            format!("{} By this machine's record it is the right one.", why.sentence),
        ),
        Ok(_) => Refused::new(
            Refusal::BadPassword,
            "The password is that of this machine's record, but it does not open the home: it was changed \
             on another machine. Give the other password too.",
        ),
    }
}

/// The keys that may open a job's home. Tokens may have to be asked for them: nothing of the home is open meanwhile.
pub fn candidates(job: &Job, offer: &Offer<'_>, steps: &mut dyn Steps) -> Result<Vec<Secret>, Failure> {
    if token::asks(&job.record, offer) {
        steps.enter(Step::AskTokens)?;
    }
    Ok(token::candidates(&job.record, offer))
}

/// A home whose storage is open, and what is known of the copies of its record.
pub struct Unlocked<'a> {
    /// What was given to prove who asks.
    pub offer: Offer<'a>,
    /// The keys that this may be.
    pub keys: Vec<Secret>,
    /// The host's copy, if there is one, and that in the header.
    pub copies: Copies,
    /// The storage.
    pub opened: Box<dyn Opened>,
}

/// What was given for a job, and what tokens have answered to it.
pub struct Offered<'a> {
    /// All of it.
    pub offer: Offer<'a>,
    /// The keys that this may be.
    pub keys: Vec<Secret>,
}

impl<'a> Offered<'a> {
    /// Asks tokens where that has to be; nothing is open yet.
    pub fn new(job: &'a Job, steps: &mut dyn Steps) -> Result<Self, Failure> {
        let offer = Offer::new(&job.credentials);
        let keys = candidates(job, &offer, steps)?;
        Ok(Self { offer, keys })
    }

    /// The same for a job that may do without: whoever offers nothing is not to be asked for a touch either.
    pub fn if_any(job: &'a Job, steps: &mut dyn Steps) -> Result<Self, Failure> {
        match job.credentials.is_empty() {
            true => Ok(Self { offer: Offer::new(&job.credentials), keys: Vec::new() }),
            false => Self::new(job, steps),
        }
    }
}

/// Opens a home. A key fits; who asks is not proven yet.
pub fn unlocked<'a, W: Write>(
    job: &'a Job,
    how_known: (Known, Rule),
    how: Opening,
    steps: &mut Reporter<W>,
) -> Result<Unlocked<'a>, Failure> {
    let offered = Offered::new(job, steps)?;
    unlocked_with(job, offered, how_known, how, steps)
}

/// The same with what is offered already.
pub fn unlocked_with<'a, W: Write>(
    job: &'a Job,
    Offered { offer, mut keys }: Offered<'a>,
    (known, rule): (Known, Rule),
    how: Opening,
    steps: &mut Reporter<W>,
) -> Result<Unlocked<'a>, Failure> {
    let mut copies = Copies::new(job, known, rule)?;
    let mut opened = open(job, how, &mut keys, (&copies, &offer), steps)?;
    steps.enter(Step::ReadCopies)?;
    see_inside(&mut copies, opened.as_mut(), steps)?;
    Ok(Unlocked { offer, keys, copies, opened })
}

/// Looks at the copy of the record that can be had without anybody having vouched for it: that beside the keys, or,
/// where there are none, that in the home.
pub fn see_inside(
    copies: &mut Copies,
    opened: &mut dyn Opened,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    let Some(beside) = opened.vault().and_then(|vault| vault.record()) else {
        copies.there_is_no_header();
        return copies.see_only_identity(opened.home(steps)?, steps);
    };
    copies.see_header(beside, steps)?;
    if let Some(vouched) = copies.vouched() {
        opened.vouch(vouched);
    }
    Ok(())
}

/// The same to change a home that this machine knows.
pub fn for_change<'a, W: Write>(
    job: &'a Job,
    resting: Mounted,
    steps: &mut Reporter<W>,
) -> Result<Unlocked<'a>, Failure> {
    unlocked(job, (Known::Yes, Rule::HostNotOlder), Opening::Change(resting), steps)
}
