//! The walk through both trees.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat};
use rustix::io::Errno;

use super::inode::{Maker, Rank};
use super::links::Links;
use super::removal::make_free;
use super::standing::Judge;
use super::{Continue, Copied, Copy, Progress, spared};
use crate::content::Content;
use crate::error::{Error, at};
use crate::flags;
use crate::listing::{MOST, Name, names};
use crate::look::{Look, read};
use crate::mark::Standing;
use crate::measure::too_many;
use crate::trail::{Trail, WITHIN};

/// Both trees, and where the copy is in them.
pub(crate) struct Walk<'a> {
    pub(super) source: Trail,
    pub(super) target: Trail,
    pub(super) except: &'a [&'a OsStr],
    folders: Vec<Folder>,
    /// Names that wait in all folders.
    waiting: usize,
    pub(super) links: Links,
    pub(super) judge: Judge,
    pub(super) maker: Maker,
    pub(super) content: Content,
    pub(super) told: Copied,
    /// Bytes that are in the target, copied in this run or before.
    pub(super) bytes: u64,
    pub(super) progress: &'a mut dyn FnMut(Progress) -> Continue,
}

/// A folder that is being copied.
struct Folder {
    look: Look,
    left: Vec<Name>,
    /// Whether this run has made it: nothing can be in it.
    fresh: bool,
}

impl<'a> Walk<'a> {
    pub fn new(copy: Copy<'a>, standing: Standing) -> Result<Self, Error> {
        let mounts = if copy.cross_mounts { ResolveFlags::empty() } else { ResolveFlags::NO_XDEV };
        Ok(Self {
            source: Trail::new(copy.from, WITHIN | mounts)?,
            target: Trail::new(copy.to, WITHIN | ResolveFlags::NO_XDEV)?,
            except: copy.except,
            folders: Vec::new(),
            waiting: 0,
            links: Links::default(),
            judge: Judge::new(standing),
            maker: Maker::new(),
            content: Content::new(),
            told: Copied::default(),
            bytes: 0,
            progress: copy.progress,
        })
    }

    /// Copies all of it.
    pub fn all(&mut self) -> Result<(), Error> {
        let look = Look::at(self.source.here()).map_err(at(Path::new(""), "look at it"))?;
        self.begin_folder(look, self.judge.standing == Standing::Nothing)?;
        while let Some(folder) = self.folders.last_mut() {
            match folder.left.pop() {
                Some(name) => {
                    self.waiting -= 1;
                    let path = self.source.path_of(&name.bytes);
                    self.name(&name.bytes, &path)?;
                    self.tell(&path)?;
                }
                None => self.end_folder()?,
            }
        }
        Ok(())
    }

    /// What became of it.
    pub fn end(mut self) -> Copied {
        self.told.linked_outside = self.links.outside();
        self.told
    }

    fn name(&mut self, name: &[u8], path: &Path) -> Result<(), Error> {
        let found = match self.source.find(name) {
            Ok(found) => found,
            Err(Errno::XDEV) => return Err(Error::Mounted { path: path.to_owned() }),
            Err(Errno::NOENT | Errno::STALE) => return self.gone(name, path),
            Err(errno) => return Err(at(path, "look at it")(errno)),
        };
        let look = Look::at(&found).map_err(at(path, "look at it"))?;
        if look.has_links() && self.link(name, &look, path)? {
            self.told.entries += 1;
            return Ok(());
        }
        match look.kind() {
            FileType::Directory => self.folder(name, &found, path),
            FileType::RegularFile => self.file(name, &found, &look, path),
            FileType::Socket => {
                self.told.sockets.add(path);
                self.clear(name, path)
            }
            _ => self.special(name, &found, &look, path),
        }
    }

    fn folder(&mut self, name: &[u8], found: &OwnedFd, path: &Path) -> Result<(), Error> {
        let folder = match read(found, OFlags::DIRECTORY) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::STALE) => return self.gone(name, path),
            Err(errno) => return Err(at(path, "open it")(errno)),
        };
        let look = Look::at(&folder).map_err(at(path, "look at it"))?;
        let fresh = !self.stands_as_folder(name, path)?;
        if fresh {
            mkdirat(self.target.here(), name, Mode::RWXU).map_err(at(path, "make its copy"))?;
        }
        let there = self.target.find(name).and_then(|found| read(&found, OFlags::DIRECTORY));
        let there = there.map_err(at(path, "open its copy"))?;
        if !fresh {
            make_free(&there, path)?;
        }
        let flags = flags::of(&folder).map_err(at(path, "read its flags"))?;
        self.maker.begin(&there, flags, path, &mut self.told)?;
        self.source.enter(name, folder).map_err(at(path, "look at it"))?;
        self.target.enter(name, there).map_err(at(path, "look at its copy"))?;
        self.begin_folder(look, fresh)
    }

    fn begin_folder(&mut self, look: Look, fresh: bool) -> Result<(), Error> {
        let path = self.source.shown();
        let mut left = names(self.source.here(), MOST - self.waiting).map_err(too_many(&path, "names"))?;
        if self.source.is_at_top() {
            left.retain(|name| !spared(self.except, &name.bytes));
        }
        if !fresh {
            self.remove_others(&left)?;
        }
        self.waiting += left.len();
        self.folders.push(Folder { look, left, fresh });
        Ok(())
    }

    fn end_folder(&mut self) -> Result<(), Error> {
        let Some(Folder { look, .. }) = self.folders.pop() else { return Ok(()) };
        let path = self.source.shown();
        let rank = if self.source.is_at_top() { Rank::Top } else { Rank::Below };
        let ends = (self.source.here(), self.target.here());
        self.maker.finish(ends, &look, rank, &path, &mut self.told)?;
        let again = Look::at(self.source.here());
        self.look_again(&look, again, &path);
        self.told.entries += 1;
        self.source.leave()?;
        self.target.leave()?;
        Ok(())
    }

    /// Whether the folder where the copy is was made by this run.
    pub(super) fn is_fresh(&self) -> bool {
        self.folders.last().is_some_and(|folder| folder.fresh)
    }
}
