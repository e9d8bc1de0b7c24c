//! An image as a file: read, and written beside.

use super::identity::{Identity, opener};
use crate::bus::Failure;
use carry::{Source, Target};
use records::Machine;
use records::size::spared;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags, SeekFrom};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// An image that leaves: as long as this lives, homed opens it for nobody.
pub struct Leaving {
    file: Image,
    /// Its size in bytes.
    pub size: u64,
}

/// A file with the bytes of an image.
pub(super) struct Image(pub File);

/// One that is written as it comes: who sends says how much that is, and is believed for so much alone.
pub(super) struct Growing {
    file: Image,
    /// Bytes that may still come before the disk is asked.
    said: u64,
}

impl Growing {
    /// So many bytes of content are said to come.
    pub fn new(file: File, said: u64) -> Self {
        Self { file: Image(file), said }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file.0
    }

    /// More than was said may be holes that the other end's file system does not tell: it comes as long as others have room.
    fn take(&mut self, length: u64) -> io::Result<()> {
        if let Some(left) = self.said.checked_sub(length) {
            self.said = left;
            return Ok(());
        }
        let disk = rustix::fs::fstatvfs(&self.file.0)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        if bytes(disk.f_bavail) >= spared(bytes(disk.f_blocks)).saturating_add(length) {
            return Ok(());
        }
        Err(io::Error::other("more comes than was said, and takes the room that others need"))
    }
}

impl Leaving {
    /// Opens and locks it. One that was open when this machine was cut off is refused: any other would take the copy for
    /// one that is open here.
    pub fn open(path: &Path, user: &str, machine: &Machine) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::say(format!("{}: {error}", path.display()));
        let file = locked(path, user, machine)?;
        if opener(&file).is_some() {
            return Err(Failure::say(format!(
                "{} was open when this machine was cut off, and a copy would not open elsewhere. Nothing was done. Open it \
                 once and close it, then try again: homectl with {user} -- true",
                path.display()
            )));
        }
        let facts = file.metadata().map_err(failed)?;
        Ok(Self { size: facts.len(), file: Image(file) })
    }

    /// How many bytes of it are no holes.
    pub fn content(&self) -> u64 {
        let (mut content, mut at) = (0, 0);
        // A file system that does not tell holes has none.
        while let Ok(Some(data)) = self.file.next_data(at)
            && data < self.size
        {
            let end = rustix::fs::seek(&self.file.0, SeekFrom::Hole(data)).unwrap_or(self.size);
            let end = end.clamp(data + 1, self.size);
            content += end - data;
            at = end;
        }
        content
    }

    /// Its bytes.
    pub fn source(&self) -> &dyn Source {
        &self.file
    }

    /// Removes it under its lock, so that nobody has changed it since it was read; fails if it is not the file at the
    /// path any more.
    pub fn remove(self, path: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::say(format!("removing {}: {error}", path.display()));
        if !is_at(&self.file.0, path).map_err(failed)? {
            return Err(Failure::say(format!("{} is another file now; it was not removed", path.display())));
        }
        std::fs::remove_file(path).map_err(failed)?;
        sync_folder(path).map_err(failed)
    }

    /// Which home it is.
    pub fn identity(&self) -> Option<Identity> {
        Identity::of(&self.file.0)
    }
}

/// Opens an image and takes the lock by which homed knows that it is in use. Where another machine does not see locks, the
/// mark inside says that it has the image open.
pub(super) fn locked(path: &Path, user: &str, machine: &Machine) -> Result<File, Failure> {
    match open_locked(path, || open_image(path)) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Failure::say(format!(
            "{} is in use. Close the home first: homectl deactivate {user}",
            path.display()
        ))),
        Err(error) => Err(Failure::say(format!("{}: {error}", path.display()))),
        Ok(file) => match opener(&file).filter(|opener| !opener.is(machine)) {
            None => Ok(file),
            Some(opener) => Err(Failure::say(format!(
                "Another machine has {} open: {}. A copy of it now would not be whole, so nothing was done. Close it there. \
                 If it is not open there any more (that machine was cut off, or this is a copy), have its mark taken away: \
                 homectl repair --closed-elsewhere {user}",
                path.display(),
                opener.words(now())
            ))),
        },
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

fn open_image(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    // Some file systems take the lock of a file that is open for writing alone; one that can only be read takes it as it is.
    let opened = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::ROFS) => {
            rustix::fs::open(path, flags.difference(OFlags::RDWR) | OFlags::RDONLY, Mode::empty())
        }
        other => other,
    };
    let file = File::from(opened?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(
            "this is no image file. Homes of other kinds are carried by tar or rsync while they are closed.",
        ));
    }
    Ok(file)
}

/// How often a file is opened anew that is not at its path any more once it is locked.
const TRIES: usize = 16;

/// Opens what is at a path and locks it: it is at the path once the lock is had, and whoever puts another there takes
/// this lock before. `WouldBlock`: somebody has it.
pub(super) fn open_locked(path: &Path, mut open: impl FnMut() -> io::Result<File>) -> io::Result<File> {
    for _ in 0..TRIES {
        let file = open()?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
    Err(ErrorKind::WouldBlock.into())
}

/// Whether an open file is what is at a path; no link is followed.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        there => there.map(|there| (own.dev(), own.ino()) == (there.dev(), there.ino())),
    }
}

/// Has the names in the folder of a file on disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl Source for Image {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.0, SeekFrom::Data(offset)) {
            Ok(found) => Ok(Some(found)),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            // A file system that does not tell holes.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(Some(offset)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Source for Growing {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.file.next_data(offset)
    }
}

impl Target for Growing {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.take(bytes.len() as u64)?;
        self.file.0.write_all_at(bytes, offset)
    }

    fn zero(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file.0, hole, offset, length) {
            Err(rustix::io::Errno::OPNOTSUPP) => {
                self.take(length)?;
                let zeros = vec![0; 64 * 1024];
                let mut at = offset;
                while at < offset + length {
                    let part = usize::try_from(offset + length - at).unwrap_or(zeros.len()).min(zeros.len());
                    self.file.0.write_all_at(&zeros[..part], at)?;
                    at += part as u64;
                }
                Ok(())
            }
            other => Ok(other?),
        }
    }
}

/// An older copy, as long as the new one: what it has not is zeros.
pub(super) struct Older(pub File);

impl Source for Older {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64)? {
                0 => break,
                some => filled += some,
            }
        }
        buffer[filled..].fill(0);
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok(Some(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked_is_what_is_at_the_path() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, newer) = (folder.path().join("alice.home"), folder.path().join("newer"));
        std::fs::write(&path, "old").expect("written");
        std::fs::write(&newer, "new").expect("written");
        // Another one puts its image in place between opening and locking.
        let file = open_locked(&path, || {
            let opened = open_image(&path);
            let _ = std::fs::rename(&newer, &path);
            opened
        });
        let mut bytes = [0; 3];
        file.expect("locked").read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!(&bytes, b"new");
        let gone = open_locked(&path, || {
            let opened = open_image(&path)?;
            std::fs::remove_file(&path).map(|()| opened)
        });
        assert_eq!(gone.map(drop).map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    }

    #[test]
    fn more_than_was_said_comes_only_while_others_have_room() {
        let mut growing = Growing::new(tempfile::tempfile().expect("scratch file"), 8);
        growing.write_at(b"12345678", 0).expect("as it was said");
        assert_eq!(growing.said, 0);
        let refused = growing.take(1 << 60).expect_err("no disk has that");
        assert!(refused.to_string().contains("more comes than was said"), "{refused}");
    }
}
