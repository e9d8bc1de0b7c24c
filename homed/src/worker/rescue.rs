//! Opening what is left of a damaged home, to be read only. Nothing of it is changed, and no record inside is
//! asked: whoever has a key that opens it may see it. It is an administrator who asks for it, by name, so a home
//! that nobody else vouches for is mounted, too.

use super::activate::candidates;
use super::{Done, state, steps::Reporter};
use crate::job::{Job, Step, refuse};
use crate::storage::{self, Spec};
use crate::token::Offer;
use records::Refusal;
use records::signature::Vouched;
use std::io::Write;
use std::path::Path;

const PLAN: &[Step] = &[Step::Unlock, Step::Attach, Step::Mount, Step::Expose];

/// Shows it at the directory (`None`: at the home directory).
pub fn rescue<W: Write>(job: &Job, uid: u32, directory: Option<&str>, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let keys = candidates(job, &Offer::new(&job.credentials), steps)?;
    let vouched = state::trust(job)?.vouch(&job.record).unwrap_or_else(Vouched::by_administrator);
    let spec = Spec::of(&job.record, &job.machine)?;
    match storage::backend(spec)?.mends() {
        Some(mends) => mends.rescue(&keys, (uid, directory.map(Path::new)), vouched, steps).map(|()| None),
        None => refuse(
            Refusal::NotSupported,
            "The files of this home are not in an image: whoever is root can read them in its folder; where that is encrypted, while the \
             home is open.",
        ),
    }
}
