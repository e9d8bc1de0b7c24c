//! A new image, which has no name until it is whole.

use super::unfinished::{collect, temporary};
use super::{copy_range, in_use};
use crate::job::{Context, Failure, refuse};
use crate::sys::{durable, file};
use records::{MachineId, Refusal};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A new image. Dropped before it was published, nothing of it stays.
pub struct NewImage {
    file: File,
    folder: OwnedFd,
    target: PathBuf,
    machine: MachineId,
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
    pub fn begin(target: &Path, machine: &MachineId) -> Result<Self, Failure> {
        if target.symlink_metadata().is_ok() {
            return exists(target);
        }
        Self::make(target, machine, Instead::Nothing)
    }

    /// Begins one with the content of `old`, which will take its name; the blocks are shared where the file system can.
    pub fn copy(target: &Path, old: &File, machine: &MachineId) -> Result<Self, Failure> {
        let new = Self::make(target, machine, Instead::TheOld)?;
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

    fn make(target: &Path, machine: &MachineId, instead: Instead) -> Result<Self, Failure> {
        let (folder, name) = match (target.parent(), target.file_name().and_then(|n| n.to_str())) {
            (Some(folder), Some(name)) => (folder, name),
            _ => return refuse(Refusal::InvalidArgs, format!("{} cannot be an image.", target.display())),
        };
        let opened = durable::folder(folder).during(format!("opening {}", folder.display()))?;
        collect(&opened, folder, name, machine);
        let (file, temporary) =
            nameless(&opened, name, machine).during(format!("making a file in {}", folder.display()))?;
        // Best effort: only btrfs knows the flag, and only for files that are still empty.
        let _ = file::write_in_place(&file);
        if file::lock(&file).during("locking the new image")? == file::Lock::Elsewhere {
            return in_use(target);
        }
        Ok(Self {
            file,
            folder: opened,
            target: target.to_owned(),
            machine: machine.clone(),
            temporary,
            instead,
        })
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
            let name = temporary(&name, &self.machine);
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
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return exists(target),
            other => other.during(format!("putting {} in place", target.display()))?,
        }
        self.temporary = None;
        let synced = self.file.sync_all().and_then(|()| durable::sync_directory(&self.folder));
        if let Err(error) = synced {
            self.unname();
            return Err(error).during(format!("writing the name {} to disk", self.target.display()));
        }
        self.file.try_clone().during("keeping the image open")
    }

    /// A name that is not known to be on disk is taken away again: whoever is told that it failed finds nothing there.
    fn unname(&self) {
        let is_ours = |facts: std::fs::Metadata| {
            self.file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (facts.dev(), facts.ino()))
        };
        // In the place of an old one it stays: that is gone, and the new one is as good.
        if self.instead == Instead::Nothing && self.target.symlink_metadata().is_ok_and(is_ours) {
            // Already failing: what matters is the first error.
            let _ = std::fs::remove_file(&self.target);
        }
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
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            other => return other,
        }
    }
    if image.metadata()?.len() == size { Ok(()) } else { image.set_len(size) }
}

fn exists<T>(target: &Path) -> Result<T, Failure> {
    refuse(Refusal::HomeExists, format!("{} exists already; nothing was changed.", target.display()))
}

fn nameless(folder: &OwnedFd, name: &str, machine: &MachineId) -> io::Result<(File, Option<String>)> {
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(fd) = rustix::fs::openat(folder, ".", flags | OFlags::TMPFILE, mode) {
        return Ok((fd.into(), None));
    }
    let temporary = temporary(name, machine);
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    Ok((rustix::fs::openat(folder, &temporary, flags, mode)?.into(), Some(temporary)))
}

fn link(file: &File, folder: impl AsFd, name: &Path) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(rustix::fs::CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)?)
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
