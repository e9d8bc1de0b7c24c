//! What the daemon says of locks, for who sits before the screen: as notifications of the desktop.
//!
//! ```text
//! a signal of homed → text: is it about this user, and what is said → org.freedesktop.Notifications
//! ```
//!
//! Runs in the user's own session, as the user: it knows what everybody on the bus is told. Of other users' homes it says
//! nothing.

pub mod text;

use crate::Done;
use crate::homed;
use futures_util::StreamExt;
use std::collections::HashMap;
use text::{Notice, Urgency};
use zbus::Connection;
use zbus::wire::Variant;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
/// Who says it.
const PROGRAM: &str = "homed";
/// Of the theme of icons that desktops have.
const ICON: &str = "system-lock-screen";

/// Shows what is told, until the session ends.
pub async fn follow() -> Done {
    let system = bus::system().await?.build().await?;
    let mut signals = homed::signals(&system).await?;
    // A connection of its own: signals that wait hold up no answers.
    let asked = bus::system().await?.build().await?;
    let Some(user) = homed::own_name(&asked).await? else {
        // Whose home is none of homed's has nothing to hear of it.
        return Ok(());
    };
    let desktop = Connection::session().await?;
    // Of each kind the last is shown: one that is told again takes the place of the one before.
    let mut shown: HashMap<&'static str, u32> = HashMap::new();
    while let Some(message) = signals.next().await {
        let message = message?;
        let Some(notice) = text::notice(&message, &user) else { continue };
        if !homed::is_said_by_homed(&asked, &message).await {
            continue;
        }
        let before = shown.get(notice.summary).copied().unwrap_or(0);
        match show(&desktop, &notice, before).await {
            Ok(number) => drop(shown.insert(notice.summary, number)),
            // A desktop that shows none: the log and homectl say the same.
            Err(error) => tell!("{}: the desktop does not show it: {error}", notice.summary),
        }
    }
    Err("the bus has closed the connection".into())
}

/// Shows it in the place of that one; its number.
async fn show(desktop: &Connection, notice: &Notice, before: u32) -> zbus::Result<u32> {
    let urgency: u8 = match notice.urgency {
        Urgency::Normal => 1,
        Urgency::Critical => 2,
    };
    let hints = HashMap::from([("urgency", Variant::from(urgency))]);
    let nothing: [&str; 0] = [];
    let body = (
        PROGRAM,
        before,
        ICON,
        notice.summary,
        notice.body.as_str(),
        &nothing[..],
        hints,
        notice.milliseconds,
    );
    desktop.call_method(Some(NAME), PATH, Some(NAME), "Notify", &body).await?.body().deserialize()
}
