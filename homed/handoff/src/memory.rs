//! A secret in a file descriptor: in `memfd_secret` where the kernel has it, else in a memfd whose
//! size is sealed. The receiver wipes it: a memfd's pages are not zeroed when they are freed.

use crate::sys;
use records::Secret;
use records::handoff::MAX_SECRET;
use rustix::fs::{MemfdFlags, SealFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// statfs type of `memfd_secret` (linux/magic.h: SECRETMEM_MAGIC).
const SECRETMEM_MAGIC: i64 = 0x5345_434d;
/// statfs type of memfds (linux/magic.h: TMPFS_MAGIC).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// A descriptor with a copy of the secret in it.
pub fn offer(secret: &Secret) -> io::Result<OwnedFd> {
    let bytes = secret.open();
    if bytes.is_empty() || bytes.len() > MAX_SECRET {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a secret must have 1 to 65536 bytes"));
    }
    if let Some(fd) = sys::memfd_secret() {
        rustix::fs::ftruncate(&fd, bytes.len() as u64)?;
        // Where locked memory is limited (RLIMIT_MEMLOCK) the mapping fails: then the other kind.
        if sys::with_mapped(&fd, bytes.len(), |memory| memory.copy_from_slice(bytes)).is_ok() {
            return Ok(fd);
        }
    }
    plain(bytes)
}

fn plain(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // NOEXEC_SEAL is unknown to kernels before 6.3.
    let fd = rustix::fs::memfd_create(c"secret", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(c"secret", flags))?;
    let mut done = 0;
    while done < bytes.len() {
        done += rustix::io::pwrite(&fd, &bytes[done..], done as u64)?;
    }
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// Takes the secret of `length` bytes out of a descriptor that a stranger may have sent, and wipes it
/// there. Never blocks, never faults: only the two kinds of memory that [`offer`] makes are read.
pub fn receive(fd: OwnedFd, length: usize) -> io::Result<Secret> {
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    if length == 0 || length > MAX_SECRET {
        return Err(invalid("a secret must have 1 to 65536 bytes"));
    }
    let size = rustix::fs::fstat(&fd)?.st_size;
    if u64::try_from(size).unwrap_or(0) < length as u64 {
        return Err(invalid("the secret is shorter than announced"));
    }
    match rustix::fs::fstatfs(&fd)?.f_type {
        SECRETMEM_MAGIC => sys::with_mapped(&fd, length, |memory| {
            let secret = Secret::new(memory.to_vec());
            memory.fill(0);
            secret
        }),
        TMPFS_MAGIC => take_from_file(&fd, length),
        _ => Err(invalid("the secret is not in a memfd")),
    }
}

fn take_from_file(fd: impl AsFd, length: usize) -> io::Result<Secret> {
    let mut buffer = vec![0; length];
    let mut done = 0;
    while done < length {
        match rustix::io::pread(&fd, &mut buffer[done..], done as u64) {
            Ok(0) => {
                drop(Secret::new(buffer));
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(more) => done += more,
            Err(e) => {
                drop(Secret::new(buffer));
                return Err(e.into());
            }
        }
    }
    let secret = Secret::new(buffer);
    // A sender that sealed it against writing keeps its own pages: its loss.
    let _ = rustix::io::pwrite(&fd, &vec![0; length], 0);
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::from_text("{\"password\":[\"geheim\"]}".into())
    }

    #[test]
    fn both_kinds_arrive_and_are_wiped() {
        let length = secret().open().len();
        for fd in [offer(&secret()).expect("made"), plain(secret().open()).expect("made")] {
            let copy = fd.try_clone().expect("cloned");
            assert_eq!(receive(fd, length).expect("taken").open(), secret().open());
            let left = receive(copy, length).expect("still readable");
            assert!(left.open().iter().all(|b| *b == 0), "the source is not wiped");
        }
    }

    #[test]
    fn other_files_and_false_lengths_are_refused() {
        let file = || OwnedFd::from(std::fs::File::open("/proc/self/stat").expect("opens"));
        let (reader, _writer) = rustix::pipe::pipe().expect("made");
        assert!(receive(file(), 4).is_err());
        assert!(receive(reader, 4).is_err());
        for length in [0, 1000, MAX_SECRET + 1] {
            assert!(receive(plain(b"short").expect("made"), length).is_err(), "{length}");
        }
    }
}
