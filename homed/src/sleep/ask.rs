//! Asks the daemon to lock all homes, and sees whether it lives meanwhile.
//!
//! The lock has bounds of its own in the daemon, all in all 95 s. A daemon whose loop hangs is found out by asking that for
//! something that costs nothing, again and again.

use std::time::Duration;
use zbus::{Connection, Proxy};

const NAME: &str = "org.freedesktop.home1";
const MANAGER: &str = "/org/freedesktop/home1";
const OWN: &str = "org.freedesktop.home1.Homed1";
/// How long the bus may take to be there.
const CONNECT: Duration = Duration::from_secs(5);
/// How often the daemon is asked whether it lives.
const PULSE: Duration = Duration::from_secs(1);
/// How long it may take to say so: one that is started for this answers when it has seen to all homes.
const SILENCE: Duration = Duration::from_secs(10);

/// What came of it.
pub enum Asked {
    /// All homes are locked but these, which somebody has left out, or which cannot be locked; none is opened before the sleep is over.
    Locked(Vec<String>),
    /// The daemon says no, in these words.
    Refused(String),
    /// It does not answer, for this reason.
    Unheard(String),
}

/// All homes have to be locked within so long, or the daemon counts as one that does not answer: homed-lock.service
/// has 150 s for this and what follows.
const LONGEST: Duration = Duration::from_secs(100);

/// Has all homes locked.
pub fn lock_all() -> Asked {
    let bounded = async {
        match tokio::time::timeout(LONGEST, ask()).await {
            Ok(asked) => asked,
            Err(_) => Asked::Unheard(format!("not all is locked within {} s", LONGEST.as_secs())),
        }
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(bounded),
        Err(error) => Asked::Unheard(format!("an event loop cannot be started: {error}")),
    }
}

/// Tells the daemon that homes may be opened again.
pub fn sleep_is_over() -> Result<(), String> {
    let call = async {
        let connection = connect().await?;
        let own = Proxy::new(&connection, NAME, MANAGER, OWN).await?;
        own.call::<_, _, ()>("SleepIsOver", &()).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("an event loop cannot be started: {error}"))?;
    match runtime.block_on(async { tokio::time::timeout(SILENCE, call).await }) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it has been silent for {} s", SILENCE.as_secs())),
    }
}

/// No files come over it: closing one of a stranger's may wait for ever.
async fn connect() -> zbus::Result<Connection> {
    bus::system().await?.build().await
}

async fn ask() -> Asked {
    let connection = match tokio::time::timeout(CONNECT, connect()).await {
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
        let own = Proxy::new(connection, NAME, MANAGER, OWN).await?;
        own.call::<_, _, Vec<String>>("LockAllForSleep", &()).await
    };
    match call.await {
        Ok(left_out) => Asked::Locked(left_out),
        Err(zbus::Error::MethodError(name, text, _)) if name.starts_with(NAME) => {
            Asked::Refused(text.unwrap_or_else(|| name.to_string()))
        }
        Err(error) => Asked::Unheard(error.to_string()),
    }
}

/// Returns when the daemon does not say any more that it lives.
async fn until_silent(connection: &Connection) -> String {
    loop {
        let ping = async {
            let own = Proxy::new(connection, NAME, MANAGER, OWN).await?;
            own.call::<_, _, ()>("Alive", &()).await
        };
        match tokio::time::timeout(SILENCE, ping).await {
            Err(_) => return format!("it has been silent for {} s", SILENCE.as_secs()),
            // The other call says why.
            Ok(Err(_)) | Ok(Ok(())) => tokio::time::sleep(PULSE).await,
        }
    }
}
