//! The unlock prompt: what a person sees in front of a locked home.
//!
//! ```text
//! supervise   who is locked, where to ask   one for the machine, as long as somebody is locked
//!    ├─ screen DEVICE   all of a virtual terminal of our own
//!    ├─ on DEVICE       line by line, on a serial line
//!    └─ agents USER     over systemd-ask-password's agents
//!          each a process, each with PAM (homed-unlock)
//! settle      what one that was killed could not put back
//! ```
//!
//! It runs outside of the sessions that are frozen. On a machine with virtual terminals it takes a free one and
//! brings it to the front; a session on another kind of terminal (a serial line) is asked for there. Passwords go
//! to PAM and nowhere else; what is right and what is wrong is the daemon's business.

#![deny(clippy::print_stderr)]

/// Writes a line for the log. A log that does not take it (a journal that is gone) ends nothing: whoever is locked needs the prompt all the same.
macro_rules! tell {
    ($($text:tt)*) => {{
        let line = format!($($text)*) + "\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }};
}

mod agent;
mod assigned;
mod attempts;
mod catalogue;
mod clock;
mod dark;
mod dialog;
#[cfg(test)]
mod golden;
mod hushed;
mod keymap;
mod locked;
mod measure;
mod people;
mod power;
mod screen;
mod sessions;
mod settings;
mod supervise;
mod sys;
mod terminal;
mod vt;

use std::process::ExitCode;

/// Texts that show what is typed (F6) are made anew with each key.
#[global_allocator]
static MEMORY: sys::memory::Wiping = sys::memory::Wiping(std::alloc::System);

fn main() -> ExitCode {
    if let Err(error) = sys::memory::keep_to_itself() {
        tell!("what is typed may come into a core dump or swap space: {error}");
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ended = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => supervise::run(),
        ["on", device] => dialog::run(device, &[]),
        ["on", device, ..] => dialog::run(device, &words[2..]),
        ["screen", device, before] => screen::run(device, before.parse().unwrap_or(0)),
        ["agents", user] => agent::run(user),
        ["settle"] => vt::settle().map_err(Into::into),
        _ => Err("usage: prompt [on DEVICE [USER…] | screen DEVICE NUMBER | agents USER | settle]".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What ends a role early, in words for the log.
type Ended<T> = Result<T, Box<dyn std::error::Error>>;
