//! What a tree has, before it is copied.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, at};
use crate::listing::{self, Name, names};
use crate::look::{Id, Look, read};
use crate::names::Names;
use crate::terms::{ACLS, Terms};
use crate::trail::{Trail, WITHIN};
use crate::xattrs::{Of, Reader};

/// The most inodes with several names that are kept in memory.
pub(crate) const MOST_LINKED: usize = 2_000_000;

/// The most owners that are counted one by one.
const MOST_OWNERS: usize = 100_000;

/// What a tree has.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Names, the top counted.
    pub entries: u64,
    /// Bytes on the disk. An inode with several names is counted once.
    pub allocated: u64,
    /// Bytes of all files, holes included. An inode with several names is counted once.
    pub apparent: u64,
    /// Files that have a name outside of the tree as well: in a copy they are other files.
    pub linked_outside: Names,
    /// Where something is mounted. What is in there is not counted.
    pub mounts: Names,
    /// Sockets, which are not copied.
    pub sockets: Names,
    /// What nobody may change (`chattr +i`, `+a`).
    pub held: Names,
    /// How many inodes belong to which user ID.
    pub owners: BTreeMap<u32, u64>,
    /// What a copy on the [`Terms`] of the measurement does not take over: device nodes, and files that lose rights.
    pub reduced: Names,
    /// What has an access control list, acl(5): not every file system can have one.
    pub with_acl: Names,
    /// What could not be looked into.
    pub unreadable: Names,
    /// Another number where anything was done to an inode or a name since. Of no meaning in another process.
    pub state: u64,
}

/// Measures a tree: its names and inodes, not what is in files.
///
/// # Errors
/// [`Error::TooMany`], [`Error::Moved`], or what the kernel says of the top.
pub fn measure(from: BorrowedFd) -> Result<Measure, Error> {
    measure_on(from, &Terms::default())
}

/// The same for a copy on these terms.
///
/// # Errors
/// As [`measure`].
pub fn measure_on(from: BorrowedFd, terms: &Terms) -> Result<Measure, Error> {
    measure_until(&|| false, from, terms)
}

/// The same, which ends with [`Error::Stopped`] as soon as `stop` says so.
///
/// # Errors
/// As [`measure`].
pub fn measure_until(stop: &dyn Fn() -> bool, from: BorrowedFd, terms: &Terms) -> Result<Measure, Error> {
    let trail = Trail::new(from, WITHIN | ResolveFlags::NO_XDEV)?;
    let look = Look::at(trail.here()).map_err(at(Path::new(""), "look at it"))?;
    let mut walk = Walk {
        trail,
        terms,
        reader: Reader::new(),
        measure: Measure::default(),
        linked: HashMap::new(),
        waiting: Vec::new(),
        count: 0,
    };
    walk.count_inode(&look, b"")?;
    if has_acl(&from) {
        walk.measure.with_acl.add(Path::new("."));
    }
    walk.list()?;
    while let Some(names) = walk.waiting.last_mut() {
        if stop() {
            return Err(Error::Stopped);
        }
        match names.pop() {
            Some(name) => walk.name(&name)?,
            None => walk.leave()?,
        }
    }
    for (path, left) in walk.linked.into_values() {
        if left > 0 {
            walk.measure.linked_outside.add(&path);
        }
    }
    walk.measure.linked_outside.first.sort();
    Ok(walk.measure)
}

struct Walk<'a> {
    trail: Trail,
    terms: &'a Terms,
    reader: Reader,
    measure: Measure,
    /// Inodes with several names: the first of those that was found, and how many have not been.
    linked: HashMap<Id, (std::path::PathBuf, u32)>,
    /// The names that wait in each folder on the way.
    waiting: Vec<Vec<Name>>,
    count: usize,
}

impl Walk<'_> {
    fn name(&mut self, name: &Name) -> Result<(), Error> {
        self.count -= 1;
        let path = self.trail.path_of(&name.bytes);
        let found = match self.trail.find(&name.bytes) {
            Ok(found) => found,
            Err(Errno::XDEV) => {
                self.measure.entries += 1;
                self.measure.mounts.add(&path);
                return Ok(());
            }
            Err(Errno::NOENT) => return Ok(()),
            Err(_) => {
                self.measure.unreadable.add(&path);
                return Ok(());
            }
        };
        let look = Look::at(&found).map_err(at(&path, "look at it"))?;
        self.count_inode(&look, &name.bytes)?;
        if self.is_reduced(&found, &look) {
            self.measure.reduced.add(&path);
        }
        if has_acl(&found) {
            self.measure.with_acl.add(&path);
        }
        match look.kind() {
            FileType::Socket => self.measure.sockets.add(&path),
            FileType::RegularFile | FileType::Directory => self.open(&name.bytes, found, &look)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether a copy does not have all of it. Labels and the like are the machine's own, and are not told.
    fn is_reduced(&mut self, found: &OwnedFd, look: &Look) -> bool {
        if self.terms.no_more_than.is_none() || look.kind() == FileType::Symlink {
            return false;
        }
        let mut has_capabilities = || {
            look.is_file()
                && self.reader.all(&Of::found(found)).is_ok_and(|all| self.terms.takes_capabilities(&all))
        };
        !self.terms.takes(look) || look.on(self.terms).mode() != look.mode() || has_capabilities()
    }

    /// What takes an open descriptor to see.
    fn open(&mut self, name: &[u8], found: OwnedFd, look: &Look) -> Result<(), Error> {
        let path = self.trail.path_of(name);
        if look.is_held() {
            self.measure.held.add(&path);
        }
        if !look.is_folder() {
            return Ok(());
        }
        match read(&found, OFlags::DIRECTORY) {
            Ok(folder) => {
                self.trail.enter(name, folder).map_err(at(&path, "look at it"))?;
                self.list()
            }
            Err(_) => {
                self.measure.unreadable.add(&path);
                Ok(())
            }
        }
    }

    fn list(&mut self) -> Result<(), Error> {
        let shown = self.trail.shown();
        let names =
            names(self.trail.here(), listing::MOST - self.count).map_err(too_many(&shown, "names"))?;
        self.count += names.len();
        self.waiting.push(names);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.waiting.pop();
        self.trail.leave()
    }

    fn count_inode(&mut self, look: &Look, name: &[u8]) -> Result<(), Error> {
        self.measure.entries += 1;
        self.measure.state = self.measure.state.wrapping_add(look.state());
        if look.has_links() {
            if let Some((_, left)) = self.linked.get_mut(&look.id()) {
                *left = left.saturating_sub(1);
                return Ok(());
            }
            let path = self.trail.path_of(name);
            if self.linked.len() >= MOST_LINKED {
                return Err(Error::TooMany { path, what: "files with several names" });
            }
            self.linked.insert(look.id(), (path, look.names() - 1));
        }
        self.measure.allocated += look.allocated();
        if look.is_file() {
            self.measure.apparent += look.size();
        }
        let (owner, _) = look.owner();
        if self.measure.owners.len() < MOST_OWNERS || self.measure.owners.contains_key(&owner) {
            *self.measure.owners.entry(owner).or_default() += 1;
        }
        Ok(())
    }
}

/// Who cannot tell has none.
fn has_acl(file: &impl AsFd) -> bool {
    ACLS.iter().any(|name| Of::found(file).has(name))
}

/// The meaning of [`names`]' errors.
pub(crate) fn too_many<'a>(path: &'a Path, what: &'static str) -> impl FnOnce(Errno) -> Error + 'a {
    move |errno| match errno {
        Errno::TOOBIG => Error::TooMany { path: path.to_owned(), what },
        errno => at(path, "read the folder")(errno),
    }
}
