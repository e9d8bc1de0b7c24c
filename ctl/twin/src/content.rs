//! What is in files, on its way: given by one end, taken by the other, who believes it when its hash is the one that was told.
//!
//! ```text
//! taker                                             giver
//!   for each that it needs: from where on      ──→
//!                                              ←──   for each of them: pieces, holes, and the end (or: it has changed)
//! ```
//!
//! What a line that broke has left is gone on with.

use crate::home::{Home, is_in_use};
use crate::node::{Content, Path};
use crate::orders::Need;
use crate::scan::PIECE;
use crate::store::{Store, cut, go_on, part};
use crate::tree::Tree;
use crate::wire::{Failure, array, byte, bytes, failed, flush, number, put};
use crate::{Event, Watch};
use rustix::fs::{AtFlags, SeekFrom, fstatvfs, ioctl_ficlone, renameat, seek, unlinkat};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// What is left free in a home: bytes.
const RESERVE: u64 = 64 << 20;

/// "From where on", where none of it is wanted.
const NONE: u64 = u64::MAX;

/// What is said of the next bytes.
mod tag {
    pub const WHOLE: u8 = 0;
    pub const DATA: u8 = 1;
    pub const HOLE: u8 = 2;
    pub const CHANGED: u8 = 3;
}

/// Gives the other end what it needs; how many bytes went over the line.
pub(crate) fn give(
    home: &Home,
    needs: &[Need],
    line: (&mut dyn Read, &mut dyn Write),
    watch: Watch<'_>,
) -> Result<u64, Failure> {
    let (from, to) = line;
    let mut wanted = Vec::new();
    for need in needs {
        match number(from)? {
            NONE => {}
            start if start <= need.content.size => wanted.push((need, start)),
            _ => return Err(Failure::Broken("more of a file than there is")),
        }
    }
    let mut moved = 0;
    for (need, start) in wanted {
        let file = home.file(&need.source).ok().filter(|file| !is_in_use(file)).map(File::from);
        let given = match file {
            Some(file) => give_one(file, need.content, start, (to, watch))?,
            None => None,
        };
        put(to, &[if given.is_some() { tag::WHOLE } else { tag::CHANGED }])?;
        moved += given.unwrap_or(0);
    }
    flush(to)?;
    Ok(moved)
}

/// Gives one, from there on. `None`: it is not what was told any more.
fn give_one(
    mut file: File,
    content: Content,
    start: u64,
    (line, watch): (&mut dyn Write, Watch<'_>),
) -> Result<Option<u64>, Failure> {
    let Ok(length) = file.metadata().map(|meta| meta.len()) else { return Ok(None) };
    if length != content.size || file.seek(std::io::SeekFrom::Start(start)).is_err() {
        return Ok(None);
    }
    let (mut at, mut moved) = (start, 0);
    let mut room = vec![0; PIECE];
    while at < content.size {
        let data = match seek(&file, SeekFrom::Data(at)) {
            Ok(data) => data.min(content.size),
            // No data behind it, or no file system that tells.
            Err(rustix::io::Errno::NXIO) => content.size,
            Err(_) => at,
        };
        if data > at {
            put(line, &[tag::HOLE])?;
            put(line, &(data - at).to_le_bytes())?;
            at = data;
            continue;
        }
        let most = usize::try_from(content.size - at).map_or(PIECE, |left| left.min(PIECE));
        let read = match file.read_at(&mut room[..most], at) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(read) => read,
        };
        watch(Event::Moved(read as u64))?;
        put(line, &[tag::DATA])?;
        put(line, &(read as u32).to_le_bytes())?;
        put(line, &room[..read])?;
        (at, moved) = (at + read as u64, moved + read as u64);
    }
    Ok(Some(moved))
}

/// What has come, and what has not.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Bytes that came over the line.
    pub moved: u64,
    /// It changed at the other end, or did not fit its hash.
    pub missing: HashSet<Content>,
    /// There is no room for it.
    pub no_room: HashSet<Content>,
}

/// Takes what is needed into `part`. What is in another file of this home is copied from there.
pub(crate) fn take(
    (home, store): (&Home, &Store),
    tree: &Tree,
    needs: &[Need],
    line: (&mut dyn Read, &mut dyn Write),
    watch: Watch<'_>,
) -> Result<Taken, Failure> {
    let (from, to) = line;
    let mut taken = Taken::default();
    let here = by_content(tree, needs);
    let free = fstatvfs(&store.part).map_or(0, |told| told.f_bavail.saturating_mul(told.f_frsize));
    let mut free = free.saturating_sub(RESERVE);
    let mut wanted = Vec::new();
    for need in needs {
        let start = if is_here(store, need.content) || copied(home, store, need.content, &here) {
            NONE
        } else {
            let name = cut(&need.content);
            let start =
                crate::home::look(store.part.as_fd(), name.as_bytes()).map_or(0, |look| look.stx_size);
            let start = if start > need.content.size { 0 } else { start };
            match free.checked_sub(need.content.size - start) {
                Some(left) => {
                    free = left;
                    wanted.push((need.content, start));
                    start
                }
                None => {
                    taken.no_room.insert(need.content);
                    NONE
                }
            }
        };
        put(to, &start.to_le_bytes())?;
    }
    flush(to)?;
    for (content, start) in wanted {
        let file = go_on(&store.part, &cut(&content))?;
        let mut arriving = Arriving::begin(file, content, start)?;
        let is_whole = arriving.take(from, (&mut taken.moved, watch))?;
        if !is_whole || !arriving.put_in_place(store)? {
            taken.missing.insert(content);
        }
    }
    Ok(taken)
}

/// Where this home has what is needed, under another path.
fn by_content<'a>(tree: &'a Tree, needs: &[Need]) -> HashMap<Content, &'a Path> {
    let needed: HashSet<Content> = needs.iter().map(|need| need.content).collect();
    let files = tree.iter().filter_map(|(path, seen)| Some((seen.node()?.content()?, path)));
    files.filter(|(content, _)| needed.contains(content)).collect()
}

/// Whether it has arrived in a sync that was broken off. It is read: what was written last may have gone with the power.
fn is_here(store: &Store, content: Content) -> bool {
    let file = crate::home::open_file(store.part.as_fd(), part(&content.hash).as_bytes());
    file.is_ok_and(|file| crate::scan::content(File::from(file)).is_ok_and(|there| there == content))
}

/// Copies it from another file of this home. Whether that is there, and still has it.
fn copied(home: &Home, store: &Store, content: Content, here: &HashMap<Content, &Path>) -> bool {
    let Some(file) = here.get(&content).and_then(|path| home.file(path).ok()).map(File::from) else {
        return false;
    };
    let copy = || -> Option<()> {
        let name = cut(&content);
        let copy = crate::store::make(&store.part, &name).ok()?;
        copy_content(&file, &copy).ok()?;
        let mut copy_again = copy.try_clone().ok()?;
        copy_again.rewind().ok()?;
        (crate::scan::content(copy_again).ok()? == content).then_some(())?;
        renameat(&store.part, &*name, &store.part, &*part(&content.hash)).ok()
    };
    copy().is_some() || {
        let _ = unlinkat(&store.part, &*cut(&content), AtFlags::empty());
        false
    }
}

/// Fills an empty file with what is in another; shares it where the file system can.
pub(crate) fn copy_content(from: &File, to: &File) -> std::io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
    from.rewind()?;
    std::io::copy(&mut from, &mut to).map(drop)
}

/// A file that arrives.
struct Arriving {
    file: File,
    content: Content,
    at: u64,
    hash: blake3::Hasher,
}

impl Arriving {
    fn begin(file: File, content: Content, start: u64) -> Result<Self, Failure> {
        let failed = || failed("reading what has arrived");
        let mut arriving = Self { file, content, at: 0, hash: blake3::Hasher::new() };
        arriving.file.set_len(start).map_err(failed())?;
        let mut room = vec![0; PIECE];
        while arriving.at < start {
            let read = arriving.file.read_at(&mut room, arriving.at).map_err(failed())?;
            if read == 0 {
                break;
            }
            arriving.hash.update(&room[..read]);
            arriving.at += read as u64;
        }
        Ok(arriving)
    }

    /// Takes it from the line. Whether the other end had it all.
    fn take(&mut self, line: &mut dyn Read, (moved, watch): (&mut u64, Watch<'_>)) -> Result<bool, Failure> {
        let failed = || failed("writing what arrives");
        loop {
            match byte(line)? {
                tag::WHOLE => return Ok(true),
                tag::CHANGED => return Ok(false),
                tag::DATA => {
                    let length = usize::try_from(u32::from_le_bytes(array(line)?)).unwrap_or(usize::MAX);
                    if length == 0 || length > PIECE || length as u64 > self.content.size - self.at {
                        return Err(Failure::Broken("more of a file than was told"));
                    }
                    let piece = bytes(line, length)?;
                    self.file.write_all_at(&piece, self.at).map_err(failed())?;
                    self.hash.update(&piece);
                    self.at += length as u64;
                    *moved += length as u64;
                    watch(Event::Moved(length as u64))?;
                }
                tag::HOLE => {
                    let length = number(line)?;
                    if length == 0 || length > self.content.size - self.at {
                        return Err(Failure::Broken("a hole beyond the end of a file"));
                    }
                    self.hole(length)?;
                }
                _ => return Err(Failure::Broken("neither a piece of a file nor its end")),
            }
        }
    }

    fn hole(&mut self, length: u64) -> Result<(), Failure> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut left = length;
        while left > 0 {
            let piece = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.hash.update(&ZEROS[..piece]);
            left -= piece as u64;
        }
        self.at += length;
        self.file.set_len(self.at).map_err(failed("writing what arrives"))
    }

    /// Gives it the name by which it is found, if it is what was told.
    fn put_in_place(self, store: &Store) -> Result<bool, Failure> {
        let name = cut(&self.content);
        let has = Content { size: self.at, hash: *self.hash.finalize().as_bytes() };
        let done = match has == self.content {
            true => renameat(&store.part, &*name, &store.part, &*part(&has.hash)),
            false => unlinkat(&store.part, &*name, AtFlags::empty()),
        };
        done.map_err(failed("putting away what has arrived"))?;
        Ok(has == self.content)
    }
}
