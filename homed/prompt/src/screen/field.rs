//! What is typed: kept in one place, wiped when it goes, never longer than that place.

use crate::sys::pam::Echo;
use records::Secret;

/// More bytes are no password.
const LONGEST: usize = 4096;

/// An answer being typed.
pub struct Field {
    /// Has room for all of it from the start: it never moves, which would leave a copy.
    bytes: Vec<u8>,
    echo: Echo,
    /// The question offers Enter alone as an answer.
    may_be_empty: bool,
}

/// Whether something could be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It was.
    Yes,
    /// It is full.
    Full,
}

impl Field {
    /// An empty one, for an answer to that question, as a PAM module has put it (in English). An answer is not empty, for Enter is
    /// what one presses to see something; but where the question has the word ("or Enter, for the password", "press ENTER") it may be.
    pub fn new(question: &str, echo: Echo) -> Self {
        let may_be_empty = question.to_ascii_lowercase().contains("enter");
        Self { bytes: Vec::with_capacity(LONGEST), echo, may_be_empty }
    }

    /// Whether Enter makes an answer of it.
    pub fn is_answer(&self) -> bool {
        self.may_be_empty || !self.is_empty()
    }

    /// Adds a byte.
    pub fn add(&mut self, byte: u8) -> Added {
        if self.bytes.len() >= LONGEST {
            return Added::Full;
        }
        self.bytes.push(byte);
        Added::Yes
    }

    /// Takes the last character back: all bytes of it.
    pub fn take_back(&mut self) {
        while let Some(byte) = self.bytes.pop() {
            if !continues(byte) {
                break;
            }
        }
    }

    /// Takes all of it back.
    pub fn clear(&mut self) {
        drop(self.take());
    }

    /// Shows what is typed, or hides it again.
    pub fn turn(&mut self) {
        self.echo = match self.echo {
            Echo::On => Echo::Off,
            Echo::Off => Echo::On,
        };
    }

    /// Whether nothing is typed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is typed, which leaves nothing.
    pub fn take(&mut self) -> Secret {
        Secret::new(std::mem::replace(&mut self.bytes, Vec::with_capacity(LONGEST)))
    }

    /// What is shown: the text, or a mark for each character.
    pub fn shown(&self) -> String {
        match self.echo {
            Echo::On => String::from_utf8_lossy(&self.bytes).into_owned(),
            Echo::Off => "*".repeat(self.bytes.iter().filter(|byte| !continues(**byte)).count()),
        }
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether the byte is not the first of its character in UTF-8.
fn continues(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &[u8]) -> Field {
        let mut field = Field::new("Password: ", Echo::Off);
        for byte in text {
            field.add(*byte);
        }
        field
    }

    #[test]
    fn a_mark_for_each_character_and_each_taken_back_whole() {
        let mut field = typed("pä🔑".as_bytes());
        assert_eq!(field.shown(), "***");
        field.take_back();
        field.take_back();
        assert_eq!(field.take().open(), b"p");
        assert!(field.is_empty());
        field.take_back();
        assert_eq!(field.shown(), "");
    }

    #[test]
    fn enter_alone_answers_what_offers_it() {
        for question in [
            "Security token PIN (or Enter, for the password): ",
            "Password (or insert the token, and press Enter): ",
            "Insert your device, then press ENTER.",
        ] {
            assert!(Field::new(question, Echo::Off).is_answer(), "{question}");
        }
        assert!(!Field::new("Password: ", Echo::Off).is_answer());
        assert!(typed(b"x").is_answer());
    }

    #[test]
    fn it_is_shown_when_asked_for_and_hidden_again() {
        let mut field = typed("pä".as_bytes());
        field.turn();
        assert_eq!(field.shown(), "pä");
        field.turn();
        assert_eq!(field.shown(), "**");
    }

    #[test]
    fn a_flood_fills_it_and_no_more() {
        let mut field = typed(&[b'x'; 10_000]);
        assert_eq!(field.add(b'y'), Added::Full);
        assert_eq!(field.take().open().len(), LONGEST);
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let mut field = typed(&[0x80, 0xff, 0xbf]);
        assert_eq!(field.shown(), "*");
        field.take_back();
        field.take_back();
        field.take_back();
        assert!(field.is_empty());
    }
}
