//! Whether what stands in a target is the copy that is wanted.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::content::Comparer;
use crate::error::{Error, at};
use crate::flags;
use crate::look::{Look, read};
use crate::mark::Standing;
use crate::terms::Terms;
use crate::xattrs::{Of, Reader, is_the_targets};

/// Compares files of both trees.
pub(crate) struct Judge {
    pub standing: Standing,
    reader: Reader,
    comparer: Comparer,
    terms: Terms,
}

impl Judge {
    pub fn new(standing: Standing, terms: Terms) -> Self {
        Self { standing, reader: Reader::new(), comparer: Comparer::new(), terms }
    }

    /// Whether a file of the target is a whole copy of one of the source. One with several names never is: those may be of
    /// files that were one when an earlier run saw them.
    pub fn is_whole(
        &mut self,
        one: (&OwnedFd, &Look),
        other: (&OwnedFd, &Look),
        path: &Path,
    ) -> Result<bool, Error> {
        let (wanted, there) = (one.1, other.1);
        let of = |look: &Look| (look.kind(), look.size(), look.mode(), look.owner(), look.modified());
        if there.names() > 1 || of(wanted) != of(there) {
            return Ok(false);
        }
        let (Some(from), Some(to)) = (again(one.0, path)?, again(other.0, path)?) else { return Ok(false) };
        if !self.same_around(&from, &to).map_err(at(path, "compare it"))? {
            return Ok(false);
        }
        if self.standing == Standing::Written {
            return Ok(true);
        }
        let differ = self.comparer.differ((from.as_fd(), wanted), (to.as_fd(), there), &|| false);
        differ.map(|place| place.is_none()).map_err(|ended| ended.at(path))
    }

    /// Whether flags and attributes are the same.
    fn same_around(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<bool, Errno> {
        if flags::of(from)? != flags::of(to)? {
            return Ok(false);
        }
        let mut wanted = self.reader.all(&Of::open(from))?;
        self.terms.attributes(&mut wanted);
        let mut there = self.reader.all(&Of::open(to))?;
        there.retain(|attribute| wanted.contains(attribute) || !is_the_targets(&attribute.0));
        Ok(wanted == there)
    }
}

/// Opens what was found. `None`: it has gone.
fn again(found: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>, Error> {
    match read(found, OFlags::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT | Errno::STALE) => Ok(None),
        Err(errno) => Err(at(path, "open it")(errno)),
    }
}
