//! The service `org.freedesktop.home1` on the system bus.
//!
//! Translates only: bytes → operation → wait → answer. What may be done is decided in the core, who may
//! ask is decided in [`context`]. No method takes `&mut self`: a long call would block all others.

mod action;
mod argument;
pub mod context;
pub mod door;
mod error;
mod home;
mod homes;
mod log_control;
mod manager;
mod own;
mod policy;
mod recovery;
mod update;

use crate::daemon::link::Change;
use context::Front;
use home::Home;
use homes::Homes;
use manager::Manager;
use own::Own;
use policy::Policy;
use records::{UserName, buspath};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use zbus::Connection;

/// The well-known name.
pub const NAME: &str = "org.freedesktop.home1";
/// The manager's object.
pub const MANAGER: &str = "/org/freedesktop/home1";

/// The object of a user's home.
fn path(user: &UserName) -> String {
    format!("{}/{}", buspath::HOMES, buspath::escape(user.as_str()))
}

/// Serves on this bus address until the connection is closed; the name is requested last, so that who
/// waits for it finds everything there.
pub async fn serve(address: &str, front: Arc<Front>) -> zbus::Result<Connection> {
    let changes = front.link.changes();
    let asked = bus::connect(address).await?.build().await?;
    let guard = door::Guard { link: front.link.clone(), asked };
    let door = door::Door { stream: bus::dial(address).await?, guard: Some(guard) };
    let connection = zbus::connection::Builder::socket(door)
        .serve_at(MANAGER, Manager(front.clone()))
        .serve_at(MANAGER, Own(front.clone()))
        .serve_at(MANAGER, Policy(front.clone()))
        .serve_at(buspath::HOMES, Homes(front.clone()))
        .serve_at(log_control::PATH, log_control::LogControl(front.clone()))
        .build()
        .await?;
    // Nobody can be listening to who has no name yet.
    let users: BTreeSet<UserName> = all(&front).into_iter().collect();
    for user in &users {
        register(&connection, &front, user.clone()).await?;
    }
    connection.request_name(NAME).await?;
    tokio::spawn(follow((connection.clone(), users), front, changes));
    Ok(connection)
}

/// Keeps the objects on the bus like the set of homes.
async fn follow(
    (connection, mut users): (Connection, BTreeSet<UserName>),
    front: Arc<Front>,
    mut changes: Receiver<Change>,
) {
    let mut logins = manager::auto_login(&front);
    loop {
        let change = changes.recv().await;
        let now = manager::auto_login(&front);
        if now != logins
            && let Err(error) = logins_changed(&connection).await
        {
            tracing::warn!("the property AutoLogin could not follow a change: {error}");
        }
        logins = now;
        let shown = match change {
            Ok(Change::Appeared(user)) => {
                users.insert(user.clone());
                show(&connection, &front, user).await
            }
            Ok(Change::Vanished(user, _)) => {
                users.remove(&user);
                hide(&connection, &user).await
            }
            Ok(Change::Changed(user)) => changed(&connection, &user).await,
            Ok(Change::NotLocked(user, _)) => not_locked(&connection, &user).await,
            Ok(Change::LockComing(user, at_usec)) => lock_coming(&connection, &user, at_usec).await,
            Ok(Change::SleepRefused) => sleep_refused(&connection).await,
            Ok(Change::SleptOpen(users, usec)) => slept_open(&connection, &users, usec).await,
            Err(RecvError::Lagged(_)) => catch_up(&connection, &front, &mut users).await,
            Err(RecvError::Closed) => return,
        };
        if let Err(error) = shown {
            tracing::warn!("D-Bus objects could not follow a change: {error}");
        }
    }
}

fn all(front: &Front) -> Vec<UserName> {
    front.link.list(&front.link.ourselves()).all().map(|home| home.view.unix.name.clone()).collect()
}

/// More has changed than could be kept: whatever it was, the objects are as the homes are afterwards.
async fn catch_up(
    connection: &Connection,
    front: &Arc<Front>,
    users: &mut BTreeSet<UserName>,
) -> zbus::Result<()> {
    let now: BTreeSet<UserName> = all(front).into_iter().collect();
    for gone in users.difference(&now) {
        hide(connection, gone).await?;
    }
    for user in &now {
        show(connection, front, user.clone()).await?;
        changed(connection, user).await?;
    }
    *users = now;
    Ok(())
}

async fn show(connection: &Connection, front: &Arc<Front>, user: UserName) -> zbus::Result<()> {
    let at = path(&user);
    match register(connection, front, user).await? {
        true => homes::appeared(connection, &at).await,
        false => Ok(()),
    }
}

/// Whether it was not there already.
async fn register(connection: &Connection, front: &Arc<Front>, user: UserName) -> zbus::Result<bool> {
    let (at, home) = (path(&user), Home::new(front.clone(), user));
    Ok(connection.object_server().at(at, home).await?.is_none())
}

async fn hide(connection: &Connection, user: &UserName) -> zbus::Result<()> {
    let at = path(user);
    match connection.object_server().remove::<Home, _>(at.as_str()).await {
        Ok(_) => homes::vanished(connection, &at).await,
        // A home that was never made had no object.
        Err(zbus::Error::InterfaceNotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn changed(connection: &Connection, user: &UserName) -> zbus::Result<()> {
    let Ok(object) = connection.object_server().interface::<_, Home>(path(user)).await else {
        return Ok(());
    };
    object.get().await.tell(object.signal_emitter()).await
}

async fn logins_changed(connection: &Connection) -> zbus::Result<()> {
    let object = connection.object_server().interface::<_, Manager>(MANAGER).await?;
    let manager = object.get().await;
    manager.auto_login_changed(object.signal_emitter()).await
}

/// What everybody on the bus may know: who uses a home, and what went wrong with it, is its user's matter.
const NOT_LOCKED: &str = "its key is still in memory. Who may see why: homectl security, and the log";

async fn not_locked(connection: &Connection, user: &UserName) -> zbus::Result<()> {
    let object = connection.object_server().interface::<_, Policy>(MANAGER).await?;
    Policy::not_locked(object.signal_emitter(), user.as_str(), NOT_LOCKED).await
}

async fn lock_coming(connection: &Connection, user: &UserName, at_usec: u64) -> zbus::Result<()> {
    let object = connection.object_server().interface::<_, Policy>(MANAGER).await?;
    Policy::lock_coming(object.signal_emitter(), user.as_str(), at_usec).await
}

async fn sleep_refused(connection: &Connection) -> zbus::Result<()> {
    let object = connection.object_server().interface::<_, Policy>(MANAGER).await?;
    Policy::sleep_refused(object.signal_emitter()).await
}

async fn slept_open(connection: &Connection, users: &[UserName], usec: u64) -> zbus::Result<()> {
    let object = connection.object_server().interface::<_, Policy>(MANAGER).await?;
    let names = users.iter().map(UserName::to_string).collect();
    Policy::slept_open(object.signal_emitter(), names, usec).await
}
