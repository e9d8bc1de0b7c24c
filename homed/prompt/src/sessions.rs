//! Sessions, as logind knows them.

use zbus::{Connection, OwnedObjectPath};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";

/// A session of somebody.
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whose.
    pub user: String,
    /// Its terminal without `/dev/`; empty: none.
    pub terminal: String,
    /// Whether it is at a seat, where virtual terminals are.
    pub has_seat: bool,
}

/// All sessions. Without logind there are none.
pub fn all() -> Vec<Session> {
    zbus::block_on(list()).unwrap_or_default()
}

async fn list() -> zbus::Result<Vec<Session>> {
    let bus = Connection::system().await?;
    let reply = bus.call_method(Some(NAME), PATH, Some(MANAGER), "ListSessions", &()).await?;
    let rows: Vec<(String, u32, String, String, OwnedObjectPath)> = reply.body().deserialize()?;
    let mut sessions = Vec::new();
    for (id, _, user, seat, path) in rows {
        let get = "org.freedesktop.DBus.Properties";
        let reply = bus.call_method(Some(NAME), &path, Some(get), "Get", &(SESSION, "TTY")).await?;
        let value: zbus::OwnedVariant = reply.body().deserialize()?;
        let terminal = String::try_from(value).unwrap_or_default();
        sessions.push(Session { id, user, terminal, has_seat: !seat.is_empty() });
    }
    Ok(sessions)
}

/// Brings the user's session at the seat back to the front, and tells the lock screen that it has been answered.
pub fn give_back(user: &str) {
    for session in all().into_iter().filter(|session| session.user == user) {
        for method in ["UnlockSession", "ActivateSession"] {
            if session.has_seat || method == "UnlockSession" {
                // A session that has ended needs nothing.
                let _ = zbus::block_on(call(method, &session.id));
            }
        }
    }
}

async fn call(method: &str, id: &str) -> zbus::Result<()> {
    let bus = Connection::system().await?;
    bus.call_method(Some(NAME), PATH, Some(MANAGER), method, &(id,)).await.map(drop)
}
