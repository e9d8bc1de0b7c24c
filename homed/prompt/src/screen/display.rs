//! The terminal under the screen: raw, its size asked anew each time, its settings put back at the end.

use super::glyphs::Glyphs;
use super::view::Size;
use console::Terminal;
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
        let display = Self { file, terminal: Terminal::open(device)?, before };
        // UTF-8, the usual letters, an empty screen.
        display.write("\x1b%G\x1b(B\x1b[0m\x1b[2J\x1b[3J\x1b[H");
        Ok(display)
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

impl Drop for Display {
    fn drop(&mut self) {
        self.write("\x1b[0m\x1b[2J\x1b[H");
        // A terminal that has gone needs none.
        let _ = termios::tcsetattr(&self.file, OptionalActions::Now, &self.before);
    }
}
