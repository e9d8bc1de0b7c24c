//! A session leaves the screen before it is frozen.
//!
//! A compositor that has the virtual terminal must agree to a switch, and a frozen one agrees to nothing. So the prompt is
//! called before the lock, and takes the screen. Where it does not come in time, an empty terminal comes to the front, and
//! the prompt later. Who is not on the screen is not waited for: somebody else may be working there, whom the prompt does not
//! disturb.

use crate::sys::bounded::Deadline;
use crate::sys::seats;
use crate::sys::terminal::{BEFORE, EMPTY, FRONT, Terminal, in_front};
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
pub fn clear(uid: u32, call_prompt: impl FnOnce()) {
    if !Path::new(SYSTEMD).exists() || !Path::new(FRONT).exists() {
        return;
    }
    let own: Vec<u32> =
        seats::all().iter().filter(|session| session.uid == uid).filter_map(|session| session.vt).collect();
    let on_screen = || in_front().is_some_and(|front| own.contains(&front));
    // Whoever has a session on a virtual terminal may come to it at any moment: then the prompt takes the screen back.
    if own.is_empty() {
        return;
    }
    call_prompt();
    if !wait(Deadline::after(PATIENCE), || !on_screen()) && empty_terminal().is_ok() {
        wait(Deadline::after(AGREEING), || !on_screen());
    }
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
