//! The note about a locked user's terminals: what was changed of them, so that it can be given back by another worker than the one
//! that changed it, and where the user is seen beside the session's own, for the prompt: `/run/homed/hushed/USER`, a line each. It is written before the change.

use crate::sys::devices::Opened;
use crate::sys::running::Process;
use crate::sys::terminal::{HUSHED, Modes, place_of_line, place_to_line, text_of_line, text_to_line};
use records::UserName;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Something that was changed, or is to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hushed {
    /// A text terminal, and how it was.
    Text(PathBuf, Modes),
    /// An X server, and its virtual terminal.
    Server(Process, u32),
    /// A graphics card that a process may not draw on for now.
    Screen(Opened),
    /// A virtual terminal of an X server that the user has started beside the session's own: nothing was changed.
    Place(u32),
}

/// What was changed for a user so far.
pub struct Note {
    path: PathBuf,
    hushed: Vec<Hushed>,
}

impl Note {
    /// The note about this user; an empty one, where there is none.
    pub fn read(user: &UserName) -> Self {
        let path = Path::new(HUSHED).join(user.as_str());
        Self { hushed: read(&path), path }
    }

    /// What was changed.
    pub fn hushed(&self) -> &[Hushed] {
        &self.hushed
    }

    /// Notes what is about to be changed.
    pub fn add(&mut self, hushed: Hushed) -> io::Result<()> {
        fs::create_dir_all(HUSHED)?;
        // What was noted before stays, whenever this process is killed.
        let mut note = File::options().create(true).append(true).open(&self.path)?;
        note.write_all(hushed.line().as_bytes())?;
        self.hushed.push(hushed);
        Ok(())
    }
}

/// What was changed for a user.
pub fn noted(user: &OsStr) -> Vec<Hushed> {
    read(&Path::new(HUSHED).join(user))
}

/// All of it is as it was.
pub fn forget(user: &OsStr) {
    // None is none.
    let _ = fs::remove_file(Path::new(HUSHED).join(user));
}

impl Hushed {
    fn line(&self) -> String {
        match self {
            Self::Text(device, before) => text_to_line(device, *before),
            Self::Server(server, vt) => format!("server {} {vt}\n", server.to_line().trim_end()),
            Self::Place(vt) => place_to_line(*vt),
            Self::Screen(opened) => {
                format!("screen {} {}\n", opened.process.to_line().trim_end(), opened.number)
            }
        }
    }

    fn parse(line: &str) -> Option<Self> {
        if let Some((device, before)) = text_of_line(line) {
            return Some(Self::Text(device, before));
        }
        if let Some(vt) = place_of_line(line) {
            return Some(Self::Place(vt));
        }
        let (kind, rest) = line.split_once(' ')?;
        let (process, number) = rest.rsplit_once(' ')?;
        let (process, number) = (Process::from_line(process)?, number.parse().ok()?);
        match kind {
            "server" => Some(Self::Server(process, number)),
            "screen" => Some(Self::Screen(Opened { process, number })),
            _ => None,
        }
    }
}

fn read(path: &Path) -> Vec<Hushed> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(Hushed::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let process = Process::of(std::process::id()).expect("runs");
        let all = [
            Hushed::Text("/dev/tty2".into(), Modes { keyboard: 3, picture: 0 }),
            Hushed::Server(process, 7),
            Hushed::Screen(Opened { process, number: 12 }),
            Hushed::Place(8),
        ];
        let text: String = all.iter().map(Hushed::line).collect();
        let again: Vec<Hushed> = text.lines().filter_map(Hushed::parse).collect();
        assert_eq!(again, all);
        let broken = ["text /dev/tty2 3", "server 7 17", "screen x 17 4", "", "else 1 2 3", "place"];
        assert!(broken.iter().all(|line| Hushed::parse(line).is_none()));
    }
}
