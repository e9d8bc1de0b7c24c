//! A mounted home without its key: sealed, opened again, settled, given up. The plan is in [`plan::lock`], the steps are
//! in [`perform`].

use super::perform::machine::{Machine, Means};
use super::perform::{self, lock::reach};
use super::plan::lock::{Reached, Wish};
use crate::job::{Context, Failure, Force, Step, Steps};
use crate::storage::luks::needed;
use crate::storage::luks::spec::Spec;
use crate::storage::parts::mapped;
use crate::storage::{Seal, Settled, Unsealed};
use records::Secret;
use std::fs::File;

/// Takes the key out of memory. Nothing of a home that is not mounted needs one.
pub fn seal(spec: &Spec, seal: Seal<'_>, steps: &mut dyn Steps) -> Result<(), Unsealed> {
    let device = mapped::number(&spec.mapper_name()).during("looking for the encrypted device");
    let unneeded = device.and_then(|device| device.map_or(Ok(()), needed::refuse_if_any));
    unneeded.map_err(Unsealed::Open)?;
    let means = Means { seal: Some(seal), ..Means::default() };
    perform::lock::seal(&mut Machine::new(spec, means), steps)
}

/// Puts the key back.
pub fn unseal(spec: &Spec, volume_key: &Secret, steps: &mut dyn Steps) -> Result<(), Failure> {
    let means = Means { key: Some(volume_key), ..Means::default() };
    reach(&mut Machine::new(spec, means), Wish::Open, steps).map(drop)
}

/// Lets a home go on that was sealed and has its key again, wherever it is mounted: who works there, too.
pub fn go_on(spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    reach(&mut Machine::new(spec, Means::default()), Wish::Open, steps).map(drop)
}

/// Finishes or takes back what was broken off.
pub fn settle(spec: &Spec, steps: &mut dyn Steps) -> Result<Settled, Failure> {
    // Only a home that was cut off is closed so: its processes are gone.
    let means = Means { by_force: true, ..Means::default() };
    let reached = reach(&mut Machine::new(spec, means), Wish::Settled, steps)?;
    Ok(match reached {
        Reached::Open => Settled::Open,
        Reached::Sealed => Settled::Sealed,
        Reached::Closed => Settled::Closed,
    })
}

/// Closes it without a key. The frozen file system was whole on disk, so nothing is lost but what processes had in their
/// memory.
pub fn give_up(spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    let means = Means { by_force: true, ..Means::default() };
    reach(&mut Machine::new(spec, means), Wish::GivenUp, steps).map(drop)
}

/// Closes a home that is not sealed; what a killed lock has left of it goes first.
pub fn close(spec: &Spec, force: Force, steps: &mut dyn Steps) -> Result<(), Failure> {
    let means = Means { by_force: force == Force::Yes, whole: true, ..Means::default() };
    let mut machine = Machine::new(spec, means);
    match reach(&mut machine, Wish::Closed, steps) {
        // The storage may be gone, and with it the way to say that it is clean.
        Err(_) if force == Force::Yes && !machine.is_mounted() => Ok(()),
        other => other.map(drop),
    }
}

/// Closes what this run has opened of an image, and has let go of: the kernel takes it down. `whole`: what is in the image
/// is then whole.
pub fn let_go(spec: &Spec, image: &File, whole: bool, steps: &mut dyn Steps) -> Result<(), Failure> {
    let means = Means { whole, image: Some(image), ..Means::default() };
    reach(&mut Machine::new(spec, means), Wish::Closed, steps).map(drop)
}

/// The same for a run that ends in a failure: nobody hears of it.
pub fn take_back(spec: &Spec, image: &File, whole: bool) {
    // Already failing. What stays makes the next use look closer.
    let _ = let_go(spec, image, whole, &mut Unheard);
}

struct Unheard;

impl Steps for Unheard {
    fn enter(&mut self, _step: Step) -> Result<(), Failure> {
        Ok(())
    }

    fn warn(&mut self, _text: String) {}
}
