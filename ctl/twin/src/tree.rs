//! What there is in a home, path by path, and how one end tells the other.

use crate::node::{LONGEST_PATH, Node, Path, Time, is_fit, node, parent, put_node};
use crate::pair::Pair;
use crate::wire::{Failure, byte, flush, put, put_text, text};
use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};

/// The most paths of a home.
pub(crate) const MOST_PATHS: usize = 4_000_000;

/// All paths of a home. A folder stands in front of what is in it.
pub(crate) type Tree = BTreeMap<Path, Seen>;

/// What an end has taken from the other since the pair; `None`: it has deleted what was there, as the other.
pub(crate) type Notes = BTreeMap<Path, Option<Node>>;

/// What is under a path, and whether that is another thing than when both ends had the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub state: State,
    pub changed: bool,
    /// Whether it is not as in the pair, and as the other end had it: it was taken in a sync that was cut off after that.
    pub taken: bool,
    /// How the file stood when it was looked at; of the other end's files nothing is known.
    pub stamp: Option<Stamp>,
    /// Whether what is in the file is known as long as it stands so.
    pub lasts: bool,
}

/// Nothing, as before.
pub(crate) const NOTHING: Seen =
    Seen { state: State::Gone, changed: false, taken: false, stamp: None, lasts: false };

/// What is under a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Gone,
    /// Something that stays where it is, and so does what is under that path at the other end, with all below.
    Left(Why),
    /// This.
    Is(Node),
}

/// Why something stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A program writes to it, or it was changed while it was read.
    InUse,
    /// Its owner may not read it, or has another's file there.
    Unreadable,
    /// A socket, FIFO or device.
    Special,
    /// Another file system is mounted there, or it is a subvolume.
    Elsewhere,
    /// What it has beside its content is too long.
    TooLong,
    /// Its user wants that (`.config/homed/sync-leave`).
    Wished,
    /// The other end leaves it, whyever.
    There,
}

/// How a file stands: other numbers, and something was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub inode: u64,
    pub size: u64,
    pub modified: Time,
    pub changed: Time,
}

impl Seen {
    /// The node, if it is one.
    pub fn node(&self) -> Option<&Node> {
        match &self.state {
            State::Is(node) => Some(node),
            State::Gone | State::Left(_) => None,
        }
    }
}

/// The paths that stay where they are; most often none.
pub(crate) fn left(tree: &Tree) -> HashSet<&[u8]> {
    let is_left = |seen: &Seen| matches!(seen.state, State::Left(_));
    tree.iter().filter(|(_, seen)| is_left(seen)).map(|(path, _)| &**path).collect()
}

/// Whether a path, or a folder it is in, is one of them.
pub(crate) fn is_left(left: &HashSet<&[u8]>, path: &[u8]) -> bool {
    !left.is_empty() && std::iter::successors(Some(path), |path| parent(path)).any(|path| left.contains(path))
}

/// Says what was changed since both ends had that pair, and adds what is gone since. Without a pair that both have, all counts as
/// changed, and nothing as gone.
pub(crate) fn since(tree: &mut Tree, pair: Option<&Pair>, taken: &Notes) {
    for (path, seen) in tree.iter_mut() {
        seen.changed = pair.is_none_or(|pair| seen.node() != pair.node(path));
    }
    let Some(pair) = pair else { return };
    let left = left(tree);
    let gone = pair.paths().filter(|path| !tree.contains_key(*path) && !is_left(&left, path));
    let gone: Vec<Path> = gone.map(Path::from).collect();
    tree.extend(gone.into_iter().map(|path| (path, Seen { changed: true, ..NOTHING })));
    for (path, seen) in tree.iter_mut() {
        seen.taken = seen.changed && taken.get(path).is_some_and(|node| node.as_ref() == seen.node());
        seen.changed &= !seen.taken;
    }
}

/// What the byte in front of a state says.
mod tag {
    pub const GONE: u8 = 0;
    pub const LEFT: u8 = 1;
    pub const IS: u8 = 2;
    pub const TAKEN: u8 = 0x80;
}

/// Tells the other end what was changed, and what stays where it is.
pub(crate) fn put_tree(line: &mut dyn Write, tree: &Tree) -> Result<(), Failure> {
    let is_told = |seen: &Seen| seen.changed || seen.taken || matches!(seen.state, State::Left(_));
    for (path, seen) in tree.iter().filter(|(_, seen)| is_told(seen)) {
        put_text(line, path)?;
        let taken = if seen.taken { tag::TAKEN } else { 0 };
        match &seen.state {
            State::Gone => put(line, &[tag::GONE | taken])?,
            State::Left(_) => put(line, &[tag::LEFT])?,
            State::Is(node) => {
                put(line, &[tag::IS | taken])?;
                put_node(line, node)?;
            }
        }
    }
    put_text(line, &[])?;
    flush(line)
}

/// Hears what the other end has. What it does not tell of, it has as in the pair that both have.
pub(crate) fn tree(line: &mut dyn Read, pair: Option<&Pair>) -> Result<Tree, Failure> {
    let mut tree = Tree::new();
    let mut before: Path = Path::default();
    loop {
        let path: Path = text(line, LONGEST_PATH)?.into();
        if path.is_empty() {
            break;
        }
        if path <= before || !is_fit(&path) {
            return Err(Failure::Broken("a path that is none, or out of order"));
        }
        if tree.len() >= MOST_PATHS {
            return Err(Failure::Broken("too many paths"));
        }
        let said = byte(line)?;
        let state = match said & !tag::TAKEN {
            tag::GONE => State::Gone,
            tag::LEFT => State::Left(Why::There),
            tag::IS => State::Is(node(line)?),
            _ => return Err(Failure::Broken("a state that is none")),
        };
        before.clone_from(&path);
        let taken = said & tag::TAKEN != 0;
        tree.insert(path, Seen { state, changed: !taken, taken, ..NOTHING });
    }
    if let Some(pair) = pair {
        add_unchanged(&mut tree, pair);
    }
    is_whole(&tree)?;
    Ok(tree)
}

fn add_unchanged(tree: &mut Tree, pair: &Pair) {
    let left = left(tree);
    let same = pair.nodes().filter(|(path, _)| !tree.contains_key(*path) && !is_left(&left, path));
    let same: Vec<_> = same
        .map(|(path, node)| (Path::from(path), Seen { state: State::Is(node.clone()), ..NOTHING }))
        .collect();
    tree.extend(same);
}

/// Whatever there is lies in a folder.
fn is_whole(tree: &Tree) -> Result<(), Failure> {
    for path in tree.iter().filter(|(_, seen)| seen.node().is_some()).filter_map(|(path, _)| parent(path)) {
        if !tree.get(path).and_then(Seen::node).is_some_and(Node::is_folder) {
            return Err(Failure::Broken("something that lies in no folder"));
        }
    }
    Ok(())
}
