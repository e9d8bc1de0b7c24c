//! A user namespace that exists only to carry the ID map of a mount.

use super::limits::Limit;
use rustix::process::Pid;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;

/// Makes a user namespace with one map for UIDs and GIDs, in the kernel's text form
/// (`inside outside length` per line), and gives a handle on it.
pub fn with_map(map: &str) -> io::Result<OwnedFd> {
    with_maps(map, map)
}

/// The same with a map for UIDs and another for GIDs.
pub fn with_maps(uids: &str, gids: &str) -> io::Result<OwnedFd> {
    let child = Child::start()?;
    let folder = format!("/proc/{}", child.0);
    fs::write(format!("{folder}/uid_map"), uids)?;
    fs::write(format!("{folder}/setgroups"), "deny")?;
    fs::write(format!("{folder}/gid_map"), gids)?;
    Ok(File::open(format!("{folder}/ns/user"))?.into())
}

/// A process that holds the namespace until a handle on it is open.
struct Child(libc::pid_t);

impl Child {
    fn start() -> io::Result<Self> {
        let parent = rustix::process::getpid();
        // SAFETY: without CLONE_VM and with a null stack this is fork(2) into a new user namespace.
        match unsafe { clone(libc::CLONE_NEWUSER | libc::SIGCHLD) } {
            -1 => Err(Limit::UserNamespaces.name(io::Error::last_os_error())),
            0 => wait_to_be_killed(parent),
            pid => Ok(Self(libc::pid_t::try_from(pid).map_err(io::Error::other)?)),
        }
    }
}

/// clone(2) with flags alone. The order of its arguments is another on some machines (clone(2), "C
/// library/kernel differences"): flags come second on s390x, and are zero there without this.
///
/// # Safety
/// The flags must not share memory with the child (`CLONE_VM`): it would run on the same stack.
unsafe fn clone(flags: libc::c_int) -> libc::c_long {
    #[cfg(not(target_arch = "s390x"))]
    let (first, second) = (flags, 0);
    #[cfg(target_arch = "s390x")]
    let (first, second) = (0, flags);
    // SAFETY: the caller vouches for the flags; the stack is null and nothing is written anywhere.
    unsafe { libc::syscall(libc::SYS_clone, first, second, 0, 0, 0) }
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

/// The child's whole life: a few system calls, nothing that could meet a lock held at the fork. It has a copy of
/// its parent's memory, secrets too, so it must not outlive the parent: if that has ended before the signal
/// was asked for, nobody sends it.
fn wait_to_be_killed(parent: Pid) -> ! {
    // SAFETY: plain system calls; the child ends by its parent's signal, or when the parent ends.
    unsafe {
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        while libc::syscall(libc::SYS_getppid) == libc::c_long::from(parent.as_raw_nonzero().get()) {
            libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0);
        }
        loop {
            libc::syscall(libc::SYS_exit_group, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that was told of another parent, and how it has ended.
    #[test]
    fn a_child_whose_parent_is_gone_ends() {
        // SAFETY: fork(2); the child makes system calls only.
        let pid = match unsafe { clone(libc::SIGCHLD) } {
            0 => wait_to_be_killed(Pid::INIT),
            pid => Pid::from_raw(libc::pid_t::try_from(pid).expect("a pid")).expect("started"),
        };
        let ended = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        let (_, status) = ended.expect("waited for").expect("ended");
        assert_eq!(status.exit_status(), Some(0));
    }

    #[test]
    fn a_child_waits_until_it_is_dropped() {
        // Where user namespaces are not allowed to this user there is none.
        let Ok(child) = Child::start() else { return };
        let pid = Pid::from_raw(child.0).expect("started");
        assert!(rustix::process::test_kill_process(pid).is_ok());
        drop(child);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }
}
