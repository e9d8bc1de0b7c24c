//! Blocks of an image on the disk it lies on: how many it has, and giving it more without taking the last ones.
//!
//! An image may be larger than its blocks (*sparse*). A write into a hole needs a block of the disk outside, and fails
//! where there is none: the file system inside takes that for a broken disk. So what must never fail has its blocks
//! from the beginning ([`Room::header`], the metadata of btrfs), and the rest as long as the disk can spare them.

use crate::job::{Context, Failure};
use crate::sys::{blockdev, file};
pub use records::size::spared;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

const MIB: u64 = 1 << 20;
/// Blocks are reserved in pieces of this many bytes, so that a worker can be stopped in between.
const PIECE: u64 = 256 * MIB;

/// An image's blocks, and what its disk has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Size of the image: what it promises.
    pub size: u64,
    /// Bytes it has blocks for.
    pub allocated: u64,
    /// Bytes of the disk that anybody may still use.
    pub free: u64,
    /// Bytes that are left to others.
    pub spared: u64,
}

impl Room {
    /// Looks.
    pub fn of(image: &File) -> Result<Self, Failure> {
        let facts = image.metadata().during("looking at the image")?;
        if blockdev::is_one(image).during("looking at the image")? {
            // All of it is there.
            let size = blockdev::length(image).during("looking at the image")?;
            return Ok(Self { size, allocated: size, free: u64::MAX, spared: 0 });
        }
        let space = file::space(image).during("asking for free space")?;
        Ok(Self {
            size: facts.len(),
            // stat(2): in units of 512 bytes, whatever the disk's blocks are.
            allocated: (facts.blocks() * 512).min(facts.len()),
            free: space.free,
            spared: spared(space.total),
        })
    }

    /// Bytes of the image without blocks.
    pub fn missing(self) -> u64 {
        self.size - self.allocated
    }

    /// Whether the disk can give all of them and keep what is left to others.
    pub fn suffices(self) -> bool {
        self.free >= self.missing().saturating_add(self.spared)
    }
}

/// Reserves the blocks of a part of an image, whatever is left then. What has blocks keeps them and its content; a block
/// device has all of them.
pub fn reserve(image: &File, part: Range<u64>) -> std::io::Result<()> {
    if blockdev::is_one(image)? {
        return Ok(());
    }
    let mut start = part.start;
    while start < part.end {
        let length = PIECE.min(part.end - start);
        match file::allocate(image, start, length) {
            // The file system cannot reserve blocks.
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => return Ok(()),
            other => other?,
        }
        start += length;
    }
    Ok(())
}

/// Reserves what lies before the data and behind it (partition tables, encryption header): a change of password must
/// not fail for lack of space outside.
pub fn reserve_ends(image: &File, data: Range<u64>) -> std::io::Result<()> {
    let size = blockdev::length(image)?;
    reserve(image, 0..data.start.min(size))?;
    reserve(image, data.end.min(size)..size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_blocks_of_a_disk_are_not_taken() {
        let room = Room { size: 100 * MIB, allocated: 40 * MIB, free: 123 * MIB, spared: 64 * MIB };
        assert_eq!(room.missing(), 60 * MIB);
        assert!(!room.suffices());
        assert!(Room { free: 124 * MIB, ..room }.suffices());
        assert_eq!([0, 10 << 30, 10 << 40].map(spared), [64 * MIB, 512 * MIB, 2048 * MIB]);
    }

    #[test]
    fn both_ends_get_blocks_and_the_content_stays() {
        let mut file = tempfile::tempfile().expect("scratch file");
        std::io::Write::write_all(&mut file, b"header").expect("written");
        file.set_len(8 * MIB).expect("sized");
        reserve_ends(&file, MIB..7 * MIB).expect("reserved");
        assert_eq!(Room::of(&file).expect("looked").allocated, 2 * MIB);
        assert_eq!(file.metadata().expect("looked").len(), 8 * MIB);
        let mut head = [0; 6];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut head, 0).expect("read");
        assert_eq!(&head, b"header");
    }
}
