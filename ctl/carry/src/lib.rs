//! An image on its way to another machine: the talk of its two ends, over any pair of pipes. No file, no network, no key.
//!
//! ```text
//! sender                                             receiver
//!   greeting: size, name of the home           ──→
//!                                              ←──   yes, or no and why
//!   hashes of the blocks of a group (or: the next
//!   groups are nothing but zeros)              ──→   what of it is there already?
//!                                              ←──   which blocks it wants
//!   these blocks                               ──→   each is hashed before it is written
//!   …
//!   end: hash of the greeting and all hashes   ──→   is the same here, and no block is missing
//!                                              ←──   done, once it is on disk under its name
//! ```
//!
//! Hashes run ahead of the blocks, so the line is never idle. A line that breaks leaves the blocks that were written: the
//! next talk wants the others. Into a file the sender speaks alone ([`Peer::None`]) and sends every block that is not
//! zeros; who reads it leaves out what is there already.
//!
//! The image is ciphertext; what is in it is not known to either end. Whatever comes from the other end may be made to do
//! harm: lengths are bounded, groups come in their order, and nothing is written that its hash does not vouch for.
//! Formats: `docs/decisions/0022-carry.md`.

mod receive;
mod send;
mod wire;

pub use receive::{Offer, Received, Target, receive};
pub use send::{Parcel, Peer, Sent, send};
pub use wire::{Failure, Greeting, LARGEST};

/// Where blocks are read.
pub trait Source {
    /// Fills the buffer from there on; the image is at least that long.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()>;
    /// Where the next bytes begin, from there on, that may be others than zeros; `None`: there are none.
    fn next_data(&self, offset: u64) -> std::io::Result<Option<u64>>;
}

/// How far a talk is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// How much of the image is settled.
    pub done: u64,
    /// How large it is.
    pub size: u64,
    /// How much of its content went over the line.
    pub moved: u64,
}

/// Told of progress.
pub type Watch<'a> = &'a mut dyn FnMut(Progress);

/// How an image is cut up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Bytes of a block.
    block: usize,
    /// Blocks of a group: as many as a mask has bits, at most.
    blocks: usize,
}

/// A block is small enough that little is sent for a changed sector, and large enough that hashes are 0.2 % of the image.
const SHAPE: Shape = Shape { block: 16 * 1024, blocks: 64 };

impl Shape {
    fn group(self) -> u64 {
        (self.block * self.blocks) as u64
    }

    /// How many groups an image of that size has.
    fn groups(self, size: u64) -> u64 {
        size.div_ceil(self.group())
    }

    /// The blocks of a group: offset and length of each.
    fn of_group(self, number: u64, size: u64) -> impl Iterator<Item = Block> {
        let begin = number * self.group();
        let end = size.min(begin + self.group());
        (begin..end).step_by(self.block).map(move |offset| {
            let length = (end - offset).min(self.block as u64);
            Block { offset, length: usize::try_from(length).unwrap_or(self.block) }
        })
    }

    /// How many bytes are settled once so many groups are.
    fn done(self, groups: u64, size: u64) -> u64 {
        size.min(groups.saturating_mul(self.group()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    offset: u64,
    length: usize,
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests;
