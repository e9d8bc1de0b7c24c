//! Loop devices: part of an image file as a block device that vanishes with its last user.
//!
//! The kernel keeps the image's open file description while the device lives: a BSD lock taken on
//! it before holds as long, whatever becomes of this process.

use linux_raw_sys::loop_device::{
    LOOP_CLR_FD, LOOP_CONFIGURE, LOOP_CTL_GET_FREE, LOOP_GET_STATUS64, LOOP_SET_STATUS64, loop_config,
    loop_info64,
};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

// linux/loop.h; not among linux-raw-sys's constants as plain numbers.
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;
/// How often another program may take the free device from under us.
const TRIES: u32 = 64;

/// Which part of the file the device shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Logical block size of the device: 512 or 4096.
    pub block: u32,
}

/// An attached device; it goes when this and every other user of it (dm-crypt) is gone.
pub struct LoopDevice {
    file: File,
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches a window of an image, with direct I/O where the file system below can do it.
    pub fn attach(image: impl AsFd, window: Window) -> io::Result<Self> {
        match Self::attach_with(image.as_fd(), window, LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Self::attach_with(image.as_fd(), window, LO_FLAGS_AUTOCLEAR)
            }
            other => other,
        }
    }

    /// `/dev/loopN`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn attach_with(image: BorrowedFd<'_>, window: Window, flags: u32) -> io::Result<Self> {
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        for _ in 0..TRIES {
            // SAFETY: the fd is open for the call; this ioctl takes no argument.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            match configure(&file, image, window, flags) {
                Ok(()) => return Ok(Self { file, path }),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }
}

impl AsFd for LoopDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn configure(device: &File, image: BorrowedFd<'_>, window: Window, flags: u32) -> io::Result<()> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut config: loop_config = unsafe { std::mem::zeroed() };
    config.fd = u32::try_from(image.as_raw_fd()).map_err(io::Error::other)?;
    config.block_size = window.block;
    config.info.lo_offset = window.offset;
    config.info.lo_sizelimit = window.size;
    config.info.lo_flags = flags;
    // SAFETY: both fds are open for the call and the struct is the one this ioctl reads.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &config) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives the window of an attached device another size; its beginning stays. `number` as in `/dev/loopN`.
pub fn resize(number: u32, size: u64) -> io::Result<()> {
    let device = OpenOptions::new().read(true).write(true).open(format!("/dev/loop{number}"))?;
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut info: loop_info64 = unsafe { std::mem::zeroed() };
    // SAFETY: the fd is open for the call and the struct is the one this ioctl writes.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64 as _, &mut info) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    if info.lo_sizelimit == size {
        return Ok(());
    }
    info.lo_sizelimit = size;
    for _ in 0..TRIES {
        // SAFETY: as above; this one reads it.
        let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_STATUS64 as _, &info) };
        match if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) } {
            // Somebody reads the device just now (udev does when it hears of a change).
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            other => return other,
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Detaches loop devices of an image that nothing is stacked on: what a killed process left behind.
pub fn clear_stale(image: &Path) -> io::Result<usize> {
    let mut cleared = 0;
    for entry in std::fs::read_dir("/sys/block")? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|n| n.starts_with("loop")) else { continue };
        let backing = std::fs::read_to_string(entry.path().join("loop/backing_file"));
        let same = backing.is_ok_and(|b| Path::new(b.trim_end()) == image);
        let held = std::fs::read_dir(entry.path().join("holders")).is_ok_and(|mut h| h.next().is_some());
        if same && !held && clear(&Path::new("/dev").join(name)).is_ok() {
            cleared += 1;
        }
    }
    Ok(cleared)
}

fn clear(device: &Path) -> io::Result<()> {
    let device = File::open(device)?;
    // SAFETY: the fd is open for the call; this ioctl takes no argument.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD as _, 0) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether some loop device shows a part of this image.
pub fn is_attached(image: &Path) -> io::Result<bool> {
    Ok(attached()?.iter().any(|backing| backing == image))
}

/// The images that loop devices show.
pub fn attached() -> io::Result<Vec<PathBuf>> {
    let mut backing = Vec::new();
    for entry in std::fs::read_dir("/sys/block")? {
        if let Ok(text) = std::fs::read_to_string(entry?.path().join("loop/backing_file")) {
            backing.push(text.trim_end().into());
        }
    }
    Ok(backing)
}
