//! Reading a job and wiping where it came from.

use records::Secret;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use zeroize::Zeroize;

/// Largest job accepted, in bytes: records are kilobytes, secrets smaller.
pub const LIMIT: u64 = 16 * 1024 * 1024;

/// A file in memory alone, for what is read and wiped then: what goes through a pipe stays in its page.
pub fn memory() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("homed-answer", rustix::fs::MemfdFlags::CLOEXEC)?))
}

/// Reads all of a memfd (also one that cannot be read but only mapped: `memfd_secret`) or a pipe.
/// A memfd is overwritten with zeros after that, unless it is sealed.
pub fn read_and_wipe(mut input: File) -> io::Result<Secret> {
    let facts = input.metadata()?;
    if !facts.is_file() {
        return read_stream(&mut input);
    }
    if facts.len() > LIMIT {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    let length = usize::try_from(facts.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    match input.read_exact_at(&mut bytes, 0) {
        Ok(()) => {
            // A sealed memfd cannot be overwritten; its pages go with the last descriptor.
            let _ = input.rewind().and_then(|()| input.write_all_at(&vec![0; length], 0));
            Ok(Secret::new(bytes))
        }
        Err(_) => take_mapped(&input, bytes),
    }
}

fn read_stream(input: &mut File) -> io::Result<Secret> {
    // One buffer of the final size, so that no partial copy is left behind by a growing one.
    let mut bytes = vec![0; 1 << 20];
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..])? {
            0 => {
                bytes.truncate(filled);
                return Ok(Secret::new(bytes));
            }
            n => filled += n,
        }
    }
    bytes.zeroize();
    Err(io::Error::from_raw_os_error(libc::EFBIG))
}

fn take_mapped(input: impl AsFd, mut bytes: Vec<u8>) -> io::Result<Secret> {
    let length = bytes.len();
    let shared = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let fd = input.as_fd().as_raw_fd();
    // SAFETY: a fresh mapping of `length` bytes at an address the kernel chooses; checked below.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), length, shared.0, shared.1, fd, 0) };
    if map == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `length` bytes are mapped readable at `map` and writable in the vector, another allocation. They
    // are copied through raw pointers, without a reference: another process may have the memory mapped.
    unsafe { std::ptr::copy_nonoverlapping(map.cast::<u8>(), bytes.as_mut_ptr(), length) };
    // SAFETY: `length` bytes are mapped writable at `map`.
    unsafe { std::ptr::write_bytes(map.cast::<u8>(), 0, length) };
    // SAFETY: unmaps exactly what was mapped; no reference to it was made.
    unsafe { libc::munmap(map, length) };
    Ok(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_memfd_is_read_and_wiped() {
        let fd = rustix::fs::memfd_create("job", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
        let mut file = File::from(fd);
        file.write_all(b"secret job").expect("written");
        let kept = file.try_clone().expect("duplicate");
        assert_eq!(read_and_wipe(file).expect("read").open(), b"secret job");
        let mut after = [1; 10];
        kept.read_exact_at(&mut after, 0).expect("read");
        assert_eq!(after, [0; 10]);
    }

    #[test]
    fn memory_that_can_only_be_mapped_is_read_and_wiped() {
        let fd = rustix::fs::memfd_create("job", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
        let mut file = File::from(fd);
        file.write_all(b"secret job").expect("written");
        assert_eq!(take_mapped(&file, vec![0; 10]).expect("read").open(), b"secret job");
        let mut after = [1; 10];
        file.read_exact_at(&mut after, 0).expect("read");
        assert_eq!(after, [0; 10]);
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        File::from(writer).write_all(b"abc").expect("written");
        assert_eq!(read_and_wipe(File::from(reader)).expect("read").open(), b"abc");
    }
}
