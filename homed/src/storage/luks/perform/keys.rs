//! Changes of key slots, done: the loop, on whatever can do a step.

use crate::job::{Failure, Steps, refuse};
use crate::storage::luks::plan::keys::{self as plan, Change, Next, Proof, Situation, Step};
use crate::storage::{Healed, InOrder};
use records::Refusal;

mod metadata;
mod on_disk;

pub use metadata::{digest, is_cut_short, mark_of, mark_text, situation};
pub use on_disk::OnDisk;

/// More steps than any plan has: 32 slots and as many marks.
const MOST: usize = 200;

/// What a plan of key slots is done on.
pub trait Keys {
    /// What stands.
    fn look(&mut self) -> Result<Situation, Failure>;

    /// Does a step; it is on disk when this returns.
    fn perform(&mut self, step: &Step, steps: &mut dyn Steps) -> Result<(), Failure>;

    /// What is told where there is no number left for a slot.
    fn full(&self) -> &'static str {
        "The encryption header has no free key slot left. Nothing was changed. Remove one that is not needed (cryptsetup \
         luksDump, cryptsetup luksKillSlot), and try again."
    }
}

/// Finishes or takes back what was cut short, and has the record in force in the header.
pub fn settle(
    keys: &mut dyn Keys,
    proof: &Proof,
    steps: &mut dyn Steps,
) -> Result<(Healed, InOrder), Failure> {
    let healed = plan::outcome(&keys.look()?, proof);
    run(keys, &mut |situation| plan::settle(situation, proof), steps)?;
    Ok((healed, InOrder::new()))
}

/// Makes a change. That nothing was left undone before is shown by whoever has [`InOrder`].
pub fn change(
    keys: &mut dyn Keys,
    change: &Change,
    _settled: &InOrder,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    run(keys, &mut |situation| plan::change(situation, change), steps)
}

fn run(
    keys: &mut dyn Keys,
    next: &mut dyn FnMut(&Situation) -> Next,
    steps: &mut dyn Steps,
) -> Result<(), Failure> {
    for _ in 0..MOST {
        match next(&keys.look()?) {
            Next::Do(step) => keys.perform(&step, steps)?,
            Next::Last(step) => return keys.perform(&step, steps),
            Next::Done => return Ok(()),
            Next::NoSlot => return refuse(Refusal::NotSupported, keys.full()),
        }
    }
    Err(Failure::fault("a change of key slots does not come to an end"))
}
