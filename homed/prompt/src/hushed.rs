//! What a worker has noted of the terminals of users who are locked. The text terminals that it has made deaf and blank are made
//! so once more, where we were killed while we agreed to leave one: the kernel turns a terminal on again whose process has gone.

use console::{HUSHED, Modes, Terminal};
use std::io;
use std::path::Path;

/// Makes all of them deaf and blank.
pub fn again() {
    for note in std::fs::read_dir(HUSHED).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(note.path()).unwrap_or_default();
        for (device, before) in text.lines().filter_map(console::text_of_line) {
            if let Err(why) = hush(&device, before, &note.path()) {
                tell!("{}: its keyboard and text stay on: {why}", device.display());
            }
        }
    }
}

/// Who is seen at this virtual terminal, which is no session's: a user who is locked.
pub fn who_is_at(vt: u32) -> Option<String> {
    let notes = std::fs::read_dir(HUSHED).into_iter().flatten().flatten();
    notes.filter_map(|note| note.file_name().into_string().ok()).find(|user| is_at(user, vt))
}

/// Whether this user is seen there.
pub fn is_at(user: &str, vt: u32) -> bool {
    let text = std::fs::read_to_string(Path::new(HUSHED).join(user)).unwrap_or_default();
    text.lines().filter_map(console::place_of_line).any(|place| place == vt)
}

fn hush(device: &Path, before: Modes, note: &Path) -> io::Result<()> {
    let terminal = Terminal::open(device)?;
    terminal.set_modes(Modes::DEAF_AND_BLANK)?;
    terminal.ask_us(false)?;
    // The user was unlocked meanwhile: the worker has given it back already.
    if note.exists() { Ok(()) } else { terminal.set_modes(before) }
}
