//! Images rebuilt, and brought in line with their tables: the loop, on whatever can do a step.

use crate::job::{self, Failure, Steps};
use crate::storage::luks::plan::mend::{Next, Situation, Step, Which, Wish, next};

mod kept;
mod on_image;

pub use on_image::{Backup, OnImage};

/// An image: on a machine, or in tests a model of one.
pub trait Mends {
    /// What stands.
    fn look(&mut self) -> Result<Situation, Failure>;
    /// Does one step; it is on disk when this returns.
    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure>;
    /// Who has it open, in words.
    fn in_use(&self) -> Failure;
}

/// So many steps lead anywhere.
const MOST: usize = 32;

/// Does one step after the other until it is as wanted; what stands then.
///
/// # Errors
/// The first step that failed. Where the image is to be opened, a step that failed is a warning: it opens without.
pub fn reach(mends: &mut dyn Mends, wish: Wish, steps: &mut dyn Steps) -> Result<Situation, Failure> {
    let (mut failed, mut last) = (Vec::new(), None);
    for _ in 0..MOST {
        let stands = mends.look()?;
        let step = match next(&stands, wish, &failed) {
            Next::Do(step) => step,
            Next::Done => return Ok(stands),
            Next::InUse => return Err(mends.in_use()),
        };
        let again = last.replace(step) == Some(step);
        steps.enter(name(step))?;
        let done = if again { Err(in_vain(step)) } else { mends.perform(step, steps) };
        match done {
            Ok(()) => {}
            Err(failure) if matches!(wish, Wish::Rebuilt | Wish::Kept) => return Err(failure),
            Err(failure) => {
                steps.warn(format!("{}: {}", left(step), failure.text()));
                failed.push(step);
            }
        }
    }
    Err(Failure::fault("rebuilding the image comes to no end"))
}

fn in_vain(step: Step) -> Failure {
    Failure::fault(format!("{step:?} was done, and nothing came of it"))
}

/// What it comes to that it was not done.
fn left(step: Step) -> &'static str {
    match step {
        Step::CutFile => "A change of size that was cut short stays so",
        Step::WriteTable(_) => {
            "The image's partition table stays damaged; it opens by the copy that is sound"
        }
        Step::RemoveUnfinished | Step::ForgetElsewhere | Step::Keep | Step::WriteHeader => {
            "The image stays as it is"
        }
    }
}

/// What progress bars and fault points call it.
fn name(step: Step) -> job::Step {
    match step {
        Step::RemoveUnfinished => job::Step::Delete,
        Step::ForgetElsewhere => job::Step::ForgetElsewhere,
        Step::CutFile => job::Step::CutFile,
        Step::Keep => job::Step::Backup,
        Step::WriteTable(Which::Second) => job::Step::SecondTable,
        Step::WriteTable(Which::First) => job::Step::FirstTable,
        Step::WriteHeader => job::Step::RebuildHeader,
    }
}
