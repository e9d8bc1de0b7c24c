//! Which loop devices show a file: asked by its device and inode, for a file has many names and paths.

use super::{LO_FLAGS_AUTOCLEAR, status};
use crate::sys::blockdev;
use crate::sys::file::{Id, Identity, is_of_a_server};
use crate::sys::mount;
use linux_raw_sys::loop_device::LOOP_CLR_FD;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A loop device that shows a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// `loop0`.
    pub name: String,
    /// It goes with its last user: all that are attached here do, and those of mount(8); not those of losetup(8).
    pub goes_by_itself: bool,
    /// Another device lies on it, or on a partition of it.
    pub carries: bool,
}

impl Attached {
    /// `/dev/loop0`.
    pub fn node(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }
}

/// The loop devices that show a part of this file.
pub fn showing(file: Identity) -> io::Result<Vec<Attached>> {
    let mounts = mount::table("self")?;
    let mut found = Vec::new();
    for (name, backing) in attached()? {
        // The kernel asks the backing file's file system; one that has a server may never answer.
        if is_of_a_server(&mounts, &backing) && !is_of_a_server(&mounts, &file.path) {
            continue;
        }
        match one(&name, &file) {
            Ok(one) => found.extend(one),
            // It was detached or removed meanwhile.
            Err(error)
                if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENXIO) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn one(name: &str, file: &Identity) -> io::Result<Option<Attached>> {
    let info = status(&File::open(Path::new("/dev").join(name))?)?;
    if info.lo_inode != file.inode || info.lo_device != file.device {
        return Ok(None);
    }
    Ok(Some(Attached {
        name: name.to_owned(),
        goes_by_itself: info.lo_flags & LO_FLAGS_AUTOCLEAR != 0,
        carries: crate::sys::devmapper::is_below(name)?,
    }))
}

/// The file that a loop device (`loop0`) shows, as the kernel knows it. `None`: it shows none any more.
pub fn backing(name: &str) -> io::Result<Option<Id>> {
    match File::open(Path::new("/dev").join(name)).and_then(|device| status(&device)) {
        Ok(info) => Ok(Some(Id { device: info.lo_device, inode: info.lo_inode })),
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENXIO) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The loop devices that were attached by this path. No file system is asked.
pub fn by_path(image: &Path) -> io::Result<Vec<String>> {
    let image = blockdev::resolved(image);
    Ok(attached()?.into_iter().filter(|(_, backing)| *backing == image).map(|(name, _)| name).collect())
}

/// All loop devices that show a file, with its path as this process would walk it, or as it is in the namespace that the
/// file was opened in.
pub fn attached() -> io::Result<Vec<(String, PathBuf)>> {
    let mut bound = Vec::new();
    for entry in std::fs::read_dir("/sys/block")? {
        let entry = entry?;
        if let Ok(text) = std::fs::read_to_string(entry.path().join("loop/backing_file")) {
            bound.push((entry.file_name().to_string_lossy().into_owned(), text.trim_end().into()));
        }
    }
    Ok(bound)
}

/// Detaches a loop device (`loop0`); where somebody has it open, it goes with its last user.
pub fn detach(name: &str) -> io::Result<()> {
    let device = File::open(Path::new("/dev").join(name))?;
    // SAFETY: the fd is open for the call; this ioctl takes no argument.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD as _, 0) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Detaches loop devices of the image at a path that nothing lies on, and that were to go by themselves: what a killed
/// process left behind. How many.
pub fn clear_stale(image: &Path) -> io::Result<usize> {
    let stale = at(image)?.into_iter().filter(|one| one.goes_by_itself && !one.carries);
    Ok(stale.filter(|one| detach(&one.name).is_ok()).count())
}

/// The loop devices that show a part of the image at a path; where there is none, none does.
pub fn at(image: &Path) -> io::Result<Vec<Attached>> {
    match Identity::of(image) {
        Ok(file) => showing(file),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Whether some loop device shows a part of this image.
pub fn is_attached(image: &Path) -> io::Result<bool> {
    Ok(!at(image)?.is_empty())
}
