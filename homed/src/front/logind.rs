//! The machine going down, or to sleep. Going down: whoever is locked then is given up before systemd waits for frozen
//! processes; logind says so first, and waits a moment for who has asked it to. Going to sleep: whoever has all homes
//! locked meanwhile does so for that, and when it is over all may be opened again.

use crate::daemon::link::{Link, Operation};
use futures_util::StreamExt;
use std::time::Duration;
use zbus::Connection;
use zbus::proxy::CacheProperties;
use zbus::wire::OwnedFd;

/// How long logind may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// logind, as far as it is asked here.
#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Logind {
    /// Has logind wait, as long as the descriptor is open and no longer than it is set to.
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;

    /// The machine is about to go down, or does not after all.
    #[zbus(signal)]
    fn prepare_for_shutdown(&self, start: bool) -> zbus::Result<()>;

    /// The machine is about to sleep, or has woken, or does not sleep after all.
    #[zbus(signal)]
    fn prepare_for_sleep(&self, start: bool) -> zbus::Result<()>;

    /// Whether the machine is about to sleep now.
    #[zbus(property(emits_changed_signal = "false"))]
    fn preparing_for_sleep(&self) -> zbus::Result<bool>;
}

/// Listens for as long as it is polled. Without logind nobody says anything.
pub async fn follow(bus: Connection, link: Link) {
    let (down, sleep) = tokio::join!(listen(&bus, &link), sleeps(&bus, &link));
    if let Err(error) = down {
        tracing::warn!("locked homes are not given up before a shutdown: {error}");
    }
    if let Err(error) = sleep {
        tracing::warn!("what the login manager says of sleeps is not heard: {error}");
    }
}

async fn sleeps(bus: &Connection, link: &Link) -> zbus::Result<()> {
    // Where there is no logind, there is none of its properties to keep either.
    let logind = LogindProxy::builder(bus).cache_properties(CacheProperties::No).build().await?;
    let mut news = logind.receive_prepare_for_sleep().await?;
    // What an earlier daemon has heard.
    if is_prepared(&logind).await {
        tell(link, Operation::SleepPrepared).await;
    }
    while let Some(news) = news.next().await {
        // That one sleep is over is no news when the next has begun meanwhile.
        let comes = *news.args()?.start() || is_prepared(&logind).await;
        tell(link, if comes { Operation::SleepPrepared } else { Operation::SleepOver }).await;
    }
    Ok(())
}

/// A logind that does not say so in time prepares none: the hold does not hang on it.
async fn is_prepared(logind: &LogindProxy<'_>) -> bool {
    tokio::time::timeout(PATIENCE, logind.preparing_for_sleep()).await.is_ok_and(|said| said.unwrap_or(false))
}

async fn tell(link: &Link, operation: Operation) {
    if let Err(failure) = link.ask(&link.ourselves(), operation).await {
        tracing::error!("a sleep is not taken into account: {failure}");
    }
}

async fn listen(bus: &Connection, link: &Link) -> zbus::Result<()> {
    let logind = LogindProxy::new(bus).await?;
    let mut news = logind.receive_prepare_for_shutdown().await?;
    let mut delay = inhibit(&logind).await;
    while let Some(news) = news.next().await {
        if *news.args()?.start() {
            if let Err(failure) = link.ask(&link.ourselves(), Operation::GiveUpAll).await {
                tracing::error!("a locked home could not be given up before the shutdown: {failure}");
            }
            delay = None;
        } else if delay.is_none() {
            delay = inhibit(&logind).await;
        }
    }
    drop(delay);
    Ok(())
}

/// A machine without logind shuts down without it.
async fn inhibit(logind: &LogindProxy<'_>) -> Option<OwnedFd> {
    logind.inhibit("shutdown", "homed", "Locked homes are closed first", "delay").await.ok()
}
