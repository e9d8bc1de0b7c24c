//! One walk through a home: what is under each path. A file that stands as it did when its hash was taken is not read again.

use crate::home::{Home, dress, is_in_use, look, look_at, open_file, stamp};
use crate::node::{Content, File, LONGEST_PATH, Node, Path, is_fit, is_reserved};
use crate::pair::Pair;
use crate::tree::{MOST_PATHS, Seen, Stamp, State, Tree, Why};
use crate::wire::{Failure, failed};
use crate::{Event, Watch};
use rustix::fs::{FileType, RawDir, Statx, readlinkat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// Read at once.
pub(crate) const PIECE: usize = 256 * 1024;
/// A file that was changed less than so many seconds ago may be changed again without standing otherwise: clocks of file systems
/// are coarse.
const FRESH: i64 = 2;

/// Where a user says what stays where it is, at both ends: a path within the home in each line. It goes over like any other file.
const LEAVE: &[u8] = b".config/homed/sync-leave";
/// Without that file: what programs make anew.
const USUALLY: &[u8] = b".cache";
/// No longer list is read.
const LONGEST_LEAVE: u64 = 256 * 1024;

/// The paths that are to stay where they are.
fn leave(home: &Home) -> Result<HashSet<Path>, Failure> {
    let mut text = Vec::new();
    match home.file(LEAVE) {
        Ok(file) => {
            let read = fs::File::from(file).take(LONGEST_LEAVE).read_to_end(&mut text);
            read.map_err(failed("reading .config/homed/sync-leave in the home"))?;
        }
        Err(Errno::NOENT) => text.extend_from_slice(USUALLY),
        // What it would say stays may not go.
        Err(errno) => return Err(failed("reading .config/homed/sync-leave in the home")(errno)),
    }
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.starts_with(b"#"));
    let lines = lines.map(|line| line.strip_prefix(b"~/").unwrap_or(line));
    let lines = lines.map(|line| line.strip_suffix(b"/").unwrap_or(line));
    Ok(lines.filter(|line| is_fit(line)).map(Path::from).collect())
}

/// The walk.
struct Scan<'a> {
    home: &'a Home,
    pair: &'a Pair,
    watch: Watch<'a>,
    tree: Tree,
    leave: HashSet<Path>,
    /// Folders that are to be looked into.
    folders: Vec<Path>,
}

/// Looks at all of a home. What is in a folder that cannot be read stays where it is, with the folder.
pub(crate) fn scan(home: &Home, pair: &Pair, watch: Watch<'_>) -> Result<Tree, Failure> {
    let leave = leave(home)?;
    let mut scan = Scan { home, pair, watch, tree: Tree::new(), leave, folders: vec![Path::default()] };
    // Whether they are there or not.
    scan.tree.extend(scan.leave.iter().map(|path| (path.clone(), left(Why::Wished))));
    while let Some(path) = scan.folders.pop() {
        if let Err(errno) = scan.folder(&path)? {
            if path.is_empty() {
                return Err(failed("reading the home")(errno));
            }
            scan.tree.insert(path, left(Why::Unreadable));
        }
    }
    Ok(scan.tree)
}

fn left(why: Why) -> Seen {
    Seen { state: State::Left(why), changed: false, taken: false, stamp: None, lasts: false }
}

impl Scan<'_> {
    fn folder(&mut self, path: &[u8]) -> Result<Result<(), Errno>, Failure> {
        let folder = match self.home.folder(path) {
            Ok(folder) => folder,
            Err(errno) => return Ok(Err(errno)),
        };
        let names = match names(&folder) {
            Ok(names) => names,
            Err(errno) => return Ok(Err(errno)),
        };
        for name in names.iter().filter(|name| !path.is_empty() || !is_reserved(name)) {
            (self.watch)(Event::Looked)?;
            let path: Path = match path {
                [] => name.clone(),
                _ => [path, b"/", name].concat().into(),
            };
            // Neither end tells of a longer path: what is there stays, and so does the folder it is in.
            if path.len() > LONGEST_PATH {
                continue;
            }
            if self.tree.len() >= MOST_PATHS {
                return Ok(Err(Errno::TOOBIG));
            }
            match self.name(&folder, name, &path) {
                Ok(Some(seen)) => drop(self.tree.insert(path, seen)),
                Ok(None) => {}
                Err(why) => drop(self.tree.insert(path, left(why))),
            }
        }
        Ok(Ok(()))
    }

    /// Looks at one name; `None`: it is gone.
    fn name(&mut self, folder: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Option<Seen>, Why> {
        let seen = match look(folder.as_fd(), name) {
            Ok(look) => look,
            Err(Errno::NOENT) => return Ok(None),
            Err(_) => return Err(Why::Unreadable),
        };
        if self.leave.contains(path) {
            return Err(Why::Wished);
        }
        if !self.home.has(&seen) {
            return Err(Why::Elsewhere);
        }
        // Before it is read: whatever is written from now on shows.
        let lasts = !is_fresh(&stamp(&seen));
        let (node, stamp) = match FileType::from_raw_mode(seen.stx_mode.into()) {
            FileType::Directory => {
                let node = self.inner(path)?;
                self.folders.push(path.into());
                (node, None)
            }
            FileType::Symlink => {
                let leads_to = readlinkat(folder, name, Vec::new()).map_err(|_| Why::InUse)?;
                (Node::Link(leads_to.into_bytes()), Some(stamp(&seen)))
            }
            FileType::RegularFile => self.file(folder, (name, path), &seen)?,
            _ => return Err(Why::Special),
        };
        Ok(Some(Seen { state: State::Is(node), changed: false, taken: false, stamp, lasts }))
    }

    fn inner(&self, path: &[u8]) -> Result<Node, Why> {
        let folder = self.home.folder(path).map_err(|errno| match errno {
            Errno::XDEV => Why::Elsewhere,
            _ => Why::Unreadable,
        })?;
        let look = look_at(&folder).map_err(|_| Why::Unreadable)?;
        dress(&folder, &look).map(Node::Folder)
    }

    fn file(
        &mut self,
        folder: &OwnedFd,
        (name, path): (&[u8], &[u8]),
        look: &Statx,
    ) -> Result<(Node, Option<Stamp>), Why> {
        let file = open_file(folder.as_fd(), name).map_err(|_| Why::Unreadable)?;
        let before = stamp(&look_at(&file).map_err(|_| Why::Unreadable)?);
        // Who writes to another's file cannot be told (`sys.rs`).
        if look.stx_uid != rustix::process::geteuid().as_raw() {
            return Err(Why::Unreadable);
        }
        let dress = dress(&file, look)?;
        let known = self.pair.0.get(path).filter(|kept| kept.stamp == Some(before));
        let content = match known.and_then(|kept| kept.node.content()) {
            Some(content) => content,
            None if is_in_use(&file) => return Err(Why::InUse),
            None => {
                let content = content(fs::File::from(file.try_clone().map_err(|_| Why::Unreadable)?))
                    .map_err(|_| Why::Unreadable)?;
                let after = stamp(&look_at(&file).map_err(|_| Why::Unreadable)?);
                if after != before || content.size != before.size {
                    return Err(Why::InUse);
                }
                content
            }
        };
        Ok((Node::File(File { modified: before.modified, content, dress }), Some(before)))
    }
}

/// The names in a folder.
fn names(folder: &OwnedFd) -> Result<Vec<Path>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.into());
        }
        if names.len() > MOST_PATHS {
            return Err(Errno::TOOBIG);
        }
    }
    Ok(names)
}

/// Reads all that is in a file.
pub(crate) fn content(mut file: fs::File) -> std::io::Result<Content> {
    let mut hash = blake3::Hasher::new();
    let mut room = vec![0; PIECE];
    let mut size = 0;
    loop {
        match file.read(&mut room)? {
            0 => return Ok(Content { size, hash: *hash.finalize().as_bytes() }),
            read => {
                hash.update(&room[..read]);
                size += read as u64;
            }
        }
    }
}

/// Whether a file that stands so now may be written to in this moment and stand so still.
pub(crate) fn is_fresh(stamp: &Stamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    stamp.modified.seconds.saturating_add(FRESH) > i64::try_from(now).unwrap_or(i64::MAX)
}
