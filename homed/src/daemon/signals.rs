//! Signals to the daemon.
//!
//! | signal | what follows |
//! | --- | --- |
//! | `SIGTERM`, `SIGINT` | it ends |
//! | `SIGHUP` | the settings are read again |
//! | `SIGUSR1` | the home root is looked at again |

use super::config;
use super::events::{Events, Happened};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from now on; ends at the first signal that asks for the end.
pub fn listen(events: Events) -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(others(signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?, events));
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn others(mut hang_up: Signal, mut first: Signal, events: Events) {
    loop {
        tokio::select! {
            Some(()) = hang_up.recv() => read_settings(&events).await,
            Some(()) = first.recv() => {
                tracing::info!("the home root is looked at again");
                events.send(Happened::LookForStorage);
            }
            else => return,
        }
    }
}

/// Off the loop: files of an administrator's may lie anywhere.
async fn read_settings(events: &Events) {
    let Ok((defaults, complaints)) = tokio::task::spawn_blocking(config::read).await else { return };
    complaints.iter().for_each(|what| tracing::warn!("{what}"));
    tracing::info!("the settings are read again");
    events.send(Happened::Settings(Box::new(defaults)));
}
