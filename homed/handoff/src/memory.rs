//! A secret in a file descriptor: in `memfd_secret` where the kernel has it, else in a memfd whose
//! size is sealed. Both ends wipe it when they are done, however that was: a memfd's pages are not zeroed
//! when they are freed.

use crate::sys::{self, Mapping};
use records::Secret;
use records::handoff::MAX_SECRET;
use rustix::fs::{MemfdFlags, SealFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Which of the two kinds of memory a descriptor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `memfd_secret(2)`: can be mapped, not read.
    Secret,
    /// `memfd_create(2)`: can be read and written.
    Plain,
}

/// Secret bytes in a descriptor, wiped when it is dropped.
#[derive(Debug)]
pub struct Memory {
    fd: OwnedFd,
    kind: Kind,
}

/// A descriptor with a copy of the secret in it.
pub fn offer(secret: &Secret) -> io::Result<Memory> {
    let bytes = sized(secret)?;
    if let Some(fd) = sys::memfd_secret() {
        rustix::fs::ftruncate(&fd, bytes.len() as u64)?;
        // Where locked memory is limited (RLIMIT_MEMLOCK) the mapping fails: then the other kind.
        if let Ok(mapping) = Mapping::new(&fd, bytes.len()) {
            mapping.write(bytes);
            return Ok(Memory { fd, kind: Kind::Secret });
        }
    }
    plain(bytes)
}

/// The same in a memfd, always. For programs in which anybody's filter of system calls may be in force, and a
/// filter that kills cannot be asked: `memfd_secret` is not in systemd's `@system-service`.
pub fn offer_plain(secret: &Secret) -> io::Result<Memory> {
    plain(sized(secret)?)
}

fn sized(secret: &Secret) -> io::Result<&[u8]> {
    let bytes = secret.open();
    if bytes.is_empty() || bytes.len() > MAX_SECRET {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a secret must have 1 to 65536 bytes"));
    }
    Ok(bytes)
}

fn plain(bytes: &[u8]) -> io::Result<Memory> {
    let memory = Memory { fd: plain_descriptor()?, kind: Kind::Plain };
    write_all(&memory.fd, bytes)?;
    rustix::fs::fcntl_add_seals(&memory.fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memory)
}

fn plain_descriptor() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // NOEXEC_SEAL is unknown to kernels before 6.3.
    Ok(rustix::fs::memfd_create(c"secret", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(c"secret", flags))?)
}

impl Memory {
    /// Looks whether a descriptor that a stranger has sent is memory of one of the two kinds; gives it back
    /// if not.
    ///
    /// Never blocks: nothing is asked of the file itself, whose file system may be a FUSE program of the
    /// stranger's that never answers `fstat(2)`. All memfds are on one mount of the kernel's own, and so
    /// are those of `memfd_secret`; a descriptor's mount is in its thread's `fdinfo` (proc(5)). Closing such
    /// a foreign descriptor can block as well (FUSE is told by `close(2)`): that is left to the caller.
    pub fn recognise(fd: OwnedFd) -> Result<Self, OwnedFd> {
        match kind_of(&fd) {
            Some(kind) => Ok(Self { fd, kind }),
            None => Err(fd),
        }
    }

    /// Takes the secret of `length` bytes out.
    pub fn take(self, length: usize) -> io::Result<Secret> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        if length == 0 || length > MAX_SECRET {
            return Err(invalid("a secret must have 1 to 65536 bytes"));
        }
        if self.size()? < length as u64 {
            return Err(invalid("the secret is shorter than announced"));
        }
        match self.kind {
            Kind::Secret => Ok(Secret::new(Mapping::new(&self.fd, length)?.read())),
            Kind::Plain => read_exact(&self.fd, length),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(u64::try_from(rustix::fs::fstat(&self.fd)?.st_size).unwrap_or(0))
    }

    fn wipe(&self) -> io::Result<()> {
        let length = usize::try_from(self.size()?).unwrap_or(usize::MAX).min(MAX_SECRET);
        match self.kind {
            Kind::Secret => Mapping::new(&self.fd, length)?.wipe(),
            Kind::Plain => write_all(&self.fd, &vec![0; length])?,
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A sender that sealed it against writing keeps its own pages: its loss.
        let _ = self.wipe();
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether a descriptor that a stranger has sent is such memory ([`Memory::recognise`]).
pub fn is_memory(fd: impl AsFd) -> bool {
    kind_of(fd).is_some()
}

fn kind_of(fd: impl AsFd) -> Option<Kind> {
    let mount = mount_id(fd).ok()?;
    let is_mount_of = |own: Option<OwnedFd>| own.and_then(|own| mount_id(&own).ok()) == Some(mount);
    if is_mount_of(plain_descriptor().ok()) {
        return Some(Kind::Plain);
    }
    is_mount_of(sys::memfd_secret()).then_some(Kind::Secret)
}

/// The mount that an open file is on, by the kernel's number. The thread's own files: it may have others than its process.
fn mount_id(fd: impl AsFd) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
    let number = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    number.and_then(|number| number.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
}

fn write_all(fd: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(&fd, &bytes[done..], done as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => done += more,
        }
    }
    Ok(())
}

fn read_exact(fd: impl AsFd, length: usize) -> io::Result<Secret> {
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
    Ok(Secret::new(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::from_text("{\"password\":[\"geheim\"]}".into())
    }

    fn both_kinds() -> [Memory; 2] {
        [offer(&secret()).expect("made"), plain(secret().open()).expect("made")]
    }

    /// The same memory, as it arrives over a socket.
    fn received(memory: &Memory) -> Memory {
        Memory::recognise(memory.fd.try_clone().expect("cloned")).expect("memory")
    }

    fn is_wiped(memory: &Memory) -> bool {
        let length = secret().open().len();
        received(memory).take(length).expect("still readable").open().iter().all(|byte| *byte == 0)
    }

    #[test]
    fn both_kinds_arrive_and_are_wiped() {
        for memory in both_kinds() {
            let taken = received(&memory).take(secret().open().len()).expect("taken");
            assert_eq!(taken.open(), secret().open());
            assert!(is_wiped(&memory), "the source is not wiped");
        }
    }

    #[test]
    fn what_is_not_taken_is_wiped_as_well() {
        for length in [0, 1000, MAX_SECRET + 1] {
            for memory in both_kinds() {
                assert!(received(&memory).take(length).is_err(), "{length}");
                assert!(is_wiped(&memory), "refused for its length of {length}, and not wiped");
            }
        }
        for memory in both_kinds() {
            drop(received(&memory));
            assert!(is_wiped(&memory), "nobody asked for it, and it is not wiped");
        }
    }

    #[test]
    fn other_files_are_given_back_unasked() {
        let (reader, _writer) = rustix::pipe::pipe().expect("made");
        let file = OwnedFd::from(std::fs::File::open("/proc/self/stat").expect("opens"));
        let path = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).expect("opens");
        for other in [reader, file, path] {
            assert!(Memory::recognise(other).is_err());
        }
    }
}
