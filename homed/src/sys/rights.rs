//! The rights of a user on files, for a process that goes on being root otherwise.

use super::memory;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use std::io;

/// While this lives, the process reaches files as that user would, who is in no other group (`setfsuid`): it has none of
/// root's rights on them, and what it makes is the user's. What else root may do (`CAP_SYS_ADMIN`: to destroy subvolumes)
/// is not in force, but for locked memory. It stays root for everybody else: the user can neither trace nor end it.
#[derive(Debug)]
pub struct AsUser {
    before: CapabilitySet,
}

impl AsUser {
    /// Takes the user's rights. Groups are given up for good.
    pub fn new(id: u32) -> io::Result<Self> {
        // SAFETY: no groups are read.
        if unsafe { libc::setgroups(0, std::ptr::null()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let taken = Self { before: capabilities(None)?.effective };
        reach_files_as(id)?;
        // Without IPC_LOCK a process whose memory is locked gets no more of it.
        put_in_force(taken.before & CapabilitySet::IPC_LOCK)?;
        Ok(taken)
    }
}

impl Drop for AsUser {
    fn drop(&mut self) {
        // Without root's rights nothing that has to be taken back now could be: better to end.
        if let Err(error) = reach_files_as(0).and_then(|()| put_in_force(self.before)) {
            eprintln!("cannot take root's rights again: {error}");
            std::process::abort();
        }
    }
}

fn reach_files_as(id: u32) -> io::Result<()> {
    let parent = memory::parent();
    // SAFETY: both take a number, and tell the former one; whether they were obeyed is asked below.
    unsafe { (libc::setfsgid(id), libc::setfsuid(id)) };
    // SAFETY: −1 is nobody's: it is asked for and changes nothing.
    let now = unsafe { (libc::setfsgid(u32::MAX), libc::setfsuid(u32::MAX)) };
    if (u32::try_from(now.0), u32::try_from(now.1)) != (Ok(id), Ok(id)) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    // The kernel takes both back whenever a process changes who it is.
    memory::refuse_dumps()?;
    memory::die_with_parent(parent)
}

/// Of the capabilities that this thread may have, these are in force (capabilities(7)).
fn put_in_force(these: CapabilitySet) -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective = these;
    Ok(set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_snapshot_could_be_destroyed_with_is_in_force_meanwhile() {
        let in_force = || capabilities(None).expect("asked").effective;
        // Of its own: capabilities are a thread's.
        let thread = std::thread::spawn(move || {
            let before = in_force();
            put_in_force(before & CapabilitySet::IPC_LOCK).expect("given up");
            let meanwhile = in_force();
            put_in_force(before).expect("taken again");
            (before, meanwhile, in_force())
        });
        let (before, meanwhile, after) = thread.join().expect("ends");
        assert!(CapabilitySet::IPC_LOCK.contains(meanwhile), "{meanwhile:?}");
        assert_eq!(before, after);
    }
}
