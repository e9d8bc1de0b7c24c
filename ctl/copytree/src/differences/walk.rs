//! The walk through two trees at once.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::inode::{Inodes, Pair};
use super::{Difference, What};
use crate::content::Stop;
use crate::error::{Error, at};
use crate::listing::{MOST, names};
use crate::look::{Id, Look, read};
use crate::measure::{MOST_LINKED, too_many};
use crate::terms::Terms;
use crate::trail::{Trail, WITHIN};

pub(crate) struct Walk<'a> {
    stop: Stop<'a>,
    first: Trail,
    second: Trail,
    most: usize,
    terms: Terms,
    pub found: Vec<Difference>,
    folders: Vec<Vec<Both>>,
    waiting: usize,
    inodes: Inodes<'a>,
    /// Files with several names: which is which in the other tree.
    there: HashMap<Id, Id>,
    back: HashMap<Id, Id>,
}

/// A name that is in one of the trees or in both.
struct Both {
    name: Box<[u8]>,
    first: bool,
    second: bool,
}

impl<'a> Walk<'a> {
    pub fn new(trees: [BorrowedFd; 2], terms: &Terms, most: usize, stop: Stop<'a>) -> Result<Self, Error> {
        let [first, second] = trees.map(|tree| Trail::new(tree, WITHIN | ResolveFlags::NO_XDEV));
        Ok(Self {
            stop,
            first: first?,
            second: second?,
            most,
            terms: terms.clone(),
            found: Vec::new(),
            folders: Vec::new(),
            waiting: 0,
            inodes: Inodes::new(terms.clone(), stop),
            there: HashMap::new(),
            back: HashMap::new(),
        })
    }

    /// Compares all, until there are as many differences as are wanted.
    pub fn all(&mut self) -> Result<(), Error> {
        let looks = (look(self.first.here())?.on(&self.terms), look(self.second.here())?);
        self.folder(looks, Path::new("."))?;
        self.list()?;
        while let Some(folder) = self.folders.last_mut() {
            if self.found.len() >= self.most {
                self.found.truncate(self.most);
                return Ok(());
            }
            if (self.stop)() {
                return Err(Error::Stopped);
            }
            match folder.pop() {
                Some(both) => {
                    self.waiting -= 1;
                    let path = self.first.path_of(&both.name);
                    self.name(&both, &path)?;
                }
                None => {
                    self.folders.pop();
                    self.first.leave()?;
                    self.second.leave()?;
                }
            }
        }
        Ok(())
    }

    fn name(&mut self, both: &Both, path: &Path) -> Result<(), Error> {
        let one = if both.first { found(&self.first, &both.name) } else { Err(Errno::NOENT) };
        let one = one.map(|(found, look)| (found, look.on(&self.terms)));
        let other = if both.second { found(&self.second, &both.name) } else { Err(Errno::NOENT) };
        match (one, other) {
            (Ok((_, look)), Err(Errno::NOENT))
                if look.kind() == FileType::Socket || !self.terms.takes(&look) =>
            {
                Ok(())
            }
            (Ok(one), Ok(other)) => self.pair(&both.name, one, other, path),
            (Err(Errno::XDEV), _) | (_, Err(Errno::XDEV)) => self.add(path, What::Mounted),
            (Ok(_), Err(Errno::NOENT)) if !both.second => self.add(path, What::OnlyInFirst),
            (Err(Errno::NOENT), Ok(_)) if !both.first => self.add(path, What::OnlyInSecond),
            (Ok(_) | Err(Errno::NOENT | Errno::STALE), Ok(_) | Err(Errno::NOENT | Errno::STALE)) => {
                self.add(path, What::Changed)
            }
            (Err(errno), _) | (_, Err(errno)) => Err(at(path, "look at it")(errno)),
        }
    }

    fn pair(
        &mut self,
        name: &[u8],
        one: (OwnedFd, Look),
        other: (OwnedFd, Look),
        path: &Path,
    ) -> Result<(), Error> {
        let (a, b) = (one.1, other.1);
        if a.kind() != b.kind() {
            return self.add(path, What::Type);
        }
        if (a.has_links() || b.has_links()) && !self.is_same_link(&a, &b, path)? {
            self.add(path, What::Links)?;
        }
        if !a.is_folder() {
            let pair = Pair { looks: (&a, &b), found: (&one.0, &other.0), path };
            return self.inodes.compare(pair, &mut self.found);
        }
        let (Ok(one), Ok(other)) = (read(&one.0, OFlags::DIRECTORY), read(&other.0, OFlags::DIRECTORY))
        else {
            return self.add(path, What::Changed);
        };
        self.first.enter(name, one).map_err(at(path, "look at it"))?;
        self.second.enter(name, other).map_err(at(path, "look at it"))?;
        self.folder((a, b), path)?;
        self.list()
    }

    /// Compares the folders where one is, but not what is in them.
    fn folder(&mut self, looks: (Look, Look), path: &Path) -> Result<(), Error> {
        let ends = (self.first.here(), self.second.here());
        self.inodes.open_pair(ends, (&looks.0, &looks.1), path, &mut self.found)
    }

    /// The names of both folders, in order.
    fn list(&mut self) -> Result<(), Error> {
        let path = self.first.shown();
        let room = MOST - self.waiting;
        let mut both = Vec::new();
        for (trail, is_first) in [(&self.first, true), (&self.second, false)] {
            let opened = read(trail.here(), OFlags::DIRECTORY).map_err(at(&path, "open it"))?;
            let names = names(opened, room).map_err(too_many(&path, "names"))?;
            both.extend(names.into_iter().map(|name| Both {
                name: name.bytes,
                first: is_first,
                second: !is_first,
            }));
        }
        // Backwards, since they are taken from the end.
        both.sort_by(|a, b| b.name.cmp(&a.name));
        both.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            if same {
                kept.first |= later.first;
                kept.second |= later.second;
            }
            same
        });
        self.waiting += both.len();
        self.folders.push(both);
        Ok(())
    }

    fn is_same_link(&mut self, one: &Look, other: &Look, path: &Path) -> Result<bool, Error> {
        if self.there.len() >= MOST_LINKED {
            return Err(Error::TooMany { path: path.to_owned(), what: "files with several names" });
        }
        let there = *self.there.entry(one.id()).or_insert(other.id());
        let back = *self.back.entry(other.id()).or_insert(one.id());
        Ok(there == other.id() && back == one.id())
    }

    fn add(&mut self, path: &Path, what: What) -> Result<(), Error> {
        self.found.push(Difference { path: path.to_owned(), what });
        Ok(())
    }
}

/// Finds a name, and looks at what it stands for.
fn found(trail: &Trail, name: &[u8]) -> Result<(OwnedFd, Look), Errno> {
    let found = trail.find(name)?;
    let look = Look::at(&found)?;
    Ok((found, look))
}

fn look(top: BorrowedFd) -> Result<Look, Error> {
    Look::at(top).map_err(at(Path::new(""), "look at it"))
}
