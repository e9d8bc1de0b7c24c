//! A session leaves the screen before it is frozen.
//!
//! A compositor that has the virtual terminal must agree to a switch, and a frozen one agrees to nothing. So the prompt is
//! called before the lock, and takes the screen. Where it does not come in time, an empty terminal comes to the front, and
//! the prompt later. Who is not on the screen is not waited for: somebody else may be working there, whom the prompt does not
//! disturb.

use super::hushed::{Hushed, Note};
use super::terminals::prompt_is_masked;
use crate::sys::bounded::Deadline;
use crate::sys::notices::Notices;
use crate::sys::running::Process;
use crate::sys::slice::Slice;
use crate::sys::terminal::{BEFORE, EMPTY, FRONT, Terminal, in_front};
use crate::sys::{seats, servers};
use records::UserName;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Nobody's sleep is delayed for longer by a prompt that does not come.
const PATIENCE: Duration = Duration::from_secs(2);
/// After that, the same for an empty terminal.
const AGREEING: Duration = Duration::from_millis(500);
/// Between two looks.
const GLANCE: Duration = Duration::from_millis(20);
/// There where systemd runs, which starts the prompt.
const SYSTEMD: &str = "/run/systemd/system";

/// Returns when no session of this user is on the screen, which whoever is there may delay for [`PATIENCE`] and
/// [`AGREEING`]; at once where there is no screen. The prompt is called only where it is needed.
pub fn clear(user: &UserName, uid: u32, call_prompt: impl FnOnce()) {
    if !Path::new(SYSTEMD).exists() || !Path::new(FRONT).exists() {
        return;
    }
    let own = terminals(user, uid);
    let on_screen = || in_front().is_some_and(|front| own.contains(&front));
    // Whoever has a session on a virtual terminal may come to it at any moment: then the prompt takes the screen back.
    if own.is_empty() {
        return;
    }
    call_prompt();
    // A prompt that is masked never comes.
    let patience = if prompt_is_masked() { Duration::ZERO } else { PATIENCE };
    if !wait(Deadline::after(patience), || !on_screen()) && empty_terminal().is_ok() {
        wait(Deadline::after(AGREEING), || !on_screen());
    }
    hear(uid);
}

/// Returns when the user's X servers have heard that they are off the screen: they hear of nothing else as long as they stand.
fn hear(uid: u32) {
    let servers = servers_in_slice(uid);
    if servers.is_empty() {
        return;
    }
    let own = || seats::all().into_iter().filter(|session| session.uid == uid && session.vt.is_some());
    // logind tells them and then notes it; a notice is with the bus for a moment.
    wait(Deadline::after(AGREEING), || own().all(|session| !session.active));
    std::thread::sleep(GLANCE);
    let notices: Vec<Notices> = servers.into_iter().map(|(server, _)| Notices::to(server)).collect();
    wait(Deadline::after(AGREEING), || !notices.iter().any(Notices::wait));
}

/// Has another terminal come to the front than this one, whose process stands still: an empty one.
pub fn leave(vt: u32) {
    let left = || {
        // It is asked, and we agree in its place.
        let _ = Terminal::numbered(vt).and_then(|terminal| terminal.agree());
        !is_in_front(vt)
    };
    if empty_terminal().is_ok() {
        wait(Deadline::after(AGREEING), left);
    }
}

/// The virtual terminals on which this user is seen: those of sessions, and those of X servers that were started beside them
/// (`startx -- vt8`). logind does not know of these, so they are noted for the prompt.
fn terminals(user: &UserName, uid: u32) -> Vec<u32> {
    let sessions = seats::all().into_iter().filter(|session| session.uid == uid);
    let mut own: Vec<u32> = sessions.filter_map(|session| session.vt).collect();
    let mut note = Note::read(user);
    for (_, vt) in servers_in_slice(uid) {
        // Without the note the prompt takes it for nobody's.
        if !own.contains(&vt) && note.add(Hushed::Place(vt)).is_ok() {
            own.push(vt);
        }
    }
    own
}

/// The X servers in the user's slice, which are frozen with it, and the virtual terminal that each has.
pub fn servers_in_slice(uid: u32) -> Vec<(Process, u32)> {
    let Some(slice) = Slice::of(uid) else { return Vec::new() };
    let servers = servers::among(slice.processes().into_iter().filter_map(Process::of));
    let each = servers.into_iter().flat_map(|(server, vts)| vts.into_iter().map(move |vt| (server, vt)));
    // Whoever was logged in there before may have it open still.
    let sessions = seats::all();
    let is_others = |vt: u32| sessions.iter().any(|session| session.uid != uid && session.vt == Some(vt));
    let each = each.filter(|(_, vt)| !is_others(*vt));
    // The one from which it was started is not its own.
    each.filter(|(_, vt)| Terminal::numbered(*vt).and_then(|terminal| terminal.has_owner()).unwrap_or(false))
        .collect()
}

/// Brings a virtual terminal to the front; whether it is there. Whoever is there now may have to agree, for not longer than
/// [`AGREEING`].
pub fn bring(vt: u32) -> io::Result<bool> {
    Terminal::numbered(0)?.activate(vt)?;
    Ok(wait(Deadline::after(AGREEING), || is_in_front(vt)))
}

/// Brings a terminal to the front on which there is nothing, and notes for the prompt what was there.
fn empty_terminal() -> io::Result<()> {
    if let Some(before) = in_front().filter(|before| *before != EMPTY) {
        std::fs::write(BEFORE, format!("tty{before}\n"))?;
    }
    Terminal::numbered(0)?.activate(EMPTY)
}

/// Waits until it is so, not longer than that; whether it is.
fn wait(deadline: Deadline, is_so: impl Fn() -> bool) -> bool {
    while !is_so() {
        if deadline.left().is_zero() {
            return false;
        }
        std::thread::sleep(GLANCE);
    }
    true
}

/// Has the kernel draw the text terminal in front again, if one is: whoever drew over it has lost the screen since.
pub fn draw_again() -> io::Result<()> {
    Terminal::numbered(0)?.draw_again()
}

/// Whether this virtual terminal is in front.
pub fn is_in_front(vt: u32) -> bool {
    in_front() == Some(vt)
}
