//! What an inode is given beside its data: owner, attributes, mode, times, flags. In that order: a change of owner takes set-ID bits and
//! capabilities away, and nothing can be changed any more once the flags say so.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, IFlags, Mode, OFlags, Uid, chmodat, chownat, fchmod, fchown, futimens, mknodat,
    openat, readlinkat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::{Copied, Loss};
use crate::error::{Error, at};
use crate::flags;
use crate::look::{Look, find};
use crate::mark;
use crate::terms::Terms;
use crate::trail::WITHIN;
use crate::xattrs::{Attribute, Of, Reader, is_the_targets};

/// What an inode of the target has by itself before it is finished.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// The top: attributes that are there are the target's own, and stay.
    Top,
    /// Whatever an earlier run has left, or the folder above hands on.
    Anything,
    /// Nothing: this run has made it, in a folder that hands nothing on.
    Nothing,
}

/// A file or folder that is open on both sides.
#[derive(Clone, Copy)]
pub(crate) struct Ends<'a> {
    pub from: BorrowedFd<'a>,
    pub to: BorrowedFd<'a>,
    pub look: &'a Look,
    pub path: &'a Path,
}

/// Gives inodes what they are to have.
pub(crate) struct Maker {
    reader: Reader,
    terms: Terms,
}

/// A name to be made in a folder of the target.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub folder: BorrowedFd<'a>,
    pub name: &'a [u8],
    pub path: &'a Path,
}

impl Maker {
    pub fn new(terms: Terms) -> Self {
        Self { reader: Reader::new(), terms }
    }

    /// Makes an empty file that has the flags which have to be there before data.
    pub fn file(&self, place: Place, flags: IFlags, told: &mut Copied) -> Result<OwnedFd, Error> {
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat(place.folder, place.name, how, mode).map_err(at(place.path, "make its copy"))?;
        self.begin(&file, flags, place.path, told)?;
        Ok(file)
    }

    /// Gives a new file or folder the flags that have to be there before anything is in it.
    pub fn begin(&self, new: &OwnedFd, flags: IFlags, path: &Path, told: &mut Copied) -> Result<(), Error> {
        if !flags::begin(new, flags).map_err(at(path, "set flags of its copy"))? {
            told.lose(path, Loss::Flags);
        }
        Ok(())
    }

    /// Finishes a file or folder.
    pub fn finish(
        &mut self,
        ends: Ends,
        flags: IFlags,
        before: Before,
        told: &mut Copied,
    ) -> Result<(), Error> {
        let Ends { from, to, look, path } = ends;
        let (uid, gid) = look.owner();
        fchown(to, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(owner(path, (uid, gid)))?;
        self.attributes((&Of::Open(from), &Of::Open(to)), before, path, told)?;
        fchmod(to, look.mode()).map_err(at(path, "set the mode of its copy"))?;
        futimens(to, &look.times()).map_err(at(path, "set the times of its copy"))?;
        if flags.is_empty() && before == Before::Nothing {
            return Ok(());
        }
        if !flags::finish(to, flags).map_err(at(path, "set flags of its copy"))? {
            told.lose(path, Loss::Flags);
        }
        Ok(())
    }

    /// Makes a symbolic link, a FIFO or a device node, whole.
    pub fn special(
        &mut self,
        found: &OwnedFd,
        look: &Look,
        place: Place,
        told: &mut Copied,
    ) -> Result<(), Error> {
        let Place { folder, name, path } = place;
        let is_link = look.kind() == FileType::Symlink;
        if is_link {
            let leads_to = readlinkat(found, c"", Vec::new()).map_err(at(path, "read where it leads"))?;
            symlinkat(leads_to, folder, name).map_err(at(path, "make its copy"))?;
        } else {
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(folder, name, look.kind(), mode, look.device()).map_err(at(path, "make its copy"))?;
        }
        let (uid, gid) = look.owner();
        chownat(folder, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(owner(path, (uid, gid)))?;
        let new = find(folder, name, WITHIN).map_err(at(path, "find its copy"))?;
        self.attributes((&Of::found(found), &Of::found(&new)), Before::Anything, path, told)?;
        if !is_link {
            chmodat(folder, name, look.mode(), AtFlags::empty())
                .map_err(at(path, "set the mode of its copy"))?;
        }
        utimensat(folder, name, &look.times(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(at(path, "set the times of its copy"))
    }

    fn attributes(
        &mut self,
        (from, to): (&Of, &Of),
        before: Before,
        path: &Path,
        told: &mut Copied,
    ) -> Result<(), Error> {
        let mut wanted = self.reader.all(from).map_err(at(path, "read its attributes"))?;
        self.terms.attributes(&mut wanted);
        let there = match before {
            Before::Nothing => Vec::new(),
            Before::Top | Before::Anything => {
                self.reader.all(to).map_err(at(path, "read the attributes of its copy"))?
            }
        };
        for (name, _) in &there {
            let stays = is_the_targets(name) || (before == Before::Top && !name.starts_with(b"system."));
            if !stays && wanted.iter().all(|(wanted, _)| wanted != name) {
                to.remove(name).map_err(at(path, "remove an attribute of its copy"))?;
            }
        }
        for attribute in wanted.iter().filter(|wanted| !mark::is_one(&wanted.0) && !there.contains(wanted)) {
            give(to, attribute, path, told)?;
        }
        Ok(())
    }
}

/// Gives a copy one attribute, or tells that it cannot have it.
fn give(to: &Of, attribute: &Attribute, path: &Path, told: &mut Copied) -> Result<(), Error> {
    match to.set(attribute) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::TOOBIG | Errno::RANGE | Errno::PERM | Errno::INVAL) => {
            told.lose(path, Loss::Attribute(String::from_utf8_lossy(&attribute.0).into_owned()));
            Ok(())
        }
        Err(errno) => Err(at(path, "give its copy an attribute")(errno)),
    }
}

fn owner<'a>(path: &'a Path, (uid, gid): (u32, u32)) -> impl FnOnce(Errno) -> Error + 'a {
    move |errno| match errno {
        Errno::OVERFLOW | Errno::INVAL => Error::Owner { path: path.to_owned(), uid, gid },
        errno => at(path, "give its copy the owner")(errno),
    }
}
