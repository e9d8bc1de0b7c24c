//! Who is asked on the bus: logind for sessions, the display manager, and the daemon for user records.

use crate::vt;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// The daemon, where it has the user records.
const HOMED: (&str, &str, &str) =
    ("org.freedesktop.home1", "/org/freedesktop/home1", "org.freedesktop.home1.Manager");
/// LightDM and SDDM have it.
const DISPLAY_MANAGER: &str = "org.freedesktop.DisplayManager";

/// Nobody waits longer for an answer of the bus.
const PATIENCE: Duration = Duration::from_secs(5);

/// A session of somebody.
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whose.
    pub user: String,
    /// Its terminal without `/dev/`; empty: none.
    pub terminal: String,
    /// The number of its virtual terminal; 0: it has none.
    pub vt: u32,
    /// `user`, `greeter`, `manager` …
    pub class: String,
    /// The name of its seat; empty: it is at none. Virtual terminals are at the first, `seat0`.
    pub seat: String,
}

impl Session {
    /// Whether somebody sits before it.
    pub fn has_seat(&self) -> bool {
        !self.seat.is_empty()
    }
}

/// All sessions. Without logind there are none.
pub fn all() -> Vec<Session> {
    ask(list()).unwrap_or_default()
}

/// No files come over it: closing one of a stranger's may wait for ever.
async fn connect() -> zbus::Result<Connection> {
    bus::system().await?.method_timeout(PATIENCE).build().await
}

/// Waits for an answer of the bus.
fn ask<T>(question: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| zbus::Error::InputOutput(Arc::new(error)))?.block_on(question)
}

async fn list() -> zbus::Result<Vec<Session>> {
    let bus = connect().await?;
    let reply = bus.call_method(Some(NAME), PATH, Some(MANAGER), "ListSessions", &()).await?;
    let rows: Vec<(String, u32, String, String, OwnedObjectPath)> = reply.body().deserialize()?;
    let mut sessions = Vec::new();
    for (id, _, user, seat, path) in rows {
        let Ok(reply) = bus.call_method(Some(NAME), &path, Some(PROPERTIES), "GetAll", &SESSION).await else {
            // It has ended meanwhile.
            continue;
        };
        let mut properties: HashMap<String, OwnedVariant> = reply.body().deserialize()?;
        let mut text = |name| properties.remove(name).and_then(|value| String::try_from(value).ok());
        // It has left its terminal, however long something of it runs: somebody else may be logged in there.
        if text("State").is_some_and(|state| state == "closing") {
            continue;
        }
        let (terminal, class) = (text("TTY").unwrap_or_default(), text("Class").unwrap_or_default());
        let vt = properties.remove("VTNr").and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
        sessions.push(Session { id, user, terminal, vt, class, seat });
    }
    Ok(sessions)
}

/// Tells the user's lock screens that they have been answered, and brings the user's session at the seat to the
/// front: the one on that virtual terminal, if it is the user's. It is beside all sessions where `is_theirs` says so. Whether
/// there is one.
pub fn give_back(user: &str, before: u32, is_theirs: bool) -> bool {
    let own: Vec<Session> = all().into_iter().filter(|session| session.user == user).collect();
    for session in &own {
        // A session that has ended needs nothing.
        let _ = ask(call("UnlockSession", &session.id));
    }
    if is_theirs {
        return vt::activate(before).is_ok();
    }
    to_give_back(&own, before).inspect(|session| activate(session)).is_some()
}

/// Which of a user's sessions is brought to the front. One at a seat without virtual terminals is in front there already.
fn to_give_back(own: &[Session], before: u32) -> Option<&Session> {
    let seated =
        || own.iter().filter(|session| session.has_seat() && session.vt != 0 && session.class == "user");
    seated().find(|session| session.vt == before).or_else(|| seated().next())
}

/// Brings a session to the front.
pub fn activate(session: &Session) {
    // One that has ended cannot be there.
    let _ = ask(call("ActivateSession", &session.id));
}

async fn call(method: &str, id: &str) -> zbus::Result<()> {
    connect().await?.call_method(Some(NAME), PATH, Some(MANAGER), method, &(id,)).await.map(drop)
}

/// Which service of the system keeps the machine from this (`sleep`, `shutdown`) for now, and why. What users have asked for
/// binds nobody here: they may be frozen.
pub fn who_forbids(what: &str) -> Option<String> {
    let list = async {
        let bus = connect().await?;
        let reply = bus.call_method(Some(NAME), PATH, Some(MANAGER), "ListInhibitors", &()).await?;
        reply.body().deserialize::<Vec<Inhibitor>>()
    };
    // Without logind nobody can.
    let all = ask(list).unwrap_or_default();
    let one = all.into_iter().find(|one| forbids(one, what));
    one.map(|(_, who, why, ..)| format!("{who}: {why}"))
}

/// What, who, why, mode, UID, process.
type Inhibitor = (String, String, String, String, u32, u32);

fn forbids((whats, _, _, mode, uid, _): &Inhibitor, what: &str) -> bool {
    mode == "block" && *uid == 0 && whats.split(':').any(|other| other == what)
}

/// Whether the lid is closed. Without logind or a lid it is not.
pub fn lid_is_closed() -> bool {
    let property = async {
        let bus = connect().await?;
        let reply =
            bus.call_method(Some(NAME), PATH, Some(PROPERTIES), "Get", &(MANAGER, "LidClosed")).await?;
        let value: OwnedVariant = reply.body().deserialize()?;
        bool::try_from(value)
    };
    ask(property).unwrap_or(false)
}

/// The user's record, as JSON; `None`: the daemon does not answer, or does not know the user.
pub fn record(user: &str) -> Option<String> {
    let (name, path, interface) = HOMED;
    let record = async {
        let bus = connect().await?;
        let reply =
            bus.call_method(Some(name), path, Some(interface), "GetUserRecordByName", &(user,)).await?;
        let (record, ..): (String, bool, OwnedObjectPath) = reply.body().deserialize()?;
        zbus::Result::Ok(record)
    };
    ask(record).ok()
}

/// Asks the display manager for its greeter; whether there is one that does so.
pub fn switch_to_greeter() -> bool {
    let switch = async {
        let bus = connect().await?;
        let (seat, interface) =
            ("/org/freedesktop/DisplayManager/Seat0", "org.freedesktop.DisplayManager.Seat");
        bus.call_method(Some(DISPLAY_MANAGER), seat, Some(interface), "SwitchToGreeter", &()).await
    };
    ask(switch).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, vt: u32, class: &str, seat: &str) -> Session {
        let (id, class, seat) = (id.to_owned(), class.to_owned(), seat.to_owned());
        Session { id, user: "alice".into(), terminal: String::new(), vt, class, seat }
    }

    #[test]
    fn what_comes_back_is_at_the_seat_of_the_prompt() {
        let second_seat = session("5", 0, "user", "seat1");
        let own = [
            second_seat,
            session("c1", 1, "greeter", "seat0"),
            session("7", 0, "user", ""),
            session("2", 2, "user", "seat0"),
            session("3", 3, "user", "seat0"),
        ];
        let chosen = |own: &[Session], before| to_give_back(own, before).map(|session| session.id.clone());
        for (before, expected) in [(3, "3"), (2, "2"), (1, "2"), (0, "2"), (9, "2")] {
            assert_eq!(chosen(&own, before).as_deref(), Some(expected), "{before}");
        }
        assert_eq!(chosen(&own[..3], 1), None);
    }

    #[test]
    fn services_of_the_system_forbid_and_users_do_not() {
        let one = |what: &str, mode: &str, uid| -> Inhibitor {
            (what.into(), "updates".into(), "being installed".into(), mode.into(), uid, 1)
        };
        assert!(forbids(&one("shutdown:sleep", "block", 0), "sleep"));
        assert!(!forbids(&one("shutdown", "block", 0), "sleep"));
        assert!(!forbids(&one("sleep", "delay", 0), "sleep"));
        assert!(!forbids(&one("sleep", "block", 60_001), "sleep"));
    }
}
