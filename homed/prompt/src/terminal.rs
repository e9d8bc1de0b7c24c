//! A terminal: one question at a time, and its settings put back after each.

use crate::catalogue::{Catalogue, Language, Text};
use crate::locked;
use crate::sys::pam::{Conversation, Echo};
use records::Secret;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector, Termios};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// A line that is longer is no password.
const LONGEST: usize = 4096;

/// A terminal that somebody else may be using when he is not frozen.
pub struct Terminal {
    file: File,
    watch: OwnedFd,
    users: Vec<String>,
    catalogue: Catalogue,
}

impl Terminal {
    /// Opens it, to ask for these users, or for all where none is named. It does not become the controlling
    /// terminal.
    pub fn open(device: &Path, users: &[String]) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(device)?;
        if !rustix::termios::isatty(&file) {
            return Err(io::Error::from(rustix::io::Errno::NOTTY));
        }
        Ok(Self { file, watch: locked::watch()?, users: users.to_vec(), catalogue: Catalogue::default() })
    }

    /// Writes text; the terminal may be in the raw mode of whoever uses it otherwise.
    pub fn write(&mut self, text: &str) {
        // A terminal that has gone shows when it is read from.
        let _ = self.file.write_all(text.replace('\n', "\r\n").as_bytes());
    }

    /// From now on in this language.
    pub fn speak(&mut self, language: Language) {
        self.catalogue = Catalogue::of(language);
    }

    /// The texts in the language that is spoken.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Writes a line.
    pub fn say(&mut self, text: &Text) {
        let line = self.catalogue.say(text);
        self.write(&format!("{line}\n"));
    }

    /// Those it asks for who are locked now.
    pub fn waiting(&self) -> Vec<String> {
        let mut waiting = locked::users();
        waiting.retain(|user| self.users.is_empty() || self.users.contains(user));
        waiting
    }

    /// One line, without its end; `None`: the terminal has gone, or nobody is locked any more.
    pub fn line(&mut self, question: &str, echo: Echo) -> Option<Secret> {
        let _settings = Settings::for_a_line(&self.file, echo).ok()?;
        // What was typed before the question was not meant for it.
        let _ = rustix::termios::tcflush(&self.file, QueueSelector::IFlush);
        self.write(question);
        let line = self.read_line();
        if echo == Echo::Off {
            self.write("\n");
        }
        line
    }

    fn read_line(&mut self) -> Option<Secret> {
        let mut line = vec![0; LONGEST];
        let mut filled = 0;
        while filled < line.len() {
            self.await_input()?;
            match self.file.read(&mut line[filled..]) {
                // The end-of-file key ends the line; a terminal that has gone gives an error.
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    drop(Secret::new(line));
                    return None;
                }
            }
            if line[..filled].ends_with(b"\n") {
                filled -= 1;
                break;
            }
        }
        let whole = Secret::new(line);
        Some(Secret::new(whole.open()[..filled].to_vec()))
    }
}

impl Terminal {
    /// Returns when there is something to be read; `None`: nobody is locked any more, who was unlocked elsewhere.
    fn await_input(&self) -> Option<()> {
        loop {
            let mut fds = [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&self.watch, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
            let readable = !fds[0].revents().is_empty();
            locked::forget_changes(&self.watch);
            if self.waiting().is_empty() {
                return None;
            }
            if readable {
                return Some(());
            }
        }
    }
}

impl Conversation for Terminal {
    fn ask(&mut self, question: &str, echo: Echo) -> Option<Secret> {
        let question = self.catalogue.say(&Text::Foreign(question.to_owned()));
        self.line(&format!("{question} "), echo)
    }

    fn tell(&mut self, text: &str) {
        self.say(&Text::Foreign(text.to_owned()));
    }
}

/// Settings for reading a line; those from before come back when this goes.
struct Settings {
    file: File,
    before: Termios,
}

impl Settings {
    fn for_a_line(file: &File, echo: Echo) -> io::Result<Self> {
        let file = file.try_clone()?;
        let before = rustix::termios::tcgetattr(&file)?;
        let mut now = before.clone();
        now.input_modes |= InputModes::ICRNL | InputModes::BRKINT;
        now.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        now.local_modes |= LocalModes::ICANON | LocalModes::ECHOE | LocalModes::ECHOK;
        // The keys for signals mean nothing here: nobody is to be interrupted.
        now.local_modes.remove(LocalModes::ISIG | LocalModes::ECHONL);
        now.local_modes.set(LocalModes::ECHO, echo == Echo::On);
        rustix::termios::tcsetattr(&file, OptionalActions::Now, &now)?;
        Ok(Self { file, before })
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        // A terminal that has gone needs none.
        let _ = rustix::termios::tcsetattr(&self.file, OptionalActions::Now, &self.before);
    }
}
