//! The prompt comes to the front before what is in front is frozen.
//!
//! A compositor that has the virtual terminal must agree to a switch, and a frozen one agrees to nothing. The note about
//! the lock starts the prompt; it says in a note of its own which terminal it has.

use crate::sys::bounded::Deadline;
use std::path::Path;
use std::time::Duration;

/// Nobody's sleep is delayed for longer by a prompt that does not come.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const GLANCE: Duration = Duration::from_millis(20);
/// The terminal in front, where there are virtual terminals.
const FRONT: &str = "/sys/class/tty/tty0/active";
/// What the prompt says: its terminal in the first line.
const PROMPT: &str = "/run/homed/prompt";
/// There where systemd runs, which starts the prompt.
const SYSTEMD: &str = "/run/systemd/system";

/// Waits until the prompt is in front, not longer than that; at once where there is nothing to wait for.
pub fn await_prompt() {
    if !Path::new(SYSTEMD).exists() || !Path::new(FRONT).exists() {
        return;
    }
    let deadline = Deadline::after(PATIENCE);
    while !is_in_front() && !deadline.left().is_zero() {
        std::thread::sleep(GLANCE);
    }
}

fn is_in_front() -> bool {
    let (Ok(front), Ok(prompt)) = (std::fs::read_to_string(FRONT), std::fs::read_to_string(PROMPT)) else {
        return false;
    };
    prompt.lines().next() == Some(front.trim())
}
