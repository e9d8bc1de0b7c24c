//! Notes about what a worker has changed of a locked user's terminals: a file for each user. Its lines about text terminals
//! are read by the prompt, too.

use crate::sys::Modes;
use std::path::{Path, PathBuf};

/// The folder of the notes.
pub const HUSHED: &str = "/run/homed/hushed";

/// A text terminal that was made deaf and blank, and how it was before: `text DEVICE KEYBOARD PICTURE`.
pub fn text_to_line(device: &Path, before: Modes) -> String {
    format!("text {} {} {}\n", device.display(), before.keyboard, before.picture)
}

/// Reads such a line.
pub fn text_of_line(line: &str) -> Option<(PathBuf, Modes)> {
    let mut words = line.strip_prefix("text ")?.split(' ');
    let device = words.next()?.into();
    let before = Modes { keyboard: words.next()?.parse().ok()?, picture: words.next()?.parse().ok()? };
    Some((device, before))
}

/// A virtual terminal on which the user is seen, and which is no session's: `place NUMBER`.
pub fn place_to_line(number: u32) -> String {
    format!("place {number}\n")
}

/// Reads such a line.
pub fn place_of_line(line: &str) -> Option<u32> {
    line.strip_prefix("place ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let before = Modes { keyboard: 3, picture: 0 };
        let line = text_to_line(Path::new("/dev/tty2"), before);
        assert_eq!(text_of_line(line.trim_end()), Some(("/dev/tty2".into(), before)));
        assert_eq!(place_of_line(place_to_line(8).trim_end()), Some(8));
        assert_eq!((place_of_line("place x"), place_of_line("text /dev/tty2 3 0")), (None, None));
        assert_eq!((text_of_line("server 7 17 4096"), text_of_line("text /dev/tty2 x 0")), (None, None));
    }
}
