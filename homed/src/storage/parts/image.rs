//! An image file: opened without surprises, locked, marked dirty while in use; and a new one that
//! has no name until it is whole.

use crate::job::{Context, Failure, refuse};
use crate::sys::{durable, file, loopdev};
use records::Refusal;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, SeekFrom};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Set to `1` while the image may be changed; still there after a crash.
pub const DIRTY: &str = "user.home-dirty";
/// A change of size that has begun: `FROM TO`, in bytes. Still there after a crash.
const RESIZE: &str = "user.home-resize";
/// Names of unfinished images where the file system cannot make files without a name; also what the
/// original uses.
const UNFINISHED: &str = ".#homework";

/// What the image is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looking: no lock, nothing is changed.
    Read,
    /// Changing: with the lock.
    Write,
    /// Changing what is attached, and so locked, already.
    Beside,
}

/// Opens an image that should exist.
pub fn open(path: &Path, access: Access) -> Result<File, Failure> {
    let way = if access == Access::Read { OFlags::RDONLY } else { OFlags::RDWR };
    open_as(path, way, access)
}

/// Opens an image that is only looked at, and keeps everybody else from writing to it meanwhile. Nothing of it, and no
/// device of a killed run, is changed for that. `HomeInUse`: somebody has it open.
pub fn hold(path: &Path) -> Result<File, Failure> {
    let image = open_lockable(path)?;
    match file::lock(&image).during(format!("locking {}", path.display()))? {
        file::Lock::Taken => Ok(image),
        file::Lock::Elsewhere => in_use(path),
    }
}

/// NFS and CIFS lock byte ranges, and an exclusive lock there needs a file that is open for writing (`EBADF`).
fn open_lockable(path: &Path) -> Result<File, Failure> {
    match open_as(path, OFlags::RDWR, Access::Read) {
        // A disk that can only be read: there nobody writes.
        Err(Failure::Fault(_)) => open_as(path, OFlags::RDONLY, Access::Read),
        other => other,
    }
}

fn open_as(path: &Path, way: OFlags, access: Access) -> Result<File, Failure> {
    let flags = way | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => {
            return refuse(
                Refusal::HomeAbsent,
                format!("The home's image {} is not there. Plug in or mount what holds it.", path.display()),
            );
        }
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::LOOP) => return no_image(path),
        other => other.map_err(io::Error::from).during(format!("opening {}", path.display()))?,
    };
    let image = File::from(fd);
    let facts = image.metadata().during(format!("looking at {}", path.display()))?;
    if !facts.is_file() {
        return no_image(path);
    }
    if access == Access::Write {
        lock(&image, path)?;
    }
    Ok(image)
}

fn no_image<T>(path: &Path) -> Result<T, Failure> {
    refuse(
        Refusal::NotSupported,
        format!("{} is not a regular file; homes on block devices cannot be used yet.", path.display()),
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

/// Marks the image as in use, durably.
pub fn set_dirty(image: &File) -> Result<(), Failure> {
    match file::set_attribute(image, DIRTY, b"1") {
        // A mark for the user's information is not worth a refused login.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSPC | libc::EDQUOT)) =>
        {
            Ok(())
        }
        other => other.and_then(|()| image.sync_all()).during("marking the image as in use"),
    }
}

/// Takes the mark away, once everything in the image is on disk.
pub fn clear_dirty(image: &File) -> Result<(), Failure> {
    image.sync_all().during("writing the image to disk")?;
    file::remove_attribute(image, DIRTY)
        .or_else(|error| match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => Ok(()),
            _ => Err(error),
        })
        .and_then(|()| image.sync_all())
        .during("marking the image as not in use")
}

/// Whether it is marked as in use.
pub fn is_dirty(image: &File) -> bool {
    matches!(file::attribute(image, DIRTY), Ok(Some(value)) if value == b"1")
}

/// A change of size that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// Bytes of the image before.
    pub from: u64,
    /// Bytes of the image after.
    pub to: u64,
}

/// Notes durably that a change of size begins. Where the file system knows no attributes the table and the length
/// of the file have to tell.
pub fn note_resize(image: &File, intent: Intent) -> Result<(), Failure> {
    let text = format!("{} {}", intent.from, intent.to);
    match file::set_attribute(image, RESIZE, text.as_bytes()) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        other => other.and_then(|()| image.sync_all()).during("noting the change of size"),
    }
}

/// The change of size that has begun and not ended.
pub fn unfinished_resize(image: &File) -> Option<Intent> {
    let value = file::attribute(image, RESIZE).ok()??;
    let (from, to) = std::str::from_utf8(&value).ok()?.split_once(' ')?;
    Some(Intent { from: from.parse().ok()?, to: to.parse().ok()? })
}

/// Takes the note away, once all of the change is on disk.
pub fn forget_resize(image: &File) -> Result<(), Failure> {
    file::remove_attribute(image, RESIZE)
        .or_else(|error| match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => Ok(()),
            _ => Err(error),
        })
        .and_then(|()| image.sync_all())
        .during("noting the end of the change of size")
}

/// Reads bytes of an image; `None` beyond its end.
pub fn bytes(image: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    image.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

/// A new image. Dropped before it was published, nothing of it stays.
pub struct NewImage {
    file: File,
    folder: OwnedFd,
    target: PathBuf,
    /// Where the file system cannot make a file without a name.
    temporary: Option<String>,
    instead: Instead,
}

/// Whether something has its name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instead {
    Nothing,
    /// The image as it was, which stays until the new one is on disk.
    TheOld,
}

impl NewImage {
    /// Begins one that will be `target`. Refuses where something has that name.
    pub fn begin(target: &Path) -> Result<Self, Failure> {
        if target.symlink_metadata().is_ok() {
            return exists(target);
        }
        Self::make(target, Instead::Nothing)
    }

    /// Begins one with the content of `old`, which will take its name; the blocks are shared where the file system can.
    pub fn copy(target: &Path, old: &File) -> Result<Self, Failure> {
        let new = Self::make(target, Instead::TheOld)?;
        if rustix::fs::ioctl_ficlone(&new.file, old).is_ok() {
            return Ok(new);
        }
        let facts = old.metadata().during("looking at the image")?;
        let (needed, free) = (facts.blocks() * 512, file::space(old).during("asking for free space")?.free);
        if needed > free {
            return refuse(
                Refusal::NoDiskSpace,
                format!(
                    "The image has to be copied for this, and the disk has no room for that: {} MiB are needed, {} MiB \
                     are free. Nothing was changed.",
                    needed >> 20,
                    free >> 20
                ),
            );
        }
        let copied = new.file.set_len(facts.len()).and_then(|()| copy_range(old, &new.file, 0..facts.len()));
        copied.during("copying the image").map(|()| new)
    }

    fn make(target: &Path, instead: Instead) -> Result<Self, Failure> {
        let (folder, name) = match (target.parent(), target.file_name().and_then(|n| n.to_str())) {
            (Some(folder), Some(name)) => (folder, name),
            _ => return refuse(Refusal::InvalidArgs, format!("{} cannot be an image.", target.display())),
        };
        let opened = durable::folder(folder).during(format!("opening {}", folder.display()))?;
        collect_unfinished(&opened, folder, name);
        let (file, temporary) =
            nameless(&opened, name).during(format!("making a file in {}", folder.display()))?;
        // Best effort: only btrfs knows the flag, and only for files that are still empty.
        let _ = file::write_in_place(&file);
        if file::lock(&file).during("locking the new image")? == file::Lock::Elsewhere {
            return in_use(target);
        }
        Ok(Self { file, folder: opened, target: target.to_owned(), temporary, instead })
    }

    /// The open image.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its size: with blocks reserved, or sparse.
    pub fn set_size(&self, size: u64, blocks: Blocks) -> Result<(), Failure> {
        give_size(&self.file, size, blocks).during("allocating the image")
    }

    /// Puts it in place, whole and durable. Refuses where something has appeared there meanwhile, unless it is to
    /// take its place.
    pub fn publish(mut self) -> Result<File, Failure> {
        self.file.sync_all().during("writing the image to disk")?;
        if self.instead == Instead::TheOld && self.temporary.is_none() {
            // Only what has a name can take another's.
            let name = self.target.file_name().unwrap_or_default().to_string_lossy();
            let name = temporary(&name);
            let linked = link(&self.file, &self.folder, Path::new(&name));
            linked.during(format!("naming the new {}", self.target.display()))?;
            self.temporary = Some(name);
        }
        let target = &self.target;
        let named = match (&self.temporary, self.instead) {
            (Some(name), Instead::Nothing) => rename(&self.folder, name, target),
            (Some(name), Instead::TheOld) => {
                rustix::fs::renameat(&self.folder, name, rustix::fs::CWD, target).map_err(io::Error::from)
            }
            (None, _) => link(&self.file, rustix::fs::CWD, target),
        };
        match named {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => return exists(target),
            other => other.during(format!("putting {} in place", target.display()))?,
        }
        self.temporary = None;
        let synced = self.file.sync_all().and_then(|()| durable::sync_directory(&self.folder));
        synced.during(format!("writing the name {} to disk", target.display()))?;
        self.file.try_clone().during("keeping the image open")
    }
}

impl Drop for NewImage {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            let _ = rustix::fs::unlinkat(&self.folder, name.as_str(), AtFlags::empty());
        }
    }
}

/// Whether disk blocks are reserved beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// They are: writing into the home cannot fail for lack of space outside.
    Reserved,
    /// They are taken as they are written.
    Sparse,
}

/// Gives a file its size. File systems that cannot reserve blocks get a sparse file.
pub fn give_size(image: &File, size: u64, blocks: Blocks) -> io::Result<()> {
    if blocks == Blocks::Reserved {
        match file::allocate(image, 0, size) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            other => return other,
        }
    }
    if image.metadata()?.len() == size { Ok(()) } else { image.set_len(size) }
}

fn exists<T>(target: &Path) -> Result<T, Failure> {
    refuse(Refusal::HomeExists, format!("{} exists already; nothing was changed.", target.display()))
}

fn nameless(folder: &OwnedFd, name: &str) -> io::Result<(File, Option<String>)> {
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(fd) = rustix::fs::openat(folder, ".", flags | OFlags::TMPFILE, mode) {
        return Ok((fd.into(), None));
    }
    let temporary = temporary(name);
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    Ok((rustix::fs::openat(folder, &temporary, flags, mode)?.into(), Some(temporary)))
}

fn temporary(name: &str) -> String {
    format!("{UNFINISHED}{name}{}", uuid::Uuid::new_v4().simple())
}

fn link(file: &File, folder: impl AsFd, name: &Path) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(rustix::fs::CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// Copies bytes; holes stay holes, and what is zero becomes one.
pub fn copy_range(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    const BLOCK: u64 = 1 << 20;
    let mut block = vec![0; BLOCK as usize];
    let mut at = range.start;
    while let Some(data) = next_data(from, at)?.filter(|data| *data < range.end) {
        at = data;
        let part = usize::try_from((range.end - at).min(BLOCK)).map_err(io::Error::other)?;
        from.read_exact_at(&mut block[..part], at)?;
        if block[..part].iter().any(|byte| *byte != 0) {
            to.write_all_at(&block[..part], at)?;
        }
        at += part as u64;
    }
    Ok(())
}

/// Where the next bytes are that are no hole; `None`: nowhere.
fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn rename(folder: &OwnedFd, name: &str, target: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, name, rustix::fs::CWD, target, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag; the look before is all there is on those.
        Err(rustix::io::Errno::INVAL) if target.symlink_metadata().is_err() => {
            Ok(rustix::fs::renameat(folder, name, rustix::fs::CWD, target)?)
        }
        other => Ok(other?),
    }
}

/// Unfinished images of this name that nobody works on.
pub fn unfinished(target: &Path) -> Vec<String> {
    match (target.parent(), target.file_name().and_then(|name| name.to_str())) {
        (Some(path), Some(name)) => match durable::folder(path) {
            Ok(folder) => list_unfinished(&folder, path, name),
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Removes them.
pub fn remove_unfinished(target: &Path) -> Result<(), Failure> {
    if let (Some(path), Some(name)) = (target.parent(), target.file_name().and_then(|name| name.to_str())) {
        let folder = durable::folder(path).during(format!("opening {}", path.display()))?;
        collect_unfinished(&folder, path, name);
    }
    Ok(())
}

/// Removes what killed runs left: unfinished images of this name that nobody has locked.
fn collect_unfinished(folder: impl AsFd, path: &Path, name: &str) {
    for found in list_unfinished(&folder, path, name) {
        let _ = rustix::fs::unlinkat(&folder, found, AtFlags::empty());
    }
}

fn list_unfinished(folder: impl AsFd, path: &Path, name: &str) -> Vec<String> {
    let begin = format!("{UNFINISHED}{name}");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let Some(found) = entry.file_name().to_str().filter(|n| n.starts_with(&begin)).map(str::to_owned)
        else {
            continue;
        };
        let unused = durable::open_foreign(&folder, &found).and_then(file::lock);
        if matches!(unused, Ok(file::Lock::Taken)) {
            all.push(found);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpublished_image_leaves_nothing() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let target = folder.path().join("alice.home");
        let image = NewImage::begin(&target).expect("begun");
        image.set_size(1 << 20, Blocks::Sparse).expect("sized");
        drop(image);
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 0);
    }

    #[test]
    fn a_published_image_is_there_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let target = folder.path().join("alice.home");
        let rival = NewImage::begin(&target).expect("begun");
        NewImage::begin(&target).expect("begun").publish().expect("published");
        let Err(Failure::Refused(refused)) = rival.publish() else { panic!("replaced") };
        assert_eq!(refused.refusal, Refusal::HomeExists);
        assert!(matches!(NewImage::begin(&target), Err(Failure::Refused(_))));
    }

    #[test]
    fn leftovers_are_collected_unless_locked() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let left = folder.path().join(".#homeworkalice.home123");
        let running = folder.path().join(".#homeworkalice.home456");
        std::fs::write(&left, "x").expect("written");
        let running_file = File::create(&running).expect("created");
        file::lock(&running_file).expect("locked");
        NewImage::begin(&folder.path().join("alice.home")).expect("begun");
        assert!(!left.exists() && running.exists());
    }

    #[test]
    fn a_locked_image_is_in_use() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("alice.home");
        std::fs::write(&path, "x").expect("written");
        let first = open(&path, Access::Write).expect("opened");
        let Err(Failure::Refused(refused)) = open(&path, Access::Write) else { panic!("opened twice") };
        assert_eq!(refused.refusal, Refusal::HomeInUse);
        open(&path, Access::Read).expect("reading needs no lock");
        let Err(Failure::Refused(refused)) = hold(&path) else { panic!("held beside a writer") };
        assert_eq!(refused.refusal, Refusal::HomeInUse);
        drop(first);
        let held = hold(&path).expect("free again");
        assert!(open(&path, Access::Write).is_err(), "written beside one who looks");
        drop(held);
        open(&path, Access::Write).expect("free again");
    }

    /// An exclusive lock on NFS and CIFS needs it.
    #[test]
    fn what_is_locked_is_open_for_writing() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("alice.home");
        std::fs::write(&path, "x").expect("written");
        let mode = |file: &File| rustix::fs::fcntl_getfl(file).expect("asked") & OFlags::RWMODE;
        assert_eq!(mode(&hold(&path).expect("held")), OFlags::RDWR);
        assert_eq!(mode(&open(&path, Access::Read).expect("opened")), OFlags::RDONLY);
    }
}
