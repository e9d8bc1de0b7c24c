//! What is in a file of a stranger's, through a pipe: reading the pipe waits no longer than its reader likes, whatever the file
//! is.
//!
//! ```text
//! … bytes …  how it ended        one byte, the last: `.` whole, or an [`Unread`]
//! ```

use super::living::Closing;
use records::blobs::MAX_TOTAL;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The last byte of one that was read to its end.
const WHOLE: u8 = b'.';
/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// Why the content of a file is not had, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Only ordinary files are read.
    #[error("is not a regular file")]
    NotAFile,
    /// Its file system gave an error.
    #[error("could not be read")]
    Unreadable,
    /// It is longer than all blobs of a user may be together.
    #[error("is larger than 64 MiB")]
    TooLong,
    /// Files of its sender's are waited for already, and no more of them were taken.
    #[error("was not taken: too many of its sender's files are still being read. Try again")]
    Refused,
    /// It did not come in the time that its reader has.
    #[error("does not come: its file system is silent")]
    Late,
    /// Nobody says how it ended.
    #[error("broke off")]
    BrokenOff,
}

impl Unread {
    /// What may stand at the end of a pipe.
    const TOLD: [(u8, Self); 4] =
        [(b'n', Self::NotAFile), (b'u', Self::Unreadable), (b'l', Self::TooLong), (b'r', Self::Refused)];

    fn mark(self) -> u8 {
        Self::TOLD.iter().find(|(_, unread)| *unread == self).map_or(b'?', |(mark, _)| *mark)
    }

    fn of(mark: u8) -> Self {
        Self::TOLD.iter().find(|(told, _)| *told == mark).map_or(Self::BrokenOff, |(_, unread)| *unread)
    }
}

/// A file that was taken out of a message and is not handed on.
pub(super) struct Left {
    pub(super) file: OwnedFd,
    /// Where its content goes, or why it does not come.
    pub(super) pipe: Option<OwnedFd>,
}

/// Copies them where that is allowed, each on a thread of its own, for one that waits must not hold up the others; they are
/// closed there. `held` is kept until that is done.
pub(super) fn copy_all<Held: Send + Sync + 'static>(
    files: Vec<Left>,
    allowed: bool,
    (sender, held): (Option<u32>, Held),
) {
    let held = Arc::new(held);
    for Left { file, pipe } in files {
        let held = held.clone();
        let work = move || {
            let file = File::from(file);
            if let Some(mut pipe) = pipe.map(File::from) {
                let ended = if allowed { copy(&file, &mut pipe, sender) } else { Err(Unread::Refused) };
                say(&mut pipe, ended);
            }
            let waits = Closing::begin(sender, &file);
            drop(file);
            drop((waits, held));
        };
        // Where there are no threads, what it was given goes with it: it is closed by this one.
        let _ = std::thread::Builder::new().name("apart".into()).stack_size(super::STACK).spawn(work);
    }
}

/// Says how it ended.
pub(super) fn say(pipe: &mut File, ended: Result<(), Unread>) {
    // Nobody listens any more is just as good.
    let _ = pipe.write_all(&[ended.map_or_else(Unread::mark, |()| WHOLE)]);
}

/// From the beginning, wherever the descriptor stands: a client that was refused comes again with the same, as AccountsService
/// does, and what was read once would be empty then. Ends where nobody reads any more.
fn copy(file: &File, pipe: &mut File, sender: Option<u32>) -> Result<(), Unread> {
    let (mut chunk, mut done) = (vec![0; CHUNK], 0);
    let ordinary = {
        let _waits = Closing::begin(sender, file);
        super::is_ordinary(file)
    };
    if !ordinary {
        return Err(Unread::NotAFile);
    }
    loop {
        let read = {
            let _waits = Closing::begin(sender, file);
            file.read_at(&mut chunk, done)
        };
        let count = match read {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(Unread::Unreadable),
        };
        done += count as u64;
        if done > MAX_TOTAL {
            return Err(Unread::TooLong);
        }
        pipe.write_all(&chunk[..count]).map_err(|_| Unread::Unreadable)?;
    }
}

/// The content of a file that came with a message, as it comes.
#[derive(Debug)]
pub struct Content {
    pipe: File,
    until: Instant,
    /// The last byte that came: it may be the mark.
    last: Option<u8>,
}

impl Content {
    /// What comes through the pipe that stands for a file, and no longer than that from now.
    pub fn new(pipe: OwnedFd, patience: Duration) -> Self {
        Self { pipe: File::from(pipe), until: Instant::now() + patience, last: None }
    }

    /// The next bytes; none: that was all of it.
    ///
    /// # Errors
    ///
    /// Not all of it is had.
    pub fn more(&mut self) -> Result<Vec<u8>, Unread> {
        loop {
            self.await_some()?;
            let mut chunk = vec![0; CHUNK];
            let count = match self.pipe.read(&mut chunk) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Unread::BrokenOff),
            };
            let Some(last) = chunk[..count].last().copied() else {
                return match self.last.ok_or(Unread::BrokenOff)? {
                    WHOLE => Ok(Vec::new()),
                    mark => Err(Unread::of(mark)),
                };
            };
            // One behind: which byte is the last is known at the end.
            let mut bytes: Vec<u8> = self.last.replace(last).into_iter().collect();
            bytes.extend_from_slice(&chunk[..count - 1]);
            if !bytes.is_empty() {
                return Ok(bytes);
            }
        }
    }

    fn await_some(&self) -> Result<(), Unread> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| Unread::Late)?;
            let mut watched = [PollFd::new(&self.pipe, PollFlags::IN)];
            match rustix::event::poll(&mut watched, Some(&left)) {
                Ok(0) => return Err(Unread::Late),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Unread::BrokenOff),
            }
        }
    }
}

/// The pipe that stands for a file, as it would have come with a message: for who has it from somewhere else.
#[cfg(test)]
pub fn standing_for(file: impl Into<OwnedFd>) -> OwnedFd {
    let (reader, writer) = io::pipe().expect("a pipe");
    copy_all(vec![Left { file: file.into(), pipe: Some(writer.into()) }], true, (None, ()));
    reader.into()
}
