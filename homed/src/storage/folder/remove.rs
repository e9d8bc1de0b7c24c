//! Removing a home in a folder: it loses its name first, at once and durably; what is left without a name is swept away
//! by whoever comes next.

use super::temporary::{self, Purpose, Temporary};
use crate::job::{Context, Failure, Step, Steps, refuse};
use crate::storage::Spec;
use records::Refusal;
use std::io::ErrorKind;

/// Takes the whole tree away.
pub fn remove(spec: &Spec, steps: &mut dyn Steps) -> Result<(), Failure> {
    temporary::sweep(&spec.image)?;
    let (around, name) = match temporary::place(&spec.image) {
        Ok(place) => place,
        // The folder around is gone, and the home with it.
        Err(Failure::Refused(refused)) if refused.refusal == Refusal::HomeAbsent => return Ok(()),
        Err(failure) => return Err(failure),
    };
    steps.enter(Step::Delete)?;
    let gone = match Temporary::rename(Purpose::Gone, &around, &name) {
        Ok(gone) => gone,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            return refuse(
                Refusal::HomeBusy,
                format!(
                    "Something is mounted at {}: unmount it and try again. Nothing was deleted.",
                    spec.image.display()
                ),
            );
        }
        Err(error) => return Err(error).during(format!("deleting {}", spec.image.display())),
    };
    steps.enter(Step::Sync)?;
    gone.erase().during("deleting the files of the home (do it again to go on)")
}
