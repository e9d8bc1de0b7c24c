//! Locks of this machine: what stands is asked of the kernel, and the steps of [the plan](super::super::plan::lock) are done.

use super::super::plan::lock::{Next, Reached, Situation, Step, Unfit, Wish, next};
use super::super::plan::without::{Mend, has};
use crate::job::{self, Failure, Steps, refuse};
use crate::storage::Unsealed;
use records::Refusal;

/// Where locks are done: a machine, or in tests a model of one.
pub trait Locks {
    /// What stands.
    fn look(&mut self) -> Result<Situation, Failure>;
    /// Does one step.
    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure>;
}

/// So many steps lead anywhere.
const MOST: usize = 200;

/// Does one step after the other until the wish is met.
///
/// A step of a seal that fails has the rest taken back, unless the kernel says that the home is sealed: a suspend that
/// was late may have happened. From the wipe on whatever fails is a warning.
///
/// # Errors
/// The first step that failed, where the wish is not met. Whether the home is sealed then, `Wish::Settled` tells.
pub fn reach(locks: &mut dyn Locks, wished: Wish, steps: &mut dyn Steps) -> Result<Reached, Failure> {
    let (mut wish, mut failed, mut first) = (wished, Vec::new(), None);
    for _ in 0..MOST {
        let stands = locks.look()?;
        let step = match next(&stands, wish, &failed) {
            Next::Do(step) => step,
            Next::Done(reached) => return done(reached, wished, first),
            Next::Refuse(why) => return refused(why),
        };
        let entered = match wish {
            // Nobody hears of it any more, and it has to be all the same.
            Wish::TakenBack => Ok(()),
            _ => steps.enter(name(step)),
        };
        let Err(failure) = entered.and_then(|()| locks.perform(step, steps)) else { continue };
        failed.push(step);
        match wish {
            _ if forgives(wish) && locks.look()?.is_sealed() => {
                steps.warn(format!("The home is locked, but: {}.", failure.text()));
            }
            Wish::Sealed => (wish, first) = (Wish::TakenBack, Some(failure)),
            _ if can_be_missed(step) => steps.warn(format!("{}.", failure.text())),
            _ => return Err(first.unwrap_or(failure)),
        }
    }
    Err(first.unwrap_or_else(|| Failure::fault("the lock comes to no end")))
}

/// Seals the home. What has failed is settled before anybody is told: a suspend may have happened, and what should have
/// been taken back may not have been.
pub fn seal(locks: &mut dyn Locks, steps: &mut dyn Steps) -> Result<(), Unsealed> {
    let failure = match reach(locks, Wish::Sealed, steps) {
        Ok(Reached::Sealed) => return Ok(()),
        Ok(Reached::Open | Reached::Closed) => return refused(Unfit::NotOpen).map_err(Unsealed::Open),
        Err(failure) => failure,
    };
    if !has(Mend::SettledBeforeThaw) {
        return Err(Unsealed::Open(failure));
    }
    match reach(locks, Wish::Settled, steps) {
        Ok(Reached::Sealed) => {
            steps.warn(format!("The home is locked, but: {}.", failure.text()));
            Ok(())
        }
        Ok(Reached::Open | Reached::Closed) => Err(Unsealed::Open(failure)),
        Err(_) => Err(Unsealed::Unknown(failure)),
    }
}

/// A seal that was taken back has failed; one that is sealed in the end has not.
fn done(reached: Reached, wished: Wish, first: Option<Failure>) -> Result<Reached, Failure> {
    match first {
        Some(failure) if wished == Wish::Sealed && reached != Reached::Sealed => Err(failure),
        Some(_) | None => Ok(reached),
    }
}

/// Whether a home that is sealed is what is wanted, or as good. Who wants it open has failed.
fn forgives(wish: Wish) -> bool {
    matches!(wish, Wish::Sealed | Wish::TakenBack | Wish::Settled) || !has(Mend::OpenFails)
}

/// The home can be used without it.
fn can_be_missed(step: Step) -> bool {
    matches!(step, Step::KeepKey | Step::Remove(_) | Step::AskBarriers | Step::Revoke | Step::Unmark)
}

fn refused<T>(why: Unfit) -> Result<T, Failure> {
    match why {
        Unfit::NotOpen => {
            refuse(Refusal::HomeNotActive, "The home is not mounted from its encrypted device.")
        }
        Unfit::CutOff => refuse(
            Refusal::HomeNotActive,
            "The home was cut off from its device; what was written is there. Deactivate it, and log in again.",
        ),
        Unfit::Sealed => Err(Refusal::HomeLocked.into()),
    }
}

/// What progress bars and fault points call it.
fn name(step: Step) -> job::Step {
    match step {
        Step::Cover => job::Step::Cover,
        Step::Sync => job::Step::Sync,
        Step::Wash | Step::Evict => job::Step::Evict,
        Step::LeaveOutBarriers | Step::Freeze => job::Step::FreezeFileSystem,
        Step::Flush => job::Step::FlushDevice,
        Step::ClearTable(_) => job::Step::ClearTable,
        Step::Suspend(_) => job::Step::SuspendDevice,
        Step::Wipe(_) => job::Step::WipeKey,
        Step::Revoke => job::Step::RevokeKey,
        Step::Resume | Step::GiveKey => job::Step::ResumeDevice,
        Step::Uncover => job::Step::Uncover,
        Step::Thaw => job::Step::ThawFileSystem,
        Step::AskBarriers => job::Step::AskBarriers,
        Step::KeepKey => job::Step::KeepKey,
        Step::Remove(_) => job::Step::RemoveDevice,
        Step::CutOff => job::Step::CutOff,
        Step::Unmount => job::Step::Unmount,
        Step::AwaitClosed => job::Step::Detach,
        Step::Unmark => job::Step::Sync,
    }
}
