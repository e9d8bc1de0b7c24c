//! What is done with one name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use rustix::io::Errno;

use super::inode::{Ends, Place};
use super::removal::remove;
use super::walk::Walk;
use super::{Continue, Loss, Progress, spared};
use crate::error::{Error, at};
use crate::flags;
use crate::listing::{MOST, Name, names};
use crate::look::{Look, find, place, read};
use crate::mark::Standing;
use crate::measure::too_many;
use crate::trail::WITHIN;

impl Walk<'_> {
    /// A name that was listed and has gone is in no copy.
    pub(super) fn gone(&mut self, name: &[u8], path: &Path) -> Result<(), Error> {
        self.told.changed.add(path);
        self.clear(name, path)
    }

    /// Makes a further name of a file that has been copied. Whether it has been.
    pub(super) fn link(&mut self, name: &[u8], look: &Look, path: &Path) -> Result<bool, Error> {
        let Some(group) = self.links.of(look) else { return Ok(false) };
        let there = self.target.find(name).and_then(Look::at);
        if !there.is_ok_and(|there| there.id() == group.copy) {
            self.clear(name, path)?;
            let Some(group) = self.links.of(look) else { return Ok(false) };
            let elsewhere = match &*group.folder == self.target.path() {
                true => None,
                false => Some(self.target.walk(&group.folder).map_err(at(path, "find its other name"))?),
            };
            let folder = elsewhere.as_ref().map_or(self.target.here(), |folder| folder.as_fd());
            let found = find(folder, &group.name, WITHIN).map_err(at(path, "find its other name"))?;
            // Where it lies is its owner's by now.
            if !Look::at(&found).is_ok_and(|there| there.id() == group.copy) {
                return Err(Error::Replaced { path: path.to_owned() });
            }
            match link_held(&found, self.target.here(), name) {
                Ok(()) => {}
                Err(Errno::MLINK) => {
                    self.told.lose(path, Loss::Link);
                    return Ok(false);
                }
                Err(errno) => return Err(at(path, "make a further name of its copy")(errno)),
            }
        }
        self.links.met(look);
        self.told.linked += 1;
        Ok(true)
    }

    /// Copies a file, unless its copy is there.
    pub(super) fn file(
        &mut self,
        name: &[u8],
        found: &OwnedFd,
        look: &Look,
        path: &Path,
    ) -> Result<(), Error> {
        if self.stands_as_file(name, (found, look), path)? {
            self.told.stood += 1;
            self.bytes += look.size().min(look.allocated());
        } else {
            match read(found, OFlags::empty()) {
                Ok(file) => self.file_anew(name, &file, look, path)?,
                Err(Errno::NOENT | Errno::STALE) => return self.gone(name, path),
                Err(errno) => return Err(at(path, "open it")(errno)),
            }
        }
        self.remember(name, look, path)
    }

    fn file_anew(&mut self, name: &[u8], file: &OwnedFd, look: &Look, path: &Path) -> Result<(), Error> {
        let place = Place { folder: self.target.here(), name, path };
        let flags = flags::of(file).map_err(at(path, "read its flags"))?;
        let copy = self.maker.file(place, flags, &mut self.told)?;
        self.fill((file.as_fd(), copy.as_fd()), look, path)?;
        let ends = Ends { from: file.as_fd(), to: copy.as_fd(), look, path };
        self.maker.finish(ends, flags, self.before(), &mut self.told)?;
        self.look_again(look, Look::at(file), path);
        Ok(())
    }

    /// Copies what is in a file.
    fn fill(&mut self, ends: (BorrowedFd, BorrowedFd), look: &Look, path: &Path) -> Result<(), Error> {
        let Self { content, told, bytes, progress, .. } = self;
        let entries = told.entries;
        let mut watch = |copied: u64| {
            *bytes += copied;
            told.bytes += copied;
            progress(Progress { entries, bytes: *bytes, path }) == Continue::Yes
        };
        match content.copy(ends.0, ends.1, look, &mut watch) {
            Ok(shared) => {
                told.shared += u64::from(shared);
                Ok(())
            }
            Err(ended) => Err(ended.at(path)),
        }
    }

    /// Makes a symbolic link, a FIFO or a device node.
    pub(super) fn special(
        &mut self,
        name: &[u8],
        found: &OwnedFd,
        look: &Look,
        path: &Path,
    ) -> Result<(), Error> {
        self.clear(name, path)?;
        let place = Place { folder: self.target.here(), name, path };
        self.maker.special(found, look, place, &mut self.told)?;
        self.look_again(look, Look::at(found), path);
        self.remember(name, look, path)
    }

    /// Counts what has been copied, and remembers it if it has further names.
    fn remember(&mut self, name: &[u8], look: &Look, path: &Path) -> Result<(), Error> {
        self.told.entries += 1;
        if !look.has_links() {
            return Ok(());
        }
        let copy = self.target.find(name).and_then(Look::at).map_err(at(path, "look at its copy"))?;
        if !self.links.first(look, (self.target.path(), name), copy.id()) {
            return Err(Error::TooMany { path: path.to_owned(), what: "files with several names" });
        }
        Ok(())
    }

    /// Whether the copy of a file is there. Something else of that name is removed.
    fn stands_as_file(&mut self, name: &[u8], one: (&OwnedFd, &Look), path: &Path) -> Result<bool, Error> {
        let Some((there, look)) = self.standing(name, path)? else { return Ok(false) };
        if look.is_file() && self.judge.is_whole(one, (&there, &look), path)? {
            return Ok(true);
        }
        self.clear(name, path)?;
        Ok(false)
    }

    /// Whether a folder of that name is there. Something else is removed.
    pub(super) fn stands_as_folder(&mut self, name: &[u8], path: &Path) -> Result<bool, Error> {
        match self.standing(name, path)? {
            Some((_, look)) if look.is_folder() => Ok(true),
            Some(_) => self.clear(name, path).map(|()| false),
            None => Ok(false),
        }
    }

    fn standing(&self, name: &[u8], path: &Path) -> Result<Option<(OwnedFd, Look)>, Error> {
        if self.is_fresh() {
            return Ok(None);
        }
        match self.target.find(name) {
            Ok(there) => {
                let look = Look::at(&there).map_err(at(path, "look at its copy"))?;
                Ok(Some((there, look)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(at(path, "look at its copy")(errno)),
        }
    }

    /// Removes what an earlier run has left of that name.
    pub(super) fn clear(&self, name: &[u8], path: &Path) -> Result<(), Error> {
        if self.is_fresh() { Ok(()) } else { remove(self.target.here(), name, path) }
    }

    /// Removes what an earlier run has left here, and the source does not have.
    pub(super) fn remove_others(&self, wanted: &[Name]) -> Result<(), Error> {
        if self.judge.standing == Standing::Nothing {
            return Ok(());
        }
        let path = self.target.shown();
        let wanted: std::collections::HashSet<&[u8]> = wanted.iter().map(|name| &*name.bytes).collect();
        let opened = read(self.target.here(), OFlags::DIRECTORY).map_err(at(&path, "open its copy"))?;
        let there = names(opened, MOST).map_err(too_many(&path, "names"))?;
        for name in there.iter().filter(|name| !wanted.contains(&*name.bytes)) {
            if !(self.target.is_at_top() && spared(self.except, &name.bytes)) {
                remove(self.target.here(), &name.bytes, &self.target.path_of(&name.bytes))?;
            }
        }
        Ok(())
    }

    /// Tells of what is not any more as it was when it was copied.
    pub(super) fn look_again(&mut self, before: &Look, again: Result<Look, Errno>, path: &Path) {
        if !again.is_ok_and(|again| again.same_as(before)) {
            self.told.changed.add(path);
        }
    }

    /// Tells how far it is; ends if nobody wants more.
    pub(super) fn tell(&mut self, path: &Path) -> Result<(), Error> {
        let so_far = Progress { entries: self.told.entries, bytes: self.bytes, path };
        match (self.progress)(so_far) {
            Continue::Yes => Ok(()),
            Continue::No => Err(Error::Stopped),
        }
    }
}

/// Makes a further name of the very file that was found, also of one that may not be changed any more.
fn link_held(found: &OwnedFd, here: BorrowedFd, name: &[u8]) -> Result<(), Errno> {
    let link = || linkat(CWD, place(found), here, name, AtFlags::SYMLINK_FOLLOW);
    match link() {
        Err(Errno::PERM) => {}
        done => return done,
    }
    let file = read(found, OFlags::empty())?;
    let held = flags::of(&file)?;
    flags::release(&file)?;
    let linked = link();
    flags::finish(&file, held)?;
    linked
}
