//! The terminals of a user who is locked: deaf, blank, and empty when the processes go on.
//!
//! ```text
//! text        the kernel's keyboard is turned off for it and its text not drawn
//! X           its server, which is not the user's and so is not frozen, is stopped once it has let go of the screen
//! Wayland     nothing: logind takes the compositor's devices away, and has turned the keyboard off
//! serial      what was typed is thrown away
//! ```
//!
//! Nobody is kept from changing terminals: whoever comes to one of these sees nothing and types nowhere, until the prompt
//! takes the screen back. That holds while the prompt is dead, too. What was changed is noted in
//! `/run/homed/hushed/USER`, so that it can be given back by another worker than this.

use crate::sys::holders;
use crate::sys::seats::{self, Session};
use crate::sys::servers::Server;
use crate::sys::slice::Slice;
use crate::sys::terminal::{self, Modes, Terminal, Typed};
use records::UserName;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Notes about what was changed.
const FOLDER: &str = "/run/homed/hushed";
/// What waits before a terminal that was full has come in after this.
const ARRIVING: Duration = Duration::from_millis(5);
/// So often it is waited for: somebody may be typing all the time.
const MOST: usize = 100;
/// A unit that the administrator has switched off is a link to that.
const NOTHING: &str = "/dev/null";
/// Where such a link is.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// Something that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hushed {
    /// A text terminal, and how it was.
    Text(PathBuf, Modes),
    /// An X server, and its virtual terminal.
    Server(Server, u32),
}

/// Makes the user's terminals deaf and blank: the processes are frozen, and none of the terminals is in front. What
/// could not be done, in words.
pub fn hush(user: &UserName, uid: u32) -> Vec<String> {
    // Nobody would ever take the screen back.
    if prompt_is_masked() {
        return Vec::new();
    }
    let mut note = Note::read(user);
    let mut failed = Vec::new();
    for device in devices(uid) {
        if let Err(error) = note.hush_text(&device) {
            failed.push(format!("{}: its keyboard and text stay on: {error}", device.display()));
        }
    }
    for session in seats::all().iter().filter(|session| session.uid == uid) {
        if let Err(error) = note.hush_server(session, uid) {
            failed.push(format!("the X server of virtual terminal {:?} goes on: {error}", session.vt));
        }
    }
    failed
}

/// Throws away what was typed at the user's terminals: the processes are still frozen. A terminal that is full lets more in, which
/// waited before it, as soon as it has room.
pub fn forget_typed(uid: u32) {
    // A line that has gone has nothing.
    let terminals: Vec<Terminal> = devices(uid).iter().flat_map(|device| Terminal::open(device)).collect();
    if terminals.is_empty() {
        return;
    }
    let forget = |terminal: &Terminal| terminal.forget_input().unwrap_or(Typed::Nothing);
    for terminal in &terminals {
        forget(terminal);
    }
    for _ in 0..MOST {
        std::thread::sleep(ARRIVING);
        let typed: Vec<Typed> = terminals.iter().map(forget).collect();
        if !typed.contains(&Typed::Something) {
            return;
        }
    }
}

/// Gives the terminals back as they were to the user whom this note about a locked home names.
pub fn give_back(note: &Path) {
    let Some(user) = note.file_name() else { return };
    let path = Path::new(FOLDER).join(user);
    for hushed in read(&path) {
        // What has gone meanwhile needs nothing.
        let _ = match hushed {
            Hushed::Text(device, modes) => restore(&device, modes),
            Hushed::Server(server, vt) => let_go_on(server, vt),
        };
    }
    // None is none.
    let _ = fs::remove_file(path);
}

fn restore(device: &Path, modes: Modes) -> io::Result<()> {
    let terminal = Terminal::open(device)?;
    // Where the session has ended, somebody else's may have begun.
    if terminal.has_owner()? || terminal.modes()? != Modes::DEAF_AND_BLANK {
        return Ok(());
    }
    terminal.set_modes(modes)
}

/// A server that was told while it stood that it has the screen takes it as soon as it goes on, wherever that is: it gets it.
fn let_go_on(server: Server, vt: u32) -> io::Result<()> {
    if server.has_signals_waiting() {
        Terminal::open(&terminal::of_number(0))?.activate(vt)?;
    }
    server.let_go_on()
}

/// What was changed for a user so far.
struct Note {
    path: PathBuf,
    hushed: Vec<Hushed>,
}

impl Note {
    fn read(user: &UserName) -> Self {
        let path = Path::new(FOLDER).join(user.as_str());
        Self { hushed: read(&path), path }
    }

    /// Notes it, before it is done.
    fn add(&mut self, hushed: Hushed) -> io::Result<()> {
        fs::create_dir_all(FOLDER)?;
        self.hushed.push(hushed);
        let text: String = self.hushed.iter().map(Hushed::line).collect();
        fs::write(&self.path, text)
    }

    fn hush_text(&mut self, device: &Path) -> io::Result<()> {
        let terminal = Terminal::open(device)?;
        // A serial line has neither; one that is a compositor's is deaf, and its picture is not the kernel's.
        let Ok(modes) = terminal.modes() else { return Ok(()) };
        if !modes.is_text() || terminal.has_owner()? {
            return Ok(());
        }
        self.add(Hushed::Text(device.to_owned(), modes))?;
        terminal.set_modes(Modes::DEAF_AND_BLANK)
    }

    fn hush_server(&mut self, session: &Session, uid: u32) -> io::Result<()> {
        let ("x11", Some(vt)) = (session.kind.as_str(), session.vt) else { return Ok(()) };
        if super::front::is_in_front(vt) {
            return Err(io::Error::other("it does not let go of the screen"));
        }
        for server in servers(vt, uid) {
            self.add(Hushed::Server(server, vt))?;
            server.stop()?;
        }
        Ok(())
    }
}

impl Hushed {
    fn line(&self) -> String {
        match self {
            Self::Text(device, modes) => {
                format!("text {} {} {}\n", device.display(), modes.keyboard, modes.picture)
            }
            Self::Server(server, vt) => format!("server {} {} {vt}\n", server.pid, server.began),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["text", device, keyboard, picture] => {
                let modes = Modes { keyboard: keyboard.parse().ok()?, picture: picture.parse().ok()? };
                Some(Self::Text(device.into(), modes))
            }
            ["server", pid, began, vt] => {
                let server = Server { pid: pid.parse().ok()?, began: began.parse().ok()? };
                Some(Self::Server(server, vt.parse().ok()?))
            }
            _ => None,
        }
    }
}

fn read(path: &Path) -> Vec<Hushed> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(Hushed::parse).collect()
}

/// The devices of the user's terminals with somebody before them: those of sessions, and those of the processes in the
/// user's slice.
fn devices(uid: u32) -> BTreeSet<PathBuf> {
    let sessions = seats::all().into_iter().filter(|session| session.uid == uid);
    let named = sessions.filter_map(|session| session.terminal).filter(|name| !name.starts_with("pts/"));
    let mut devices: BTreeSet<PathBuf> = named.map(|name| Path::new("/dev").join(name)).collect();
    if let Some(slice) = Slice::of(uid) {
        let own = holders::all().filter(|pid| slice.has(*pid));
        devices.extend(own.filter_map(terminal::controlling));
    }
    devices
}

/// X servers that are on this virtual terminal and not in the user's slice: those in it are frozen.
fn servers(vt: u32, uid: u32) -> Vec<Server> {
    let slice = Slice::of(uid);
    let mut servers = Server::of_terminal(&terminal::of_number(vt));
    servers.retain(|server| slice.as_ref().is_none_or(|slice| !slice.has(server.pid)));
    servers
}

fn prompt_is_masked() -> bool {
    let masked = |unit: &str| {
        UNITS.iter().any(|folder| {
            fs::read_link(Path::new(folder).join(unit)).is_ok_and(|to| to == Path::new(NOTHING))
        })
    };
    masked("homed-prompt.service") || masked("homed-prompt.path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let all = [
            Hushed::Text("/dev/tty2".into(), Modes { keyboard: 3, picture: 0 }),
            Hushed::Server(Server { pid: 17, began: 4096 }, 7),
        ];
        let text: String = all.iter().map(Hushed::line).collect();
        let again: Vec<Hushed> = text.lines().filter_map(Hushed::parse).collect();
        assert_eq!(again, all);
        assert_eq!(Hushed::parse("text /dev/tty2 3"), None);
        assert_eq!(Hushed::parse(""), None);
    }
}
