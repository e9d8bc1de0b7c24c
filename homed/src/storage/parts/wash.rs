//! What btrfs keeps of files apart from their pages: the work areas of its compressors, which are not given back before
//! they have been idle for five minutes.
//!
//! There are as many as were ever busy at once, and the one that was used last is used next. So text of no meaning is
//! pushed through, enough of it to keep all of btrfs' workers busy for some time slices; as many as work at once have
//! worked at once before. One more area, for the highest level, is made when the file system is mounted and used when
//! all others are busy: it is asked for by name. Other kinds of compression are there for files that are set to them.
//!
//! Where in its area zstd puts the text goes by the text's length: [`LENGTHS`] are chosen so that their places, taken
//! together, leave no gap, and follow each other so that each worker gets all of them in one time slice.

use crate::sys::mount::Setting;
use crate::sys::{durable, file, mount};
use rustix::fs::{Advice, Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

/// How our homes are mounted.
const USUAL: &str = "zstd:1";
/// Other kinds (btrfs(5)).
const OTHERS: [&str; 2] = ["lzo", "zlib"];
/// The highest level.
const HIGHEST: &str = "zstd:15";
/// The longest is what the compressor is given at most in one piece. Of a piece of length n the text lies n × 4 to 5
/// and n × 2 to 3 bytes before the end of the area (`ZSTD_resetCCtx_internal`), from n on in that for decompression.
const LENGTHS: [usize; 12] = [128, 104, 96, 92, 64, 44, 32, 24, 20, 16, 12, 8];
const KIB: usize = 1 << 10;
/// Between two pieces: a block keeps them apart.
const GAP: usize = 4 * KIB;
/// Shorter pieces are compressed only as whole files; in bytes.
const SMALL: [usize; 16] = [6144, 4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32];
/// Files of each of these.
const FILES: usize = 4;
/// Text in all.
const TOGETHER: usize = 16 << 20;
/// One piece of each length, in bytes, and a little more.
const CYCLE: usize = 644 * KIB;
/// The part of the free space that is used, at most.
const SHARE: u64 = 4;

/// Has text of no meaning take the place of the user's in the work areas for compression and decompression. It
/// is in files without a name, and gone afterwards.
pub fn compressor(directory: impl AsFd) -> io::Result<()> {
    let directory = directory.as_fd();
    let room = usize::try_from(file::space(directory)?.free / SHARE).unwrap_or(usize::MAX);
    let text = meaningless(TOGETHER.min(room).max(CYCLE))?;
    push(directory, &text, FILES)?;
    let done = rarely_used(directory, &text[..CYCLE]);
    mount::reconfigure(directory, &[compress(USUAL)])?;
    done
}

fn rarely_used(directory: BorrowedFd<'_>, text: &[u8]) -> io::Result<()> {
    for kind in OTHERS {
        mount::reconfigure(directory, &[compress(kind)])?;
        push(directory, text, 0)?;
    }
    mount::reconfigure(directory, &[compress(HIGHEST)])?;
    push_singly(directory, text)
}

/// Whether the directory lies on btrfs that compresses as our homes do.
pub fn is_needed(directory: impl AsFd, options: &str) -> bool {
    file::is_btrfs(directory) && options.split(',').any(|option| option == format!("compress={USUAL}"))
}

/// Restores what a killed run has left: the options of the mount tell.
pub fn settle(directory: impl AsFd, options: &str) -> io::Result<()> {
    let ours =
        |kind: &str| kind == HIGHEST || OTHERS.iter().any(|other| kind.split(':').next() == Some(other));
    let left = |option: &str| option.strip_prefix("compress=").is_some_and(ours);
    match file::is_btrfs(&directory) && options.split(',').any(left) {
        true => mount::reconfigure(&directory, &[compress(USUAL)]),
        false => Ok(()),
    }
}

/// Pieces of all lengths, with gaps that keep them apart, and small files: all at once, out and in again.
fn push(directory: BorrowedFd<'_>, text: &[u8], files_of_each: usize) -> io::Result<()> {
    let long = unnamed(directory)?;
    let (mut rest, mut place) = (text, 0);
    for length in LENGTHS.into_iter().cycle().map(|length| length * KIB) {
        let Some((piece, after)) = rest.split_at_checked(length) else { break };
        long.write_all_at(piece, place)?;
        place += (length + GAP) as u64;
        rest = after;
    }
    let mut files = vec![long];
    for (number, length) in SMALL.into_iter().cycle().take(SMALL.len() * files_of_each).enumerate() {
        let start = number * SMALL[0] % (text.len() - SMALL[0]);
        let file = unnamed(directory)?;
        file.write_all_at(&text[start..start + length], 0)?;
        files.push(file);
    }
    durable::sync_file_system(directory)?;
    files.iter().try_for_each(read_again)
}

/// A piece of each length, each after the one before is on disk: always the same area is used.
fn push_singly(directory: BorrowedFd<'_>, text: &[u8]) -> io::Result<()> {
    let file = unnamed(directory)?;
    let mut place = 0;
    for length in LENGTHS.into_iter().map(|length| length * KIB) {
        file.write_all_at(&text[..length], place)?;
        file.sync_data()?;
        place += (length + GAP) as u64;
    }
    read_again(&file)
}

/// Reads a file from the disk, not from memory.
fn read_again(file: &File) -> io::Result<()> {
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?;
    let (mut buffer, mut place) = (vec![0; 1 << 16], 0);
    loop {
        match file.read_at(&mut buffer, place)? {
            0 => return Ok(()),
            read => place += read as u64,
        }
    }
}

fn compress(kind: &str) -> Setting {
    ("compress".into(), Some(kind.into()))
}

fn unnamed(directory: impl AsFd) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, ".", flags, Mode::from_raw_mode(0o600))?.into())
}

/// Letters by chance, of so few that btrfs finds them worth compressing, and so many that no words repeat: all of it
/// goes through every part of the area.
fn meaningless(length: usize) -> io::Result<Vec<u8>> {
    let mut text = vec![0; length];
    let mut filled = 0;
    while filled < text.len() {
        filled += rustix::rand::getrandom(&mut text[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    text.iter_mut().for_each(|byte| *byte = b"abcdefghijklmnopqrstuvwxyzABCDEF"[usize::from(*byte & 31)]);
    Ok(text)
}
