//! Checking credentials; the state of the home stays.

use super::activate::{candidates, open, see_inside};
use super::copies::Copies;
use super::{Done, steps::Reporter};
use crate::job::{Job, Known, Mounted, Step, Steps};
use crate::storage::Opening;
use crate::token::Offer;
use records::reconcile::Rule;
use std::io::Write;

const PLAN: &[Step] = &[Step::Unlock, Step::ReadCopies, Step::WriteHost];

/// Checks the credentials against the key slots and the record in force.
///
/// All of it is done on a copy of the header in memory, mounted or not: one key derivation, no
/// device. The copy in the home is left to the next activation, where there is another one beside the keys.
pub fn authenticate<W: Write>(job: &Job, _resting: Mounted, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let offer = Offer::new(&job.credentials);
    let mut copies = Copies::new(job, Known::Yes, Rule::Any)?;
    let mut keys = candidates(job, &offer, steps)?;
    let mut opened = open(job, Opening::Inspect, &mut keys, (&copies, &offer), steps)?;
    steps.enter(Step::ReadCopies)?;
    see_inside(&mut copies, opened.as_mut(), steps)?;
    copies.prove(&offer)?;
    copies.write_host(job, serde_json::Map::new(), steps)
}
