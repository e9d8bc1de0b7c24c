//! What is to be seen of a home's key in the kernel: the proof after a lock. How it is looked for, each kind knows.

use super::kind;
use super::whereabouts::Clues;

/// One place where the key could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// It is not there.
    Clear,
    /// It is, or nothing keeps it from coming back: in these words.
    Found(String),
    /// It cannot be told.
    Unseen(String),
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// The devices take no requests.
    pub device: Trace,
    /// The keys in their tables, those that wait to be swapped in included.
    pub table: Trace,
    /// Keyrings.
    pub keyring: Trace,
    /// The encrypted swap space with the memory of the home's processes.
    pub swap: Trace,
    /// Processes that have the image open.
    pub holders: Trace,
}

impl Traces {
    /// Of a home without a key: there is none anywhere.
    pub fn none() -> Self {
        let clear = || Trace::Clear;
        Self { device: clear(), table: clear(), keyring: clear(), swap: clear(), holders: clear() }
    }
}

/// Looks. The home's own file system is not asked for anything, for the lock has frozen it; the one that its image lies on is.
pub fn look(clues: &Clues<'_>) -> Traces {
    kind::of(clues.kind).map_or_else(Traces::none, |kind| (kind.traces)(clues))
}

/// Why the key of a home may be in the kernel. What cannot be told counts as there; who has the image open does not.
/// Nobody is waited for: the image is known by the path that it was attached by.
pub fn key_in_kernel(clues: &Clues<'_>) -> Option<String> {
    let of_the_key = kind::of(clues.kind).map(|kind| (kind.key)(clues)).unwrap_or_default();
    of_the_key.into_iter().find_map(|trace| match trace {
        Trace::Clear => None,
        Trace::Found(text) | Trace::Unseen(text) => Some(text),
    })
}
