//! Keys of the type `logon`: the kernel uses them, and shows them to nobody, root neither.
//!
//! A key that outlives this process is in the user keyring of root; for dm-crypt to find it, it has to be in a
//! keyring of the thread that asks.

use super::limits::Limit;
use std::ffi::{CString, c_long};
use std::io;

const KIND: &std::ffi::CStr = c"logon";
// linux/keyctl.h.
const THREAD: c_long = -1;
const PROCESS: c_long = -2;
const OF_USER: c_long = -4;
const REVOKE: c_long = 3;
const CLEAR: c_long = 7;
const LINK: c_long = 8;
const UNLINK: c_long = 9;
const SEARCH: c_long = 10;

/// Keeps a key until it is revoked or the machine is switched off. One of the same name is replaced.
pub fn keep(name: &str, key: &[u8]) -> io::Result<()> {
    possess()?;
    add(name, key, OF_USER)
}

/// Lets this thread, and what the kernel does for it, use a key; it goes with the thread.
pub fn lend(name: &str, key: &[u8]) -> io::Result<()> {
    add(name, key, THREAD)
}

/// What became of a wish to use a key that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Borrowed {
    /// This thread may use it.
    Yes,
    /// There is none of that name any more.
    NotKept,
}

/// Lets this thread use a key that is kept.
pub fn borrow(name: &str) -> io::Result<Borrowed> {
    match find(name).and_then(|key| control(LINK, key, THREAD)) {
        Err(error) if is_gone(&error) => Ok(Borrowed::NotKept),
        other => other.map(|_| Borrowed::Yes),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOKEY | libc::EKEYREVOKED))
}

/// What was lent to this thread, it has no more.
pub fn give_back() -> io::Result<()> {
    match control(CLEAR, THREAD, 0) {
        // Nothing was lent.
        Err(error) if is_missing(&error) => Ok(()),
        other => other.map(drop),
    }
}

/// Whether this process may have the kernel keep keys. A kernel may have no keyrings, and a filter of system calls may
/// forbid them (containers).
pub fn is_usable() -> bool {
    let name = "homed:probe";
    match lend(name, &[0]) {
        Ok(()) => forget_lent(name).is_ok(),
        Err(error) => !is_missing(&error),
    }
}

/// One key that was lent to this thread, it has no more.
fn forget_lent(name: &str) -> io::Result<()> {
    let key = search(name, THREAD)?;
    control(UNLINK, key, THREAD).map(drop)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES))
}

/// Makes a key void that is kept: the kernel wipes it. One that is not there is void already.
pub fn revoke(name: &str) -> io::Result<()> {
    let key = match find(name) {
        Err(error) if is_gone(&error) => return Ok(()),
        other => other?,
    };
    control(REVOKE, key, 0)?;
    control(UNLINK, key, OF_USER).map(drop)
}

/// The names of the keys that any keyring of the machine has, or had and is being cleared of, as far as they are
/// accepted (proc_keys(5): the description comes last, and ends with a colon and what the type has to say).
pub fn names(accept: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let text = match std::fs::read_to_string("/proc/keys") {
        // The kernel has no keyrings.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names: Vec<String> =
        text.lines().filter_map(name).filter(|name| accept(name)).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// `serial flags uses timeout permissions uid gid type description: …`.
fn name(line: &str) -> Option<&str> {
    let description = line.split_whitespace().nth(8)?;
    Some(description.strip_suffix(':').unwrap_or(description))
}

/// Has this process possess what is kept: a service of systemd has a session keyring of its own, where the user's is
/// not (`KeyringMode=` in systemd.exec(5)), and keys can be found and revoked only by who possesses them.
fn possess() -> io::Result<()> {
    control(LINK, OF_USER, PROCESS).map(drop)
}

fn find(name: &str) -> io::Result<c_long> {
    possess()?;
    search(name, OF_USER)
}

fn search(name: &str, keyring: c_long) -> io::Result<c_long> {
    let name = CString::new(name)?;
    // SAFETY: both strings end with NUL and live for the call; a search reads nothing else.
    let key = unsafe { libc::syscall(libc::SYS_keyctl, SEARCH, keyring, KIND.as_ptr(), name.as_ptr(), 0) };
    if key < 0 { Err(io::Error::last_os_error()) } else { Ok(key) }
}

fn add(name: &str, key: &[u8], keyring: c_long) -> io::Result<()> {
    let name = CString::new(name)?;
    let (data, length) = (key.as_ptr(), key.len());
    // SAFETY: the strings end with NUL, the key is read for its true length, all of it for the call only.
    let serial =
        unsafe { libc::syscall(libc::SYS_add_key, KIND.as_ptr(), name.as_ptr(), data, length, keyring) };
    if serial < 0 { Err(Limit::Keys.name(io::Error::last_os_error())) } else { Ok(()) }
}

fn control(operation: c_long, key: c_long, other: c_long) -> io::Result<c_long> {
    // SAFETY: these operations take numbers alone.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, operation, key, other, 0, 0) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_and_what_is_forbidden_are_missing() {
        for (code, missing) in [(libc::ENOSYS, true), (libc::EPERM, true), (libc::EDQUOT, false)] {
            assert_eq!(is_missing(&io::Error::from_raw_os_error(code)), missing);
        }
    }

    #[test]
    fn a_probe_leaves_nothing() {
        let usable = is_usable();
        let name = "homed:probe";
        assert_eq!(lend(name, &[0]).is_ok() && forget_lent(name).is_ok(), usable);
        assert!(forget_lent(name).is_err());
    }

    #[test]
    fn a_key_s_name_is_read() {
        let line = "0bd04a11 I--Q---     1 perm 3f010000     0     0 logon     cryptsetup:x-d0: 64";
        assert_eq!(name(line), Some("cryptsetup:x-d0"));
        let revoked = "0bd04a11 I-RQ---     1 perm 3f010000     0     0 logon     cryptsetup:x-d0";
        assert_eq!(name(revoked), Some("cryptsetup:x-d0"));
        assert_eq!(name("short line"), None);
    }
}
