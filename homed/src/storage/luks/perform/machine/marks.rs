//! The marks of an image that nothing is open of any more.

use super::Machine;
use crate::job::Failure;
use crate::storage::luks::plan::lock::{Ended, Marks};
use crate::storage::luks::{header, open_when_free};
use crate::storage::parts::{image, mark};

impl Machine<'_, '_> {
    /// What the image says. One that gives no answer now says nothing, nor does one that another machine has open: that is its own
    /// to take back.
    pub(super) fn marks(&self) -> Marks {
        let opened;
        let image = match self.means.image {
            Some(image) => image,
            None => match image::open(&self.spec.image, image::Access::Read) {
                Ok(file) => {
                    opened = file;
                    &opened
                }
                Err(_) => return Marks::default(),
            },
        };
        let (spot, machine) = (header::spot(image, self.spec), &self.spec.machine);
        if mark::another(image, spot, machine).is_some() {
            return Marks::default();
        }
        let here = mark::is_own(image, spot, machine);
        Marks { here, unclean: image::is_dirty(image) }
    }

    /// Whether what is in it is whole: not where something was taken away by force, or without its device. Where it was
    /// mounted to be read only, it is as it was before, and nobody knows how.
    pub(super) fn ended(&self) -> Ended {
        let known = self.means.whole && !self.means.by_force && !self.seen.read_only && !self.seen.cut_off;
        if known { Ended::Whole } else { Ended::Unknown }
    }

    /// Takes the marks away, with the lock on the image.
    pub(super) fn unmark(&self) -> Result<(), Failure> {
        let opened;
        let image = match self.means.image {
            Some(image) => image,
            None => {
                opened = open_when_free(self.spec)?;
                &opened
            }
        };
        let spot = header::spot(image, self.spec);
        match self.ended() {
            Ended::Whole => mark::clear(image, spot, &self.spec.machine),
            Ended::Unknown => mark::let_go(image, spot, &self.spec.machine),
        }
    }
}
