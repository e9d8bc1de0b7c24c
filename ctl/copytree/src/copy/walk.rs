//! The walk through both trees.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat};
use rustix::io::Errno;

use super::inode::{Before, Ends, Maker};
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
use crate::terms::Terms;
use crate::trail::{Trail, WITHIN};
use crate::xattrs::Of;

/// Both trees, and where the copy is in them.
pub(crate) struct Walk<'a> {
    pub(super) source: Trail,
    pub(super) target: Trail,
    pub(super) except: &'a [&'a OsStr],
    terms: Terms,
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
    /// Whether what is made in it gets no ACL and no flags from it.
    hands_nothing_on: bool,
}

impl<'a> Walk<'a> {
    pub fn new(copy: Copy<'a>, standing: Standing) -> Result<Self, Error> {
        let mounts = if copy.cross_mounts { ResolveFlags::empty() } else { ResolveFlags::NO_XDEV };
        Ok(Self {
            source: Trail::new(copy.from, WITHIN | mounts)?,
            target: Trail::new(copy.to, WITHIN | ResolveFlags::NO_XDEV)?,
            except: copy.except,
            terms: copy.terms.clone(),
            folders: Vec::new(),
            waiting: 0,
            links: Links::default(),
            judge: Judge::new(standing, copy.terms.clone()),
            maker: Maker::new(copy.terms),
            content: Content::new(),
            told: Copied::default(),
            bytes: 0,
            progress: copy.progress,
        })
    }

    /// Copies all of it.
    pub fn all(&mut self) -> Result<(), Error> {
        let look = Look::at(self.source.here()).map_err(at(Path::new(""), "look at it"))?.on(&self.terms);
        let hands_nothing_on = hands_nothing_on(&self.target)?;
        self.begin_folder(look, self.judge.standing == Standing::Nothing, hands_nothing_on)?;
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
        let look = Look::at(&found).map_err(at(path, "look at it"))?.on(&self.terms);
        if !self.terms.takes(&look) {
            self.told.devices.add(path);
            return self.clear(name, path);
        }
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
        let look = Look::at(&folder).map_err(at(path, "look at it"))?.on(&self.terms);
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
        let hands_nothing_on = fresh && self.before() == Before::Nothing;
        self.begin_folder(look, fresh, hands_nothing_on)
    }

    fn begin_folder(&mut self, look: Look, fresh: bool, hands_nothing_on: bool) -> Result<(), Error> {
        let path = self.source.shown();
        let mut left = names(self.source.here(), MOST - self.waiting).map_err(too_many(&path, "names"))?;
        if self.source.is_at_top() {
            left.retain(|name| !spared(self.except, &name.bytes));
        }
        if !fresh {
            self.remove_others(&left)?;
        }
        self.waiting += left.len();
        self.folders.push(Folder { look, left, fresh, hands_nothing_on });
        Ok(())
    }

    fn end_folder(&mut self) -> Result<(), Error> {
        let Some(Folder { look, fresh, .. }) = self.folders.pop() else { return Ok(()) };
        let path = self.source.shown();
        let before = match (self.source.is_at_top(), fresh) {
            (true, _) => Before::Top,
            // Now this is the folder above.
            (false, true) => self.before(),
            (false, false) => Before::Anything,
        };
        let flags = flags::of(self.source.here()).map_err(at(&path, "read its flags"))?;
        let ends = Ends { from: self.source.here(), to: self.target.here(), look: &look, path: &path };
        self.maker.finish(ends, flags, before, &mut self.told)?;
        let again = Look::at(self.source.here());
        self.look_again(&look, again, &path);
        self.told.entries += 1;
        self.source.leave()?;
        self.target.leave()?;
        Ok(())
    }

    /// What has been made in the folder where the copy is has by itself.
    pub(super) fn before(&self) -> Before {
        match self.folders.last() {
            Some(folder) if folder.hands_nothing_on => Before::Nothing,
            _ => Before::Anything,
        }
    }

    /// Whether the folder where the copy is was made by this run.
    pub(super) fn is_fresh(&self) -> bool {
        self.folders.last().is_some_and(|folder| folder.fresh)
    }
}

/// Whether the top of a target has nothing that would pass to what is made in it. Folders below get theirs when all in them is made.
fn hands_nothing_on(target: &Trail) -> Result<bool, Error> {
    let top = Path::new("");
    let rules =
        Of::Open(target.here()).value(b"system.posix_acl_default").map_err(at(top, "read its attributes"))?;
    let flags = flags::of(target.here()).map_err(at(top, "read its flags"))?;
    Ok(rules.is_none() && flags.is_empty())
}
