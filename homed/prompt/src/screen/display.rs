//! The terminal under the screen: raw, its size asked anew each time, its settings put back at the end.

use super::glyphs::Glyphs;
use super::view::Size;
use crate::settings::LargeText;
use console::{Font, Terminal};
use records::Secret;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::termios::{self, OptionalActions, QueueSelector, Termios};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Read at once; a flood comes in several pieces.
const PIECE: usize = 256;

/// A virtual terminal.
pub struct Display {
    file: File,
    terminal: Terminal,
    before: Termios,
    /// The font, where another was taken.
    small: Option<Font>,
}

impl Display {
    /// Opens it. It does not become the controlling terminal: its keys for signals, and its hanging up, are nobody's
    /// end.
    pub fn open(device: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(device)?;
        let before = termios::tcgetattr(&file)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&file, OptionalActions::Flush, &raw)?;
        let display = Self { file, terminal: Terminal::open(device)?, before, small: None };
        // UTF-8, the usual letters, an empty screen.
        display.write("\x1b%G\x1b(B\x1b[0m\x1b[2J\x1b[3J\x1b[H");
        Ok(display)
    }

    /// Draws letters in twice their size, where they are tiny or that is wanted, and the kernel can.
    pub fn enlarge(&mut self, large: LargeText) {
        if !is_enlarged(large, self.size()) {
            return;
        }
        let Ok(small) = self.terminal.font() else { return };
        let Some(large) = small.doubled() else { return };
        match self.terminal.set_font(&large) {
            Ok(()) => self.small = Some(small),
            Err(why) => tell!("letters stay small: {why}"),
        }
    }

    /// Writes.
    pub fn write(&self, text: &str) {
        // A terminal that has gone shows when it is read from.
        let _ = (&self.file).write_all(text.as_bytes());
    }

    /// What the kernel does with its keys and its text.
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Which letters its font has; one that does not tell may have all.
    pub fn glyphs(&self) -> Glyphs {
        self.terminal.letters().map_or(Glyphs::All, Glyphs::These)
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        let (width, height) =
            termios::tcgetwinsize(&self.file).map_or((0, 0), |size| (size.ws_col, size.ws_row));
        // One that does not know has the usual size.
        if width == 0 || height == 0 {
            return Size { width: 80, height: 24 };
        }
        Size { width: width.into(), height: height.into() }
    }

    /// Forgets what was typed and not read yet.
    pub fn forget_input(&self) {
        // One that has gone shows when it is read from.
        let _ = termios::tcflush(&self.file, QueueSelector::IFlush);
    }

    /// Becomes ready when a key was pressed.
    pub fn pressed(&self) -> PollFd<'_> {
        PollFd::new(&self.file, PollFlags::IN)
    }

    /// What was typed; an error when the terminal has gone.
    pub fn read(&mut self) -> io::Result<Secret> {
        let mut bytes = vec![0; PIECE];
        let read = self.file.read(&mut bytes);
        let count = *read.as_ref().unwrap_or(&0);
        let whole = Secret::new(bytes);
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(Secret::new(whole.open()[..count].to_vec())),
            Err(error) => Err(error),
        }
    }
}

/// More columns than these are too small to be read: those of 2,560 pixels are 320 in the kernel's usual font.
const TINY: usize = 300;
/// Of half as many, so many are needed.
const NEEDED: Size = Size { width: 48, height: 24 };

fn is_enlarged(large: LargeText, size: Size) -> bool {
    let room = size.width / 2 >= NEEDED.width && size.height / 2 >= NEEDED.height;
    match large {
        LargeText::Auto => room && size.width > TINY,
        LargeText::Yes => room,
        LargeText::No => false,
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(Err(why)) = self.small.as_ref().map(|small| self.terminal.set_font(small)) {
            tell!("the terminal keeps its large letters: {why}");
        }
        self.write("\x1b[0m\x1b[2J\x1b[H");
        // A terminal that has gone needs none.
        let _ = termios::tcsetattr(&self.file, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_letters_are_enlarged_and_others_where_that_is_wanted() {
        // 4K, 2,560 x 1,440, full HD, and the smallest of screens, in letters of 8 x 16 pixels.
        let sizes = [(480, 135), (320, 90), (240, 67), (80, 25)];
        let sizes = sizes.map(|(width, height)| Size { width, height });
        assert_eq!(sizes.map(|size| is_enlarged(LargeText::Auto, size)), [true, true, false, false]);
        assert_eq!(sizes.map(|size| is_enlarged(LargeText::Yes, size)), [true, true, true, false]);
        assert_eq!(sizes.map(|size| is_enlarged(LargeText::No, size)), [false; 4]);
    }
}
