//! The end that gets the image.

use crate::send::{AHEAD, mask};
use crate::wire::{self, Failure, Greeting, HASH, failed, flush, put, tag};
use crate::{Block, Progress, SHAPE, Shape, Source, Watch, is_zero};
use std::collections::VecDeque;
use std::io::{Read, Write};

/// Where blocks are written: beside what is in force, and perhaps with blocks of an earlier talk.
pub trait Target: Source {
    /// Writes there.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()>;
    /// Makes so many bytes zeros, without blocks if that can be.
    fn zero(&mut self, offset: u64, length: u64) -> std::io::Result<()>;
}

/// An image that is offered.
pub struct Offer<'a> {
    line: &'a mut dyn Read,
    answers: Option<&'a mut dyn Write>,
    greeting: Greeting,
    shape: Shape,
}

/// An image that has arrived whole, and has no name yet.
pub struct Received<'a> {
    answers: Option<&'a mut dyn Write>,
    /// Hash over the greeting and all hashes: the same as the sender's.
    pub root: [u8; HASH],
    /// Bytes of content that came over the line.
    pub moved: u64,
}

/// Listens to who sends; without answers, it is read from a file.
pub fn receive<'a>(line: &'a mut dyn Read, answers: Option<&'a mut dyn Write>) -> Result<Offer<'a>, Failure> {
    receive_as(SHAPE, line, answers)
}

pub(crate) fn receive_as<'a>(
    shape: Shape,
    line: &'a mut dyn Read,
    answers: Option<&'a mut dyn Write>,
) -> Result<Offer<'a>, Failure> {
    let greeting = Greeting::read(line)?;
    Ok(Offer { line, answers, greeting, shape })
}

/// A group whose blocks are to come.
struct Coming {
    blocks: Vec<(Block, blake3::Hash)>,
    wanted: u64,
}

struct Receiver<'a, 't> {
    line: &'a mut dyn Read,
    answers: Option<&'a mut dyn Write>,
    target: &'t mut dyn Target,
    older: Option<&'t dyn Source>,
    hasher: blake3::Hasher,
    /// What a block of zeros of that length has for a hash.
    zeros: Option<(usize, blake3::Hash)>,
    coming: VecDeque<Coming>,
    shape: Shape,
    next: u64,
    progress: Progress,
}

impl<'a> Offer<'a> {
    /// Which image.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Says no, and why.
    pub fn refuse(self, why: &str) -> Result<(), Failure> {
        self.answers.map_or(Ok(()), |answers| wire::refuse(answers, why))
    }

    /// Takes it: into a target of its size. Blocks of an `older` copy, as long as the image at least, need not come over
    /// the line. Tells the sender if that fails here.
    pub fn accept<'t>(
        self,
        target: &'t mut dyn Target,
        older: Option<&'t dyn Source>,
        watch: Watch<'_>,
    ) -> Result<Received<'a>, Failure> {
        let Offer { line, answers, greeting, shape } = self;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&greeting.bytes()?);
        let progress = Progress { size: greeting.size, ..Progress::default() };
        let coming = VecDeque::new();
        let mut receiver =
            Receiver { line, answers, target, older, hasher, zeros: None, coming, shape, next: 0, progress };
        match receiver.run(watch) {
            Ok(root) => Ok(Received { answers: receiver.answers, root, moved: receiver.progress.moved }),
            Err(failure) => {
                if let Some(answers) = receiver.answers {
                    // Whoever sent that, or has gone, need not hear it.
                    let _ = wire::refuse(answers, &failure.to_string());
                }
                Err(failure)
            }
        }
    }
}

impl Received<'_> {
    /// Tells the sender that it is on disk, under its name.
    pub fn done(self) -> Result<(), Failure> {
        let Some(answers) = self.answers else { return Ok(()) };
        put(answers, &[tag::YES])?;
        flush(answers)
    }

    /// Tells the sender that it is not, and why.
    pub fn failed(self, why: &str) -> Result<(), Failure> {
        self.answers.map_or(Ok(()), |answers| wire::refuse(answers, why))
    }
}

impl Receiver<'_, '_> {
    fn run(&mut self, watch: Watch<'_>) -> Result<[u8; HASH], Failure> {
        self.yes(None);
        let groups = self.shape.groups(self.progress.size);
        loop {
            match wire::array::<1>(self.line)?[0] {
                tag::HASHES if self.next < groups && self.coming.len() <= AHEAD => self.hashes()?,
                tag::ZEROS if self.coming.is_empty() => self.zeros(groups)?,
                tag::BLOCKS => self.blocks()?,
                tag::END if self.next == groups && self.coming.is_empty() => return self.end(),
                tag::NO => return Err(wire::words(self.line)),
                _ => return Err(Failure::Broken("something comes out of turn")),
            }
            let settled = self.next - self.coming.len() as u64;
            self.progress.done = self.shape.done(settled, self.progress.size);
            watch(self.progress);
        }
    }

    /// Answers. A line that takes no answers ends soon by itself; blocks that are on their way are taken before.
    fn yes(&mut self, wanted: Option<u64>) {
        let Some(answers) = &mut self.answers else { return };
        let mut answer = vec![tag::YES];
        answer.extend(wanted.into_iter().flat_map(u64::to_le_bytes));
        let _ = put(*answers, &answer).and_then(|()| flush(*answers));
    }

    /// Groups of zeros.
    fn zeros(&mut self, groups: u64) -> Result<(), Failure> {
        let count = wire::number(self.line)?;
        if count == 0 || count > groups - self.next {
            return Err(Failure::Broken("there are not that many groups"));
        }
        self.hasher.update(&[tag::ZEROS]).update(&count.to_le_bytes());
        let begin = self.next * self.shape.group();
        self.next += count;
        let end = self.shape.done(self.next, self.progress.size);
        let is_there = self.target.next_data(begin).map_err(failed("reading what is here"))?;
        if is_there.is_some_and(|data| data < end) {
            self.target.zero(begin, end - begin).map_err(failed("writing"))?;
        }
        Ok(())
    }

    /// Hashes of the next group: what of it is not here yet?
    fn hashes(&mut self) -> Result<(), Failure> {
        let blocks: Vec<Block> = self.shape.of_group(self.next, self.progress.size).collect();
        let bytes = wire::bytes(self.line, blocks.len() * HASH)?;
        self.hasher.update(&[tag::HASHES]).update(&bytes);
        let hashes = bytes.chunks_exact(HASH).map(|hash| {
            let mut array = [0; HASH];
            array.copy_from_slice(hash);
            blake3::Hash::from_bytes(array)
        });
        let blocks: Vec<_> = blocks.into_iter().zip(hashes).collect();
        let mut missing = Vec::with_capacity(blocks.len());
        for (block, hash) in &blocks {
            missing.push(!self.has(*block, hash)?);
        }
        let wanted = mask(missing.into_iter());
        self.next += 1;
        self.coming.push_back(Coming { blocks, wanted });
        self.yes(Some(wanted));
        Ok(())
    }

    /// Whether a block is in place, or could be put there without the other end.
    fn has(&mut self, block: Block, hash: &blake3::Hash) -> Result<bool, Failure> {
        let mut bytes = vec![0; block.length];
        let wants_zeros = self.is_of_zeros(block, hash);
        self.target.read_at(&mut bytes, block.offset).map_err(failed("reading what is here"))?;
        // A new target is nothing but zeros, and so is much of an image: they are told apart without another hash.
        let has_zeros = is_zero(&bytes);
        if wants_zeros {
            if !has_zeros {
                self.target.zero(block.offset, block.length as u64).map_err(failed("writing"))?;
            }
            return Ok(true);
        }
        if !has_zeros && blake3::hash(&bytes) == *hash {
            return Ok(true);
        }
        let Some(older) = self.older else { return Ok(false) };
        older.read_at(&mut bytes, block.offset).map_err(failed("reading the older copy"))?;
        if blake3::hash(&bytes) != *hash {
            return Ok(false);
        }
        self.target.write_at(&bytes, block.offset).map_err(failed("writing"))?;
        Ok(true)
    }

    /// Whether that is the hash of a block of zeros.
    fn is_of_zeros(&mut self, block: Block, hash: &blake3::Hash) -> bool {
        let known = self.zeros.filter(|(length, _)| *length == block.length).map(|(_, zeros)| zeros);
        let zeros = known.unwrap_or_else(|| blake3::hash(&vec![0; block.length]));
        self.zeros = Some((block.length, zeros));
        zeros == *hash
    }

    /// Blocks of the group that is next to come: those that are wanted, and from a file perhaps others.
    fn blocks(&mut self) -> Result<(), Failure> {
        let Some(Coming { blocks, wanted }) = self.coming.pop_front() else {
            return Err(Failure::Broken("blocks come out of turn"));
        };
        let sent = wire::number(self.line)?;
        let possible = mask(blocks.iter().map(|_| true));
        let from_file = self.answers.is_none();
        if sent & wanted != wanted || sent & !possible != 0 || (sent != wanted && !from_file) {
            return Err(Failure::Broken("other blocks than were asked for"));
        }
        for (number, (block, hash)) in blocks.iter().enumerate() {
            let has = |mask: u64| mask >> number & 1 == 1;
            if !has(sent) {
                continue;
            }
            let bytes = wire::bytes(self.line, block.length)?;
            if blake3::hash(&bytes) != *hash {
                return Err(Failure::Broken("a block is not what its hash says"));
            }
            if has(wanted) {
                self.target.write_at(&bytes, block.offset).map_err(failed("writing"))?;
                self.progress.moved += block.length as u64;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<[u8; HASH], Failure> {
        let root = *self.hasher.finalize().as_bytes();
        if wire::array::<HASH>(self.line)? != root {
            return Err(Failure::Broken("the whole is not what was sent"));
        }
        Ok(root)
    }
}
