//! The daemon over the system bus, at its one fixed address: a module in `sudo` must not let a
//! variable decide whom it believes. Secrets go over the hand-off socket.

use crate::daemon::{AtSuspend, Daemon, Failure};
use handoff::Client;
use records::handoff::TICKET;
use records::{Credentials, HostName, Machine, MachineId, Record, Refusal, Sections};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";
const NAME: &str = "org.freedesktop.home1";
const PATH: &str = "/org/freedesktop/home1";
const INTERFACE: &str = "org.freedesktop.home1.Manager";
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
        if secrets.iter().all(|secret| secret.is_empty()) {
            return Ok(Self { arguments: vec!["{}".to_owned(); secrets.len()], _client: None });
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
    let zbus::Error::MethodError(name, text, _) = error else {
        return Failure::Other(error.to_string());
    };
    let absent = ["ServiceUnknown", "NameHasNoOwner", "Spawn.ServiceNotFound", "Spawn.ExecFailed"];
    let name = name.as_str();
    if name.strip_prefix("org.freedesktop.DBus.Error.").is_some_and(|short| absent.contains(&short)) {
        return Failure::Absent;
    }
    match Refusal::from_bus_name(name) {
        Some(refusal) => {
            Failure::Refused(refusal, text.clone().unwrap_or_else(|| refusal.sentence().to_owned()))
        }
        None => Failure::Other(format!("{name}: {}", text.as_deref().unwrap_or_default())),
    }
}
