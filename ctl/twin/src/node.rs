//! What there is under a path of a home: as far as it goes to the other machine.

use crate::wire::{Failure, array, byte, bytes, number, put, put_text, text};
use std::io::{Read, Write};

/// A path within the home: names with a slash between them, none at its ends.
pub type Path = Box<[u8]>;

/// The hash of what is in a file (BLAKE3).
pub type Hash = [u8; 32];

/// The longest path that goes to another machine: the kernel takes it at once, with what is put in front and behind.
pub(crate) const LONGEST_PATH: usize = 3800;
/// The longest that a symbolic link may lead to (PATH_MAX).
const LONGEST_LINK: usize = 4095;
/// The longest name in a folder (NAME_MAX).
pub(crate) const LONGEST_NAME: usize = 255;
/// The most attributes of one file, and the most bytes of their values. A file with more stays at home.
pub(crate) const MOST_ATTRIBUTES: usize = 64;
pub(crate) const LONGEST_ATTRIBUTES: usize = 64 * 1024;
/// Permissions of owner, group and others. Set-ID bits and the sticky bit stay at home.
pub(crate) const PERMISSIONS: u32 = 0o777;

/// A point in time: seconds since 1970, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// Less than a thousand million.
    pub nanoseconds: u32,
}

/// One attribute of the user's own (`user.*`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attribute {
    /// Its name, `user.` included.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// What is under a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A symbolic link, and where it leads: a text, that nothing here follows.
    Link(Vec<u8>),
    /// A file.
    File(File),
    /// A folder.
    Folder(Dress),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// When its content was changed.
    pub modified: Time,
    /// What is in it.
    pub content: Content,
    /// What it has besides.
    pub dress: Dress,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// Its length in bytes.
    pub size: u64,
    /// Its hash.
    pub hash: Hash,
}

/// What files and folders have besides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Dress {
    /// Permissions, nine bits.
    pub mode: u32,
    /// In the order of their names.
    pub attributes: Vec<Attribute>,
}

impl Node {
    /// What is in it, if it is a file.
    pub fn content(&self) -> Option<Content> {
        match self {
            Self::File(file) => Some(file.content),
            Self::Link(_) | Self::Folder(_) => None,
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }
}

/// The names at the top that are homed's own, and never leave a machine: the record, and what is kept of its home here.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    [&b".identity"[..], b".homed", b".snapshots"].iter().any(|own| name.starts_with(own))
}

/// A path that may come from another machine: it leads to something in the home that is the user's.
pub(crate) fn is_fit(path: &[u8]) -> bool {
    let is_name =
        |name: &[u8]| !matches!(name, b"" | b"." | b"..") && name.len() <= LONGEST_NAME && !name.contains(&0);
    let mut names = path.split(|byte| *byte == b'/');
    let top = names.next().unwrap_or_default();
    path.len() <= LONGEST_PATH && is_name(top) && !is_reserved(top) && names.all(is_name)
}

/// The folder of a path; none at the top.
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter().rposition(|byte| *byte == b'/').map(|slash| &path[..slash])
}

/// The folder of a path, empty at the top, and the name in it.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// The letters that a node begins with.
mod kind {
    pub const LINK: u8 = b'l';
    pub const FILE: u8 = b'f';
    pub const FOLDER: u8 = b'd';
}

/// Writes a node.
pub(crate) fn put_node(line: &mut dyn Write, node: &Node) -> Result<(), Failure> {
    match node {
        Node::Link(leads_to) => {
            put(line, &[kind::LINK])?;
            put_text(line, leads_to)
        }
        Node::File(file) => {
            put(line, &[kind::FILE])?;
            put(line, &file.content.size.to_le_bytes())?;
            put(line, &file.content.hash)?;
            put_time(line, file.modified)?;
            put_dress(line, &file.dress)
        }
        Node::Folder(dress) => {
            put(line, &[kind::FOLDER])?;
            put_dress(line, dress)
        }
    }
}

/// Reads a node.
pub(crate) fn node(line: &mut dyn Read) -> Result<Node, Failure> {
    match byte(line)? {
        kind::LINK => {
            let leads_to = text(line, LONGEST_LINK)?;
            if leads_to.is_empty() || leads_to.contains(&0) {
                return Err(Failure::Broken("a link that leads nowhere"));
            }
            Ok(Node::Link(leads_to))
        }
        kind::FILE => {
            let content = Content { size: number(line)?, hash: array(line)? };
            if i64::try_from(content.size).is_err() {
                return Err(Failure::Broken("a file of that size"));
            }
            Ok(Node::File(File { content, modified: time(line)?, dress: dress(line)? }))
        }
        kind::FOLDER => dress(line).map(Node::Folder),
        _ => Err(Failure::Broken("neither file nor folder nor link")),
    }
}

/// Writes a node, or that there is none.
pub(crate) fn put_some(line: &mut dyn Write, node: Option<&Node>) -> Result<(), Failure> {
    put(line, &[u8::from(node.is_some())])?;
    node.map_or(Ok(()), |node| put_node(line, node))
}

/// Reads that.
pub(crate) fn some(line: &mut dyn Read) -> Result<Option<Node>, Failure> {
    match byte(line)? {
        0 => Ok(None),
        _ => node(line).map(Some),
    }
}

/// Writes a time.
pub(crate) fn put_time(line: &mut dyn Write, time: Time) -> Result<(), Failure> {
    put(line, &time.seconds.to_le_bytes())?;
    put(line, &time.nanoseconds.to_le_bytes())
}

/// Reads a time.
pub(crate) fn time(line: &mut dyn Read) -> Result<Time, Failure> {
    let seconds = i64::from_le_bytes(array(line)?);
    let nanoseconds = u32::from_le_bytes(array(line)?);
    if nanoseconds >= 1_000_000_000 {
        return Err(Failure::Broken("a time that is none"));
    }
    Ok(Time { seconds, nanoseconds })
}

fn put_dress(line: &mut dyn Write, dress: &Dress) -> Result<(), Failure> {
    // Nine bits, and at most as many attributes as were read.
    put(line, &(dress.mode as u16).to_le_bytes())?;
    put(line, &[dress.attributes.len() as u8])?;
    for attribute in &dress.attributes {
        put_text(line, &attribute.name)?;
        put(line, &(attribute.value.len() as u32).to_le_bytes())?;
        put(line, &attribute.value)?;
    }
    Ok(())
}

fn dress(line: &mut dyn Read) -> Result<Dress, Failure> {
    let mode = u32::from(u16::from_le_bytes(array(line)?));
    if mode & !PERMISSIONS != 0 {
        return Err(Failure::Broken("a mode with more than permissions"));
    }
    let count = usize::from(byte(line)?);
    if count > MOST_ATTRIBUTES {
        return Err(Failure::Broken("too many attributes"));
    }
    let mut attributes: Vec<Attribute> = Vec::with_capacity(count);
    let mut room = LONGEST_ATTRIBUTES;
    for _ in 0..count {
        let name = text(line, LONGEST_NAME)?;
        let is_own = name.strip_prefix(b"user.").is_some_and(|rest| !rest.is_empty() && !rest.contains(&0));
        let length = usize::try_from(u32::from_le_bytes(array(line)?)).unwrap_or(usize::MAX);
        let rest = room.checked_sub(length).filter(|_| is_own);
        room = rest.ok_or(Failure::Broken("an attribute that is none of the user's"))?;
        if attributes.last().is_some_and(|before| before.name >= name) {
            return Err(Failure::Broken("attributes out of order"));
        }
        attributes.push(Attribute { name, value: bytes(line, length)? });
    }
    Ok(Dress { mode, attributes })
}
