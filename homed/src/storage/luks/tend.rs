//! Care for the blocks of an image while its home is active and nobody waits.
//!
//! ```text
//! in use:        both ends, metadata ─→ all blocks, or (luksDiscard) unused ones given back
//! nobody any more:                      unused ones given back (luksOfflineDiscard)
//! ```
//!
//! Stopped at any moment, nothing is half done: each piece is a call of its own. The metadata of btrfs keeps its blocks
//! for ever: a home whose disk is full can then still be mounted, and files in it can be deleted.

use super::header::{self, HeaderCopy};
use crate::job::{Care, Context, Failure, Step, Steps, refuse};
use crate::storage::luks::spec::Spec;
use crate::storage::parts::image::{self, Access};
use crate::storage::parts::room;
use crate::sys::btrfs::{self, Chunk, Holds};
use crate::sys::file;
use records::Refusal;
use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// Most addresses that one call gives back: it can only be stopped between two.
const PIECE: u64 = 4 << 30;

/// Cares for the mounted home.
pub fn tend(spec: &Spec, care: Care, steps: &mut dyn Steps) -> Result<(), Failure> {
    let tended = Tended::open(spec)?;
    steps.enter(Step::Allocate)?;
    if let Err(error) = tended.reserve_what_must_not_fail() {
        steps.warn(format!("The disk has no room for the metadata of the home ({error}): free some space."));
    }
    let gives_back = match care {
        Care::InUse => false,
        Care::Thorough => spec.discard,
        Care::Left => spec.offline_discard,
    };
    if gives_back {
        steps.enter(Step::Trim)?;
        if let Err(error) = tended.give_back() {
            steps.warn(format!("Unused space could not be given back: {error}."));
        }
        return Ok(());
    }
    if care != Care::Left && !spec.discard {
        tended.reserve_all(steps)?;
    }
    Ok(())
}

/// A mounted home and its image.
struct Tended {
    directory: OwnedFd,
    image: File,
    /// The part of the image that is the file system's device.
    data: Range<u64>,
    /// Empty for file systems other than btrfs.
    chunks: Vec<Chunk>,
}

impl Tended {
    fn open(spec: &Spec) -> Result<Self, Failure> {
        let Some(home) = super::mounted_home(spec)? else {
            return refuse(Refusal::HomeNotActive, "The home is not mounted from its encrypted device.");
        };
        let directory = home.open().during("opening the home directory")?;
        let image = image::open(&spec.image, Access::Beside)?;
        let place = header::locate(&image, spec)?;
        let mut header = HeaderCopy::read(&image, &place, spec)?;
        let facts = header.luks.facts().during("reading the encryption header")?;
        let data = place.offset + facts.data_offset..place.offset + place.size;
        let chunks = btrfs::chunks(&directory).during("looking for the home's metadata")?;
        Ok(Self { directory, image, data, chunks })
    }

    fn reserve_what_must_not_fail(&self) -> std::io::Result<()> {
        room::reserve_ends(&self.image, self.data.clone())?;
        reserve_metadata(&self.image, self.data.clone(), &self.chunks)
    }

    fn reserve_all(&self, steps: &mut dyn Steps) -> Result<(), Failure> {
        let room = room::Room::of(&self.image)?;
        if room.suffices() {
            return room::reserve(&self.image, 0..room.size).during("reserving blocks for the home");
        }
        let mib = |bytes: u64| bytes >> 20;
        steps.warn(format!(
            "The disk has too little room for all of the home ({} MiB are missing, {} MiB are free, {} MiB stay for \
             others): writing into it may fail. Free some space.",
            mib(room.missing()),
            mib(room.free),
            mib(room.spared),
        ));
        Ok(())
    }

    fn give_back(&self) -> std::io::Result<()> {
        for part in unused(&self.chunks, self.data.end - self.data.start) {
            file::trim(&self.directory, part)?;
        }
        Ok(())
    }
}

/// Reserves the blocks of metadata of a file system whose device is that part of the image.
pub fn reserve_metadata(image: &File, device: Range<u64>, chunks: &[Chunk]) -> std::io::Result<()> {
    for chunk in chunks.iter().filter(|chunk| chunk.holds == Holds::Metadata) {
        let length = chunk.logical.end - chunk.logical.start;
        for copy in &chunk.copies {
            let start = device.start.saturating_add(*copy);
            room::reserve(image, start..start.saturating_add(length).min(device.end))?;
        }
    }
    Ok(())
}

/// The parts of the address space that may be given back, in pieces: all of it, but on btrfs the chunks of metadata.
/// (Space that is in no chunk goes with any of them.)
fn unused(chunks: &[Chunk], size: u64) -> Vec<Range<u64>> {
    if chunks.is_empty() {
        let starts = (0..).map(|piece| piece * PIECE).take_while(|start| *start < size);
        return starts.map(|start| start..size.min(start + PIECE)).collect();
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    for chunk in chunks.iter().filter(|chunk| chunk.holds == Holds::Data) {
        match parts.last_mut() {
            Some(last) if last.end == chunk.logical.start && chunk.logical.end - last.start <= PIECE => {
                last.end = chunk.logical.end;
            }
            _ => parts.push(chunk.logical.clone()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_not_given_back() {
        let chunk =
            |start: u64, end: u64, holds| Chunk { logical: start << 30..end << 30, holds, copies: vec![0] };
        let chunks = [
            chunk(0, 1, Holds::Data),
            chunk(1, 2, Holds::Metadata),
            chunk(2, 5, Holds::Data),
            chunk(5, 6, Holds::Data),
            chunk(6, 7, Holds::Data),
            chunk(9, 10, Holds::Data),
        ];
        let parts: Vec<(u64, u64)> =
            unused(&chunks, 0).iter().map(|p| (p.start >> 30, p.end >> 30)).collect();
        assert_eq!(parts, [(0, 1), (2, 6), (6, 7), (9, 10)]);
    }

    #[test]
    fn without_chunks_all_of_it_goes_in_pieces() {
        let parts = unused(&[], PIECE + 17);
        assert_eq!(parts, [0..PIECE, PIECE..PIECE + 17]);
    }
}
