//! Taking a whole tree away that somebody else has filled: no link is followed, no mount is crossed, and however deep
//! it is, two directories are open at most.
//!
//! ```text
//! top/a/b/c …   →   top/moved-1 (b), a is gone   →   top/moved-2 (c), b is gone   →   …
//! ```
//!
//! A directory that is not empty is emptied by moving what is in it to the top, so that nothing is ever deeper than
//! two. btrfs' subvolumes go as a whole; those inside another one are moved out of it first. In a folder that is encrypted, and
//! whose key is not there, nothing can be moved: it is emptied from the bottom up, on foot.

use crate::sys::{fscrypt, subvolume};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use std::ffi::{CStr, CString};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

/// So many names are read at a time.
const SOME: usize = 1024;

/// Takes away what has this name in a directory. What is not there is away. `CrossesDevices`, `ResourceBusy`: something
/// is mounted in it; nothing of that is touched.
pub fn erase(parent: impl AsFd, name: &CStr) -> io::Result<()> {
    if is_away(&parent, name)? || is_destroyed(&parent, name)? {
        return Ok(());
    }
    let roof = open(&parent, name)?;
    let mut clearing = Clearing { roof, moved: 0 };
    clearing.whole()?;
    drop(clearing);
    match is_away(&parent, name)? || is_destroyed(&parent, name)? {
        true => Ok(()),
        false => Err(ErrorKind::DirectoryNotEmpty.into()),
    }
}

struct Clearing {
    roof: OwnedFd,
    moved: u64,
}

impl Clearing {
    fn whole(&mut self) -> io::Result<()> {
        loop {
            let names = some(&self.roof)?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                self.take(&name)?;
            }
        }
    }

    /// Takes one entry of the roof away.
    fn take(&mut self, name: &CStr) -> io::Result<()> {
        if is_away(&self.roof, name)? || is_destroyed(&self.roof, name)? {
            return Ok(());
        }
        let inner = open(&self.roof, name)?;
        if subvolume::is_one(&inner).unwrap_or(false) {
            // Others are in it, wherever: all of it is gone through, in it, and they come up here.
            let mut nested = Clearing { roof: inner, moved: 0 };
            nested.empty_of_subvolumes(self)?;
        } else {
            self.raise(&inner)?;
        }
        Ok(())
    }

    /// Moves everything that cannot go at once out of a directory, to the roof.
    fn raise(&mut self, inner: &OwnedFd) -> io::Result<()> {
        loop {
            let names = some(inner)?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                if is_away(inner, &name)? || is_destroyed(inner, &name)? {
                    continue;
                }
                match self.move_here(inner, &name) {
                    Err(error) if fscrypt::lacks_key(&error) => empty(open(inner, &name)?)?,
                    done => done?,
                }
            }
        }
    }

    /// The same for this subvolume as a roof of its own; subvolumes in it go to the one above.
    fn empty_of_subvolumes(&mut self, above: &mut Self) -> io::Result<()> {
        loop {
            let names = some(&self.roof)?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                if is_away(&self.roof, &name)? || is_destroyed(&self.roof, &name)? {
                    continue;
                }
                let inner = open(&self.roof, &name)?;
                if subvolume::is_one(&inner).unwrap_or(false) {
                    above.move_here(&self.roof, &name)?;
                } else {
                    self.raise(&inner)?;
                }
            }
        }
    }

    fn move_here(&mut self, from: &OwnedFd, name: &CStr) -> io::Result<()> {
        loop {
            self.moved += 1;
            let new = format!("moved-{}", self.moved);
            let done = rustix::fs::renameat_with(from, name, &self.roof, new, RenameFlags::NOREPLACE);
            match done.map_err(io::Error::from) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
    }
}

/// Takes everything out of a directory in which nothing can be moved. However deep it is, two are open at most: one goes down to
/// what is not empty, and up by the way that each directory knows.
fn empty(top: OwnedFd) -> io::Result<()> {
    let place = |directory: &OwnedFd| rustix::fs::fstat(directory).map(|facts| (facts.st_dev, facts.st_ino));
    let end = place(&top)?;
    let mut at = top;
    loop {
        let names = some(&at)?;
        let mut full = None;
        for name in &names {
            if !is_away(&at, name)? {
                full = Some(open(&at, name)?);
                break;
            }
        }
        at = match full {
            Some(inner) => inner,
            None if !names.is_empty() => at,
            None if place(&at)? == end => return Ok(()),
            None => rustix::fs::openat(&at, c"..", UP, Mode::empty())?,
        };
    }
}

const UP: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Whether it is no directory, or an empty one: then it is away.
fn is_away(parent: impl AsFd, name: &CStr) -> io::Result<bool> {
    let tried = |flags| match rustix::fs::unlinkat(&parent, name, flags).map_err(io::Error::from) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(true),
            ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => Ok(false),
            _ => Err(error),
        },
    };
    Ok(tried(AtFlags::empty())? || tried(AtFlags::REMOVEDIR)?)
}

/// Whether it is a subvolume without others in it: then it is away.
fn is_destroyed(parent: impl AsFd, name: &CStr) -> io::Result<bool> {
    let directory = open(&parent, name)?;
    if !subvolume::is_one(&directory)? {
        return Ok(false);
    }
    drop(directory);
    match subvolume::destroy(&parent, name) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(error),
    }
}

fn open(parent: impl AsFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    Ok(rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)?)
}

fn some(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
        if names.len() == SOME {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::durable;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn erased(top: &Path) -> io::Result<()> {
        erase(durable::directory(top).expect("opens"), c"home")
    }

    #[test]
    fn everything_goes_and_nothing_that_is_linked_to() {
        let top = tempfile::tempdir().expect("folder");
        let home = top.path().join("home");
        std::fs::create_dir_all(home.join("a/b/c/d/e")).expect("made");
        std::fs::create_dir(home.join("moved-1")).expect("made");
        std::fs::write(home.join("moved-1/x"), "x").expect("written");
        std::fs::write(home.join("a/b/c/file"), "x").expect("written");
        std::fs::create_dir(top.path().join("other")).expect("made");
        std::fs::write(top.path().join("other/kept"), "x").expect("written");
        symlink("../../other", home.join("a/link")).expect("linked");
        symlink("/", home.join("a/b/root")).expect("linked");
        erased(top.path()).expect("erased");
        assert!(!home.exists() && top.path().join("other/kept").exists());
        erased(top.path()).expect("what is not there is away");
    }

    #[test]
    fn a_link_in_its_place_goes_and_what_it_points_to_stays() {
        let top = tempfile::tempdir().expect("folder");
        std::fs::create_dir(top.path().join("other")).expect("made");
        symlink("other", top.path().join("home")).expect("linked");
        erased(top.path()).expect("erased");
        assert!(top.path().join("other").is_dir() && !top.path().join("home").is_symlink());
    }

    #[test]
    fn what_cannot_be_moved_is_emptied_on_foot() {
        let top = tempfile::tempdir().expect("folder");
        let home = top.path().join("home");
        for path in ["a/b/c", "a/d/e/f", "a/g"] {
            std::fs::create_dir_all(home.join(path)).expect("made");
        }
        for number in 0..SOME + 10 {
            std::fs::write(home.join(format!("a/d/e/file{number}")), "x").expect("written");
        }
        symlink("/", home.join("a/b/root")).expect("linked");
        empty(durable::directory(&home.join("a")).expect("opens")).expect("emptied");
        assert_eq!(std::fs::read_dir(home.join("a")).expect("read").count(), 0);
        erased(top.path()).expect("erased");
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let top = tempfile::tempdir().expect("folder");
        let root = durable::directory(top.path()).expect("opens");
        rustix::fs::mkdirat(&root, c"home", Mode::from_raw_mode(0o700)).expect("made");
        let mut at = durable::directory_at(&root, "home").expect("opens");
        for _ in 0..5000 {
            rustix::fs::mkdirat(&at, c"d", Mode::from_raw_mode(0o700)).expect("made");
            at = durable::directory_at(&at, "d").expect("opens");
        }
        drop(at);
        erased(top.path()).expect("erased");
        assert!(!top.path().join("home").exists());
    }
}
