//! A home on two machines, open on both: what was changed on one goes to the other, and nothing is lost on either.
//!
//! ```text
//! the first end (who began)                          the second
//!   who it is, which pair it has                ──→
//!                                               ←──   the same
//!   both walk through their home (`scan.rs`)
//!   what was changed since the pair             ──→
//!                                               ←──   the same
//!   both make the same plan (`decide.rs`)
//!                                               ←──   what it needs
//!   that                                        ──→   into `part`
//!   what it needs, the other way round
//!                                               ←──   has it in place; what it could not do
//!   has it in place; what it could not do       ──→
//!                                               ←──   has kept the new pair; then the first does
//! ```
//!
//! All of it runs with the rights of the user and no others. Nothing that comes from the other end is believed but what a user may do to
//! the own home: paths are looked up beneath its top, through no link and no mount; lengths are bounded; a content is taken when its
//! hash is the one that was told; no set-ID bit, no device and no owner comes along.
//!
//! Nothing is overwritten: what comes is exchanged with what is there (`place.rs`), and what was there is looked at again before it goes.
//! If it is not what both ends had, it is kept beside. What is cut off, anywhere, is put in order by the next sync (`journal.rs`): the
//! pair is kept last, so that what is done already is the same at both ends, and the rest is still to be done.

mod content;
mod copies;
mod decide;
mod home;
mod journal;
mod node;
mod orders;
mod pair;
mod place;
mod scan;
mod store;
mod sys;
mod talk;
mod tree;
mod wire;

pub use copies::{Chosen, Copy, Side, choose, copies};
pub use decide::End;
pub use pair::{Id, id};
pub use talk::{Here, Line, Outcome, Undone, sync};
pub use tree::Why;
pub use wire::Failure;

/// What happens, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A name in the home was looked at.
    Looked,
    /// So many bytes of files went over the line, either way.
    Moved(u64),
    /// Something is about to be done in the home.
    Step,
}

/// Told of events; an error ends the sync there.
pub type Watch<'a> = &'a mut dyn FnMut(Event) -> Result<(), Failure>;

/// Reads whatever bytes another machine might send, as each of the readers: for fuzzing.
pub fn read_anything(bytes: &[u8]) {
    let pair = pair::Pair::default();
    let _ = tree::tree(&mut &*bytes, None);
    let _ = tree::tree(&mut &*bytes, Some(&pair));
    let _ = pair::Pair::read(&mut &*bytes, pair::Ends { here: [0; 32], there: [0; 32] });
    let _ = talk::read_hello(&mut &*bytes);
}

#[cfg(test)]
mod tests;
