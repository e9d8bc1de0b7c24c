//! The rights of a user on files, for a process that goes on being root otherwise.

use super::memory;
use std::io;

/// From now on this process reaches files as that user would, who is in no other group (`setfsuid`): it has none of root's
/// rights on them, and what it makes is the user's. It stays root for everybody else: the user can neither trace nor end it.
pub fn be(id: u32) -> io::Result<()> {
    let parent = memory::parent();
    // SAFETY: no groups are read.
    if unsafe { libc::setgroups(0, std::ptr::null()) } < 0 {
        return Err(io::Error::last_os_error());
    }
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
