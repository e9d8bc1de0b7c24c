//! What ext4 asks of its device at every sync, though it is frozen and has nothing to write: to flush its cache. A
//! suspended device never answers; whoever syncs then waits where nothing reaches him, and the machine cannot sleep.
//! So ext4 is frozen without barriers, and whoever freezes it flushes the device himself; before, it has to be clean on
//! disk, or its journal is written without an order that a power cut keeps. Others ask for nothing.

use crate::sys::mount::{self, Entry, Setting};
use std::io;
use std::os::fd::AsFd;

/// As ext4(5) shows and takes it.
const OFF: &str = "nobarrier";

/// Has it ask no more, from a directory on it. Nothing may be on its way to the disk, and what is written from here on
/// must be flushed by the caller.
pub fn leave_out(directory: impl AsFd, mounted: &Entry) -> io::Result<()> {
    match asks(mounted) {
        true => mount::reconfigure(directory, &setting("0")),
        false => Ok(()),
    }
}

/// Has it ask again, unless it is mounted otherwise by wish.
pub fn restore(directory: impl AsFd, mounted: &Entry, wished: &[Setting]) -> io::Result<()> {
    match asking(mounted, wished) {
        Asking::LeftOut => ask_again(directory),
        Asking::Never | Asking::Yes => Ok(()),
    }
}

/// Has it ask again, whatever it is mounted with.
pub fn ask_again(directory: impl AsFd) -> io::Result<()> {
    mount::reconfigure(directory, &setting("1"))
}

/// Whether it does, and whether it was told not to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// It never does, or not by wish.
    Never,
    /// It does.
    Yes,
    /// It would.
    LeftOut,
}

/// How a file system is mounted in this respect.
pub fn asking(mounted: &Entry, wished: &[Setting]) -> Asking {
    match (mounted.kind == "ext4", asks(mounted)) {
        (false, _) => Asking::Never,
        (true, true) => Asking::Yes,
        (true, false) if by_wish(wished) => Asking::Never,
        (true, false) => Asking::LeftOut,
    }
}

fn by_wish(wished: &[Setting]) -> bool {
    wished.contains(&(OFF.to_owned(), None)) || wished.contains(&setting("0")[0])
}

/// Whether it does.
fn asks(mounted: &Entry) -> bool {
    mounted.kind == "ext4" && !mounted.options.split(',').any(|option| option == OFF)
}

fn setting(value: &str) -> [Setting; 1] {
    [("barrier".to_owned(), Some(value.to_owned()))]
}
