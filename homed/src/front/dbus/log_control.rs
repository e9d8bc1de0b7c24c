//! `org.freedesktop.LogControl1`: what systemd's tools ask of every daemon. Read only: the level is set
//! when the daemon starts.

/// Its object.
pub const PATH: &str = "/org/freedesktop/LogControl1";

/// The object.
pub struct LogControl;

#[zbus::interface(name = "org.freedesktop.LogControl1", introspection_docs = false)]
impl LogControl {
    #[zbus(property(emits_changed_signal = "false"))]
    async fn log_level(&self) -> String {
        "info".into()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn log_target(&self) -> String {
        "journal".into()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn syslog_identifier(&self) -> String {
        "systemd-homed".into()
    }
}
