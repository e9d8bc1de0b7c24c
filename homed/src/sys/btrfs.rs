//! btrfs: subvolumes.

use linux_raw_sys::btrfs::btrfs_ioctl_vol_args;
use linux_raw_sys::ioctl::BTRFS_IOC_SUBVOL_CREATE;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Makes a subvolume in a directory of a mounted btrfs; `ENOTTY` elsewhere.
pub fn create_subvolume(parent: impl AsFd, name: &str) -> io::Result<()> {
    // SAFETY: the struct is plain old data; all zero is a valid value.
    let mut arguments: btrfs_ioctl_vol_args = unsafe { std::mem::zeroed() };
    if name.len() >= arguments.name.len() || name.contains(['/', '\0']) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in arguments.name.iter_mut().zip(name.bytes()) {
        *to = from as _;
    }
    // SAFETY: the fd is open for the call, the argument is the struct this ioctl reads, NUL-terminated.
    let answer = unsafe { libc::ioctl(parent.as_fd().as_raw_fd(), BTRFS_IOC_SUBVOL_CREATE as _, &arguments) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
