//! The mark of a folder into which a tree is copied: by it a copy that was cut off knows that what is there is its own, and how
//! far it may be believed.
//!
//! It is an attribute of the folder that only root sees. Its value is the boot's ID: what was written in this boot is there
//! as it was written; after a power cut files may have their times without their data, and are compared.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, at};
use crate::xattrs::Of;

/// Where it is. Without root's rights, as in tests, it is among the user's attributes.
const NAMES: [&[u8]; 2] = [b"trusted.copytree", b"user.copytree"];

/// How much of what stands in a target is to be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is there.
    Nothing,
    /// What this boot wrote.
    Written,
    /// What another boot wrote: content is compared.
    Doubtful,
}

/// Whether an attribute is a mark.
pub(crate) fn is_one(name: &[u8]) -> bool {
    NAMES.contains(&name)
}

/// What the mark says. `None`: there is no mark.
pub(crate) fn look(target: BorrowedFd) -> Result<Option<Standing>, Error> {
    for name in NAMES {
        if let Some(boot) = Of::Open(target).value(name).map_err(at(Path::new(""), "read its attributes"))? {
            let same = boot_id()? == boot;
            return Ok(Some(if same { Standing::Written } else { Standing::Doubtful }));
        }
    }
    Ok(None)
}

/// Marks a target as one that is being filled.
pub(crate) fn put(target: BorrowedFd) -> Result<(), Error> {
    let boot = boot_id()?;
    let put = |name: &[u8]| Of::Open(target).set(&(name.to_vec(), boot.clone()));
    put(NAMES[0])
        .or_else(|errno| match errno {
            Errno::PERM | Errno::OPNOTSUPP => put(NAMES[1]),
            errno => Err(errno),
        })
        .map_err(at(Path::new(""), "mark it as the target of a copy"))
}

/// Takes the mark away, when no run of a copy into this folder is to follow. Without one that is left alone: nothing happens.
///
/// # Errors
/// What the kernel says.
pub fn done(target: BorrowedFd) -> Result<(), Error> {
    for name in NAMES {
        match Of::Open(target).remove(name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(Errno::PERM) if name == NAMES[0] => {}
            Err(errno) => return Err(at(Path::new(""), "take the mark of a copy away")(errno)),
        }
    }
    Ok(())
}

fn boot_id() -> Result<Vec<u8>, Error> {
    std::fs::read("/proc/sys/kernel/random/boot_id").map_err(|source| Error::Failed {
        path: "/proc/sys/kernel/random/boot_id".into(),
        doing: "read it",
        source,
    })
}
