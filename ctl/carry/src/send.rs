//! The end that has the image.

use crate::wire::{self, Failure, Greeting, HASH, failed, flush, put, tag};
use crate::{Progress, SHAPE, Shape, Source, Watch, is_zero};
use std::collections::VecDeque;
use std::io::{Read, Write};

/// How many groups hashes run ahead of blocks: their blocks are kept in memory meanwhile. Fewer than a pipe has room
/// for answers.
pub(crate) const AHEAD: usize = 8;

/// Who answers.
pub enum Peer<'a> {
    /// The other end.
    Line(&'a mut dyn Read),
    /// Nobody: it goes into a file.
    None,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Hash over the greeting and all hashes.
    pub root: [u8; HASH],
    /// Bytes of content that went over the line.
    pub moved: u64,
}

/// A group whose blocks may be wanted.
struct Waiting {
    blocks: Vec<Vec<u8>>,
}

struct Sender<'a> {
    line: &'a mut dyn Write,
    peer: Peer<'a>,
    hasher: blake3::Hasher,
    waiting: VecDeque<Waiting>,
    shape: Shape,
    progress: Progress,
}

/// An image and what is said of it.
#[derive(Clone, Copy)]
pub struct Parcel<'a> {
    /// Its bytes.
    pub source: &'a dyn Source,
    /// Whose it is, and how large.
    pub greeting: &'a Greeting,
}

/// Sends an image; returns when the other end has it on disk under its name.
pub fn send<'a>(
    parcel: Parcel<'_>,
    line: &'a mut dyn Write,
    peer: Peer<'a>,
    watch: Watch<'_>,
) -> Result<Sent, Failure> {
    send_as(SHAPE, parcel, line, peer, watch)
}

pub(crate) fn send_as<'a>(
    shape: Shape,
    Parcel { source, greeting }: Parcel<'_>,
    line: &'a mut dyn Write,
    peer: Peer<'a>,
    watch: Watch<'_>,
) -> Result<Sent, Failure> {
    let progress = Progress { size: greeting.size, ..Progress::default() };
    let hasher = blake3::Hasher::new();
    let mut sender = Sender { line, peer, hasher, waiting: VecDeque::new(), shape, progress };
    sender.greet(greeting)?;
    let groups = shape.groups(greeting.size);
    let mut next = 0;
    while next < groups {
        let data = source.next_data(next * shape.group()).map_err(failed("reading the image"))?;
        let begins = data.map_or(groups, |offset| (offset / shape.group()).clamp(next, groups));
        if begins > next {
            sender.zeros(begins - next)?;
            next = begins;
        } else {
            sender.hashes(source, next)?;
            next += 1;
        }
        sender.progress.done = shape.done(next, greeting.size);
        watch(sender.progress);
    }
    sender.end()
}

impl Sender<'_> {
    fn greet(&mut self, greeting: &Greeting) -> Result<(), Failure> {
        let bytes = greeting.bytes()?;
        self.hasher.update(&bytes);
        put(self.line, &bytes)?;
        self.answered()
    }

    /// Waits for the other end's yes.
    fn answered(&mut self) -> Result<(), Failure> {
        flush(self.line)?;
        match &mut self.peer {
            Peer::Line(line) => wire::answer(*line),
            Peer::None => Ok(()),
        }
    }

    /// The next groups are nothing but zeros.
    fn zeros(&mut self, groups: u64) -> Result<(), Failure> {
        // What waits comes before them.
        while !self.waiting.is_empty() {
            self.blocks()?;
        }
        let mut frame = vec![tag::ZEROS];
        frame.extend(groups.to_le_bytes());
        self.hasher.update(&frame);
        put(self.line, &frame)
    }

    fn hashes(&mut self, source: &dyn Source, group: u64) -> Result<(), Failure> {
        let (mut frame, mut blocks) = (vec![tag::HASHES], Vec::new());
        for block in self.shape.of_group(group, self.progress.size) {
            let mut bytes = vec![0; block.length];
            source.read_at(&mut bytes, block.offset).map_err(failed("reading the image"))?;
            frame.extend(blake3::hash(&bytes).as_bytes());
            blocks.push(bytes);
        }
        self.hasher.update(&frame);
        put(self.line, &frame)?;
        self.waiting.push_back(Waiting { blocks });
        let ahead = if matches!(self.peer, Peer::None) { 0 } else { AHEAD };
        while self.waiting.len() > ahead {
            self.blocks()?;
        }
        Ok(())
    }

    /// Sends the blocks of the group that waits longest, as far as they are wanted.
    fn blocks(&mut self) -> Result<(), Failure> {
        let Some(Waiting { blocks }) = self.waiting.pop_front() else { return Ok(()) };
        flush(self.line)?;
        let wanted = match &mut self.peer {
            Peer::Line(line) => {
                wire::answer(*line)?;
                wire::number(*line)?
            }
            Peer::None => mask(blocks.iter().map(|block| !is_zero(block))),
        };
        put(self.line, &[tag::BLOCKS])?;
        put(self.line, &wanted.to_le_bytes())?;
        for (number, block) in blocks.iter().enumerate() {
            if wanted >> number & 1 == 1 {
                put(self.line, block)?;
                self.progress.moved += block.len() as u64;
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Sent, Failure> {
        while !self.waiting.is_empty() {
            self.blocks()?;
        }
        let root = *self.hasher.finalize().as_bytes();
        put(self.line, &[tag::END])?;
        put(self.line, &root)?;
        self.answered()?;
        Ok(Sent { root, moved: self.progress.moved })
    }
}

/// Which of them hold, as bits.
pub(crate) fn mask(all: impl Iterator<Item = bool>) -> u64 {
    all.take(64).enumerate().fold(0, |mask, (number, holds)| mask | u64::from(holds) << number)
}
