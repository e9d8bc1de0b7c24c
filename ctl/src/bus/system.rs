//! The daemon on D-Bus.

use super::{
    Daemon, Failure, HomeRow, Inhibitor, Interaction, Order, Question, RecordReply, Session, Suspend, Who,
};
use handoff::Memory;
use records::{Refusal, Secret, recovery};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use zbus::proxy::MethodFlags;

/// homed on the system bus; connects at the first call.
pub struct Bus {
    runtime: tokio::runtime::Runtime,
    interaction: Interaction,
    proxy: std::cell::OnceCell<zbus::Proxy<'static>>,
}

type ListedHome = (String, u32, String, u32, String, String, String, zbus::OwnedObjectPath);

impl Bus {
    /// Ready to connect.
    pub fn new(interaction: Interaction) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failure::say(format!("cannot start: {e}")))?;
        Ok(Self { runtime, interaction, proxy: std::cell::OnceCell::new() })
    }

    async fn connected(&self) -> Result<&zbus::Proxy<'static>, zbus::Error> {
        if let Some(proxy) = self.proxy.get() {
            return Ok(proxy);
        }
        let connection = zbus::Connection::system().await?;
        let proxy = zbus::Proxy::new(&connection, NAME, PATH, MANAGER).await?;
        Ok(self.proxy.get_or_init(|| proxy))
    }

    fn call<B, R>(&self, method: &str, body: &B) -> Result<R, Failure>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        self.call_on(MANAGER, method, body)
    }

    fn call_on<B, R>(&self, interface: &'static str, method: &str, body: &B) -> Result<R, Failure>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        let flags = match self.interaction {
            Interaction::Allowed => MethodFlags::ALLOW_INTERACTIVE_AUTH,
            Interaction::Forbidden => Default::default(),
        };
        let reply = self.runtime.block_on(async {
            let manager = self.connected().await?;
            if interface == MANAGER {
                return manager.call_with_flags::<_, _, R>(method, flags, body).await;
            }
            let proxy = zbus::Proxy::new(manager.connection(), NAME, PATH, interface).await?;
            proxy.call_with_flags::<_, _, R>(method, flags, body).await
        });
        reply.map_err(failure)?.ok_or_else(|| Failure::say("homed did not answer"))
    }
}

const NAME: &str = "org.freedesktop.home1";
const PATH: &str = "/org/freedesktop/home1";
const MANAGER: &str = "org.freedesktop.home1.Manager";
const LOCK_POLICY: &str = "org.freedesktop.home1.LockPolicy";
const OWN: &str = "org.freedesktop.home1.Homed1";

impl Daemon for Bus {
    fn own(&self, method: &str, question: Question<'_>) -> Result<String, Failure> {
        match question {
            Question::Account(record, folder, group) => {
                self.call_on::<_, ()>(OWN, method, &(record, folder, group)).map(|()| String::new())
            }
            Question::Name(name) => self.call_on(OWN, method, &(name,)),
            Question::Secret(name, second)
            | Question::Claims(name, second)
            | Question::Snapshot(name, second) => self.call_on(OWN, method, &(name, second)),
            Question::Flags(name, secret, flags) => self.call_on(OWN, method, &(name, secret, flags)),
            Question::Directory(name, second, third) | Question::InSnapshot(name, second, third) => {
                self.call_on(OWN, method, &(name, second, third))
            }
        }
    }

    fn order(&self, method: &str, order: Order<'_>) -> Result<(), Failure> {
        match order {
            Order::Nothing => self.call(method, &()),
            Order::Text(text) => self.call(method, &(text,)),
            Order::Secret(name, secret) => self.call(method, &(name, secret)),
            Order::Passwords(name, new, old) => self.call(method, &(name, new, old)),
            Order::Record(text, blobs, flags) => {
                let blobs: HashMap<String, zbus::OwnedFd> =
                    blobs.into_iter().map(|(name, fd)| (name, fd.into())).collect();
                self.call(method, &(text, blobs, flags))
            }
            Order::Size(name, size, secret) => self.call(method, &(name, size, secret)),
            Order::Flags(name, flags) => self.call(method, &(name, flags)),
            Order::Key(name, pem, flags) => self.call(method, &(name, pem, flags)),
        }
    }

    fn homes(&self) -> Result<Vec<HomeRow>, Failure> {
        let rows: Vec<ListedHome> = self.call("ListHomes", &())?;
        let row = |(name, uid, state, gid, real_name, home, shell, _)| HomeRow {
            name,
            uid,
            state,
            gid,
            real_name,
            home,
            shell,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    fn record(&self, who: Who<'_>) -> Result<RecordReply, Failure> {
        let (json, incomplete, _): (String, bool, zbus::OwnedObjectPath) = match who {
            Who::Name(name) => self.call("GetUserRecordByName", &(name,))?,
            Who::Uid(uid) => self.call("GetUserRecordByUID", &(uid,))?,
        };
        Ok(RecordReply { json, incomplete })
    }

    fn keys(&self) -> Result<Vec<(String, String)>, Failure> {
        let keys: Vec<(String, String, u64)> = self.call("ListSigningKeys", &())?;
        Ok(keys.into_iter().map(|(name, pem, _)| (name, pem)).collect())
    }

    fn key(&self, name: &str) -> Result<String, Failure> {
        let (pem, _): (String, u64) = self.call("GetSigningKey", &(name,))?;
        Ok(pem)
    }

    fn inhibitors(&self) -> Result<Vec<Inhibitor>, Failure> {
        let rows: Vec<(String, String, u32, u32, String, u64)> =
            self.call_on(LOCK_POLICY, "ListInhibitors", &())?;
        let inhibitor =
            |(user, who, uid, pid, why, until_usec)| Inhibitor { user, who, uid, pid, why, until_usec };
        Ok(rows.into_iter().map(inhibitor).collect())
    }

    fn security(&self) -> Result<String, Failure> {
        self.call_on(LOCK_POLICY, "DescribeSecurity", &())
    }

    fn sessions(&self) -> Vec<Session> {
        self.runtime
            .block_on(async { sessions(self.connected().await.ok()?.connection()).await.ok() })
            .unwrap_or_default()
    }

    fn make_recovery_key(&self, name: &str) -> Result<(Secret, u32), Failure> {
        let (fd, group): (zbus::OwnedFd, u32) = self.call_on(OWN, "MakeRecoveryKey", &(name,))?;
        let broken = || Failure::say("homed has shown no recovery key. Nothing was changed.");
        let memory = Memory::recognise(fd.into()).map_err(|_| broken())?;
        Ok((memory.take(recovery::LENGTH).map_err(|_| broken())?, group))
    }

    fn confirm_recovery_key(
        &self,
        name: &str,
        typed: &str,
        called: &str,
        secret: &str,
    ) -> Result<(), Failure> {
        self.call_on(OWN, "ConfirmRecoveryKey", &(name, typed, called, secret))
    }

    fn inhibit(&self, name: &str, who: &str, why: &str, usec: u64) -> Result<OwnedFd, Failure> {
        let fd: zbus::OwnedFd = self.call_on(LOCK_POLICY, "Inhibit", &(name, who, why, usec))?;
        Ok(fd.into())
    }

    fn acquire(&self, name: &str, secret: &str, please_suspend: Suspend) -> Result<OwnedFd, Failure> {
        let fd: zbus::OwnedFd =
            self.call("AcquireHome", &(name, secret, please_suspend == Suspend::Allowed))?;
        Ok(fd.into())
    }
}

/// What systemd-logind tells of sessions (org.freedesktop.login1(5)).
async fn sessions(connection: &zbus::Connection) -> Result<Vec<Session>, zbus::Error> {
    let proxy = async |path: zbus::OwnedObjectPath, interface: &'static str| {
        zbus::Proxy::new(connection, "org.freedesktop.login1", path, interface).await
    };
    let path = zbus::OwnedObjectPath::try_from("/org/freedesktop/login1")?;
    let manager = proxy(path, "org.freedesktop.login1.Manager").await?;
    let rows: Vec<(String, u32, String, String, zbus::OwnedObjectPath)> =
        manager.call("ListSessions", &()).await?;
    let mut all = Vec::new();
    for (id, uid, _, seat, path) in rows {
        let session = proxy(path, "org.freedesktop.login1.Session").await?;
        // It may end while it is asked for.
        let text = async |name: &str| session.get_property::<String>(name).await.unwrap_or_default();
        // A user's own service manager is not somebody who sits there.
        if text("Class").await.starts_with("manager") {
            continue;
        }
        let (tty, service, remote_host) =
            (text("TTY").await, text("Service").await, text("RemoteHost").await);
        all.push(Session { id, uid, tty, seat, service, remote_host });
    }
    Ok(all)
}

fn failure(error: zbus::Error) -> Failure {
    match error {
        zbus::Error::MethodError(name, text, _) => answered(&name, text.as_deref()),
        // The library has types of its own for the standard names.
        zbus::Error::FDO(standard) => {
            let name = zbus::DBusError::name(&*standard).to_string();
            answered(&name, zbus::DBusError::description(&*standard))
        }
        zbus::Error::InputOutput(e) => {
            Failure::say(format!("the system bus cannot be reached: {e}. Nothing was changed."))
        }
        other => Failure::say(format!("talking to homed failed: {other}")),
    }
}

/// An error that came over the bus, by its name.
fn answered(name: &str, text: Option<&str>) -> Failure {
    let sentence = text.unwrap_or(name).to_owned();
    match (Refusal::from_bus_name(name), name.rsplit('.').next()) {
        (Some(refusal), _) => Failure::Refused(refusal, sentence),
        (None, Some("ServiceUnknown" | "NameHasNoOwner")) => {
            Failure::say("homed does not run. Nothing was changed. Start it: systemctl start homed.service")
        }
        (None, Some("NoReply" | "Disconnected")) => Failure::say(
            "homed ended before it answered, or was ended. Nobody knows how much of it is done; what a home had is \
             there, and its next login, or the same again, settles the rest. What became of it: homectl list; \
             systemctl status homed.service",
        ),
        (None, Some("InteractiveAuthorizationRequired")) => Failure::Refused(
            Refusal::AccessDenied,
            "That needs an authorization, which was not asked for.".to_owned(),
        ),
        (None, _) => Failure::Other(sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_errors_are_refusals_too() {
        for (error, refusal) in [
            (zbus::fdo::Error::NotSupported("x".to_owned()), Refusal::NotSupported),
            (zbus::fdo::Error::InvalidArgs("x".to_owned()), Refusal::InvalidArgs),
            (zbus::fdo::Error::AccessDenied("x".to_owned()), Refusal::AccessDenied),
        ] {
            assert_eq!(failure(zbus::Error::FDO(Box::new(error))), Failure::Refused(refusal, "x".to_owned()));
        }
    }

    #[test]
    fn a_homed_that_does_not_run_is_called_so() {
        let error = zbus::Error::FDO(Box::new(zbus::fdo::Error::ServiceUnknown("x".to_owned())));
        assert!(matches!(failure(error), Failure::Other(text) if text.starts_with("homed does not run")));
    }

    #[test]
    fn a_homed_that_ended_meanwhile_is_called_so() {
        let text = "Message recipient disconnected from message bus without replying";
        let error = zbus::Error::FDO(Box::new(zbus::fdo::Error::NoReply(text.to_owned())));
        assert!(matches!(failure(error), Failure::Other(text) if text.starts_with("homed ended before")));
    }
}
