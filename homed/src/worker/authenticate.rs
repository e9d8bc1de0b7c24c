//! Checking credentials; the state of the home stays.

use super::activate::{candidates, open, see_inside};
use super::copies::Copies;
use super::{Done, steps::Reporter};
use crate::job::{Job, Known, Step, Steps};
use crate::storage::Opening;
use crate::token::Offer;
use records::reconcile::Rule;
use std::io::Write;

const PLAN: &[Step] = &[Step::Unlock, Step::ReadCopies, Step::WriteHost];

/// Checks the credentials against the key slots and the record in force.
///
/// All of it is done on a copy of the header in memory, mounted or not: one key derivation, no
/// device. The copy in the home is left to the next activation, where there is another one beside the keys. A home that this
/// machine does not know is not taken over by it.
pub fn authenticate<W: Write>(job: &Job, known: Known, steps: &mut Reporter<W>) -> Done {
    steps.plan(PLAN);
    let offer = Offer::new(&job.credentials);
    let mut copies = Copies::new(job, known, Rule::Any)?;
    let mut keys = candidates(job, &offer, steps)?;
    let mut opened = open(job, Opening::Inspect, &mut keys, (&copies, &offer), steps)?;
    steps.enter(Step::ReadCopies)?;
    see_inside(&mut copies, opened.as_mut(), steps)?;
    copies.prove(&offer)?;
    if known == Known::No {
        return Ok(None);
    }
    copies.write_host(job, serde_json::Map::new(), steps)
}
