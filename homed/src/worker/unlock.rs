//! Unlocking: the credentials are checked, the key is put back, the processes go on.

use super::activate::{candidates, open, see_inside};
use super::copies::Copies;
use super::{Done, heal, opened_with, processes, steps::Reporter, strict};
use crate::job::{Job, Known, Step, Steps};
use crate::storage::Opening;
use crate::token::Offer;
use records::reconcile::Rule;
use std::io::Write;

const PLAN: &[Step] = &[
    Step::Unlock,
    Step::ReadCopies,
    Step::ResumeSwap,
    Step::ResumeDevice,
    Step::ThawFileSystem,
    Step::Uncover,
    Step::KeepKey,
    Step::ThawUser,
    Step::BringBack,
];

/// Checks the credentials as [`super::authenticate`] does, against the header and the record in it: the home
/// itself cannot be read yet.
pub fn unlock<W: Write>(job: &Job, uid: u32, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let offer = Offer::new(&job.credentials);
    let mut copies = Copies::new(job, Known::Yes, Rule::Any)?;
    let mut keys = candidates(job, &offer, steps)?;
    let mut opened = open(job, Opening::Inspect, &mut keys, (&copies, &offer), steps)?;
    steps.enter(Step::ReadCopies)?;
    see_inside(&mut copies, opened.as_mut(), steps)?;
    copies.prove(&offer)?;
    opened_with::note((job, copies.winner()?), (&offer, &keys), opened.as_mut(), steps)?;
    let (user, vault) = (job.record.user(), heal::vault(opened.as_mut())?);
    strict::open(user, vault, steps)?;
    // What was opened in vain is sealed when the daemon settles it.
    let next = strict::publish(user, vault);
    vault.unseal(steps)?;
    steps.enter(Step::ThawUser)?;
    processes::thaw(user, uid)?;
    steps.enter(Step::BringBack)?;
    if let Err(failure) = next.and_then(|()| strict::bring_back(user)) {
        steps.warn(format!("Swap space of the lock stays: {}.", failure.text()));
    }
    Ok(None)
}
