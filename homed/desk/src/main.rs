//! What desktops want to know of homes and do not ask for themselves.
//!
//! ```text
//! accounts            AccountsService hears of users who have never logged in, and of their pictures
//! accounts withdraw   … and of none of them any more, before the package goes
//! notify              in a user's session: what homed says of locks, as notifications
//! ```
//!
//! A program of its own, beside the daemon: what it is linked with, waits for and fails at is none of the daemon's. It holds
//! nothing that a home needs.

#![deny(clippy::print_stderr)]

/// Writes a line for the log. A log that does not take it (a journal that is gone) ends nothing: what is told to desktops goes on.
macro_rules! tell {
    ($($text:tt)*) => {{
        let line = format!($($text)*) + "\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }};
}

mod accounts;
mod homed;
mod notices;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ended = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["accounts"] => run(accounts::follow()),
        ["accounts", "withdraw"] => run(accounts::withdraw()),
        ["notify"] => run(notices::follow()),
        _ => Err("usage: desk accounts [withdraw] | notify".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What goes wrong here is told in the log, and tried again when something happens next.
type Done = Result<(), Box<dyn std::error::Error>>;

fn run(what: impl Future<Output = Done>) -> Done {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(what)
}
