//! Whether somebody has a file open for writing: the one question that no safe library asks.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

/// Which signal tells of a lease (asm-generic/fcntl.h, the same for all that Linux runs on but the old Alpha).
const F_SETSIG: libc::c_int = 10;

/// Whether a program has the file open, or mapped, for writing. The descriptor is one for reading. Asked by a read lease
/// (fcntl(2), `F_SETLEASE`), which the kernel refuses then, and which is given back at once. Where it gives none at all (a file of
/// somebody else, a file system without leases) nobody knows, and the answer is no.
pub(crate) fn is_being_written(file: impl AsFd) -> bool {
    let file = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for the call, and all three take a number. Whoever opens the file meanwhile has SIGURG sent to
    // this process, which ignores it unless it says otherwise, and goes on as soon as the lease is back.
    unsafe {
        libc::fcntl(file, F_SETSIG, libc::SIGURG);
        if libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) == 0 {
            libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK);
            return false;
        }
    }
    std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn who_writes_is_seen_and_who_reads_is_not() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("file");
        let writes = File::create(&path).expect("made");
        let reads = File::open(&path).expect("opened");
        assert!(is_being_written(&reads));
        drop(writes);
        let _second = File::open(&path).expect("opened");
        assert!(!is_being_written(&reads));
    }
}
