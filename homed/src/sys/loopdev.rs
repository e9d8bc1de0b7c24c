//! Loop devices: part of an image file as a block device that vanishes with its last user.
//!
//! The kernel keeps the image's open file description while the device lives: a BSD lock taken on
//! it before holds as long, whatever becomes of this process.

use super::mount::Number;
use super::waiting::wait_until;
use linux_raw_sys::loop_device::{
    LOOP_CONFIGURE, LOOP_CTL_GET_FREE, LOOP_GET_STATUS64, LOOP_SET_STATUS64, loop_config, loop_info64,
};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod attached;

pub use attached::{Attached, at, attached, backing, by_path, clear_stale, detach, is_attached, showing};

// linux/loop.h; not among linux-raw-sys's constants as plain numbers.
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;
/// How often another program may take the free device from under us.
const TRIES: u32 = 64;
/// The longest that others may read a device that is to have another size.
const READ_BY_UDEV: Duration = Duration::from_secs(5);

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

    /// Its number.
    pub fn number(&self) -> io::Result<Number> {
        Ok(Number::of(rustix::fs::fstat(&self.file)?.st_rdev))
    }

    /// Its size in bytes.
    pub fn size(&self) -> io::Result<u64> {
        (&self.file).seek(SeekFrom::End(0))
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
            let opened = OpenOptions::new().read(true).write(true).open(&path);
            let taken = opened.and_then(|file| configure(&file, image, window, flags).map(|()| file));
            match taken {
                Ok(file) => return Ok(Self { file, path }),
                // Another program was faster: it has attached something, or removed the device.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENXIO | libc::ENOENT)) => {}
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
    let mut info = status(&device)?;
    if info.lo_sizelimit == size {
        return Ok(());
    }
    info.lo_sizelimit = size;
    let set = wait_until(READ_BY_UDEV, || {
        // SAFETY: the fd is open for the call and the struct is the one this ioctl reads.
        let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_STATUS64 as _, &info) };
        match if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(true) } {
            // Somebody reads the device just now (udev does when it hears of a change).
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(false),
            other => other,
        }
    });
    if set? { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EAGAIN)) }
}

fn status(device: &File) -> io::Result<loop_info64> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut info: loop_info64 = unsafe { std::mem::zeroed() };
    // SAFETY: the fd is open for the call and the struct is the one this ioctl writes.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64 as _, &mut info) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}
