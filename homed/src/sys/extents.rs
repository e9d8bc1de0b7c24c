//! Where a file's blocks are on its disk, as its file system tells (FIEMAP).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A request without its extents (linux/fiemap.h: `struct fiemap`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Head {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// FIEMAP_EXTENT_LAST and FIEMAP_EXTENT_SHARED.
const LAST: u32 = 1;
const SHARED: u32 = 0x2000;
/// How many are asked for at a time.
const SOME: usize = 256;
/// How many are looked at: btrfs looks through its trees for each of them.
const MOST: usize = 16 * SOME;

#[repr(C)]
struct Request {
    head: Head,
    extents: [Extent; SOME],
}

/// How many bytes of a file another one has, too: a snapshot, or a copy that was made with `cp --reflink`. Of a file in very many
/// pieces, of the first. A file system that does not tell shares none.
pub fn shared(file: impl AsFd) -> io::Result<u64> {
    let (mut at, mut seen, mut shared) = (0, 0, 0);
    while seen < MOST {
        let head = Head { start: at, length: u64::MAX - at, room: SOME as u32, ..Head::default() };
        let mut request = Request { head, extents: [Extent::default(); SOME] };
        // SAFETY: the fd is open for the call, and the struct has the layout of `fiemap` with as many extents as it says.
        let answer = unsafe {
            libc::ioctl(
                file.as_fd().as_raw_fd(),
                linux_raw_sys::ioctl::FS_IOC_FIEMAP as _,
                std::ptr::from_mut(&mut request),
            )
        };
        if answer < 0 {
            return match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Unsupported => Ok(0),
                error => Err(error),
            };
        }
        let found = request.extents.get(..request.head.mapped as usize).unwrap_or(&request.extents);
        shared +=
            found.iter().filter(|extent| extent.flags & SHARED != 0).map(|extent| extent.length).sum::<u64>();
        match found.last() {
            Some(last) if last.flags & LAST == 0 => at = last.logical.saturating_add(last.length),
            Some(_) | None => break,
        }
        seen += found.len();
    }
    Ok(shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_file_in_many_pieces_shares_none() {
        let file = tempfile::tempfile_in(".").expect("made");
        for piece in 0..600 {
            file.write_all_at(b"x", piece * (64 << 10)).expect("written");
        }
        file.sync_all().expect("on disk");
        assert_eq!(shared(&file).expect("asked"), 0);
        assert_eq!(shared(std::io::stdin()).unwrap_or(0), 0);
    }
}
