//! Asks the daemon to lock all homes, and sees whether it lives meanwhile.
//!
//! The lock has bounds of its own in the daemon. A daemon that hangs is found out by asking it something that costs
//! nothing, again and again.

use std::time::Duration;
use zbus::fdo::PeerProxy;
use zbus::{Connection, Proxy};

const NAME: &str = "org.freedesktop.home1";
const MANAGER: &str = "/org/freedesktop/home1";
/// How long the bus may take to be there.
const CONNECT: Duration = Duration::from_secs(5);
/// How often the daemon is asked whether it lives.
const PULSE: Duration = Duration::from_secs(1);
/// How long it may take to say so: one that is started for this answers when it has seen to all homes.
const SILENCE: Duration = Duration::from_secs(10);

/// What came of it.
pub enum Asked {
    /// All homes are locked, as far as is wanted.
    Locked,
    /// The daemon says no, in these words.
    Refused(String),
    /// It does not answer, for this reason.
    Unheard(String),
}

/// Has all homes locked.
pub fn lock_all() -> Asked {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(ask()),
        Err(error) => Asked::Unheard(format!("an event loop cannot be started: {error}")),
    }
}

async fn ask() -> Asked {
    let connection = match tokio::time::timeout(CONNECT, Connection::system()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Asked::Unheard(format!("the system bus cannot be reached: {error}")),
        Err(_) => return Asked::Unheard("the system bus does not answer".into()),
    };
    tokio::select! {
        asked = lock(&connection) => asked,
        why = until_silent(&connection) => Asked::Unheard(why),
    }
}

async fn lock(connection: &Connection) -> Asked {
    let call = async {
        let manager = Proxy::new(connection, NAME, MANAGER, "org.freedesktop.home1.Manager").await?;
        manager.call::<_, _, ()>("LockAllHomes", &()).await
    };
    match call.await {
        Ok(()) => Asked::Locked,
        Err(zbus::Error::MethodError(name, text, _)) if name.starts_with(NAME) => {
            Asked::Refused(text.unwrap_or_else(|| name.to_string()))
        }
        Err(error) => Asked::Unheard(error.to_string()),
    }
}

/// Returns when the daemon does not say any more that it lives.
async fn until_silent(connection: &Connection) -> String {
    loop {
        let ping = async { PeerProxy::new(connection, NAME, MANAGER).await?.ping().await };
        match tokio::time::timeout(SILENCE, ping).await {
            Err(_) => return format!("it has been silent for {} s", SILENCE.as_secs()),
            // The other call says why.
            Ok(Err(_)) | Ok(Ok(())) => tokio::time::sleep(PULSE).await,
        }
    }
}
