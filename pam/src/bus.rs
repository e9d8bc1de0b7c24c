//! The daemon over the system bus, at its one fixed address: a module in `sudo` must not let a
//! variable decide whom it believes. Secrets go over the hand-off socket.

use crate::daemon::{AtSuspend, Daemon, Failure};
use handoff::Client;
use records::credentials::InvalidSecret;
use records::handoff::TICKET;
use records::{Credentials, HostName, Machine, MachineId, Record, Refusal, Sections};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";
const NAME: &str = "org.freedesktop.home1";
const PATH: &str = "/org/freedesktop/home1";
const INTERFACE: &str = "org.freedesktop.home1.Manager";
/// Beginnings of the names with which the bus daemon, and systemd where it starts services for it, say that
/// there is no daemon: not installed, masked, or it did not start.
const NOT_STARTED: &[&str] = &[
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.Spawn.",
    "org.freedesktop.systemd1.",
];
/// How long a call may take: unlocking on a slow machine, with others before us.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the daemon may take to give a ticket.
const HANDOFF_PATIENCE: Duration = Duration::from_secs(10);

/// A connection, made at the first call and closed with the hook.
#[derive(Default)]
pub struct Bus {
    connection: Option<zbus::Connection>,
}

impl Bus {
    fn connection(&mut self) -> Result<zbus::Connection, Failure> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let building =
            async { zbus::connection::Builder::address(ADDRESS).method_timeout(PATIENCE).build().await };
        // No bus, no homes: the modules after us serve the other users.
        let connection = zbus::block_on(building).map_err(|_| Failure::Absent)?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    fn call<B, R>(&mut self, method: &str, body: &B) -> Result<R, Failure>
    where
        B: serde::Serialize + zbus::Type,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let connection = self.connection()?;
        let calling = connection.call_method(Some(NAME), PATH, Some(INTERFACE), method, body);
        let reply = zbus::block_on(calling).map_err(|e| failure(&e))?;
        reply.body().deserialize().map_err(|e| Failure::Other(format!("{method}: {e}")))
    }
}

impl Daemon for Bus {
    fn record(&mut self, user: &str) -> Result<Record, Failure> {
        let (json, _incomplete, _path): (String, bool, zbus::OwnedObjectPath) =
            self.call("GetUserRecordByName", &(user,))?;
        Record::parse(&json, Sections::HOST).map_err(|e| Failure::Other(e.to_string()))
    }

    fn machine(&mut self) -> Result<Machine, Failure> {
        let unreadable = |e: &dyn std::fmt::Display| Failure::Other(format!("/etc/machine-id: {e}"));
        let id = std::fs::read_to_string("/etc/machine-id").map_err(|e| unreadable(&e))?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Machine { id: MachineId::parse(&id).map_err(|e| unreadable(&e))?, host: HostName(host) })
    }

    fn acquire(&mut self, user: &str, secret: &Credentials, suspend: AtSuspend) -> Result<OwnedFd, Failure> {
        let vault = Vault::fill(&[secret])?;
        let fd: zbus::wire::OwnedFd =
            self.call("AcquireHome", &(user, &vault.arguments[0], suspend == AtSuspend::Lock))?;
        own(&fd)
    }

    fn reference(&mut self, user: &str, suspend: AtSuspend) -> Result<OwnedFd, Failure> {
        let fd: zbus::wire::OwnedFd = self.call("RefHome", &(user, suspend == AtSuspend::Lock))?;
        own(&fd)
    }

    fn release(&mut self, user: &str) -> Result<(), Failure> {
        self.call("ReleaseHome", &(user,))
    }

    fn change_password(&mut self, user: &str, new: &Credentials, old: &Credentials) -> Result<(), Failure> {
        let vault = Vault::fill(&[new, old])?;
        self.call("ChangePasswordHome", &(user, &vault.arguments[0], &vault.arguments[1]))
    }

    fn now_usec(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Secrets that the daemon holds for the next call; they go when this does.
struct Vault {
    arguments: Vec<String>,
    _client: Option<Client>,
}

impl Vault {
    fn fill(secrets: &[&Credentials]) -> Result<Self, Failure> {
        for secret in secrets {
            // Left out, it would look like a wrong password.
            let refused =
                |e: InvalidSecret| Failure::Refused(Refusal::InvalidArgs, format!("Not tried: {}.", e.0));
            secret.check().map_err(refused)?;
        }
        if secrets.iter().all(|secret| secret.is_empty()) {
            // Nothing secret is in them, only what the user was told to expect of a token.
            let open = |secret: &&Credentials| secret.to_json().open_text().unwrap_or("{}").to_owned();
            return Ok(Self { arguments: secrets.iter().map(open).collect(), _client: None });
        }
        let failed = |e: handoff::HandoffError| Failure::Other(e.to_string());
        let mut client = Client::connect(HANDOFF_PATIENCE).map_err(failed)?;
        let mut arguments = Vec::new();
        for secret in secrets {
            let ticket = client.deposit(&secret.to_json()).map_err(failed)?;
            arguments.push(serde_json::json!({ TICKET: ticket }).to_string());
        }
        Ok(Self { arguments, _client: Some(client) })
    }
}

/// A descriptor of our own, closed when the application starts another program.
fn own(fd: &zbus::wire::OwnedFd) -> Result<OwnedFd, Failure> {
    rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 3).map_err(|e| Failure::Other(format!("the reference: {e}")))
}

fn failure(error: &zbus::Error) -> Failure {
    match error {
        zbus::Error::MethodError(name, text, _) => answered(name.as_str(), text.as_deref()),
        // The library has types of its own for the standard names.
        zbus::Error::FDO(standard) => {
            answered(zbus::DBusError::name(&**standard).as_str(), zbus::DBusError::description(&**standard))
        }
        other => Failure::Other(other.to_string()),
    }
}

/// An error that came over the bus, by its name.
fn answered(name: &str, text: Option<&str>) -> Failure {
    if NOT_STARTED.iter().any(|start| name.starts_with(start)) {
        return Failure::Absent;
    }
    let text = text.filter(|text| !text.is_empty());
    match Refusal::from_bus_name(name) {
        Some(refusal) => Failure::Refused(refusal, text.unwrap_or(refusal.sentence()).to_owned()),
        None => Failure::Other(format!("{name}: {}", text.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Secret;
    use records::credentials::Permitted;
    use zbus::fdo::Error;

    fn standard(error: Error) -> Failure {
        failure(&zbus::Error::FDO(Box::new(error)))
    }

    #[test]
    fn a_daemon_that_does_not_run_is_absent() {
        for error in [
            Error::ServiceUnknown("x".into()),
            Error::NameHasNoOwner("x".into()),
            Error::SpawnServiceNotFound("x".into()),
            Error::SpawnExecFailed("x".into()),
            Error::SpawnChildExited("x".into()),
        ] {
            assert_eq!(standard(error.clone()), Failure::Absent, "{error:?}");
        }
        for name in ["org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.UnitMasked"] {
            assert_eq!(answered(name, Some("x")), Failure::Absent, "{name}");
        }
    }

    #[test]
    fn standard_errors_are_refusals_too() {
        for (error, refusal) in [
            (Error::NotSupported("x".into()), Refusal::NotSupported),
            (Error::InvalidArgs("x".into()), Refusal::InvalidArgs),
            (Error::AccessDenied("x".into()), Refusal::AccessDenied),
        ] {
            assert_eq!(standard(error), Failure::Refused(refusal, "x".to_owned()));
        }
        let wordless = Failure::Refused(Refusal::HomeBusy, Refusal::HomeBusy.sentence().to_owned());
        assert_eq!(answered(Refusal::HomeBusy.bus_name(), Some("")), wordless);
        assert_eq!(answered(Refusal::HomeBusy.bus_name(), None), wordless);
    }

    #[test]
    fn a_daemon_that_fails_is_not_absent() {
        for error in [Error::NoReply("x".into()), Error::Failed("x".into()), Error::UnknownMethod("x".into())]
        {
            assert!(
                matches!(standard(error.clone()), Failure::Other(text) if text.ends_with(": x")),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_password_that_is_not_utf8_is_refused_before_anything_is_sent() {
        let credentials = |bytes: &[u8]| Credentials {
            passwords: vec![Secret::new(bytes.to_vec())],
            ..Credentials::default()
        };
        let (good, bad) = (credentials(b"geheim"), credentials(b"gr\xfc\xdfe"));
        for secrets in [&[&bad][..], &[&good, &bad], &[&bad, &good]] {
            let Err(Failure::Refused(refusal, text)) = Vault::fill(secrets).map(drop) else {
                panic!("not refused");
            };
            assert_eq!(refusal, Refusal::InvalidArgs);
            assert!(text.contains("not UTF-8") && !text.contains("geheim"), "{text}");
        }
    }

    #[test]
    fn permissions_are_passed_on_without_a_password() {
        let touch = Credentials { user_presence: Permitted::Yes, ..Credentials::default() };
        let vault = Vault::fill(&[&touch, &Credentials::default()]).expect("nothing to hand over");
        assert_eq!(vault.arguments, [r#"{"fido2UserPresencePermitted":true}"#, "{}"]);
    }
}
