//! What an inode is given beside its data: owner, attributes, mode, times, flags. In that order: a change of owner takes set-ID bits and
//! capabilities away, and nothing can be changed any more once the flags say so.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, IFlags, Mode, OFlags, Uid, chmod, chownat, fchmod, fchown, futimens, mknodat,
    openat, readlinkat, symlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Copied, Loss};
use crate::error::{Error, at};
use crate::flags;
use crate::look::{Look, find, place};
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
        if look.kind() == FileType::Symlink {
            let leads_to = readlinkat(found, c"", Vec::new()).map_err(at(path, "read where it leads"))?;
            symlinkat(leads_to, folder, name).map_err(at(path, "make its copy"))?;
        } else {
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(folder, name, look.kind(), mode, look.device()).map_err(at(path, "make its copy"))?;
        }
        let new = find(folder, name, WITHIN).map_err(at(path, "find its copy"))?;
        self.dress((found, look), &new, path, told)
    }

    /// Gives what was made under a name all that it is to have, through its descriptor: a name may stand for something else
    /// as soon as it was looked at.
    fn dress(
        &mut self,
        (found, look): (&OwnedFd, &Look),
        new: &OwnedFd,
        path: &Path,
        told: &mut Copied,
    ) -> Result<(), Error> {
        let there = Look::at(new).map_err(at(path, "look at its copy"))?;
        if !is_just_made(&there, look) {
            return Err(Error::Replaced { path: path.to_owned() });
        }
        let (uid, gid) = look.owner();
        chownat(new, c"", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)
            .map_err(owner(path, (uid, gid)))?;
        self.attributes((&Of::found(found), &Of::found(new)), Before::Anything, path, told)?;
        // A link has no mode.
        if look.kind() != FileType::Symlink {
            chmod(place(new), look.mode()).map_err(at(path, "set the mode of its copy"))?;
        }
        utimensat(new, c"", &look.times(), AtFlags::EMPTY_PATH).map_err(at(path, "set the times of its copy"))
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

/// Whether it is what this process makes of that kind: its own, with no name beside the one it was made under.
fn is_just_made(there: &Look, wanted: &Look) -> bool {
    let of = |look: &Look| (look.kind(), look.device());
    of(there) == of(wanted) && there.owner().0 == geteuid().as_raw() && there.names() == 1
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    /// A folder with a FIFO to copy, a file of somebody else, and the copy that was just made.
    struct Scene {
        folder: tempfile::TempDir,
        source: OwnedFd,
        look: Look,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("scratch");
            let here = File::open(folder.path()).expect("opened");
            for (name, mode) in [(&b"source"[..], 0o666), (b"copy", 0o600)] {
                mknodat(&here, name, FileType::Fifo, Mode::from_raw_mode(mode), 0).expect("made");
            }
            fs::set_permissions(folder.path().join("source"), fs::Permissions::from_mode(0o4777))
                .expect("mode");
            fs::write(folder.path().join("victim"), "").expect("written");
            fs::set_permissions(folder.path().join("victim"), fs::Permissions::from_mode(0o600))
                .expect("mode");
            let source = find(&here, b"source", WITHIN).expect("found");
            let look = Look::at(&source).expect("seen");
            Self { folder, source, look }
        }

        fn find(&self, name: &str) -> OwnedFd {
            let here = File::open(self.folder.path()).expect("opened");
            find(here.as_fd(), name.as_bytes(), WITHIN).expect("found")
        }

        fn dress(&self, new: &OwnedFd) -> Result<(), Error> {
            let mut told = Copied::default();
            Maker::new(Terms::default()).dress((&self.source, &self.look), new, Path::new("copy"), &mut told)
        }

        fn mode(&self, name: &str) -> u32 {
            fs::metadata(self.folder.path().join(name)).expect("there").mode() & 0o7777
        }
    }

    #[test]
    fn what_is_put_in_the_place_of_a_copy_is_left_alone() {
        let scene = Scene::new();
        let at = |name: &str| scene.folder.path().join(name);
        let new = scene.find("copy");
        fs::rename(at("copy"), at("elsewhere")).expect("renamed");
        symlink("victim", at("copy")).expect("linked");
        scene.dress(&new).expect("dressed");
        assert_eq!((scene.mode("elsewhere"), scene.mode("victim")), (0o4777, 0o600));
        // Replaced before it was found, nothing is given anything.
        assert!(matches!(scene.dress(&scene.find("copy")), Err(Error::Replaced { .. })));
        assert!(matches!(scene.dress(&scene.find("victim")), Err(Error::Replaced { .. })));
        fs::hard_link(at("elsewhere"), at("further")).expect("linked");
        assert!(matches!(scene.dress(&scene.find("further")), Err(Error::Replaced { .. })));
        assert_eq!(scene.mode("victim"), 0o600);
    }

    #[test]
    fn a_copy_has_mode_and_times_of_its_source() {
        let scene = Scene::new();
        scene.dress(&scene.find("copy")).expect("dressed");
        let facts =
            |name: &str| fs::symlink_metadata(scene.folder.path().join(name)).expect("there").modified();
        assert_eq!(scene.mode("copy"), 0o4777);
        assert_eq!(facts("copy").expect("a time"), facts("source").expect("a time"));
    }
}
