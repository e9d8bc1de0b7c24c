//! Opening an image as [the plan](super::super::plan::open) says, on this machine or in a model of one.

use super::super::plan::open::{Next, Situation, Step, Wish, after, next};
use crate::job::{self, Failure, Steps};

/// Who opens an image, layer by layer.
pub trait Opens {
    /// What this run has of it.
    fn stands(&mut self) -> &mut Situation;
    /// Does one step.
    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure>;
    /// Why nothing is mounted that nobody vouches for.
    fn not_vouched(&self) -> Failure;
}

/// So many steps lead anywhere.
const MOST: usize = 32;

/// Opens it so far. What fails is taken back by whoever drops what was opened.
pub fn reach(opens: &mut dyn Opens, wish: Wish, steps: &mut dyn Steps) -> Result<(), Failure> {
    for _ in 0..MOST {
        let step = match next(opens.stands(), wish) {
            Next::Do(step) => step,
            Next::Done => return Ok(()),
            Next::NotVouched => return Err(opens.not_vouched()),
        };
        name(step).map_or(Ok(()), |name| steps.enter(name))?;
        opens.perform(step, steps)?;
        let stands = opens.stands();
        *stands = after(*stands, step);
    }
    Err(Failure::fault("opening the image comes to no end"))
}

/// What progress bars and fault points call it. An encrypted device has steps of its own.
fn name(step: Step) -> Option<job::Step> {
    Some(match step {
        Step::LookAgain => job::Step::MarkOpen,
        Step::Attach | Step::TakeOver => job::Step::Attach,
        Step::Check => job::Step::CheckFileSystem,
        Step::Mount => job::Step::Mount,
        Step::Show => job::Step::Expose,
        Step::KeepKey => job::Step::KeepKey,
        Step::Mark | Step::ReadBack | Step::Level | Step::Decrypt | Step::GoOn => return None,
    })
}
