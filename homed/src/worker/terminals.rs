//! The terminals of a user who is locked: deaf, blank, and empty when the processes go on.
//!
//! ```text
//! text        the kernel's keyboard is turned off for it and its text not drawn
//! X           its server, which is not the user's and so is not frozen, is stopped once it has let go of the screen; at a
//!             seat without virtual terminals at once
//! Wayland     nothing: logind takes the compositor's devices away, and has turned the keyboard off
//! serial      what was typed is thrown away
//! by itself   who has a keyboard or a graphics card open beside all that: what waits in the keyboard is thrown away, and
//!             the card is taken away until the unlock
//! ```
//!
//! Nobody is kept from changing terminals: whoever comes to one of these sees nothing and types nowhere, until the prompt
//! takes the screen back. That holds while the prompt is dead, too. What was changed is noted (`hushed.rs`).

use super::front;
use super::hushed::{self, Hushed, Note};
use crate::sys::bounded::{Deadline, Late, within};
use crate::sys::devices::{Kind, Opened};
use crate::sys::holders;
use crate::sys::notices::Notices;
use crate::sys::running::{Process, Signal};
use crate::sys::seats::{self, Session};
use crate::sys::servers;
use crate::sys::slice::Slice;
use crate::sys::terminal::{self, Modes, Terminal, Typed};
use records::UserName;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What waits before a terminal that was full has come in after this.
const ARRIVING: Duration = Duration::from_millis(5);
/// So often it is waited for: somebody may be typing all the time.
const MOST: usize = 100;
/// Emptying a keyboard that others read as well may have to wait for them: not for longer than this.
const EMPTYING: Duration = Duration::from_secs(1);
/// How often a terminal is brought to the front that somebody else takes back.
const TRIES: usize = 3;
/// The number of no virtual terminal: a server at a seat that has none.
const NO_TERMINAL: u32 = 0;
/// A unit that the administrator has switched off is a link to that.
const NOTHING: &str = "/dev/null";
/// Where such a link is.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

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
        if let Err(error) = hush_text(&mut note, &device) {
            failed.push(format!("{}: its keyboard and text stay on: {error}", device.display()));
        }
    }
    for session in seats::all().iter().filter(|session| session.uid == uid) {
        if let Err(error) = hush_server(&mut note, session, uid) {
            let place = session.vt.map_or("another seat".to_owned(), |vt| format!("virtual terminal {vt}"));
            failed.push(format!("the X server of {place} goes on: {error}"));
        }
    }
    failed.extend(hush_screens(&mut note, uid));
    for opened in opened(uid, note.hushed(), Kind::Input) {
        if let Err(error) = opened.is_within_reach() {
            let pid = opened.process.pid;
            failed.push(format!("process {pid} gets what is typed meanwhile when it goes on: {error}"));
        }
    }
    failed
}

/// Throws away what was typed at the terminals of the user whom this note about a locked home names: the processes are still frozen. A terminal that is full lets more in, which
/// waited before it, as soon as it has room.
pub fn forget_typed(note: &Path, uid: u32) {
    let hushed = note.file_name().map(hushed::noted).unwrap_or_default();
    for opened in opened(uid, &hushed, Kind::Input) {
        // A process that has ended, and a device that was taken away, have nothing.
        let _ = within(Deadline::after(EMPTYING), Late::Kill, || opened.forget_input());
    }
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

/// Lets the processes draw again that did before the lock, of the user whom this note names. They still stand: they are not told
/// that they may not, as they would be later.
pub fn give_screens_back(note: &Path) {
    for hushed in note.file_name().map(hushed::noted).unwrap_or_default() {
        if let Hushed::Screen(opened) = hushed {
            // Where somebody else draws now it waits for its turn, as it has always done.
            let _ = opened.set_master();
        }
    }
}

/// The X servers in the user's slice, which still stand, go on as if nobody had come to their terminals. Of those that have their
/// devices from logind (`startx`, GDM) the notices of that are thrown away. One that has them by itself and was told that it has
/// the screen takes it as soon as it goes on, wherever that is: it gets it. `no_more` has the prompt leave the screen to it. Which
/// virtual terminals were in front, and are to be again.
pub fn forget_visits(uid: u32, no_more: impl Fn()) -> Vec<u32> {
    let mut fronts = Vec::new();
    // Of those that run nothing is read: they read it themselves.
    if !Slice::of(uid).is_some_and(|slice| slice.is_frozen()) {
        return fronts;
    }
    for (server, vt) in front::servers_in_slice(uid) {
        let notices = Notices::to(server);
        if front::is_in_front(vt) && notices.wait() {
            // What was told last would be true.
            no_more();
            front::leave(vt);
            fronts.push(vt);
        }
        let from_logind = notices.forget().unwrap_or(false);
        if !from_logind && was_told(server, vt) {
            no_more();
            // The prompt may be about to take the screen back.
            (0..TRIES).any(|_| front::bring(vt).unwrap_or(false));
        }
    }
    fronts
}

/// Whether it was told that its virtual terminal has come to the front, and does not know that yet.
fn was_told(server: Process, vt: u32) -> bool {
    let signal = Terminal::numbered(vt).and_then(|terminal| terminal.told_by());
    signal.is_ok_and(|signal| server.has_waiting(signal))
}

/// Gives the other terminals back as they were to the user whom this note about a locked home names.
pub fn give_back(note: &Path) {
    let Some(user) = note.file_name() else { return };
    for hushed in hushed::noted(user) {
        // What has gone meanwhile needs nothing.
        let _ = match hushed {
            Hushed::Text(device, modes) => restore(&device, modes),
            Hushed::Server(server, vt) => let_go_on(server, vt),
            Hushed::Screen(_) | Hushed::Place(_) => Ok(()),
        };
    }
    hushed::forget(user);
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
fn let_go_on(server: Process, vt: u32) -> io::Result<()> {
    if vt != NO_TERMINAL && server.has_signals_waiting() {
        Terminal::numbered(0)?.activate(vt)?;
    }
    server.signal(Signal::CONT)
}

fn hush_text(note: &mut Note, device: &Path) -> io::Result<()> {
    let terminal = Terminal::open(device)?;
    // A serial line has neither; one that is a compositor's is deaf, and its picture is not the kernel's.
    let Ok(modes) = terminal.modes() else { return Ok(()) };
    if !modes.is_text() || terminal.has_owner()? {
        return Ok(());
    }
    note.add(Hushed::Text(device.to_owned(), modes))?;
    terminal.set_modes(Modes::DEAF_AND_BLANK)
}

fn hush_server(note: &mut Note, session: &Session, uid: u32) -> io::Result<()> {
    let servers = servers(session, uid);
    if servers.is_empty() {
        return Ok(());
    }
    if session.vt.is_some_and(front::is_in_front) {
        return Err(io::Error::other("it does not let go of the screen"));
    }
    for server in servers {
        note.add(Hushed::Server(server, session.vt.unwrap_or(NO_TERMINAL)))?;
        server.signal(Signal::STOP)?;
    }
    Ok(())
}

/// Takes away the graphics cards that processes of the user hold on to, though they are not in front: nobody else could
/// draw. What could not be done.
fn hush_screens(note: &mut Note, uid: u32) -> Vec<String> {
    let mut failed = Vec::new();
    let mut taken = false;
    for opened in opened(uid, note.hushed(), Kind::Screen) {
        let done = match opened.is_master() {
            Ok(false) => continue,
            Ok(true) => note.add(Hushed::Screen(opened)).and_then(|()| opened.drop_master()),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => taken = true,
            Err(error) => {
                failed.push(format!("process {} goes on showing its picture: {error}", opened.process.pid))
            }
        }
    }
    if taken && let Err(error) = front::draw_again() {
        failed.push(format!("a picture may stay: {error}"));
    }
    failed
}

/// What processes of the user that stand still have open of a kind, and the X servers that were stopped.
fn opened(uid: u32, hushed: &[Hushed], kind: Kind) -> Vec<Opened> {
    let mut own: BTreeSet<Process> = holders::of_user(uid).into_iter().filter_map(Process::of).collect();
    if let Some(slice) = Slice::of(uid) {
        own.extend(slice.processes().into_iter().filter_map(Process::of));
    }
    own.extend(hushed.iter().filter_map(|hushed| match hushed {
        Hushed::Server(server, _) => Some(*server),
        Hushed::Text(..) | Hushed::Screen(_) | Hushed::Place(_) => None,
    }));
    own.into_iter().flat_map(|process| Opened::by(process, kind)).collect()
}

/// The devices of the user's terminals with somebody before them: those of sessions, and those of the processes in the
/// user's slice.
fn devices(uid: u32) -> BTreeSet<PathBuf> {
    let sessions = seats::all().into_iter().filter(|session| session.uid == uid);
    let named = sessions.filter_map(|session| session.terminal).filter(|name| !name.starts_with("pts/"));
    let mut devices: BTreeSet<PathBuf> = named.map(|name| Path::new("/dev").join(name)).collect();
    if let Some(slice) = Slice::of(uid) {
        devices.extend(slice.processes().into_iter().filter_map(terminal::controlling));
    }
    devices
}

/// X servers that are on a session's virtual terminal, or at its seat where that has none, and not in the user's slice: those
/// in it are frozen, as one is that was started by hand (`startx`).
fn servers(session: &Session, uid: u32) -> Vec<Process> {
    let mut servers = match (session.vt, session.display) {
        (Some(vt), _) => servers::of_terminal(&Terminal::device(vt), uid),
        (None, Some(display)) => servers::of_display(display, uid),
        (None, None) => return Vec::new(),
    };
    let slice = Slice::of(uid);
    servers.retain(|server| slice.as_ref().is_none_or(|slice| !slice.has(server.pid)));
    servers
}

/// Whether the administrator has masked the unlock prompt: nobody takes the screen back then.
pub(super) fn prompt_is_masked() -> bool {
    let masked = |unit: &str| {
        UNITS.iter().any(|folder| {
            fs::read_link(Path::new(folder).join(unit)).is_ok_and(|to| to == Path::new(NOTHING))
        })
    };
    masked("homed-prompt.service") || masked("homed-prompt.path")
}
