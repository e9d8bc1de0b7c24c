//! Copying a part of an image.

use rustix::fs::SeekFrom;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Copies bytes; holes stay holes, and what is zero becomes one.
pub fn copy_range(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    const BLOCK: u64 = 1 << 20;
    let mut block = vec![0; BLOCK as usize];
    let mut at = range.start;
    while let Some(data) = next_data(from, at)?.filter(|data| *data < range.end) {
        at = data;
        let part = usize::try_from((range.end - at).min(BLOCK)).map_err(io::Error::other)?;
        from.read_exact_at(&mut block[..part], at)?;
        if block[..part].iter().any(|byte| *byte != 0) {
            to.write_all_at(&block[..part], at)?;
        }
        at += part as u64;
    }
    Ok(())
}

/// Where the next bytes are that are no hole; `None`: nowhere.
fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // A disk knows of no holes, and of no such question either.
        Err(rustix::io::Errno::INVAL) => Ok(Some(from)),
        Err(error) => Err(error.into()),
    }
}
