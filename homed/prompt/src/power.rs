//! What can be done without a password: sleep, restart, power off, another login.

use crate::{sessions, vt};
use std::io;
use std::process::{Command, Stdio};

/// Something a person can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Another user logs in.
    OtherLogin,
    /// The machine sleeps again.
    Sleep,
    /// It starts again.
    Restart,
    /// It goes off.
    PowerOff,
}

impl Wish {
    /// Begins it; what comes of it is seen.
    pub fn begin(self) -> io::Result<()> {
        match self {
            Self::OtherLogin => other_login(),
            Self::Sleep => systemctl("suspend"),
            Self::Restart => systemctl("reboot"),
            Self::PowerOff => systemctl("poweroff"),
        }
    }

    /// Whether work is lost by it, so that it is asked for twice.
    pub fn loses_work(self) -> bool {
        matches!(self, Self::Restart | Self::PowerOff)
    }

    /// In words, for "… again to …".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::OtherLogin => "let another user log in",
            Self::Sleep => "sleep",
            Self::Restart => "restart the machine",
            Self::PowerOff => "power it off",
        }
    }
}

fn systemctl(verb: &str) -> io::Result<()> {
    // Nobody waits for it: a suspend returns after the machine has slept.
    let mut child = Command::new("systemctl")
        .args(["--no-block", "--no-ask-password", verb])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// Brings a greeter to the front: one that is there, one that the display manager makes, else a terminal where
/// logind starts a login.
fn other_login() -> io::Result<()> {
    let all = sessions::all();
    if let Some(greeter) = all.iter().find(|session| session.class == "greeter" && session.has_seat) {
        sessions::activate(greeter);
        return Ok(());
    }
    if sessions::switch_to_greeter() {
        return Ok(());
    }
    let taken = |number: &u32| all.iter().any(|session| session.vt == *number);
    // logind starts a login on these when they come to the front (NAutoVTs= in logind.conf(5)).
    match (1..=6).find(|number| !taken(number)) {
        Some(number) => vt::activate(number),
        None => Err(io::Error::other("every terminal has a session")),
    }
}
