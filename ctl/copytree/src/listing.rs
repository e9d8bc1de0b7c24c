//! The names in a folder.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::RawDir;
use rustix::io::Errno;

/// The most names that wait at once, over all folders on the way to where one is.
pub(crate) const MOST: usize = 8_000_000;

/// A name in a folder, as bytes.
pub(crate) struct Name {
    pub bytes: Box<[u8]>,
    inode: u64,
}

/// All names in a folder but `.` and `..`, in the order of their inodes, backwards: taken from the end they are read from the disk in
/// the order in which they lie there. The folder must have been opened anew. More than `most` are none: `Errno::TOOBIG`.
pub(crate) fn names(folder: impl AsFd, most: usize) -> Result<Vec<Name>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        if names.len() >= most {
            return Err(Errno::TOOBIG);
        }
        names.push(Name { bytes: bytes.into(), inode: entry.ino() });
    }
    names.sort_by_key(|name| std::cmp::Reverse(name.inode));
    Ok(names)
}
