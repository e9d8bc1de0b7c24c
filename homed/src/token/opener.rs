//! Which device it was that opened a home.

use super::{KINDS, Offer};
use records::Secret;
use std::path::PathBuf;

/// What has opened a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opener {
    /// Something that is no device: a password, a recovery key, the PIN of this computer.
    Typed,
    /// The device that is there, in sysfs.
    Device(PathBuf),
    /// A device of which nobody can tell where it is.
    Somewhere,
}

/// Whose answer a key is.
pub fn opener(offer: &Offer<'_>, key: &Secret) -> Opener {
    let answered = offer.answered.borrow();
    let is_device = |list| KINDS.iter().any(|kind| kind.member() == list && kind.is_device());
    let mut its = answered.iter().filter(|one| is_device(one.list) && one.secret.matches(key.open()));
    match its.next() {
        None => Opener::Typed,
        Some(one) => one.place.clone().map_or(Opener::Somewhere, Opener::Device),
    }
}
