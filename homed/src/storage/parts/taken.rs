//! Images that somebody wants for himself. Nobody gets the lock on one without being asked about the mark of another machine:
//! on a shared folder whose server does not share locks, and on a disk that two machines are wired to, the lock tells nothing.

use super::image;
use super::mark::{self, Spot};
use crate::job::Failure;
use records::Machine;
use std::fs::File;
use std::path::Path;

/// What it is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To be changed, or deleted.
    Write,
    /// To be looked at, and nobody is to write to it meanwhile.
    Look,
}

/// What becomes of an image that another machine has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anothers {
    /// It is refused.
    Refused,
    /// The caller looks at the mark itself: to tell of it, to take it away because somebody has said that the image is not
    /// open there, or to take away its own.
    Left,
}

/// Who takes an image.
pub struct Taker<'a> {
    /// The machine that this is.
    pub machine: &'a Machine,
    /// Where in an image its mark is.
    pub spot: &'a dyn Fn(&File) -> Spot,
}

impl Taker<'_> {
    /// Opens the image, with the lock on it. `HomeInUse`: somebody has it open, here or elsewhere.
    pub fn take(&self, path: &Path, way: Way, anothers: Anothers) -> Result<File, Failure> {
        let image = match way {
            Way::Write => image::lock_to_write(path),
            Way::Look => image::lock_to_look(path),
        }?;
        if anothers == Anothers::Refused {
            mark::refuse_another(&image, (self.spot)(&image), self.machine)?;
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::MachineId;
    use records::machine::HostName;

    #[test]
    fn nobody_takes_what_another_machine_has_open() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("alice.home");
        let spot = |_: &File| Spot::before(1 << 20);
        let [first, second] = ["1", "2"].map(|digit| Machine {
            id: MachineId::parse(&digit.repeat(32)).expect("an id"),
            host: HostName("box".into()),
        });
        std::fs::write(&path, vec![0; 2 << 20]).expect("written");
        let take = |machine, way, anothers| Taker { machine, spot: &spot }.take(&path, way, anothers);
        let image = take(&first, Way::Write, Anothers::Refused).expect("free");
        mark::set(&image, Spot::before(1 << 20), &first).expect("marked");
        // As if the server did not share locks.
        drop(image);
        for way in [Way::Write, Way::Look] {
            assert!(take(&second, way, Anothers::Refused).is_err(), "{way:?}");
            take(&second, way, Anothers::Left).expect("it looks itself");
            take(&first, way, Anothers::Refused).expect("its own");
        }
    }
}
