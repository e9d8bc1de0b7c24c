//! What can be done without a password: sleep, restart, power off, another login.

use crate::catalogue::{Id, Text, texts};
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
    pub fn key(self) -> (u8, Id) {
        match self {
            Self::OtherLogin => (2, texts::KEY_LOGIN),
            Self::Sleep => (3, texts::KEY_SLEEP),
            Self::Restart => (4, texts::KEY_RESTART),
            Self::PowerOff => (5, texts::KEY_OFF),
        }
    }

    /// Begins it; what comes of it is seen. Else why not, for the person: a service of the system may forbid it for now.
    pub fn begin(self) -> Result<(), Text> {
        self.try_to().map_err(|why| self.cannot().because(&why.to_string()))
    }

    fn try_to(self) -> io::Result<()> {
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

    /// What is said where work is lost by it, so that it is asked for twice.
    pub fn loses_work(self) -> Option<Text> {
        let again = match self {
            Self::OtherLogin | Self::Sleep => return None,
            Self::Restart => texts::AGAIN_RESTART,
            Self::PowerOff => texts::AGAIN_OFF,
        };
        Some(again.with("number", self.key().0))
    }

    fn cannot(self) -> Id {
        match self {
            Self::OtherLogin => texts::CANNOT_LOGIN,
            Self::Sleep => texts::CANNOT_SLEEP,
            Self::Restart => texts::CANNOT_RESTART,
            Self::PowerOff => texts::CANNOT_OFF,
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
