//! A user namespace that exists only to carry the ID map of a mount.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;

/// Makes a user namespace with one map for UIDs and GIDs, in the kernel's text form
/// (`inside outside length` per line), and gives a handle on it.
pub fn with_map(map: &str) -> io::Result<OwnedFd> {
    let child = Child::start()?;
    let folder = format!("/proc/{}", child.0);
    fs::write(format!("{folder}/uid_map"), map)?;
    fs::write(format!("{folder}/setgroups"), "deny")?;
    fs::write(format!("{folder}/gid_map"), map)?;
    Ok(File::open(format!("{folder}/ns/user"))?.into())
}

/// A process that holds the namespace until a handle on it is open.
struct Child(libc::pid_t);

impl Child {
    fn start() -> io::Result<Self> {
        let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
        // SAFETY: without CLONE_VM and with a null stack this is fork(2) into a new user namespace.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => wait_to_be_killed(),
            pid => Ok(Self(libc::pid_t::try_from(pid).map_err(io::Error::other)?)),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: the process is our own child and not yet reaped, so the id is still its.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// The child's whole life: two system calls, nothing that could meet a lock held at the fork.
fn wait_to_be_killed() -> ! {
    // SAFETY: plain system calls; the child ends by its parent's signal, or when the parent ends.
    unsafe {
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        loop {
            libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0);
        }
    }
}
