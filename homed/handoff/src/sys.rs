//! The calls for secret memory that no safe library has.
//!
//! Whoever sent a descriptor may write to its memory at any time, so no reference is ever made to it: bytes
//! are copied in and out through raw pointers.
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

/// Has the kernel close every descriptor from the third on when this process becomes another program. Since Linux 5.11.
pub fn keep_descriptors() -> io::Result<()> {
    let none: libc::c_uint = libc::c_uint::MAX;
    // SAFETY: takes integers only, and closes nothing of this program.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, none, libc::CLOSE_RANGE_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The first bytes of secret memory, mapped.
///
/// Only for descriptors of `memfd_secret` with at least `length` bytes: their size can be set once and
/// never again, so nobody can cut the mapping short.
pub struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes. Fails where locked memory is limited (`RLIMIT_MEMLOCK`).
    pub fn new(fd: impl AsFd, length: usize) -> io::Result<Self> {
        if length == 0 {
            return Err(Errno::INVAL.into());
        }
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: a fresh mapping at an address of the kernel's choice; the descriptor is open for the call.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), length })
    }

    /// Fills it; bytes beyond its length are left out.
    pub fn write(&self, bytes: &[u8]) {
        let length = bytes.len().min(self.length);
        // SAFETY: `length` bytes are readable in the slice and mapped writable here; a fresh mapping
        // overlaps no slice.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start, length) };
    }

    /// A copy of it.
    pub fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        // SAFETY: `length` bytes are mapped readable here and writable in the vector, which is another
        // allocation; whoever changes them meanwhile changes which bytes are copied, and nothing else.
        unsafe { std::ptr::copy_nonoverlapping(self.start, bytes.as_mut_ptr(), self.length) };
        bytes
    }

    /// Zeros all of it.
    pub fn wipe(&self) {
        // SAFETY: `length` bytes are mapped writable, and no reference to them is ever made.
        unsafe { std::ptr::write_bytes(self.start, 0, self.length) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`, whole; no reference to it was ever made.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

/// Signals for tests: `sudo` gets them all the time.
#[cfg(test)]
pub mod signals {
    use rustix::process::Pid;

    extern "C" fn nothing(_signal: libc::c_int) {}

    /// Has SIGUSR1 interrupt system calls, and do nothing else.
    pub fn heed() {
        // SAFETY: all zeros is a valid sigaction: no flags, so calls are not restarted, and an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        // SAFETY: the action is initialised, and its handler touches nothing.
        let done = unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) };
        assert_eq!(done, 0);
    }

    /// Sends SIGUSR1 to a thread of this process as soon as it waits.
    pub fn interrupt(thread: Pid) {
        let path = format!("/proc/self/task/{}/stat", thread.as_raw_nonzero());
        while !std::fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") S ")) {
            std::thread::yield_now();
        }
        let process = rustix::process::getpid().as_raw_nonzero().get();
        // SAFETY: a plain system call; the signal has the handler above.
        unsafe { libc::syscall(libc::SYS_tgkill, process, thread.as_raw_nonzero().get(), libc::SIGUSR1) };
    }
}
