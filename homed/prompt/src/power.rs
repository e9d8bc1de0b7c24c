//! What can be done without a password: sleep, restart, power off, another login.

use crate::{sessions, vt};
use std::io;
use std::process::{Command, Stdio};

/// Something a person can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// All there are.
    pub const ALL: [Self; 4] = [Self::OtherLogin, Self::Sleep, Self::Restart, Self::PowerOff];

    /// As `Offers=` of homed.conf(5) calls it.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wish| wish.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::OtherLogin => "other-login",
            Self::Sleep => "sleep",
            Self::Restart => "restart",
            Self::PowerOff => "power-off",
        }
    }

    /// The number of its function key, and what the screen calls it.
    pub fn key(self) -> (u8, &'static str) {
        match self {
            Self::OtherLogin => (2, "other login"),
            Self::Sleep => (3, "sleep"),
            Self::Restart => (4, "restart"),
            Self::PowerOff => (5, "power off"),
        }
    }

    /// Begins it; what comes of it is seen. An error where a service of the system forbids it for now.
    pub fn begin(self) -> io::Result<()> {
        let what = match self {
            Self::OtherLogin => None,
            Self::Sleep => Some("sleep"),
            Self::Restart | Self::PowerOff => Some("shutdown"),
        };
        if let Some(who) = what.and_then(sessions::who_forbids) {
            return Err(io::Error::other(who));
        }
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
    if let Some(greeter) = all.iter().find(|session| session.class == "greeter" && session.has_seat()) {
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
