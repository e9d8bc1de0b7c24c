//! Copying a part of an image, whole or as far as its disk gives it.

use crate::sys::blockdev;
use rustix::fs::SeekFrom;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Bytes that are read at a time.
const BLOCK: u64 = 1 << 20;
/// What is asked for one by one around a bad spot, in bytes: of less the kernel gives nothing either.
const LEAST: usize = 4096;
/// More bytes that are not given are no bad spots: the disk fails, or is gone.
const MOST_LOST: u64 = 1 << 20;
/// How long bad spots may be waited for, all together, for the same reason: where a disk hangs the kernel gives a read up after half
/// a minute, and would do so for each part of each block.
const LONGEST: Duration = Duration::from_secs(60);

/// What a disk did not give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    places: Vec<Range<u64>>,
    /// How long the disk took to say so.
    waited: Duration,
}

impl Lost {
    /// Whether all was given.
    pub fn is_nothing(&self) -> bool {
        self.places.is_empty()
    }

    fn bytes(&self) -> u64 {
        self.places.iter().map(|place| place.end - place.start).sum()
    }

    fn add(&mut self, place: Range<u64>) {
        // Places that are read may overlap.
        if self.places.iter().any(|known| known.start <= place.start && place.end <= known.end) {
            return;
        }
        match self.places.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            _ => self.places.push(place),
        }
    }

    /// How much, and where: "8192 bytes (at 1048576 and 4194304)".
    pub fn words(&self) -> String {
        let begins: Vec<_> = self.places.iter().take(8).map(|place| place.start.to_string()).collect();
        let more = if self.places.len() > begins.len() { ", …" } else { "" };
        format!("{} bytes (at {}{more})", self.bytes(), begins.join(", "))
    }
}

/// Reads some bytes at an offset, all of them or none.
pub type ReadAll<'a> = dyn FnMut(&mut [u8], u64) -> io::Result<()> + 'a;

/// Fills a block with the bytes at an offset. What the disk does not give is zero in it, and is noted.
///
/// # Errors
/// Those that are not of bad spots; and theirs, where there are so many that it is no spot.
pub fn read_around(read: &mut ReadAll<'_>, block: &mut [u8], at: u64, lost: &mut Lost) -> io::Result<()> {
    let mut read = |block: &mut [u8], at: u64, lost: &mut Lost| {
        let begin = Instant::now();
        read(block, at).inspect_err(|_| lost.waited += begin.elapsed())
    };
    match read(block, at, lost) {
        Err(error) if blockdev::is_bad_spot(&error) && lost.waited < LONGEST => {}
        other => return other,
    }
    let mut at = at;
    for part in block.chunks_mut(LEAST) {
        let length = part.len() as u64;
        if let Err(error) = read(part, at, lost) {
            if !blockdev::is_bad_spot(&error) || lost.waited >= LONGEST {
                return Err(error);
            }
            part.fill(0);
            lost.add(at..at + length);
            if lost.bytes() > MOST_LOST {
                return Err(error);
            }
        }
        at += length;
    }
    Ok(())
}

/// Copies bytes; holes stay holes, and what is zero becomes one.
pub fn copy_range(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    copy_by(&mut |block, at| from.read_exact_at(block, at), (from, to), range)
}

/// The same, as far as the disk gives them.
pub fn copy_around(from: &File, to: &File, range: Range<u64>, lost: &mut Lost) -> io::Result<()> {
    let mut read = |block: &mut [u8], at: u64| from.read_exact_at(block, at);
    copy_by(&mut |block, at| read_around(&mut read, block, at, lost), (from, to), range)
}

fn copy_by(read: &mut ReadAll<'_>, (from, to): (&File, &File), range: Range<u64>) -> io::Result<()> {
    let mut block = vec![0; BLOCK as usize];
    let mut at = range.start;
    while let Some(data) = next_data(from, at)?.filter(|data| *data < range.end) {
        at = data;
        let part = usize::try_from((range.end - at).min(BLOCK)).map_err(io::Error::other)?;
        read(&mut block[..part], at)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of 7s with bad spots of a sector each.
    fn disk(bad: &[u64]) -> impl FnMut(&mut [u8], u64) -> io::Result<()> {
        let bad = bad.to_vec();
        move |block, at| {
            if bad.iter().any(|spot| *spot < at + block.len() as u64 && at < spot + 512) {
                return Err(blockdev::bad_spot());
            }
            block.fill(7);
            Ok(())
        }
    }

    #[test]
    fn a_bad_spot_costs_no_more_than_itself() {
        let (mut block, mut lost) = (vec![1; 1 << 20], Lost::default());
        read_around(
            &mut disk(&[1 << 20, (1 << 20) + 4096, (1 << 20) + 70_000]),
            &mut block,
            1 << 20,
            &mut lost,
        )
        .expect("read");
        assert_eq!(block.iter().filter(|byte| **byte == 0).count(), 3 * LEAST);
        assert!(block[..2 * LEAST].iter().all(|byte| *byte == 0) && block[2 * LEAST] == 7);
        assert_eq!(lost.words(), "12288 bytes (at 1048576, 1118208)");
        // Places overlap, and nothing is counted twice.
        read_around(&mut disk(&[(1 << 20) + 4096]), &mut block, 1 << 20, &mut lost).expect("read");
        assert_eq!(lost.bytes(), 12288);
        let mut none = Lost::default();
        read_around(&mut disk(&[0]), &mut block, 1 << 20, &mut none).expect("read");
        assert!(none.is_nothing());
    }

    #[test]
    fn a_disk_that_hangs_is_not_waited_for_at_each_part() {
        let (mut block, mut reads) = (vec![0; 1 << 20], 0);
        // As if each of the first two reads had taken half a minute.
        let mut lost = Lost { waited: LONGEST, ..Lost::default() };
        let mut hangs = |_: &mut [u8], _: u64| {
            reads += 1;
            Err(blockdev::bad_spot())
        };
        let error = read_around(&mut hangs, &mut block, 0, &mut lost).expect_err("it hangs");
        assert!(blockdev::is_bad_spot(&error) && reads == 1, "{reads} reads");
        // What is read in time is read however long bad spots took before.
        read_around(&mut disk(&[]), &mut block, 0, &mut lost).expect("read");
    }

    #[test]
    fn a_disk_that_gives_nothing_has_no_bad_spot_and_other_errors_are_none() {
        let mut lost = Lost::default();
        let mut gone = |_: &mut [u8], _: u64| Err(blockdev::bad_spot());
        let mut block = vec![0; 1 << 20];
        read_around(&mut gone, &mut block, 0, &mut lost).expect("a spot so far");
        read_around(&mut gone, &mut block, 1 << 20, &mut lost).expect_err("it is gone");
        let mut short = |_: &mut [u8], _: u64| Err(io::ErrorKind::UnexpectedEof.into());
        assert!(read_around(&mut short, &mut block, 0, &mut Lost::default()).is_err());
    }
}
