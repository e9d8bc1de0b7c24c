//! The text terminals that a worker has made deaf and blank for a lock: once more, where we were killed while we agreed
//! to leave one. The kernel turns a terminal on again whose process has gone.
//!
//! A note for each user, `/run/homed/hushed/USER`; a line `text DEVICE KEYBOARD PICTURE` says how a terminal was before.

use crate::sys::console::{Console, Modes};
use std::io;
use std::path::Path;

/// The folder of the notes.
const FOLDER: &str = "/run/homed/hushed";

/// Makes all of them deaf and blank.
pub fn again() {
    for note in std::fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(note.path()).unwrap_or_default();
        for (device, before) in text.lines().filter_map(parse) {
            if let Err(why) = hush(device, before, &note.path()) {
                eprintln!("{device}: its keyboard and text stay on: {why}");
            }
        }
    }
}

fn hush(device: &str, before: Modes, note: &Path) -> io::Result<()> {
    let terminal = Console::at(device)?;
    terminal.set_modes(Modes::DEAF_AND_BLANK)?;
    terminal.ask_us(false)?;
    // The user was unlocked meanwhile: the worker has given it back already.
    if note.exists() { Ok(()) } else { terminal.set_modes(before) }
}

fn parse(line: &str) -> Option<(&str, Modes)> {
    let mut words = line.strip_prefix("text ")?.split(' ');
    let device = words.next()?;
    let modes = Modes { keyboard: words.next()?.parse().ok()?, picture: words.next()?.parse().ok()? };
    Some((device, modes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_text_terminals_are_read() {
        assert_eq!(parse("text /dev/tty2 3 0"), Some(("/dev/tty2", Modes { keyboard: 3, picture: 0 })));
        assert_eq!((parse("server 17 4096 7"), parse("text /dev/tty2 x 0"), parse("")), (None, None, None));
    }
}
