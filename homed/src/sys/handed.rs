//! Sockets that the service manager hands over (sd_listen_fds(3)): opened by a unit of its own, or kept for a service that
//! is started again.

use rustix::io::{FdFlags, fcntl_setfd};
use std::collections::BTreeMap;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The first of them; the others follow.
const FIRST: RawFd = 3;
/// More than anybody hands over.
const MOST: RawFd = 64;

/// The sockets by name (`FileDescriptorName=`, `FDNAME=`), closed in children. For the very start of the program only:
/// what has these numbers later is somebody else's.
///
/// # Panics
/// Where a second thread runs already: it might have opened a file of such a number.
pub fn sockets() -> BTreeMap<String, OwnedFd> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert!(threads <= 1, "sockets are taken over before any thread starts");
    let word = |name: &str| std::env::var(name).unwrap_or_default();
    let names = names(&word("LISTEN_PID"), &word("LISTEN_FDS"), &word("LISTEN_FDNAMES"));
    let take = |(number, name): (RawFd, String)| {
        // SAFETY: the service manager has opened it for this process, which has only begun: nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        // One that is not open is none.
        fcntl_setfd(&socket, FdFlags::CLOEXEC).is_ok().then_some((name, socket))
    };
    (FIRST..).zip(names).filter_map(take).collect()
}

/// Their names in order; none where the variables are meant for another process.
fn names(pid: &str, count: &str, names: &str) -> Vec<String> {
    if pid != std::process::id().to_string() {
        return Vec::new();
    }
    let count: RawFd = count.parse().unwrap_or(0);
    let mut names = names.split(':').map(str::to_owned);
    (0..count.clamp(0, MOST)).map(|_| names.next().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_for_somebody_else_hand_nothing_over() {
        let own = std::process::id().to_string();
        assert_eq!(names(&own, "2", "a:b"), ["a", "b"]);
        assert_eq!(names(&own, "2", "a"), ["a", ""]);
        assert_eq!(names("1", "2", "a:b"), [""; 0]);
        assert_eq!(names(&own, "many", "a:b"), [""; 0]);
        assert_eq!(names(&own, "-1", ""), [""; 0]);
    }
}
