//! What btrfs keeps of files apart from their pages: the work areas of its compressor, which are not given back
//! before they have been idle for five minutes. Our homes are mounted without compression; those that the original
//! has mounted, or whose owner wants it, have been through it.

use crate::sys::mount::{self, Setting};
use crate::sys::{btrfs, durable, file};
use rustix::fs::{Advice, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;

/// The level that the original mounts with, and one above it.
const USUAL: &str = "1";
const ABOVE: &str = "3";
/// What has a single file compressed, however the file system is mounted (btrfs(5)).
const PROPERTY: &str = "btrfs.compression";
/// What the compressor is given at most in one piece.
const WINDOW: usize = 128 << 10;
/// A block.
const STEP: usize = 4 << 10;
/// What keeps all of its workers busy together, on one processor too: each is given 512 KiB at a time.
const TOGETHER: usize = 48 << 20;
/// btrfs has that many workers more than there are processors, and at most so many (`thread_pool` of btrfs(5)).
const MORE_WORKERS: usize = 2;
const MOST_WORKERS: usize = 8;

/// Has text of no meaning take the place of the user's in the work areas for compression and decompression. It
/// is in a file without a name, and gone afterwards.
pub fn compressor(directory: impl AsFd, options: &str) -> io::Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = MOST_WORKERS.min(processors + MORE_WORKERS);
    let text = meaningless(TOGETHER / workers)?;
    push(&directory, &text, workers)?;
    if !has(options, USUAL) {
        return Ok(());
    }
    // One work area, made when the file system was mounted, is for the highest level: used once, before there
    // were others, and then only when all others are busy. Whoever asks for a higher level than they have gets it.
    mount::reconfigure(&directory, &compression(ABOVE))?;
    let done = push(&directory, &text[..WINDOW], 1);
    mount::reconfigure(&directory, &compression(USUAL))?;
    done
}

/// Restores what a killed run has left in the options of the mount, where that is not what is wished for.
pub fn settle(directory: impl AsFd, options: &str, wished: &[Setting]) -> io::Result<()> {
    let usual = compression(USUAL);
    match has(options, ABOVE) && usual.iter().all(|setting| wished.contains(setting)) {
        true => mount::reconfigure(&directory, &usual),
        false => Ok(()),
    }
}

fn compression(level: &str) -> [Setting; 1] {
    [("compress".to_owned(), Some(format!("zstd:{level}")))]
}

/// Writes files of all lengths, and reads them again.
fn push(directory: impl AsFd, text: &[u8], workers: usize) -> io::Result<()> {
    let mut files = Vec::new();
    for _ in 0..workers {
        // The compressor divides its work area by the length of what it is given: up to its window, and more.
        for length in (STEP..=WINDOW).step_by(STEP).chain([text.len()]) {
            let mut file = unnamed(&directory)?;
            file::set_attribute(&file, PROPERTY, b"zstd")?;
            file.write_all(&text[..length])?;
            files.push(file);
        }
    }
    durable::sync_file_system(&directory)?;
    files.into_iter().try_for_each(read_again)
}

/// Reads a file from the disk, not from memory.
fn read_again(mut file: File) -> io::Result<()> {
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    file.rewind()?;
    let mut buffer = vec![0; 1 << 16];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Whether anything on the file system of the directory has been compressed, or will be.
pub fn is_needed(directory: impl AsFd, options: &str) -> bool {
    let wanted = options.split(',').any(|option| option.starts_with("compress"));
    file::is_btrfs(&directory) && (wanted || btrfs::was_compressed(directory).unwrap_or(true))
}

/// Whether it is mounted with zstd at that level. A home of the original's is; and whoever has just washed it may have
/// been killed at the level above.
fn has(options: &str, level: &str) -> bool {
    options.split(',').any(|option| option == format!("compress=zstd:{level}"))
}

fn unnamed(directory: impl AsFd) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, ".", flags, Mode::from_raw_mode(0o600))?.into())
}

/// Hexadecimal digits by chance: btrfs finds them worth compressing, and they fill every part of the work area.
fn meaningless(length: usize) -> io::Result<Vec<u8>> {
    let mut chance = vec![0; length / 2];
    let mut filled = 0;
    while filled < chance.len() {
        filled += rustix::rand::getrandom(&mut chance[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
    Ok(chance.into_iter().flat_map(|byte| [digit(byte >> 4), digit(byte)]).collect())
}
