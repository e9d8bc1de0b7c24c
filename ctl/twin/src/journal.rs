//! What is about to be exchanged: written down before the first exchange, so that whoever comes after a cut knows what lies in `swap`.
//!
//! ```text
//! number, path, what is there now (node or none), what comes (node or none), where the first is kept (path, empty: nowhere)    …
//! an empty entry: number 0xffffffff
//! ```

use crate::decide::named;
use crate::home::{Home, is_in_use, look, open_file, stamp};
use crate::node::{LONGEST_PATH, Node, Path, is_fit, put_some, some, split};
use crate::scan::content;
use crate::store::{Store, make};
use crate::tree::Stamp;
use crate::wire::{Failure, array, failed, put, put_text, text};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, readlinkat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;

const NAME: &str = "journal";
const END: u32 = u32::MAX;

/// One exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name in `swap`.
    pub number: u32,
    pub path: Path,
    /// What is there now.
    pub old: Option<Node>,
    /// What comes.
    pub new: Option<Node>,
    /// Where the old one is kept.
    pub keep: Option<Path>,
    /// How the old one stands, as far as that can be told; not written down.
    pub stamp: Option<Stamp>,
}

/// Who puts things in order, for the names of what is kept.
pub(crate) struct By<'a> {
    pub home: &'a Home,
    pub store: &'a Store,
    pub host: &'a str,
    pub moment: &'a str,
}

/// Writes it down, and has it on the disk with all that it speaks of.
pub(crate) fn begin(store: &Store, entries: &[Entry]) -> Result<(), Failure> {
    let mut file = BufWriter::new(make(&store.swap, "journal.new")?);
    for entry in entries {
        put(&mut file, &entry.number.to_le_bytes())?;
        put_text(&mut file, &entry.path)?;
        put_some(&mut file, entry.old.as_ref())?;
        put_some(&mut file, entry.new.as_ref())?;
        put_text(&mut file, entry.keep.as_deref().unwrap_or_default())?;
    }
    put(&mut file, &END.to_le_bytes())?;
    file.flush().map_err(failed("writing down what is exchanged"))?;
    store.sync()?;
    renameat(&store.swap, "journal.new", &store.swap, NAME)
        .map_err(failed("writing down what is exchanged"))?;
    store.sync()
}

/// Puts in order what a sync has left that was cut off. Where files were kept that nobody expected.
pub(crate) fn recover(by: &By<'_>) -> Result<Vec<Path>, Failure> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat(&by.store.swap, NAME, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => {
            by.store.clear_swap();
            return Ok(Vec::new());
        }
        Err(errno) => return Err(failed("reading .homed-sync/swap/journal in the home")(errno)),
    };
    let entries = read(&mut BufReader::new(file))?;
    end(by, &entries)
}

/// Puts everything in order that lies in `swap`, and takes the journal away.
pub(crate) fn end(by: &By<'_>, entries: &[Entry]) -> Result<Vec<Path>, Failure> {
    let mut kept = Vec::new();
    for entry in entries {
        settle(by, entry, &mut kept)?;
    }
    by.store.sync()?;
    match unlinkat(&by.store.swap, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(kept),
        Err(errno) => Err(failed("removing .homed-sync/swap/journal in the home")(errno)),
    }
}

pub(crate) fn read(line: &mut dyn Read) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    loop {
        let number = u32::from_le_bytes(array(line)?);
        if number == END {
            return Ok(entries);
        }
        let path: Path = text(line, LONGEST_PATH)?.into();
        let (old, new) = (some(line)?, some(line)?);
        let keep: Path = text(line, LONGEST_PATH)?.into();
        let keep = (!keep.is_empty()).then_some(keep);
        if !is_fit(&path) || !keep.as_ref().is_none_or(|keep| is_fit(keep)) {
            return Err(Failure::Broken("a path that is none"));
        }
        entries.push(Entry { number, path, old, new, keep, stamp: None });
    }
}

/// What lies in `swap` of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// Nothing.
    Nothing,
    /// What was to come.
    New,
    /// What was there, as both ends know it.
    Old,
    /// What was there, and was changed since, or is being written to.
    Other,
}

fn settle(by: &By<'_>, entry: &Entry, kept: &mut Vec<Path>) -> Result<(), Failure> {
    let lies = lies(by, entry);
    let name = entry.number.to_string();
    let removed = match (lies, &entry.keep) {
        (Lies::Nothing, _) => return Ok(()),
        (Lies::New, _) | (Lies::Old, None) => unlinkat(&by.store.swap, &*name, AtFlags::empty()),
        (Lies::Old | Lies::Other, Some(keep)) if put_at(by, &name, keep).is_ok() => return Ok(()),
        (Lies::Old | Lies::Other, _) => {
            kept.push(beside(by, entry, &name)?);
            return Ok(());
        }
    };
    removed.map_err(failed("removing what was exchanged"))
}

fn lies(by: &By<'_>, entry: &Entry) -> Lies {
    let name = entry.number.to_string();
    let look = match look(by.store.swap.as_fd(), name.as_bytes()) {
        Ok(look) => look,
        Err(Errno::NOENT) => return Lies::Nothing,
        // Whatever it is, it is nobody's to remove.
        Err(_) => return Lies::Other,
    };
    let stands = stamp(&look);
    let as_before = |before: &Stamp| {
        (before.inode, before.size, before.modified) == (stands.inode, stands.size, stands.modified)
    };
    let Ok(file) = open_file(by.store.swap.as_fd(), name.as_bytes()) else {
        let leads_to =
            readlinkat(&by.store.swap, &*name, Vec::new()).map(|text| Node::Link(text.into_bytes()));
        return match leads_to {
            // A file that cannot be read, a folder, a socket.
            Err(_) => Lies::Other,
            Ok(link) if entry.new.as_ref() == Some(&link) => Lies::New,
            Ok(link) if entry.old.as_ref() == Some(&link) => Lies::Old,
            Ok(_) => Lies::Other,
        };
    };
    if is_in_use(&file) {
        return Lies::Other;
    }
    if entry.stamp.as_ref().is_some_and(as_before) {
        return Lies::Old;
    }
    let content = content(File::from(file)).ok();
    let of = |node: &Option<Node>| node.as_ref().and_then(Node::content);
    match content {
        Some(content) if of(&entry.new) == Some(content) => Lies::New,
        Some(content) if of(&entry.old) == Some(content) => Lies::Old,
        _ => Lies::Other,
    }
}

/// Puts something that lies in `swap` in a place where nothing is.
fn put_at(by: &By<'_>, name: &str, path: &[u8]) -> Result<(), Errno> {
    let (folder, last) = split(path);
    let folder = by.home.folder(folder)?;
    renameat_with(&by.store.swap, name, &folder, last, RenameFlags::NOREPLACE)
}

/// Keeps it beside the path it comes from; where its folder is gone, at the top of the home.
fn beside(by: &By<'_>, entry: &Entry, name: &str) -> Result<Path, Failure> {
    let (_, last) = split(&entry.path);
    for number in 0..1000 {
        for path in [&*entry.path, last] {
            let path = named(path, by.host, by.moment, number);
            if put_at(by, name, &path).is_ok() {
                return Ok(path);
            }
        }
    }
    Err(failed("keeping a file that was changed meanwhile, which is in .homed-sync/swap in the home")(
        Errno::EXIST,
    ))
}
