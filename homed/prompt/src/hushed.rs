//! The text terminals that a worker has made deaf and blank for a lock: once more, where we were killed while we agreed
//! to leave one. The kernel turns a terminal on again whose process has gone.

use console::{HUSHED, Modes, Terminal};
use std::io;
use std::path::Path;

/// Makes all of them deaf and blank.
pub fn again() {
    for note in std::fs::read_dir(HUSHED).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(note.path()).unwrap_or_default();
        for (device, before) in text.lines().filter_map(console::text_of_line) {
            if let Err(why) = hush(&device, before, &note.path()) {
                eprintln!("{}: its keyboard and text stay on: {why}", device.display());
            }
        }
    }
}

fn hush(device: &Path, before: Modes, note: &Path) -> io::Result<()> {
    let terminal = Terminal::open(device)?;
    terminal.set_modes(Modes::DEAF_AND_BLANK)?;
    terminal.ask_us(false)?;
    // The user was unlocked meanwhile: the worker has given it back already.
    if note.exists() { Ok(()) } else { terminal.set_modes(before) }
}
