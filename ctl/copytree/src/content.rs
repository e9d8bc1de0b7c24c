//! What is in files: copied with its holes, or compared.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{Advice, SeekFrom, copy_file_range, fadvise, ftruncate, ioctl_ficlone, seek};
use rustix::io::{Errno, pread, pwrite};

use crate::error::{Error, at};
use crate::look::Look;

/// Read and written at once: as much as stays in a processor's cache.
const PIECE: usize = 256 * 1024;

/// Between two looks at whether to go on, where the kernel copies by itself.
const STRETCH: u64 = 64 << 20;

/// From this length on the kernel is told that a file is read from its beginning to its end.
const LONG: u64 = 1 << 20;

/// Copies what is in files; learns on the way what the file systems cannot do.
pub(crate) struct Content {
    shares: bool,
    ranges: bool,
    room: Box<[u8]>,
}

/// What ended a copy of content.
pub(crate) enum Ended {
    /// A system call failed.
    Failed(&'static str, Errno),
    /// Nobody wanted it any more.
    Stopped,
}

impl Ended {
    /// What it is when it happened there.
    pub fn at(self, path: &Path) -> Error {
        match self {
            Self::Stopped => Error::Stopped,
            Self::Failed(doing, errno) => at(path, doing)(errno),
        }
    }
}

/// Whether nobody wants more of it.
pub(crate) type Stop<'a> = &'a dyn Fn() -> bool;

/// Called with the bytes that have been copied since the last call: whether to go on.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(u64) -> bool;

impl Content {
    pub fn new() -> Self {
        Self { shares: true, ranges: true, room: vec![0; PIECE].into() }
    }

    /// Fills an empty file with another's content, holes as holes. Whether the data is shared by both.
    pub fn copy(
        &mut self,
        from: BorrowedFd,
        to: BorrowedFd,
        look: &Look,
        watch: Watch,
    ) -> Result<bool, Ended> {
        let size = look.size();
        if size == 0 {
            return Ok(false);
        }
        if self.share(from, to)? {
            return if watch(size) { Ok(true) } else { Err(Ended::Stopped) };
        }
        if size >= LONG {
            // A hint; nothing depends on it.
            let _ = fadvise(from, 0, None, Advice::Sequential);
        }
        let mut reached = 0;
        let mut at = 0;
        while let Some((start, end)) = data(from, look, at).map_err(failed("look for holes in it"))? {
            reached = self.range(from, to, (start, end), watch)?;
            at = end;
        }
        if reached < size {
            ftruncate(to, size).map_err(failed("set the length of its copy"))?;
        }
        Ok(false)
    }

    fn share(&mut self, from: BorrowedFd, to: BorrowedFd) -> Result<bool, Ended> {
        if !self.shares {
            return Ok(false);
        }
        match ioctl_ficlone(to, from) {
            Ok(()) => Ok(true),
            Err(Errno::NOSPC | Errno::DQUOT) => Err(Ended::Failed("copy it", Errno::NOSPC)),
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {
                self.shares = false;
                Ok(false)
            }
            // This file cannot be shared: copied with copy on write, and is without.
            Err(_) => Ok(false),
        }
    }

    /// Copies a stretch of data; where that ended.
    fn range(
        &mut self,
        from: BorrowedFd,
        to: BorrowedFd,
        (start, end): (u64, u64),
        watch: Watch,
    ) -> Result<u64, Ended> {
        let mut at = start;
        while at < end {
            let copied = if self.ranges { self.by_kernel(from, to, (at, end))? } else { None };
            let copied = match copied {
                Some(copied) => copied,
                None => self.by_hand(from, to, (at, end))?,
            };
            if copied == 0 {
                // It has become shorter, which the second look at it will show.
                break;
            }
            at += copied;
            if !watch(copied) {
                return Err(Ended::Stopped);
            }
        }
        Ok(at)
    }

    fn by_kernel(
        &mut self,
        from: BorrowedFd,
        to: BorrowedFd,
        (at, end): (u64, u64),
    ) -> Result<Option<u64>, Ended> {
        let (mut read, mut written) = (at, at);
        let length = (end - at).min(STRETCH) as usize;
        match copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            // Some file systems say so of files that they make up.
            Ok(0) => Ok(None),
            Ok(copied) => Ok(Some(copied as u64)),
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                self.ranges = false;
                Ok(None)
            }
            Err(errno) => Err(Ended::Failed("copy it", errno)),
        }
    }

    fn by_hand(&mut self, from: BorrowedFd, to: BorrowedFd, (at, end): (u64, u64)) -> Result<u64, Ended> {
        let most = self.room.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let read = pread(from, &mut self.room[..most], at).map_err(failed("read it"))?;
        let mut written = 0;
        while written < read {
            written += pwrite(to, &self.room[written..read], at + written as u64)
                .map_err(failed("write its copy"))?;
        }
        Ok(read as u64)
    }
}

fn failed(doing: &'static str) -> impl FnOnce(Errno) -> Ended {
    move |errno| Ended::Failed(doing, errno)
}

/// The next data of a file at or after a place: where it begins and ends. A file that has all its blocks is asked nothing.
pub(crate) fn data(file: BorrowedFd, look: &Look, at: u64) -> Result<Option<(u64, u64)>, Errno> {
    let size = look.size();
    if at >= size {
        return Ok(None);
    }
    if look.allocated() >= size {
        return Ok(Some((at, size)));
    }
    match seek(file, SeekFrom::Data(at)) {
        Ok(start) if start >= size => Ok(None),
        Ok(start) => Ok(Some((start, seek(file, SeekFrom::Hole(start))?.min(size)))),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some((at, size))),
        Err(errno) => Err(errno),
    }
}

/// How many bytes of a file are holes, and how many pieces of data there are.
pub(crate) fn holes(file: BorrowedFd, look: &Look) -> Result<(u64, u64), Errno> {
    let (mut at, mut bytes, mut pieces) = (0, 0, 0);
    while let Some((start, end)) = data(file, look, at)? {
        bytes += end - start;
        pieces += 1;
        at = end;
    }
    Ok((look.size() - bytes.min(look.size()), pieces))
}

/// Compares what is in two files of one length.
pub(crate) struct Comparer(Box<[u8]>, Box<[u8]>);

impl Comparer {
    pub fn new() -> Self {
        Self(vec![0; PIECE].into(), vec![0; PIECE].into())
    }

    /// Where they differ first, if they do. What is a hole in both is not read.
    pub fn differ(
        &mut self,
        one: (BorrowedFd, &Look),
        other: (BorrowedFd, &Look),
        stop: Stop,
    ) -> Result<Option<u64>, Ended> {
        let size = one.1.size();
        let mut at = 0;
        while let Some(start) = first_data(one, other, at).map_err(failed("look for holes in it"))? {
            if stop() {
                return Err(Ended::Stopped);
            }
            let most = PIECE.min(usize::try_from(size - start).unwrap_or(PIECE));
            let a = full(one.0, &mut self.0[..most], start).map_err(failed("read it"))?;
            let b = full(other.0, &mut self.1[..most], start).map_err(failed("read it"))?;
            if self.0[..a] != self.1[..b] {
                let same = self.0[..a].iter().zip(&self.1[..b]).take_while(|(a, b)| a == b).count();
                return Ok(Some(start + same as u64));
            }
            at = start + most as u64;
        }
        Ok(None)
    }
}

/// Where the next data of either begins.
fn first_data(one: (BorrowedFd, &Look), other: (BorrowedFd, &Look), at: u64) -> Result<Option<u64>, Errno> {
    let first = data(one.0, one.1, at)?.map(|(start, _)| start);
    let second = data(other.0, other.1, at)?.map(|(start, _)| start);
    Ok(match (first, second) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    })
}

fn full(file: BorrowedFd, room: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut have = 0;
    while have < room.len() {
        match pread(file, &mut room[have..], at + have as u64)? {
            0 => break,
            read => have += read,
        }
    }
    Ok(have)
}
