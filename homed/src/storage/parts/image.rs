//! An image, a file or a block device: opened without surprises, locked, a file marked dirty while in use; and a new one
//! that has no name until it is whole.
//!
//! A device is kept by its lock until dm-crypt has it, and by dm-crypt's claim from then on. It has no attributes, and so no
//! marks.

use crate::job::{Context, Failure, refuse};
use crate::sys::{blockdev, file, loopdev};
use records::Refusal;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

mod copy;
mod marks;
mod new;
mod unfinished;

pub use copy::{Lost, copy_around, copy_range, read_around};
pub use marks::{
    DIRTY, Intent, clear_dirty, forget_resize, is_dirty, note_resize, set_dirty, unfinished_resize,
};
pub use new::{Blocks, NewImage, give_size};
pub use unfinished::{is_named_unfinished, remove_unfinished, sweep, sweep_arriving, unfinished};

/// What the image is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looking: no lock, nothing is changed.
    Read,
    /// Changing what is attached, and so locked, already.
    Beside,
}

/// Opens an image that should exist. Who wants it for itself takes it: `taken.rs`.
pub fn open(path: &Path, access: Access) -> Result<File, Failure> {
    match access {
        Access::Read => open_as(path, OFlags::RDONLY),
        Access::Beside => open_as(path, OFlags::RDWR),
    }
}

/// Opens an image that is to be changed, with the lock.
pub(super) fn lock_to_write(path: &Path) -> Result<File, Failure> {
    locked(path, || open_as(path, OFlags::RDWR), lock)
}

/// Opens an image that is only looked at, and keeps everybody else from writing to it meanwhile. Nothing of it, and no
/// device of a killed run, is changed for that. `HomeInUse`: somebody has it open.
pub(super) fn lock_to_look(path: &Path) -> Result<File, Failure> {
    let lock =
        |image: &File, path: &Path| match file::lock(image).during(format!("locking {}", path.display()))? {
            file::Lock::Taken => Ok(()),
            file::Lock::Elsewhere => in_use(path),
        };
    locked(path, || open_lockable(path), lock)
}

/// How often an image is opened anew that is not at its path any more once it is locked.
const TRIES: usize = 16;

/// Opens and locks what is at a path: it is there once the lock is had. Whoever puts another in its place (a change of
/// size, an image that arrives) may do so between opening and locking; with the lock nobody does.
fn locked(
    path: &Path,
    mut open: impl FnMut() -> Result<File, Failure>,
    lock: impl Fn(&File, &Path) -> Result<(), Failure>,
) -> Result<File, Failure> {
    for _ in 0..TRIES {
        let image = open()?;
        lock(&image, path)?;
        if file::is_at(&image, &blockdev::resolved(path)).during(format!("looking at {}", path.display()))? {
            refuse_claimed(&image, path)?;
            return Ok(image);
        }
    }
    in_use(path)
}

/// NFS and CIFS lock byte ranges, and an exclusive lock there needs a file that is open for writing (`EBADF`).
fn open_lockable(path: &Path) -> Result<File, Failure> {
    match open_as(path, OFlags::RDWR) {
        // A disk that can only be read: there nobody writes.
        Err(Failure::Fault(_)) => open_as(path, OFlags::RDONLY),
        other => other,
    }
}

fn open_as(path: &Path, way: OFlags) -> Result<File, Failure> {
    let flags = way | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match rustix::fs::open(blockdev::resolved(path), flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => {
            return refuse(
                Refusal::HomeAbsent,
                format!("The home's image {} is not there. Plug in or mount what holds it.", path.display()),
            );
        }
        // A device whose medium was taken out has a node all the same.
        Err(rustix::io::Errno::NOMEDIUM | rustix::io::Errno::NXIO) if path.starts_with("/dev") => {
            return refuse(
                Refusal::HomeAbsent,
                format!("The home's device {} is not there. Plug it in.", path.display()),
            );
        }
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::LOOP) => return no_image(path),
        other => other.map_err(io::Error::from).during(format!("opening {}", path.display()))?,
    };
    let image = File::from(fd);
    let facts = image.metadata().during(format!("looking at {}", path.display()))?;
    if !facts.is_file() && !facts.file_type().is_block_device() {
        return no_image(path);
    }
    Ok(image)
}

/// A device that somebody has mounted, or stacked something on.
fn refuse_claimed(image: &File, path: &Path) -> Result<(), Failure> {
    let is_device = blockdev::is_one(image).during("looking at the image")?;
    if !is_device || !blockdev::is_claimed(&blockdev::resolved(path)).during("looking at the device")? {
        return Ok(());
    }
    refuse(
        Refusal::HomeInUse,
        format!(
            "The device {} is in use: it is mounted, or another device lies on it (lsblk shows it).",
            path.display()
        ),
    )
}

fn no_image<T>(path: &Path) -> Result<T, Failure> {
    refuse(
        Refusal::NotSupported,
        format!("{} is neither a regular file nor a block device: no home can be in it.", path.display()),
    )
}

fn lock(image: &File, path: &Path) -> Result<(), Failure> {
    let during = || format!("locking {}", path.display());
    if file::lock(image).during(during())? == file::Lock::Taken {
        return Ok(());
    }
    // A process that was killed between attaching and stacking leaves a loop device with the lock.
    if loopdev::clear_stale(path).during("looking for stale loop devices")? > 0
        && file::lock(image).during(during())? == file::Lock::Taken
    {
        return Ok(());
    }
    in_use(path)
}

fn in_use<T>(path: &Path) -> Result<T, Failure> {
    refuse(
        Refusal::HomeInUse,
        format!("{} is in use, here or on another machine that shares it.", path.display()),
    )
}

/// How large all images in a folder are together; what cannot be read counts nothing.
pub fn sizes_in(folder: Option<&Path>) -> u64 {
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let images = entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "home"));
    images
        .filter_map(|entry| entry.metadata().ok())
        .filter(|facts| facts.is_file())
        .map(|facts| facts.len())
        .sum()
}

/// Reads bytes of an image; `None` beyond its end.
pub fn bytes(image: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    image.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::MachineId;

    fn machine() -> MachineId {
        MachineId::parse(&"1".repeat(32)).expect("an id")
    }

    #[test]
    fn an_unpublished_image_leaves_nothing() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let target = folder.path().join("alice.home");
        let image = NewImage::begin(&target, &machine()).expect("begun");
        image.set_size(1 << 20, Blocks::Sparse).expect("sized");
        drop(image);
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 0);
    }

    #[test]
    fn a_published_image_is_there_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let target = folder.path().join("alice.home");
        let rival = NewImage::begin(&target, &machine()).expect("begun");
        NewImage::begin(&target, &machine()).expect("begun").publish().expect("published");
        let Err(Failure::Refused(refused)) = rival.publish() else { panic!("replaced") };
        assert_eq!(refused.refusal, Refusal::HomeExists);
        assert!(matches!(NewImage::begin(&target, &machine()), Err(Failure::Refused(_))));
    }

    #[test]
    fn leftovers_are_collected_unless_locked() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let [left, running] =
            [1, 2].map(|_| folder.path().join(unfinished::temporary("alice.home", &machine())));
        std::fs::write(&left, "x").expect("written");
        let running_file = File::create(&running).expect("created");
        file::lock(&running_file).expect("locked");
        NewImage::begin(&folder.path().join("alice.home"), &machine()).expect("begun");
        assert!(!left.exists() && running.exists());
    }

    #[test]
    fn a_locked_image_is_in_use() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("alice.home");
        std::fs::write(&path, "x").expect("written");
        let first = lock_to_write(&path).expect("opened");
        let Err(Failure::Refused(refused)) = lock_to_write(&path) else { panic!("opened twice") };
        assert_eq!(refused.refusal, Refusal::HomeInUse);
        open(&path, Access::Read).expect("reading needs no lock");
        let Err(Failure::Refused(refused)) = lock_to_look(&path) else { panic!("held beside a writer") };
        assert_eq!(refused.refusal, Refusal::HomeInUse);
        drop(first);
        let held = lock_to_look(&path).expect("free again");
        assert!(lock_to_write(&path).is_err(), "written beside one who looks");
        drop(held);
        lock_to_write(&path).expect("free again");
    }

    /// An image that arrives takes the place of one that a worker has opened and not locked yet.
    #[test]
    fn what_is_locked_is_what_is_at_the_path() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let (path, newer) = (folder.path().join("alice.home"), folder.path().join("newer"));
        std::fs::write(&path, "old").expect("written");
        std::fs::write(&newer, "new").expect("written");
        let opened = || {
            let opened = open_as(&path, OFlags::RDWR);
            let _ = std::fs::rename(&newer, &path);
            opened
        };
        let image = locked(&path, opened, lock).expect("opened");
        assert_eq!(bytes(&image, 0, 3).as_deref(), Some(b"new".as_slice()));
        assert!(lock_to_write(&path).is_err(), "the new one is locked");
        drop(image);
        let removed =
            || open_as(&path, OFlags::RDWR).inspect(|_| std::fs::remove_file(&path).expect("removed"));
        let Err(Failure::Refused(refused)) = locked(&path, removed, lock) else {
            panic!("opened what is gone")
        };
        assert_eq!(refused.refusal, Refusal::HomeAbsent);
    }

    /// An exclusive lock on NFS and CIFS needs it.
    #[test]
    fn what_is_locked_is_open_for_writing() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("alice.home");
        std::fs::write(&path, "x").expect("written");
        let mode = |file: &File| rustix::fs::fcntl_getfl(file).expect("asked") & OFlags::RWMODE;
        assert_eq!(mode(&lock_to_look(&path).expect("held")), OFlags::RDWR);
        assert_eq!(mode(&open(&path, Access::Read).expect("opened")), OFlags::RDONLY);
    }
}
