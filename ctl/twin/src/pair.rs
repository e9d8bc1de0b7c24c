//! What both ends had when they were last the same, as each of them keeps it of the other (`.homed-sync/ID.pair`).
//!
//! ```text
//! magic, whose home it is (ID), whose the other is (ID)
//! path, node, and if the file here is known by its stamp: 1, stamp; else 0      … in the order of the paths
//! an empty path, BLAKE3 of all that
//! ```
//!
//! It is a memory, and no more: an end judges by its own alone what has changed here. Lost or broken it counts as none, and then
//! what differs is kept twice.

use crate::node::{Hash, LONGEST_PATH, Node, Path, is_fit, node, put_node, put_time, time};
use crate::tree::{MOST_PATHS, Stamp};
use crate::wire::{Failure, array, byte, number, put, put_text, text};
use std::collections::BTreeMap;
use std::io::{Read, Write};

const MAGIC: &[u8; 12] = b"homed pair 1";

/// Which machine: a hash of its ID, which tells nobody the ID.
pub type Id = [u8; 32];

/// Of the machine that has this ID.
pub fn id(machine: &str) -> Id {
    *blake3::Hasher::new().update(b"homed sync: ").update(machine.as_bytes()).finalize().as_bytes()
}

/// Whose pair it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub here: Id,
    pub there: Id,
}

/// What both ends had.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pair(pub BTreeMap<Path, Kept>);

/// What both had under a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub node: Node,
    /// How the file here stood then: as long as it stands so, nobody has to read it.
    pub stamp: Option<Stamp>,
}

impl Pair {
    /// What both had under a path.
    pub fn node(&self, path: &[u8]) -> Option<&Node> {
        self.0.get(path).map(|kept| &kept.node)
    }

    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.0.keys().map(|path| &**path)
    }

    /// All of it.
    pub fn nodes(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.0.iter().map(|(path, kept)| (&**path, &kept.node))
    }

    /// A hash of what both had: the same at both ends if they have the same pair. `None`: there is none.
    pub fn id(&self) -> Option<Hash> {
        let mut hash = Hashing { line: std::io::sink(), hash: blake3::Hasher::new() };
        for (path, node) in self.nodes() {
            // Nothing that was read or seen is too long to be written, and a sink takes all.
            put_text(&mut hash, path).and_then(|()| put_node(&mut hash, node)).ok()?;
        }
        (!self.0.is_empty()).then(|| *hash.hash.finalize().as_bytes())
    }

    /// Writes it.
    pub fn write(&self, file: &mut dyn Write, ends: Ends) -> Result<(), Failure> {
        let mut line = Hashing { line: file, hash: blake3::Hasher::new() };
        put(&mut line, MAGIC)?;
        put(&mut line, &ends.here)?;
        put(&mut line, &ends.there)?;
        for (path, kept) in &self.0 {
            put_text(&mut line, path)?;
            put_node(&mut line, &kept.node)?;
            put(&mut line, &[u8::from(kept.stamp.is_some())])?;
            if let Some(stamp) = &kept.stamp {
                put_stamp(&mut line, stamp)?;
            }
        }
        put_text(&mut line, &[])?;
        let hash = *line.hash.finalize().as_bytes();
        put(line.line, &hash)
    }

    /// Reads it. One that is of other ends, or broken, is an error.
    pub fn read(file: &mut dyn Read, ends: Ends) -> Result<Self, Failure> {
        let mut line = Hashing { line: file, hash: blake3::Hasher::new() };
        if &array::<12>(&mut line)? != MAGIC {
            return Err(Failure::Broken("it does not begin as a pair"));
        }
        let of = Ends { here: array(&mut line)?, there: array(&mut line)? };
        if of != ends {
            return Err(Failure::Broken("it is the pair of others"));
        }
        let mut pair = BTreeMap::new();
        loop {
            let path: Path = text(&mut line, LONGEST_PATH)?.into();
            if path.is_empty() {
                break;
            }
            if !is_fit(&path) || pair.len() >= MOST_PATHS {
                return Err(Failure::Broken("a path that is none"));
            }
            let node = node(&mut line)?;
            let stamp = match byte(&mut line)? {
                0 => None,
                _ => Some(stamp(&mut line)?),
            };
            pair.insert(path, Kept { node, stamp });
        }
        let hash = *line.hash.finalize().as_bytes();
        if array::<32>(line.line)? != hash {
            return Err(Failure::Broken("its hash is another"));
        }
        Ok(Self(pair))
    }
}

fn put_stamp(line: &mut dyn Write, stamp: &Stamp) -> Result<(), Failure> {
    put(line, &stamp.inode.to_le_bytes())?;
    put(line, &stamp.size.to_le_bytes())?;
    put_time(line, stamp.modified)?;
    put_time(line, stamp.changed)
}

fn stamp(line: &mut dyn Read) -> Result<Stamp, Failure> {
    Ok(Stamp { inode: number(line)?, size: number(line)?, modified: time(line)?, changed: time(line)? })
}

/// Hashes what goes through it.
struct Hashing<L> {
    line: L,
    hash: blake3::Hasher,
}

impl<L: Write> Write for Hashing<L> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.line.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.line.flush()
    }
}

impl<L: Read> Read for Hashing<L> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let read = self.line.read(room)?;
        self.hash.update(&room[..read]);
        Ok(read)
    }
}
