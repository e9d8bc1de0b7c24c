//! The calls for secret memory that no safe library has.
#![allow(unsafe_code)]

use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Memory that even the kernel's own mappings do not hold. `None`: this kernel has none
/// (before 5.14, `secretmem.enable=0`, or an architecture without it).
pub fn memfd_secret() -> Option<OwnedFd> {
    // SAFETY: the call takes one integer and gives a new descriptor or an error; nothing else is touched.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs `work` on the mapped bytes of secret memory.
///
/// Only for descriptors of `memfd_secret` with at least `length` bytes: their size can be set once and
/// never again, so nobody can cut the mapping short.
pub fn with_mapped<T>(fd: impl AsFd, length: usize, work: impl FnOnce(&mut [u8]) -> T) -> io::Result<T> {
    if length == 0 {
        return Err(Errno::INVAL.into());
    }
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a fresh mapping at an address of the kernel's choice; the descriptor is open for the call.
    let start =
        unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd.as_fd().as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `length` bytes are mapped readable and writable at `start` until the munmap below; another
    // process may change them meanwhile, which bytes allow; the slice does not leave this function.
    let result = work(unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), length) });
    // SAFETY: this is the mapping made above, whole, and the slice over it is gone.
    unsafe { libc::munmap(start, length) };
    Ok(result)
}
