//! Whose session is on which terminal, as logind notes it: the files that sd-login(3) reads, which need no bus.

use std::fs;

/// One file for each session.
const SESSIONS: &str = "/run/systemd/sessions";

/// A session, as far as it has to do with terminals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub uid: u32,
    /// Its terminal without `/dev/`, if it has one.
    pub terminal: Option<String>,
    /// The number of its virtual terminal, if it has one.
    pub vt: Option<u32>,
    /// Whether it is in front at its seat, and so has the devices there.
    pub active: bool,
    /// The number of its X display, if it is at a seat without virtual terminals.
    pub display: Option<u32>,
}

/// All sessions of people; none without logind. One that is being ended has left its terminal, however long something of it
/// runs: somebody else may be logged in there.
pub fn all() -> Vec<Session> {
    let entries = fs::read_dir(SESSIONS).into_iter().flatten().flatten();
    // Beside each is a pipe, which nobody ever writes to.
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    files.filter_map(|file| parse(&fs::read_to_string(file.path()).ok()?)).collect()
}

fn parse(text: &str) -> Option<Session> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(str::to_owned).filter(|value| !value.is_empty())
    };
    let is_there =
        value("CLASS")?.starts_with("user") && value("STATE").is_none_or(|state| state != "closing");
    is_there.then_some(())?;
    let vt = value("VTNR").and_then(|number| number.parse().ok()).filter(|number| *number != 0);
    Some(Session {
        uid: value("UID")?.parse().ok()?,
        terminal: value("TTY"),
        vt,
        active: value("ACTIVE").is_some_and(|active| active == "1"),
        display: value("DISPLAY")
            .filter(|_| vt.is_none() && value("SEAT").is_some())
            .and_then(|name| local(&name)),
    })
}

/// The number of a display of this machine: `:1`, `:1.0`. What comes over ssh has a host before it.
fn local(display: &str) -> Option<u32> {
    display.strip_prefix(':')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_at_a_screen_on_a_line_and_on_none() {
        let screen = "# Private\nUID=60001\nUSER=alice\nACTIVE=1\nTYPE=x11\nCLASS=user\nDISPLAY=:0\nVTNR=7\nSEAT=seat0\nTTY=\n";
        let there = Session { uid: 60_001, terminal: None, vt: Some(7), active: true, display: None };
        assert_eq!(parse(screen), Some(there));
        let line = parse("UID=1\nTYPE=tty\nCLASS=user-early\nTTY=ttyS0\nVTNR=0\n").expect("a session");
        assert_eq!((line.terminal.as_deref(), line.vt, line.active), (Some("ttyS0"), None, false));
    }

    #[test]
    fn a_session_at_a_seat_without_virtual_terminals_is_known_by_its_display() {
        let at = |more: &str| {
            parse(&format!("UID=60001\nTYPE=x11\nCLASS=user\n{more}")).expect("a session").display
        };
        assert_eq!(at("DISPLAY=:1\nSEAT=seat1\n"), Some(1));
        assert_eq!(at("DISPLAY=:12.0\nSEAT=seat-usb\nVTNR=0\n"), Some(12));
        // Over ssh, and where somebody says so without being there.
        assert_eq!(at("DISPLAY=localhost:10.0\nSEAT=seat1\n"), None);
        assert_eq!(at("DISPLAY=:1\n"), None);
        assert_eq!(at("DISPLAY=:1\nSEAT=seat0\nVTNR=7\n"), None);
    }

    #[test]
    fn greeters_managers_and_what_is_no_session_are_nobody() {
        assert_eq!(parse("UID=100\nTYPE=x11\nCLASS=greeter\nVTNR=7\n"), None);
        assert_eq!(parse("UID=1\nCLASS=manager\n"), None);
        assert_eq!(parse("CLASS=user\nUID=many\n"), None);
        // Logged out, with something left running.
        assert_eq!(parse("UID=1\nTYPE=tty\nCLASS=user\nTTY=tty2\nVTNR=2\nSTATE=closing\n"), None);
        assert!(parse("UID=1\nTYPE=tty\nCLASS=user\nTTY=tty2\nVTNR=2\nSTATE=online\n").is_some());
    }
}
