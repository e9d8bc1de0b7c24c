//! Copies a directory tree whole, and proves that the copy is the same tree.
//!
//! [`measure`] says what there is, [`copy`] copies it, [`differences`] compares two trees. All three go by open descriptors, one
//! name at a time, through no symbolic link and into no other mount: whoever owns the tree may rename, replace and remove in it
//! meanwhile, and has nothing opened that is not in it. What was changed while it was copied is told.
//!
//! Kept are: types (files, folders, symbolic links, FIFOs, device nodes), names as the bytes they are, owners, modes with their
//! set-ID bits, ACLs and all other extended attributes with capabilities, hard links within the tree, holes, times to the
//! nanosecond, and the inode flags of `flags.rs`. Data is shared where the file systems can. Sockets are left out and told, as are
//! project IDs, birth times and what was allocated and never written.
//!
//! A copy is made in a folder that nobody but the caller can enter until all is there. It bears a mark (`mark.rs`) by which a copy
//! that was cut off goes on when it is run again; a folder that has anything in it and no mark is refused.
//!
//! A copy may be made on other [`Terms`]: with another owner, and without set-ID bits, capabilities and devices that its owner could
//! not have made.
//!
//! Not here: accounts, homes, questions, and what becomes of the copy.

mod content;
mod copy;
mod differences;
mod error;
mod flags;
mod listing;
mod look;
mod mark;
mod measure;
mod names;
mod terms;
mod trail;
mod xattrs;

pub use copy::{Continue, Copied, Copy, Loss, Lost, Progress, copy, remove_tree};
pub use differences::{Difference, What, differences, differences_on, differences_until};
pub use error::Error;
pub use mark::done;
pub use measure::{Measure, measure, measure_on, measure_until};
pub use names::Names;
pub use terms::{Maker, Terms};
