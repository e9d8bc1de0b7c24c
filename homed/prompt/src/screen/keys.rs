//! From the bytes of a virtual terminal to keys (console_codes(4), and the forms that other emulators send).

/// A key, or one byte of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Part of what is typed.
    Byte(u8),
    /// The line is complete.
    Enter,
    /// Takes the last character back.
    Backspace,
    /// Takes all of it back.
    Clear,
    /// Tab, arrow down.
    Next,
    /// Back-tab, arrow up.
    Previous,
    /// F1 and on.
    Function(u8),
}

impl Key {
    /// Whether it belongs to what is typed, and is not pressed at a dark screen to see something.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Byte(byte) if byte != b' ')
    }
}

/// Where in a sequence of bytes for one key we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC O.
    Shift,
    /// After ESC [, with the number so far.
    Control(u8),
    /// After ESC [ [, as the Linux console has it.
    Linux,
}

/// Reads byte after byte.
#[derive(Debug, Default)]
pub struct Keys {
    at: At,
}

impl Keys {
    /// What comes now comes later than what came before: an escape key that was pressed alone is over. The console
    /// hands a whole sequence over at once.
    pub fn pause(&mut self) {
        self.at = At::Ground;
    }

    /// The key that ends with this byte, if one does. Those that mean nothing here are swallowed: the keys for
    /// signals too, since nobody is to be interrupted.
    pub fn take(&mut self, byte: u8) -> Option<Key> {
        match (std::mem::take(&mut self.at), byte) {
            (_, 0x1b) => self.go(At::Escape),
            (At::Escape, b'[') => self.go(At::Control(0)),
            (At::Escape, b'O') => self.go(At::Shift),
            (At::Control(0), b'[') => self.go(At::Linux),
            (At::Control(number), b'0'..=b'9') => {
                self.go(At::Control(number.saturating_mul(10).saturating_add(byte - b'0')))
            }
            // The number of a modifier, which follows, is not looked at.
            (At::Control(number), b';') => self.go(At::Control(number)),
            (At::Control(_), b'A') => Some(Key::Previous),
            (At::Control(_), b'B') => Some(Key::Next),
            (At::Control(_), b'Z') => Some(Key::Previous),
            (At::Control(number), b'~') => function(number).map(Key::Function),
            (At::Linux, b'A'..=b'E') => Some(Key::Function(byte - b'A' + 1)),
            (At::Shift, b'P'..=b'S') => Some(Key::Function(byte - b'P' + 1)),
            (At::Ground, b'\r' | b'\n') => Some(Key::Enter),
            (At::Ground, b'\t') => Some(Key::Next),
            (At::Ground, 0x08 | 0x7f) => Some(Key::Backspace),
            // Ctrl-U and Ctrl-W, as in a terminal's own line.
            (At::Ground, 0x15 | 0x17) => Some(Key::Clear),
            (At::Ground, 0x00..=0x1f) => None,
            (At::Ground, byte) => Some(Key::Byte(byte)),
            (At::Escape | At::Control(_) | At::Linux | At::Shift, _) => None,
        }
    }

    fn go(&mut self, at: At) -> Option<Key> {
        self.at = at;
        None
    }
}

/// The numbers have gaps.
fn function(number: u8) -> Option<u8> {
    match number {
        11..=15 => Some(number - 10),
        17..=21 => Some(number - 11),
        23 | 24 => Some(number - 12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|byte| keys.take(*byte)).collect()
    }

    #[test]
    fn function_keys_of_the_console_and_of_others() {
        assert_eq!(keys(b"\x1b[[A\x1b[[E\x1b[17~\x1b[24~"), [1, 5, 6, 12].map(Key::Function));
        assert_eq!(keys(b"\x1bOP\x1bOS\x1b[15~\x1b[15;2~"), [1, 4, 5].map(Key::Function));
    }

    #[test]
    fn arrows_and_tabs_move() {
        assert_eq!(keys(b"\t\x1b[B\x1b[A\x1b[Z"), [Key::Next, Key::Next, Key::Previous, Key::Previous]);
    }

    #[test]
    fn signals_and_unknown_sequences_are_nothing() {
        assert_eq!(keys(b"\x03\x1a\x1c\x00\x11\x13\x1b[3~\x1b[200~"), []);
        assert_eq!(keys(b"a\x1b[99999999999~b"), [Key::Byte(b'a'), Key::Byte(b'b')]);
    }

    #[test]
    fn an_escape_key_pressed_alone_eats_no_letter_of_the_password() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(0x1b), None);
        keys.pause();
        assert_eq!(keys.take(b'['), Some(Key::Byte(b'[')));
    }

    #[test]
    fn only_letters_count_at_a_dark_screen() {
        let count = |bytes| keys(bytes).into_iter().map(Key::is_text).collect::<Vec<_>>();
        assert_eq!(count(b"a1"), [true, true]);
        assert_eq!(count(b" \r\t\x7f\x1b[[E"), [false; 5]);
    }

    #[test]
    fn what_is_typed_comes_through_byte_by_byte() {
        let typed = "pä§🔑 ~".as_bytes();
        let bytes: Vec<Key> = typed.iter().map(|byte| Key::Byte(*byte)).collect();
        assert_eq!(keys(typed), bytes);
    }
}
