//! Terminals with a person before them: what the kernel does with their keys and their text, which is in front, and the notes
//! that the daemon's workers and the prompt leave each other about them.

mod font;
mod front;
mod keys;
mod note;
mod sys;

pub use font::Font;
pub use front::{BEFORE, EMPTY, FRONT, OURS, in_front, number};
pub use keys::{NO_TABLE, dead, making};
pub use note::{HUSHED, place_of_line, place_to_line, text_of_line, text_to_line};
pub use sys::{Modes, State, Terminal, Typed};
