//! `org.freedesktop.LogControl1`: what systemd's tools ask of every daemon (`systemctl service-log-level`). Everybody may
//! read it, root may change it.

use super::context::{Call, Front};
use super::error::Error;
use crate::daemon::log;
use std::sync::Arc;
use zbus::message::Header;
use zbus::{Connection, fdo};

/// Its object.
pub const PATH: &str = "/org/freedesktop/LogControl1";

/// The object.
pub struct LogControl(pub Arc<Front>);

#[zbus::interface(name = "org.freedesktop.LogControl1", introspection_docs = false)]
impl LogControl {
    #[zbus(property(emits_changed_signal = "false"))]
    async fn log_level(&self) -> String {
        log::level().into()
    }

    #[zbus(property)]
    async fn set_log_level(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
        level: String,
    ) -> fdo::Result<()> {
        self.may_change(connection, header).await?;
        taken(
            log::set_level(&level),
            "The levels are emerg, alert, crit, err, warning, notice, info and debug.",
        )
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn log_target(&self) -> String {
        log::target().into()
    }

    #[zbus(property)]
    async fn set_log_target(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
        target: String,
    ) -> fdo::Result<()> {
        self.may_change(connection, header).await?;
        taken(log::set_target(&target), "The log goes to journal (where it listens), console, auto or null.")
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn syslog_identifier(&self) -> String {
        "systemd-homed".into()
    }
}

impl LogControl {
    async fn may_change(&self, connection: &Connection, header: Option<Header<'_>>) -> fdo::Result<()> {
        let denied = || fdo::Error::AccessDenied("Only root may change the log.".into());
        let header = header.as_ref().ok_or_else(denied)?;
        let caller = self.0.caller(Call { connection, header }).await?;
        if caller.uid == 0 { Ok(()) } else { Err(denied()) }
    }
}

fn taken(known: bool, sentence: &str) -> fdo::Result<()> {
    if known { Ok(()) } else { Err(Error::invalid(sentence).into()) }
}
